//! Partitions and records as they arrive.

use std::cmp::Reverse;
use std::time::Duration;

use crate::observe::DuplicateBy;
use crate::record::Offset;

use super::lane::{Lane, LaneIndex, LaneKey};
use super::partition::{Part, Phase};
use super::tracker::{Regression, Tracker};
use super::work::{Note, Stage, Work};
use super::{Arrival, Assignment, Destination, Engine, Identified, SLOT_BITS, Timer, WorkId};

/// How far ahead a partition claims before it is known how fast its handlers are.
const FIRST_AHEAD: usize = 64;

impl Engine {
    pub(super) fn assigned(&mut self, assignment: Assignment) {
        if let Some(old) = self.current.get(&assignment.partition).copied() {
            // The source assigned it again without a revoke: treat what is left of the old assignment as lost.
            self.close(old);
        }
        self.observer.on_assign(&assignment.partition, assignment.epoch);
        let ahead = FIRST_AHEAD.min(self.config.max_claims_ahead);
        let partition = assignment.partition.clone();
        let mut part = Part::new(assignment, ahead, self.config.partition_concurrency.unwrap_or(usize::MAX), self.now);
        if self.shutting_down {
            part.phase = Phase::Draining;
        }
        let index = self.parts.insert(part);
        self.current.insert(partition, index);
    }

    /// Takes records in. Those of another assignment than the current one are nobody's business here.
    pub(super) fn arrived(&mut self, assignment: &Assignment, arrivals: Vec<Arrival>) {
        let Some(index) = self.current.get(&assignment.partition).copied() else { return };
        let now = self.now;
        let Some(part) = self.parts.get_mut(index) else { return };
        // A stopped partition takes in what was on its way: the source goes on behind it.
        if part.assignment != *assignment || !(part.phase == Phase::Active || part.rests()) {
            return;
        }
        part.refused_since = None;
        if part.in_flight == 0 {
            part.moved_at = now;
        }
        let offsets = arrivals.iter().map(|arrival| arrival.record.offset());
        let (delivered, regression) = deliver(&mut part.tracker, offsets);
        if let Some(first) = part.tracker.watermark() {
            // Where this assignment began needs no commit.
            part.sent.get_or_insert(first);
        }
        if delivered > 0 {
            self.observer.on_delivered(&assignment.partition, delivered);
        }
        let mut arrivals = arrivals.into_iter().take(delivered).peekable();
        while let Some(first) = arrivals.peek() {
            let first = first.record.clone();
            let memory = self.hold_memory(index, first.shared_bytes());
            while let Some(arrival) = arrivals.next_if(|arrival| arrival.record.shares_memory(&first)) {
                self.admit(index, memory, arrival);
            }
            self.let_go_of_memory(memory);
        }
        if let Some((offset, Regression { expected })) = regression {
            let reason =
                format!("offset {offset} was delivered where at least {expected} was due: was the topic created anew?");
            self.stop_for_good(index, offset, &reason);
        }
        // Whether to pause is decided after the lanes were moved: what just arrived has not been tried yet.
        self.touch(index);
    }

    fn admit(&mut self, index: usize, memory: usize, arrival: Arrival) {
        let Arrival { record, identified, not_before, expires_at, step } = arrival;
        let known = match &identified {
            Identified::Id { fingerprint, .. } => self.known.is_done(fingerprint, self.now),
            _ => false,
        };
        let mut bound_for = None;
        let (fingerprint, message, stage) = match identified {
            Identified::Id { fingerprint, message } => (Some(fingerprint), message, Stage::Queued),
            Identified::Process => (None, None, Stage::Held),
            Identified::Stop(stop) => (None, None, Stage::Unusable(format!("{}: {stop}", stop.problem))),
            Identified::DeadLetter(stop) => {
                let reason = format!("it has no usable message ID: {}", stop.problem);
                bound_for = Some(Destination::DeadLetter { reason: reason.into() });
                (None, None, Stage::Held)
            }
        };
        let due = not_before.filter(|at| *at > self.now && matches!(stage, Stage::Queued | Stage::Held));
        let stage = due.map_or(stage, Stage::NotDue);
        let lane = if known { LaneIndex::NONE } else { self.lane_for(index, LaneKey::of(&record, self.config.order)) };
        self.created += 1;
        let entry = self.works.vacant_entry();
        let id = WorkId(self.created << SLOT_BITS | entry.key() as u64);
        entry.insert(Work {
            id,
            record,
            fingerprint,
            message,
            part: index,
            memory,
            lane,
            stage,
            arrived_at: self.now,
            expires_at,
            step,
            bound_for,
            note: Note::Absent,
            announced: false,
            sendings: 0,
            delivered: false,
            skipped: false,
            operator_skips: false,
            granted: false,
            rests_until: Duration::ZERO,
            answered: None,
            token: None,
            claimed_at: Duration::ZERO,
            hold: None,
            suspected: None,
            asked: 0,
            unwanted: false,
            counted: 0,
            unavailable: 0,
            in_doubt: false,
            started_at: Duration::ZERO,
            cancelled: false,
            call: 0,
        });
        if let Some(at) = due {
            self.timers.push(Reverse((at, Timer::Work(id))));
        }
        self.in_flight += 1;
        if let Some(held) = self.memory.get_mut(memory) {
            held.records += 1;
        }
        if let Some(part) = self.parts.get_mut(index) {
            part.in_flight += 1;
        }
        if known {
            return self.settle_duplicate(id, DuplicateBy::Cache, None);
        }
        if let Some(lane) = self.lanes.get_mut(lane.0) {
            lane.works.push_back(id);
        }
        self.stir(lane);
    }

    /// The lane of records with this key; a new one where there is none.
    fn lane_for(&mut self, index: usize, key: LaneKey) -> LaneIndex {
        let Some(part) = self.parts.get_mut(index) else { return LaneIndex::NONE };
        if key == LaneKey::Alone {
            return LaneIndex(self.lanes.insert(Lane::new(index, key)));
        }
        *part.lanes.entry(key).or_insert_with(|| LaneIndex(self.lanes.insert(Lane::new(index, key))))
    }
}

/// Notes offsets as delivered up to the first that goes back; returns how many those are, and that one.
fn deliver(tracker: &mut Tracker, offsets: impl Iterator<Item = Offset>) -> (usize, Option<(Offset, Regression)>) {
    let mut delivered = 0;
    for offset in offsets {
        if let Err(regression) = tracker.deliver(offset) {
            return (delivered, Some((offset, regression)));
        }
        delivered += 1;
    }
    (delivered, None)
}
