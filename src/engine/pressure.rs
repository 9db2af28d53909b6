//! Back-pressure: how much is in flight, of which partition, and who has to wait.
//!
//! Half of the bound on records and bytes belongs to all partitions in equal shares, each partition's *reserve*; the other
//! half is a pool. A partition that exceeds its reserve may take from the pool as much as it leaves there, so however
//! many partitions stand still, something is left for the others.
//!
//! A partition that may take no more is not paused at once: a pause makes the source drop what it fetched ahead, and a
//! partition that moves has room again soon. Its records wait with the driver. It is paused when it moves too slowly to be
//! waited for, since whoever waits behind it would.

use std::time::Duration;

use super::partition::{Part, Phase};
use super::{Action, Assignment, Bug, Engine};

/// How long a partition may settle nothing, or let its records wait, before it is held back by a pause.
const PATIENCE: Duration = Duration::from_millis(100);

/// A number of records and one of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Amount {
    records: usize,
    bytes: usize,
}

impl Amount {
    fn of(part: &Part) -> Self {
        Self { records: part.in_flight, bytes: part.bytes }
    }

    fn map(self, change: impl Fn(usize) -> usize) -> Self {
        Self { records: change(self.records), bytes: change(self.bytes) }
    }

    fn zip(self, other: Self, merge: impl Fn(usize, usize) -> usize) -> Self {
        Self { records: merge(self.records, other.records), bytes: merge(self.bytes, other.bytes) }
    }

    /// Whether both numbers are at most those of another.
    fn within(self, other: Self) -> bool {
        self.records <= other.records && self.bytes <= other.bytes
    }
}

/// Memory that records of one partition share.
#[derive(Debug)]
pub(super) struct Memory {
    part: usize,
    bytes: usize,
    /// How many of the records are in flight, and one while they are taken in.
    pub(super) records: usize,
}

impl Engine {
    /// Counts memory that records share as held, until all of them have left and
    /// [`let_go_of_memory`](Self::let_go_of_memory) was called once more.
    pub(super) fn hold_memory(&mut self, part: usize, bytes: usize) -> usize {
        self.bytes += bytes;
        if let Some(part) = self.parts.get_mut(part) {
            part.bytes += bytes;
        }
        self.memory.insert(Memory { part, bytes, records: 1 })
    }

    /// A record has left: memory that it shared is held no longer if it was the last.
    pub(super) fn let_go_of_memory(&mut self, index: usize) {
        let early = self.planted(Bug::MemoryFreedEarly);
        let Some(memory) = self.memory.get_mut(index) else { return };
        memory.records -= 1;
        let (part, bytes) = (memory.part, memory.bytes);
        if early {
            memory.bytes = 0;
        } else if memory.records > 0 {
            return;
        }
        if memory.records == 0 {
            self.memory.remove(index);
        }
        self.bytes -= bytes;
        if let Some(part) = self.parts.get_mut(part) {
            part.bytes -= bytes;
        }
    }

    /// Records not yet settled or dropped.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether records of an assignment may be delivered now. Where not, the source should deliver nothing until this is
    /// asked again after the next [`step`](Self::step); a partition that cannot be waited for is paused meanwhile, and
    /// what the source still has of it may then be delivered.
    pub fn admits(&mut self, now: Duration, assignment: &Assignment) -> bool {
        self.now = self.now.max(now);
        let now = self.now;
        let Some(index) = self.current.get(&assignment.partition).copied() else { return true };
        let full = self.parts.get(index).is_some_and(|part| part.assignment == *assignment && self.is_full(part));
        if let Some(part) = self.parts.get_mut(index) {
            part.refused_since = full.then(|| part.refused_since.unwrap_or(now));
        }
        !full
    }

    fn is_full(&self, part: &Part) -> bool {
        if part.phase != Phase::Active || part.paused {
            // What comes now is the rest of what was on its way, or nobody's business.
            return false;
        }
        let (limit, reserve, held) = (self.limit(), self.reserve(), Amount::of(part));
        let in_flight = Amount { records: self.in_flight, bytes: self.bytes };
        let below = |held: Amount, bound: Amount| held.records < bound.records && held.bytes < bound.bytes;
        if self.current.len() <= 1 {
            return !below(in_flight, limit);
        }
        if below(held, reserve) {
            return false;
        }
        // What is in use of reserves, by the partitions that are owned now; all else that is in flight is the pool's.
        let reserved = self.current.values().filter_map(|index| self.parts.get(*index));
        let reserved = reserved.fold(Amount { records: 0, bytes: 0 }, |sum, part| {
            sum.zip(Amount::of(part).zip(reserve, usize::min), usize::saturating_add)
        });
        let pool = limit.map(|limit| limit - limit / 2);
        let left = pool.zip(in_flight.zip(reserved, usize::saturating_sub), usize::saturating_sub);
        let taken = held.zip(reserve, usize::saturating_sub);
        !(taken.within(left) && left.records > 0 && left.bytes > 0)
    }

    fn limit(&self) -> Amount {
        Amount { records: self.config.max_in_flight, bytes: self.config.max_in_flight_bytes }
    }

    /// What every partition may hold, whatever the others do.
    fn reserve(&self) -> Amount {
        let partitions = self.current.len().max(1);
        self.limit().map(|limit| (limit / 2 / partitions).max(1))
    }

    /// Holds the source of a partition back, or lets it go on once half of its reserve is free.
    pub(super) fn check_pause(&mut self, index: usize) {
        let (now, alone, reserve, span) = (self.now, self.current.len() <= 1, self.reserve(), self.config.max_span);
        let Some(part) = self.parts.get(index).filter(|part| part.phase == Phase::Active) else { return };
        let held = Amount::of(part);
        // One record that does not settle pins the offsets behind it, even if all of those are settled.
        let pinned = part.tracker.len();
        let low = held.within(reserve.map(|reserve| reserve / 2)) && pinned <= span / 2;
        let slow = part.moved_at + PATIENCE <= now && !held.within(reserve);
        let waited_for = !alone && part.refused_since.is_some_and(|since| since + PATIENCE <= now);
        let pause = !low && (part.paused || slow || waited_for || pinned > span);
        if pause == part.paused {
            return;
        }
        let assignment = part.assignment.clone();
        self.observer.on_pause(&assignment.partition, pause);
        if let Some(part) = self.parts.get_mut(index) {
            part.paused = pause;
            part.refused_since = None;
        }
        self.out.push(if pause { Action::Pause(assignment) } else { Action::Resume(assignment) });
    }

    /// When a partition that is not paused has to be looked at again, because it may have become too slow.
    pub(super) fn next_pause(&self) -> Option<Duration> {
        let reserve = self.reserve();
        let due = |part: &Part| {
            let slow = (!Amount::of(part).within(reserve)).then_some(part.moved_at + PATIENCE);
            let waited_for = part.refused_since.map(|since| since + PATIENCE);
            // One that moved since is looked at when it moves.
            [slow, waited_for].into_iter().flatten().filter(|at| *at > self.now).min()
        };
        let active = self.current.values().filter_map(|index| self.parts.get(*index));
        active.filter(|part| part.phase == Phase::Active && !part.paused).filter_map(due).min()
    }

    /// Looks at every partition that may have become too slow.
    pub(super) fn pauses_due(&mut self) {
        let active: Vec<usize> = self.current.values().copied().collect();
        active.into_iter().for_each(|index| self.check_pause(index));
    }
}
