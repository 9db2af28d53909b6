//! I5: two handlers of one ID never run at once, unless a fault took the lease of one.

use super::excuse;
use super::past::{NEVER, Past, Try};
use super::verdict::Verdict;

/// An attempt lasts from its start to its end; where no end was written, to the exit of its process. Two that overlap need
/// a fault by which the first one's lease ended early or unnoticed. In one process nothing excuses it.
pub fn judge(past: &Past) -> Verdict {
    let mut verdict = Verdict::new("I5", "handlers of one ID do not overlap");
    let mut excused = 0_u64;
    for id in 0..u32::try_from(past.ids.len()).unwrap_or(u32::MAX) {
        let attempts = past.attempts(id);
        verdict.checked += attempts.len() as u64;
        for (index, again) in attempts.iter().enumerate().skip(1) {
            let overlaps = |first: &&Try| again.seen() < end(past, first);
            for first in attempts[..index].iter().filter(overlaps) {
                let excuse = excuse::find(past, first, again).filter(|excuse| excuse.by.allows_overlap());
                if excuse.is_some() && first.life != again.life {
                    excused += 1;
                    continue;
                }
                verdict.violate(again.seen(), || {
                    format!(
                        "ID {}: a handler started at {} ({}), while another ran from {} to {} ({}), and no fault ended its lease",
                        past.ids.name(id),
                        past.clock(again.seen()),
                        past.describe(again),
                        past.clock(first.seen()),
                        past.clock(end(past, first)),
                        past.describe(first),
                    )
                });
            }
        }
    }
    if excused > 0 {
        verdict.note(format!("{excused} overlaps are excused by a fault"));
    }
    if verdict.checked == 0 {
        verdict.unproven("no handler was called");
    }
    verdict
}

/// When an attempt was over at the latest. One that was killed ended when the kill began, which is before its exit was
/// seen; another process may start as soon as the lease has run out, and that is longer than a kill takes.
fn end(past: &Past, each: &Try) -> u64 {
    if each.ended != NEVER {
        return each.ended;
    }
    let exit = past.exit(each.life);
    let life = past.life(each.life);
    let killed = past
        .faults
        .hitting(&[crate::history::FaultKind::WorkerKill], &life.worker, life.incarnation)
        .map(|fault| fault.begin)
        .find(|begin| *begin <= exit);
    killed.unwrap_or(exit).max(each.seen())
}
