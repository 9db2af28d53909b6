//! Lanes: records that are handled one after the other, their claims made ahead.

use std::cmp::Reverse;
use std::time::Duration;

use crate::observe::DuplicateBy;
use crate::record::Offset;
use crate::store::Token;

use super::partition::{Part, Phase};
use super::tracker::{Regression, Tracker};
use super::work::{Hold, Stage, Work};
use super::{Arrival, Assignment, Destination, Engine, Identified, SLOT_BITS, Timer, WorkId};

/// How far ahead a lane claims before it knows how fast its handlers are.
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
        let mut part = Part::new(assignment, ahead, self.now);
        if self.shutting_down {
            part.phase = Phase::Draining;
        }
        let index = self.parts.insert(part);
        self.current.insert(partition, index);
    }

    /// Takes records in. Those of another assignment than the current one are nobody's business here.
    pub(super) fn arrived(&mut self, assignment: &Assignment, arrivals: Vec<Arrival>) {
        let Some(index) = self.current.get(&assignment.partition).copied() else { return };
        let Some(part) = self.parts.get_mut(index) else { return };
        if part.assignment != *assignment || part.phase != Phase::Active {
            return;
        }
        let offsets = arrivals.iter().map(|arrival| arrival.record.offset());
        let (delivered, regression) = deliver(&mut part.tracker, offsets);
        if delivered > 0 {
            self.observer.on_delivered(&assignment.partition, delivered);
        }
        arrivals.into_iter().take(delivered).for_each(|arrival| self.admit(index, arrival));
        if let Some((offset, Regression { expected })) = regression {
            let reason =
                format!("offset {offset} was delivered where at least {expected} was due: was the topic created anew?");
            self.stop(index, offset, &reason);
        }
        // Whether to pause is decided after the lane was moved: what just arrived has not been tried yet.
        self.dirty.push_back(index);
    }

    fn admit(&mut self, index: usize, arrival: Arrival) {
        let Arrival { record, identified, not_before, expires_at, step } = arrival;
        let cached = matches!(identified, Identified::Cached(_));
        let mut bound_for = None;
        let (fingerprint, message, stage) = match identified {
            Identified::Id { fingerprint, message } => (Some(fingerprint), message, Stage::Queued),
            Identified::Cached(fingerprint) => (Some(fingerprint), None, Stage::Queued),
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
        self.created += 1;
        let entry = self.works.vacant_entry();
        let id = WorkId(self.created << SLOT_BITS | entry.key() as u64);
        let size = record.size();
        entry.insert(Work {
            id,
            record,
            fingerprint,
            message,
            part: index,
            stage,
            arrived_at: self.now,
            expires_at,
            step,
            bound_for,
            sendings: 0,
            delivered: false,
            skipped: false,
            token: None,
            claimed_at: Duration::ZERO,
            hold: None,
            suspected: None,
            asked: 0,
            unwanted: false,
            counted: 0,
            unavailable: 0,
            started_at: Duration::ZERO,
            cancelled: false,
        });
        if let Some(at) = due {
            self.timers.push(Reverse((at, Timer::Work(id))));
        }
        self.in_flight += 1;
        self.bytes += size;
        if let Some(part) = self.parts.get_mut(index) {
            part.in_flight += 1;
            part.bytes += size;
            if !cached {
                part.lane.push_back(id);
            }
        }
        if cached {
            self.settle_duplicate(id, DuplicateBy::Cache, None);
        }
    }

    /// Moves a lane as far as it can go: settles, claims and starts its head, then claims ahead.
    pub(super) fn pump(&mut self, index: usize) {
        while self.parts.get(index).is_some_and(|part| part.phase == Phase::Active) {
            let Some(part) = self.parts.get_mut(index) else { return };
            let Some(head) = part.lane.front().copied() else { break };
            if self.work(head).is_none_or(|work| matches!(work.stage, Stage::Completing { .. })) {
                if let Some(part) = self.parts.get_mut(index) {
                    part.pop_head();
                }
                continue;
            }
            if let Some(part) = self.parts.get_mut(index) {
                part.cursor = part.cursor.max(1);
            }
            if !self.advance_head(index, head) {
                break;
            }
        }
        self.claim_ahead(index);
        self.check_pause(index);
    }

    /// Does what the head is ready for; says whether the lane may have a new head.
    fn advance_head(&mut self, index: usize, head: WorkId) -> bool {
        if self.became_due(head) {
            return self.advance_head(index, head);
        }
        if self.expire(head) {
            return true;
        }
        let Some(work) = self.work(head) else { return true };
        match &work.stage {
            // It was found to be a suspect.
            Stage::Queued if work.suspected.is_some() => {
                self.take_over_or_wait(index, head);
                false
            }
            Stage::Queued => {
                self.begin_claim(head, true);
                let most = self.config.max_claims_ahead.max(1);
                if let Some(part) = self.parts.get_mut(index).filter(|part| !part.head_only) {
                    // The lane ran out of claims: it may claim further ahead.
                    part.ahead = (part.ahead * 2).clamp(1, most);
                }
                false
            }
            Stage::Parked(at) if *at <= self.now => {
                self.begin_claim(head, true);
                false
            }
            Stage::BackingOff(at) if *at <= self.now => {
                self.start_or_wait(index, head);
                false
            }
            Stage::Held => {
                self.start_or_wait(index, head);
                false
            }
            Stage::Waiting => {
                self.head_waits(index, head);
                false
            }
            Stage::Unusable(reason) => {
                let (reason, offset) = (reason.clone(), work.record.offset());
                self.stop(index, offset, &reason);
                false
            }
            _ => false,
        }
    }

    /// Claims records behind the head, unless the head is parked.
    fn claim_ahead(&mut self, index: usize) {
        loop {
            let Some(part) = self.parts.get_mut(index) else { return };
            // The head itself is claimed by `advance_head`, as one whose handler starts directly.
            let allowed = part.phase == Phase::Active && !part.head_only && part.cursor > 0;
            if !allowed || part.cursor > part.ahead {
                return;
            }
            let Some(id) = part.lane.get(part.cursor).copied() else { return };
            part.cursor += 1;
            // A suspect is left to the head of the lane.
            if self.work(id).is_some_and(|work| work.stage == Stage::Queued && work.suspected.is_none()) {
                self.begin_claim(id, false);
            }
        }
    }

    /// The head waits for somebody else: gives back every claim made ahead behind it, and claims only the head until
    /// it is held or settled.
    ///
    /// Without this two workers deadlock: A's lane holds y, x, B's x, y; A claimed x ahead, B y, and each waits for the
    /// other's. Without the second half both would give back and take again for ever.
    pub(super) fn parked(&mut self, index: usize) {
        let Some(part) = self.parts.get_mut(index) else { return };
        if part.head_only {
            return;
        }
        part.head_only = true;
        let tried = part.cursor.min(part.lane.len());
        part.cursor = 1;
        let behind: Vec<WorkId> = part.lane.range(1.min(tried)..tried).copied().collect();
        behind.into_iter().for_each(|id| self.give_back(id));
    }

    /// The head is held or settled: claims may be made ahead again.
    pub(super) fn unparked(&mut self, id: WorkId) {
        let Some(part) = self.part_of(id) else { return };
        if part.lane.front() == Some(&id) {
            part.head_only = false;
        }
    }

    /// Whether a record is the first of its lane.
    pub(super) fn is_head(&mut self, id: WorkId) -> bool {
        self.part_of(id).is_some_and(|part| part.lane.front() == Some(&id))
    }

    /// A record of the lane can never be handled: nothing of the partition is handled any more, and nothing skipped.
    pub(super) fn stop(&mut self, index: usize, offset: i64, reason: &str) {
        let Some(part) = self.parts.get_mut(index) else { return };
        part.phase = Phase::Stopped;
        let (assignment, paused) = (part.assignment.clone(), std::mem::replace(&mut part.paused, true));
        self.observer.on_stop(&assignment.partition, offset, reason);
        self.give_back_lane(index);
        if !paused {
            self.observer.on_pause(&assignment.partition, true);
            self.out.push(super::Action::Pause(assignment));
        }
    }

    pub(super) fn hold(&mut self, id: WorkId, token: Token, since: Duration, attempts: u32, suspect: bool) {
        if let Some(work) = self.work_mut(id) {
            work.hold = Some(Hold { token, since, attempts, suspect, renewing: false });
        }
    }

    /// Holds the source of a partition back while its lane cannot move or takes more than its share, and lets it go on
    /// once half of that is done. A pause makes the source drop what it fetched ahead, so a lane that moves is
    /// held back only by [`Engine::has_room`].
    pub(super) fn check_pause(&mut self, index: usize) {
        let active = self.current.len().max(1);
        let (count, bytes) = (self.config.max_in_flight, self.config.max_in_flight_bytes);
        let head = self.parts.get(index).and_then(|part| part.lane.front().copied());
        let stuck = head.and_then(|head| self.work(head)).is_some_and(|work| {
            !matches!(work.stage, Stage::Running | Stage::Held | Stage::Claiming { again_at: None, .. })
        });
        let Some(part) = self.parts.get_mut(index).filter(|part| part.phase == Phase::Active) else { return };
        let over = |divisor: usize| part.in_flight > count / divisor || part.bytes > bytes / divisor;
        // One record that does not settle pins the offsets behind it, even if all of those are settled.
        let pinned = part.tracker.len();
        let pause = match part.paused {
            false => (stuck && over(active * 2)) || (active > 1 && over(2)) || pinned > count,
            true => over(active * 4) || pinned > count / 2,
        };
        if pause != part.paused {
            part.paused = pause;
            let assignment = part.assignment.clone();
            self.observer.on_pause(&assignment.partition, pause);
            self.out.push(if pause { super::Action::Pause(assignment) } else { super::Action::Resume(assignment) });
        }
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
