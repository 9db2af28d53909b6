//! I6: where order is promised, first effects follow the order of the log.

use std::collections::HashMap;

use crate::history::{Order, Role};

use super::past::{NEVER, Past, Rec, Try};
use super::settled::Settlements;
use super::verdict::Verdict;

/// The record of a lane that was settled last, of those so far.
struct Before {
    settled: u64,
    offset: i64,
    id: u32,
}

/// In each lane (a partition, or a key of it), a record's first attempt starts after every record before it was settled.
///
/// One exception, which the guarantees name: records of one lane may share a call with a batch. Then their effects are in
/// order, except behind a record of this call that failed and is tried again later.
pub fn judge(past: &Past) -> Verdict {
    let mut verdict = Verdict::new("I6", "first effects are in the order of the log");
    if !past.is_ordered() {
        verdict.note("the consumer was unordered, so no order is promised");
        return verdict;
    }
    let settlements = Settlements::of(past);
    for (number, part) in past.consumed().filter(|(_, part)| part.role == Role::Source) {
        let mut lanes: HashMap<u32, Before> = HashMap::new();
        for record in &part.records {
            let lane = if past.run.order == Order::Partition { 0 } else { record.key };
            let first = first_attempt(past, number, record);
            if let (Some(first), Some(before)) = (first, lanes.get(&lane)) {
                verdict.checked += 1;
                if before.settled > first.seen() && !shares_call(past, number, before, &first) {
                    verdict.violate(first.seen(), || {
                        format!(
                            "{} (ID {}) was started at {} by {}, before {} (ID {}) of its lane was settled at {}",
                            past.place(number, record.offset),
                            past.ids.name(record.id),
                            past.clock(first.seen()),
                            past.life(first.life).name(),
                            past.place(number, before.offset),
                            past.ids.name(before.id),
                            past.clock(before.settled),
                        )
                    });
                }
            }
            let settled = settlements.record(number, record);
            // A record that was neither tried nor settled is lost or not yet read; I1 and I9 judge it.
            if (first.is_some() || settled != NEVER) && lanes.get(&lane).is_none_or(|before| settled > before.settled) {
                lanes.insert(lane, Before { settled, offset: record.offset, id: record.id });
            }
        }
    }
    verdict
}

/// The first attempt at this very record, if it led to the first effect of its ID, or to none.
fn first_attempt(past: &Past, part: u32, record: &Rec) -> Option<Try> {
    past.attempts(record.id).iter().find(|each| each.part == part && each.offset == record.offset).copied()
}

/// Whether the record before was in the same call, and had its effect first or failed there.
fn shares_call(past: &Past, part: u32, before: &Before, next: &Try) -> bool {
    past.attempts(before.id).iter().any(|each| {
        (each.life, each.call, each.part, each.offset) == (next.life, next.call, part, before.offset)
            && (!each.has_effect() || !next.has_effect() || each.effect <= next.effect)
            && past.run.batch > 1
    })
}
