//! One reading of the plan and of Redis' time.

use std::sync::Arc;

use tokio::time::Instant;

use super::calendar::Calendar;
use super::plan::{Generation, Plan};
use super::shard::Shard;
use crate::id::Fingerprint;
use crate::store::redis::layout::{GROUPS, Group};

/// What a reading told; good for a while and for one connection.
#[derive(Clone, Debug)]
pub(in super::super) struct Known {
    pub(super) calendar: Calendar,
    /// Whether IDs lie in slices at all; otherwise only the agreement was read.
    pub(super) is_compact: bool,
    pub(super) plan: Arc<Plan>,
    /// The connection that it came over.
    pub(super) serial: u64,
    /// The connections of all groups.
    pub(super) serials: Arc<[u64]>,
    /// Before it was asked for.
    pub(super) asked_at: Instant,
    /// A moment, in this process's time and in milliseconds of Redis'.
    pub(super) clock: (Instant, u64),
}

/// The generations in which an ID is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Lookups(Vec<Generation>);

impl Known {
    /// Redis' time, in milliseconds.
    pub(in super::super) fn now(&self) -> u64 {
        let (at, redis) = self.clock;
        redis + at.elapsed().as_millis() as u64
    }

    /// Whether an answer that arrives now may rely on it.
    pub(super) fn is_good(&self, serial: Option<u64>) -> bool {
        serial == Some(self.serial) && self.asked_at.elapsed() < self.calendar.good_for() && self.spans()
    }

    /// Whether it should be read again, good as it is.
    pub(super) fn is_due(&self) -> bool {
        self.asked_at.elapsed() >= self.calendar.interval()
    }

    fn spans(&self) -> bool {
        !self.is_compact || self.plan.spans(&self.calendar, self.now())
    }

    /// Where IDs could lie.
    pub(in super::super) fn lookups(&self) -> Lookups {
        Lookups(self.plan.readable(&self.calendar, self.now()).collect())
    }

    /// Whether these look-ups asked everywhere where IDs could lie.
    pub(in super::super) fn is_covered_by(&self, lookups: &Lookups) -> bool {
        self.plan.readable(&self.calendar, self.now()).all(|generation| lookups.0.contains(&generation))
    }

    /// Where IDs are written. `None` before the first reading that has the current slice, which [`is_good`] excludes.
    ///
    /// [`is_good`]: Self::is_good
    pub(in super::super) fn writable(&self) -> Option<Generation> {
        self.plan.writable(&self.calendar, self.now())
    }

    /// Where others may have written in the last `held_for` milliseconds, beside [`writable`](Self::writable).
    pub(in super::super) fn written_in(&self, held_for: u64) -> Lookups {
        self.written_beside(held_for, self.writable())
    }

    /// As [`written_in`](Self::written_in), for a completion that was written to that generation.
    pub(in super::super) fn written_beside(&self, held_for: u64, written: Option<Generation>) -> Lookups {
        let now = self.now();
        Lookups(self.plan.written_since(&self.calendar, now.saturating_sub(held_for), now, written).collect())
    }

    /// Of each generation that is looked up, one set of each group.
    pub(in super::super) fn one_of_each(&self) -> Vec<(Group, Shard)> {
        let of_each = |generation: Generation| {
            (0..GROUPS).map(move |group| (Group::nth(group), Shard::sample(generation, group)))
        };
        self.plan.readable(&self.calendar, self.now()).flat_map(of_each).collect()
    }

    /// When the sets of a generation expire, in milliseconds of Redis' time.
    pub(in super::super) fn gone_at(&self, generation: Generation) -> u64 {
        self.calendar.gone_at(generation.slice)
    }

    /// How long an ID that lies in this generation is still remembered, in milliseconds.
    pub(in super::super) fn remembered_for(&self, generation: Generation) -> u64 {
        self.calendar.start(generation.slice + 2).saturating_sub(self.now())
    }
}

impl Lookups {
    /// The sets of an ID.
    pub(in super::super) fn of<'a>(&'a self, fingerprint: &'a Fingerprint) -> impl Iterator<Item = Shard> + 'a {
        self.0.iter().map(|generation| Shard::of(*generation, fingerprint))
    }

    /// How many sets an ID has.
    pub(in super::super) fn len(&self) -> usize {
        self.0.len()
    }
}
