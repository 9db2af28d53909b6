//! I4: a record is dropped as a duplicate only if its ID was settled before.

use crate::history::What;

use super::past::Past;
use super::settled::Settlements;
use super::verdict::Verdict;

/// At each report of a duplicate, a handler had returned success for its ID, or a dead letter of it existed. The report
/// is written after the decision, so nothing that came later counts.
pub fn judge(past: &Past) -> Verdict {
    let mut verdict = Verdict::new("I4", "only what was handled before is dropped as a duplicate");
    let settlements = Settlements::of(past);
    let (mut nameless, mut settled) = (0_u64, 0_u64);
    for report in &past.reports {
        let by = match report.what {
            What::DuplicateByCache => "the cache",
            What::DuplicateByStore => "the store",
            What::DuplicateByProcess => "the process",
            _ => continue,
        };
        verdict.checked += 1;
        let Some(id) = report.id else {
            nameless += 1;
            continue;
        };
        let at = settlements.id(id);
        if at <= report.at {
            settled += 1;
            continue;
        }
        verdict.violate(report.at, || {
            let place =
                report.part.zip(report.offset).map_or_else(String::new, |(p, o)| format!("{} ", past.place(p, o)));
            format!(
                "{place}(ID {}) was dropped as a duplicate by {by} of {} at {}; its ID was settled at {}",
                past.ids.name(id),
                past.life(report.life).name(),
                past.clock(report.at),
                past.clock(at),
            )
        });
    }
    if nameless > 0 {
        verdict.unproven(format!("{nameless} reports of duplicates name neither an ID nor a known record"));
    }
    verdict.note(format!("{settled} duplicates were dropped rightly"));
    verdict
}
