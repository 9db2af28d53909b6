//! I2: a committed offset never passes a record that is not settled, and never goes back.

use crate::history::{FaultKind, Role};

use super::past::Past;
use super::settled::Settlements;
use super::verdict::Verdict;

/// At each sample, every record below the committed offset was settled before the sample. A sample is taken after the
/// broker's answer, so the commit was earlier still, and needs no slack.
pub fn judge(past: &Past) -> Verdict {
    let mut verdict = Verdict::new("I2", "offsets are committed only after their records are settled");
    let settlements = Settlements::of(past);
    for (number, part) in past.consumed() {
        if part.samples.is_empty() && !part.records.is_empty() {
            verdict.unproven(format!("no committed offset of {} was sampled", part.name()));
        }
        let mut records = part.records.iter().peekable();
        // The record among those below the offset that was settled last, and whether it was reported.
        let mut last: Option<(u64, i64, u32)> = None;
        let mut reported = false;
        let mut before: Option<(u64, i64)> = None;
        for sample in &part.samples {
            verdict.checked += 1;
            let Some(offset) = sample.offset else {
                if let Some((at, earlier)) = before.filter(|(at, _)| !was_reset(past, *at, sample.at)) {
                    verdict.violate(sample.at, || {
                        format!("{}: {earlier} was committed, and later nothing (at {})", part.name(), past.clock(at))
                    });
                }
                continue;
            };
            if let Some((at, earlier)) =
                before.filter(|(at, earlier)| offset < *earlier && !was_reset(past, *at, sample.at))
            {
                verdict.violate(sample.at, || {
                    let (at, now) = (past.clock(at), past.clock(sample.at));
                    format!("{} went back from {earlier} (at {at}) to {offset} (at {now})", part.name())
                });
            }
            before = Some((sample.at, offset));
            if part.role != Role::DeadLetter && offset > sample.end {
                verdict.violate(sample.at, || format!("{}: {offset} is beyond the end {}", part.name(), sample.end));
            }
            while let Some(record) = records.next_if(|record| record.offset < offset) {
                let at = settlements.record(number, record);
                if last.is_none_or(|(latest, ..)| at > latest) {
                    (last, reported) = (Some((at, record.offset, record.id)), false);
                }
            }
            if let Some((at, of, id)) = last.filter(|(at, ..)| !reported && *at > sample.at) {
                reported = true;
                verdict.violate(sample.at, || {
                    format!(
                        "{} was committed up to {offset} at {}, but {of} (ID {}) was settled {}",
                        part.name(),
                        past.clock(sample.at),
                        past.ids.name(id),
                        if at == super::NEVER { "never".to_owned() } else { format!("at {}", past.clock(at)) },
                    )
                });
            }
        }
    }
    if verdict.checked == 0 {
        verdict.unproven("no committed offset was sampled");
    }
    verdict
}

/// Whether an operator set the offsets between these times.
fn was_reset(past: &Past, from: u64, to: u64) -> bool {
    past.faults.any_within(&[FaultKind::OffsetsReset], from, to)
}
