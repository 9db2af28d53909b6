//! The watchdog: partitions that make no progress, and what they wait for.

use std::time::Duration;

use crate::observe::WaitsFor;
use crate::record::Offset;

use super::Engine;
use super::partition::{Part, Phase};
use super::work::{Stage, Work};

/// The longest time between two reports of one stall.
const LONGEST: Duration = Duration::from_secs(600);

impl Engine {
    /// A partition settled something, or had nothing to settle.
    pub(super) fn moved(&mut self, index: usize) {
        let (now, observer) = (self.now, self.observer.clone());
        if let Some(part) = self.parts.get_mut(index) {
            part.moved_at = now;
            if part.stall_told.take().is_some() {
                observer.on_stall_over(&part.assignment.partition);
            }
        }
    }

    /// The process itself stood still: that time is no stall of any partition.
    pub(super) fn stood_still(&mut self, gap: Duration) {
        for (_, part) in &mut self.parts {
            part.moved_at = part.moved_at.saturating_add(gap).min(self.now);
        }
    }

    /// When a partition is to be reported that stands still until then.
    pub(super) fn next_stall(&self) -> Option<Duration> {
        let owned = self.current.values().filter_map(|index| self.parts.get(*index));
        owned.filter(|part| part.may_stall()).map(|part| self.stall_due(part)).min()
    }

    fn stall_due(&self, part: &Part) -> Duration {
        let since = part.moved_at;
        match part.stall_told {
            None => since + self.config.stall_after,
            // Twice as long as it stood still when it was told last.
            Some(told) => told + told.saturating_sub(since).min(LONGEST),
        }
    }

    /// Reports every partition that stands still.
    pub(super) fn report_stalls(&mut self) {
        let now = self.now;
        let owned = self.current.values().copied();
        let stalled: Vec<usize> = owned
            .filter(|index| self.parts.get(*index).is_some_and(|part| part.may_stall() && self.stall_due(part) <= now))
            .collect();
        for index in stalled {
            let Some((offset, waits_for)) = self.what_it_waits_for(index) else {
                // It waits for its time, or for the end of a pause, as it is meant to.
                self.moved(index);
                continue;
            };
            let Some(part) = self.parts.get_mut(index) else { continue };
            part.stall_told = Some(now);
            let since = now.saturating_sub(part.moved_at);
            let partition = part.assignment.partition.clone();
            self.observer.on_stall(&partition, offset, since, &waits_for);
        }
    }

    /// The state of the first record that is not settled.
    pub(super) fn what_it_waits_for(&self, index: usize) -> Option<(Offset, WaitsFor)> {
        let part = self.parts.get(index);
        let watermark = part.and_then(|part| part.tracker.watermark()).unwrap_or_default();
        if let Some(stop) = part.filter(|part| part.phase == Phase::Stopped).and_then(|part| part.stop.as_ref()) {
            let tried = stop.work.filter(|_| stop.trying).and_then(|id| self.work(id));
            let waits_for = tried.map_or(WaitsFor::Stopped, |work| work.waits_for(self.now));
            return Some((watermark, waits_for));
        }
        let of_part = self.works.iter().map(|(_, work)| work).filter(|work| work.part == index);
        let first = of_part.min_by_key(|work| work.record.offset())?;
        let waits =
            matches!(first.stage, Stage::NotDue(at) if at > self.now) || self.waits_for_the_end_of_a_pause(first);
        (!waits).then(|| (first.record.offset(), first.waits_for(self.now)))
    }
}

impl Work {
    /// What it waits for, or what it does.
    pub(super) fn waits_for(&self, now: Duration) -> WaitsFor {
        match self.stage {
            Stage::Queued | Stage::NotDue(_) | Stage::Held | Stage::Unusable(_) => WaitsFor::Turn,
            Stage::Claiming { .. } | Stage::Refreshing | Stage::Releasing | Stage::GivingUp { .. } => WaitsFor::Claim,
            Stage::Waiting => WaitsFor::Twin,
            Stage::Parked(_) => WaitsFor::Elsewhere,
            Stage::Running => WaitsFor::Handler(now.saturating_sub(self.started_at)),
            Stage::BackingOff(_) if self.bound_for.is_some() => WaitsFor::Delivery,
            Stage::BackingOff(_) => WaitsFor::Backoff(self.counted),
            Stage::Delivering => WaitsFor::Delivery,
            Stage::Completing { .. } => WaitsFor::Completion,
        }
    }
}

impl Part {
    /// Whether it has anything to do that it may not be doing.
    fn may_stall(&self) -> bool {
        match self.phase {
            Phase::Active => self.in_flight > 0,
            Phase::Stopped => true,
            Phase::Draining | Phase::Closed => false,
        }
    }
}
