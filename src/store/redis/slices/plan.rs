//! What a namespace agreed on: which slice has how many shards.

use super::calendar::Calendar;

/// Shards of one slice; all groups have as many. A slice has no two generations of the same count, so slice and count
/// name one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in super::super) struct Generation {
    pub(super) slice: u64,
    /// How many shards a group has.
    pub(super) shards: u32,
    /// From when on it is written to; 0 for the first of a slice.
    pub(super) from: u64,
}

impl Generation {
    /// What names it: its slice and its shards per group.
    pub(in super::super) fn name(&self) -> (u64, u32) {
        (self.slice, self.shards)
    }
}

/// All generations of the slices that matter, in the order of slice and shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    generations: Vec<Generation>,
}

impl Plan {
    /// All of both: nothing that was ever agreed on is dropped, for somebody may have written there.
    pub(super) fn union(&self, other: &Self) -> Self {
        let mut generations: Vec<Generation> = self.generations.iter().chain(&other.generations).copied().collect();
        // The earlier time of two counts: who wrote by it must be found.
        generations.sort_unstable();
        generations.dedup_by_key(|generation| (generation.slice, generation.shards));
        Self { generations }
    }

    /// Without slices into which nobody looks any more.
    pub(super) fn since(mut self, oldest: u64) -> Self {
        self.generations.retain(|generation| generation.slice >= oldest);
        self
    }

    pub(super) fn generations(&self) -> &[Generation] {
        &self.generations
    }

    /// What this one knows and the other does not.
    pub(super) fn missing_in(&self, other: &Self) -> Vec<Generation> {
        let known = |wanted: &Generation| {
            other.generations.iter().any(|found| (found.slice, found.shards) == (wanted.slice, wanted.shards))
        };
        self.generations.iter().filter(|generation| !known(generation)).copied().collect()
    }

    pub(super) fn has(&self, slice: u64) -> bool {
        self.generations.iter().any(|generation| generation.slice == slice)
    }

    /// Whether every slice in which an ID could lie has a generation: only then is a look-up by this plan one.
    pub(super) fn spans(&self, calendar: &Calendar, at: u64) -> bool {
        (calendar.oldest(at)..=calendar.newest(at)).all(|slice| self.has(slice))
    }

    /// Where an ID could lie that was done less than a window before `at`: every generation, of every slice that is
    /// not over. Slices and generations whose time is yet to come are among them: Redis' clock may have gone back.
    pub(super) fn readable<'a>(&'a self, calendar: &Calendar, at: u64) -> impl Iterator<Item = Generation> + 'a {
        let oldest = calendar.oldest(at);
        self.generations.iter().copied().filter(move |it| it.slice >= oldest)
    }

    /// Where an ID is written at `at`: the newest generation whose time has come. An older one would do, too.
    pub(super) fn writable(&self, calendar: &Calendar, at: u64) -> Option<Generation> {
        let slice = calendar.slice(at);
        // Sorted by the count of shards, which only grows.
        self.generations.iter().rev().copied().find(|it| it.slice == slice && it.from <= at)
    }

    /// Where others may have written since `since`, beside where an ID is written at `at`.
    pub(super) fn written_since<'a>(
        &'a self,
        calendar: &Calendar,
        since: u64,
        at: u64,
        written: Option<Generation>,
    ) -> impl Iterator<Item = Generation> + 'a {
        let since = since.saturating_sub(2 * calendar.bound());
        let oldest = calendar.slice(since);
        let latest_start = at + 2 * calendar.bound();
        self.readable(calendar, at).filter(move |it| {
            it.slice >= oldest
                && it.from <= latest_start
                && Some(*it) != written
                && self.retired_at(*it).is_none_or(|retired| retired > since)
        })
    }

    /// From when on a newer generation of its slice is written to.
    fn retired_at(&self, generation: Generation) -> Option<u64> {
        let newer = |it: &&Generation| it.slice == generation.slice && it.shards > generation.shards;
        self.generations.iter().filter(newer).map(|it| it.from).min()
    }

    /// Whether a generation of the slice is announced and not yet written to.
    pub(super) fn grows_after(&self, slice: u64, at: u64) -> bool {
        self.generations.iter().any(|generation| generation.slice == slice && generation.from > at)
    }
}

impl FromIterator<Generation> for Plan {
    fn from_iter<I: IntoIterator<Item = Generation>>(generations: I) -> Self {
        Self { generations: generations.into_iter().collect() }.union(&Self::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 60_000;

    fn plan(generations: &[(u64, u32, u64)]) -> Plan {
        generations.iter().map(|&(slice, shards, from)| Generation { slice, shards, from }).collect()
    }

    fn counts(generations: impl Iterator<Item = Generation>) -> Vec<(u64, u32)> {
        generations.map(|it| (it.slice, it.shards)).collect()
    }

    #[test]
    fn a_generation_is_read_before_it_is_written_and_written_when_its_time_has_come() {
        let calendar = Calendar::new(WINDOW);
        let grows_at = 10 * WINDOW + 30_000;
        let plan = plan(&[(9, 16, 0), (10, 16, 0), (10, 64, grows_at)]);
        assert_eq!(counts(plan.readable(&calendar, grows_at - calendar.notice())), [(9, 16), (10, 16), (10, 64)]);
        assert_eq!(plan.writable(&calendar, grows_at - 1).unwrap().shards, 16);
        assert_eq!(plan.writable(&calendar, grows_at).unwrap().shards, 64);
        assert!(plan.grows_after(10, grows_at - 1) && !plan.grows_after(10, grows_at));
    }

    #[test]
    fn every_slice_that_could_hold_an_id_must_be_known() {
        let calendar = Calendar::new(WINDOW);
        let at = 10 * WINDOW + 30_000;
        assert!(plan(&[(9, 1, 0), (10, 1, 0)]).spans(&calendar, at));
        assert!(!plan(&[(9, 1, 0), (10, 1, 0)]).spans(&calendar, 11 * WINDOW - 1), "11 may be written to");
        assert!(!plan(&[(10, 1, 0)]).spans(&calendar, at));
        assert!(!Plan::default().spans(&calendar, at));
    }

    #[test]
    fn a_clock_that_went_back_hides_no_later_slice() {
        let calendar = Calendar::new(WINDOW);
        let plan = plan(&[(9, 1, 0), (10, 1, 0), (11, 1, 0), (11, 8, 11 * WINDOW + 500)]);
        let earlier = 10 * WINDOW + 30_000;
        assert_eq!(counts(plan.readable(&calendar, earlier)), [(9, 1), (10, 1), (11, 1), (11, 8)]);
    }

    #[test]
    fn a_completion_asks_where_others_wrote_since_its_claim() {
        let calendar = Calendar::new(WINDOW);
        let (start, grown) = (10 * WINDOW, 10 * WINDOW + 30_000);
        let plan = plan(&[(9, 16, 0), (10, 16, 0), (10, 64, grown)]);
        let asks = |claimed, at| counts(plan.written_since(&calendar, claimed, at, plan.writable(&calendar, at)));
        assert_eq!(asks(start + 20_000, start + 20_100), []);
        assert_eq!(asks(start - 10, start + 20_100), [(9, 16)], "the slice changed");
        assert_eq!(asks(start + 29_000, grown + 500), [(10, 16)], "it grew");
        assert_eq!(asks(start + 10, grown + 10_000), [(9, 16), (10, 16)], "both, for clocks differ");
        assert_eq!(asks(grown + 5000, grown + 6000), []);
        assert_eq!(asks(grown - 9000, grown - 1), [(10, 64)], "another's clock is ahead");
    }

    #[test]
    fn nothing_that_was_agreed_on_is_dropped() {
        let (ours, theirs) = (plan(&[(9, 16, 0), (10, 16, 5)]), plan(&[(10, 16, 3), (10, 64, 7)]));
        let both = ours.union(&theirs);
        assert_eq!(both, plan(&[(9, 16, 0), (10, 16, 3), (10, 64, 7)]), "the earlier time of two");
        assert_eq!(ours.missing_in(&theirs), [Generation { slice: 9, shards: 16, from: 0 }]);
        assert_eq!(counts(both.since(10).generations().iter().copied()), [(10, 16), (10, 64)]);
    }
}
