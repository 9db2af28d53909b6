//! A partition that stopped at a record: it rests, tries the record again, and goes on once that is settled.
//!
//! ```text
//! active ─▶ stopped ─▶ trying ─▶ the record settles: active
//!              ▲          │
//!              └──────────┘ it stops again, and the next try comes later
//! ```
//!
//! * The records of a stopped partition stay here, for the source may have delivered beyond them. Their claims are given
//!   back with their counts: a stop may last for days, and a crash meanwhile must not make suspects of them.
//! * Only the lane of the record that stopped it moves during a try, and only its head is claimed. What lies behind, and
//!   what is in other lanes, starts once the record is settled.
//! * A try claims the record anew and goes on with its count. So a record that used its attempts up gets one more, and the
//!   count in the store never grows beyond the limit by tries.
//! * The first try comes after the longest back-off, each later one after twice the time, up to [`LONGEST`].

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use crate::observe::{PartitionStop, StopCause};
use crate::record::{Offset, TopicPartition};

use super::lane::LaneIndex;
use super::partition::{Part, Phase};
use super::work::{Stage, Work};
use super::{Action, Backoff, Bug, Engine, Timer, WorkId};

/// The shortest time until a stopped partition tries its record again: a try must never become a loop.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest time between two tries.
const LONGEST: Duration = Duration::from_secs(300);

/// Where and why a partition stands stopped.
#[derive(Debug)]
pub(super) struct Stop {
    /// The record; `None` if no try can help, because the log is not the one that was read.
    pub(super) work: Option<WorkId>,
    pub(super) offset: Offset,
    pub(super) cause: StopCause,
    pub(super) reason: Arc<str>,
    /// What the application answered last.
    pub(super) answered: Option<Arc<str>>,
    /// How often its record was tried again since it stopped.
    pub(super) tries: u32,
    /// When it tries by itself; `None` if it waits for an operator, and during a try.
    pub(super) again_at: Option<Duration>,
    /// Whether the record is being tried.
    pub(super) trying: bool,
    /// When it stopped first.
    pub(super) since: Duration,
}

impl Stop {
    /// What is reported of it.
    pub(super) fn report(&self, now: Duration) -> PartitionStop {
        PartitionStop {
            offset: self.offset,
            cause: self.cause,
            reason: Arc::clone(&self.reason),
            answered: self.answered.clone(),
            tries: self.tries,
            trying: self.trying,
            next_try: self.again_at.map(|at| at.saturating_sub(now)),
            since: now.saturating_sub(self.since),
        }
    }
}

impl Part {
    /// Whether it stands stopped at a record that can be tried again.
    pub(super) fn rests(&self) -> bool {
        self.phase == Phase::Stopped && self.stop.as_ref().is_some_and(|stop| stop.work.is_some())
    }
}

impl Engine {
    /// Stops a partition at a record: nothing of it starts any more, and nothing is skipped.
    pub(super) fn stop(&mut self, id: WorkId, cause: StopCause, reason: &str) {
        let Some(work) = self.work_mut(id) else { return };
        let (index, offset, answered) = (work.part, work.record.offset(), work.answered.clone());
        let asked_for = work.rests_until;
        // The record is tried again, not its way to the dead letters.
        if work.counted > 0 {
            work.bound_for = None;
        }
        work.granted = false;
        self.let_others_start(id);
        let now = self.now;
        let Some(part) = self.parts.get(index) else { return };
        let before = part.stop.as_ref().filter(|stop| stop.work == Some(id));
        let (tries, since) = before.map_or((0, now), |stop| (stop.tries, stop.since));
        // Not before the handler asked for it, either.
        let again_at = cause.may_mend().then(|| (now + self.until_next_try(tries)).max(asked_for));
        let again_at = again_at.filter(|_| !self.planted(Bug::NeverTriedAgain));
        let reason = reason.into();
        let stop = Stop { work: Some(id), offset, cause, reason, answered, tries, again_at, trying: false, since };
        self.enter_stop(index, stop);
        if let Some(at) = again_at {
            self.timers.push(Reverse((at, Timer::Try(index))));
        }
        self.rest_all(index);
    }

    /// Stops a partition whose log is not the one that was read: no try can help, and its records are forgotten.
    pub(super) fn stop_for_good(&mut self, index: usize, offset: Offset, reason: &str) {
        let (cause, reason, since) = (StopCause::Log, reason.into(), self.now);
        let stop =
            Stop { work: None, offset, cause, reason, answered: None, tries: 0, again_at: None, trying: false, since };
        self.enter_stop(index, stop);
        self.give_back_all(index);
    }

    fn enter_stop(&mut self, index: usize, stop: Stop) {
        let report = stop.report(self.now);
        let Some(part) = self.parts.get_mut(index) else { return };
        part.phase = Phase::Stopped;
        part.stop = Some(stop);
        let (assignment, paused) = (part.assignment.clone(), std::mem::replace(&mut part.paused, true));
        self.observer.on_stop(&assignment.partition, &report);
        if !paused {
            self.observer.on_pause(&assignment.partition, true);
            self.out.push(Action::Pause(assignment));
        }
    }

    /// How long a stopped partition waits after so many tries.
    fn until_next_try(&mut self, tries: u32) -> Duration {
        let first = self.config.backoff_cap.clamp(SHORTEST, LONGEST);
        Backoff { first, cap: LONGEST }.draw(&mut self.rng, tries + 1)
    }

    /// Gives back what a partition has claimed and not started, and takes its lanes out of every line.
    fn rest_all(&mut self, index: usize) {
        for (_, lane) in self.lanes.iter_mut().filter(|(_, lane)| lane.part == index) {
            (lane.ready, lane.cursor) = (false, 0);
        }
        if let Some(part) = self.parts.get_mut(index) {
            part.ready.clear();
        }
        let mut all: Vec<WorkId> =
            self.works.iter().filter(|(_, work)| work.part == index).map(|(_, work)| work.id).collect();
        // In the order of their arrival, so that the same events always lead to the same actions.
        all.sort_unstable();
        all.into_iter().for_each(|id| self.rest(id));
    }

    /// Lets a record of a stopped partition rest: without a claim, and out of the way of others with its ID. What is
    /// under way comes to its end first.
    pub(super) fn rest(&mut self, id: WorkId) {
        if !self.work(id).is_some_and(Work::is_exposed) {
            // One that waited to run alone would keep all others from starting.
            self.let_others_start(id);
        }
        let Some(work) = self.work(id).filter(|work| !work.operator_skips) else { return };
        match work.stage {
            Stage::BackingOff(at) => {
                let (held, lost) = (work.hold.is_some(), work.lost_its_claim());
                if let Some(work) = self.work_mut(id) {
                    work.rests_until = work.rests_until.max(at);
                }
                if held {
                    self.give_back(id);
                } else if lost {
                    self.queue(id);
                }
            }
            Stage::Held if work.hold.is_none() => {}
            Stage::Claiming { .. } | Stage::Held | Stage::Refreshing => self.give_back(id),
            Stage::Parked(_) | Stage::Queued => self.queue(id),
            _ => {}
        }
    }

    /// Makes a record that holds nothing wait for its claim, and lets others with its ID try.
    pub(super) fn queue(&mut self, id: WorkId) {
        let Some(work) = self.work(id) else { return };
        let (at, fingerprint) = (work.rests_until, work.fingerprint);
        let stage = if at > self.now { Stage::NotDue(at) } else { Stage::Queued };
        self.enter(id, stage);
        if let Some(fingerprint) = fingerprint {
            self.disown(fingerprint, id);
        }
    }

    /// A stopped partition's time for a try has come.
    pub(super) fn try_due(&mut self, index: usize) {
        let due = |part: &Part| part.stop.as_ref().and_then(|stop| stop.again_at).is_some_and(|at| at <= self.now);
        if self.parts.get(index).is_some_and(|part| part.rests() && due(part)) {
            self.try_again(index, false);
        }
    }

    /// Tries the records again at which partitions stand stopped: of one partition, or of all.
    pub(super) fn retry(&mut self, partition: Option<&TopicPartition>) {
        let wanted = |known: &TopicPartition| partition.is_none_or(|wanted| wanted == known);
        let indices: Vec<usize> =
            self.current.iter().filter(|(known, _)| wanted(known)).map(|(_, index)| *index).collect();
        for index in indices {
            let idle = |part: &Part| part.rests() && part.stop.as_ref().is_some_and(|stop| !stop.trying);
            if self.parts.get(index).is_some_and(idle) {
                self.try_again(index, true);
            }
        }
    }

    fn try_again(&mut self, index: usize, by_operator: bool) {
        let Some(part) = self.parts.get_mut(index) else { return };
        let partition = part.assignment.partition.clone();
        let Some(stop) = part.stop.as_mut() else { return };
        let Some(id) = stop.work else { return };
        (stop.trying, stop.again_at) = (true, None);
        stop.tries = stop.tries.saturating_add(1);
        let (offset, tries, cause) = (stop.offset, stop.tries, stop.cause);
        let forgets = self.planted(Bug::TryForgetsTheCount);
        if let Some(work) = self.work_mut(id) {
            // An operator has decided that it starts although the process may end by it.
            work.granted = by_operator && cause == StopCause::ProcessEnded;
            work.rests_until = Duration::ZERO;
            if forgets {
                work.counted = 0;
            }
            let has_id = work.fingerprint.is_some();
            match work.stage {
                // A conflict: an operator may have had its ID forgotten.
                Stage::Unusable(_) if has_id => self.enter(id, Stage::Queued),
                Stage::NotDue(_) if has_id => self.enter(id, Stage::Queued),
                _ => {}
            }
        }
        self.observer.on_try(&partition, offset, tries, by_operator);
        if self.planted(Bug::OthersStartDuringATry) {
            self.stir_lanes(index);
        }
        self.stir_lane_of(id);
    }

    /// The record at which its partition stood stopped needs nothing more: the partition goes on.
    pub(super) fn stop_is_over(&mut self, index: usize, id: WorkId) {
        let stands =
            |part: &Part| part.phase == Phase::Stopped && part.stop.as_ref().and_then(|stop| stop.work) == Some(id);
        if self.parts.get(index).is_some_and(stands) {
            self.go_on_after_stop(index);
        }
    }

    fn go_on_after_stop(&mut self, index: usize) {
        let Some(part) = self.parts.get_mut(index) else { return };
        part.phase = Phase::Active;
        part.stop = None;
        let partition = part.assignment.partition.clone();
        self.observer.on_stop_over(&partition);
        self.stir_lanes(index);
        self.touch(index);
    }

    fn stir_lanes(&mut self, index: usize) {
        let lanes = self.lanes.iter().filter(|(_, lane)| lane.part == index);
        let lanes: Vec<LaneIndex> = lanes.map(|(lane, _)| LaneIndex(lane)).collect();
        lanes.into_iter().for_each(|lane| self.stir(lane));
    }

    /// Whether heads of a lane may be claimed and started: its partition is active, or tries a record of this lane.
    pub(super) fn moves(&self, index: usize, lane: LaneIndex) -> bool {
        let Some(part) = self.parts.get(index) else { return false };
        match part.phase {
            Phase::Active => true,
            Phase::Stopped => {
                let tried = part.stop.as_ref().filter(|stop| stop.trying).and_then(|stop| self.work(stop.work?));
                tried.is_some_and(|work| work.lane == lane || self.planted(Bug::OthersStartDuringATry))
            }
            Phase::Draining | Phase::Closed => false,
        }
    }
}
