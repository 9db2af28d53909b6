//! I8: after a partition was given up, its last owner commits nothing of it.

use std::collections::HashMap;

use crate::history::What;

use super::past::{BROKER_TROUBLE, FROZEN, Past};
use super::verdict::Verdict;

/// How late the answer may come to a commit that was sent before the partition was given up: hapax waits 3 s for its
/// last commits.
const LAST_ANSWER: u64 = 5_000_000;

/// A commit that a worker reports as taken by the broker belongs to an assignment that the worker holds, or gave up at
/// most 5 s before; longer only if a fault held up the answer.
pub fn judge(past: &Past) -> Verdict {
    let mut verdict = Verdict::new("I8", "nothing is committed after a partition was given up");
    // When the assignment ended; `None` while the partition is held.
    let mut held: HashMap<(u32, u32), Option<u64>> = HashMap::new();
    let mut commits = 0_u64;
    for report in &past.reports {
        let Some(part) = report.part else { continue };
        let key = (report.life, part);
        match report.what {
            What::Assigned => {
                held.insert(key, None);
            }
            What::Drained | What::CutOff | What::Lost => {
                held.insert(key, Some(report.at));
            }
            What::Committed => {
                commits += 1;
                let since = match held.get(&key) {
                    Some(None) => continue,
                    Some(Some(since)) => *since,
                    None => 0,
                };
                let late = report.at.saturating_sub(since) > LAST_ANSWER;
                let held_up = [FROZEN, BROKER_TROUBLE].iter().any(|it| past.faults.any_within(it, since, report.at));
                if since == 0 || (late && !held_up) {
                    verdict.violate(report.at, || {
                        format!(
                            "{} reported a commit of {} up to {} at {}, although {}",
                            past.life(report.life).name(),
                            past.part(part).name(),
                            report.offset.unwrap_or(-1),
                            past.clock(report.at),
                            if since == 0 {
                                "it was never assigned to it".to_owned()
                            } else {
                                format!("it gave it up at {}", past.clock(since))
                            },
                        )
                    });
                }
            }
            _ => {}
        }
    }
    verdict.checked = commits;
    if commits == 0 {
        verdict.unproven("no worker reported a commit");
    }
    verdict
}
