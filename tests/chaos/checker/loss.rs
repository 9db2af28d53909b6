//! I1: no record that is committed, or was ever there at the end, is lost.

use crate::history::Role;

use super::past::{NEVER, Past};
use super::settled::Settlements;
use super::verdict::Verdict;

/// Every record below the last committed offset has an effect of its ID, a dead letter, or was settled by policy; or it
/// has a copy in a retry topic that is not committed yet.
pub fn judge(past: &Past) -> Verdict {
    let mut verdict = Verdict::new("I1", "no record is lost");
    let settlements = Settlements::of(past);
    for (number, part) in past.consumed() {
        let committed = part.samples.iter().filter_map(|sample| sample.offset).max().unwrap_or(0);
        for record in part.records.iter().take_while(|record| record.offset < committed) {
            verdict.checked += 1;
            let has_effect = || past.attempts(record.id).iter().any(|each| each.has_effect());
            if settlements.record(number, record) == NEVER && !has_effect() {
                verdict.violate(record.at, || {
                    format!(
                        "{} (ID {}) is below the committed offset {committed} and has neither an effect nor a dead letter",
                        past.place(number, record.offset),
                        past.ids.name(record.id),
                    )
                });
            }
        }
        // What was not written down cannot be judged.
        let end = part.samples.iter().map(|sample| sample.end).max().unwrap_or(0);
        let known = part.records.len() as i64;
        if part.role == Role::Source && known < end {
            verdict.unproven(format!(
                "{} has {end} records, of which the history knows {known}: read the log at the end of the run",
                part.name()
            ));
        }
    }
    if verdict.checked == 0 {
        verdict.unproven("no committed record is known");
    }
    if past.unacknowledged > 0 {
        verdict.note(format!("{} records were sent without an acknowledgement", past.unacknowledged));
    }
    verdict
}
