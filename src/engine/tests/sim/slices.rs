//! Where the model store keeps done IDs: slices of time, generations that are announced and take effect later, and what
//! a worker whose clock and whose reading of the plan are wrong knows of them.
//!
//! A reading needs no command of its own here: the plan only grows, so what a reading shows follows from when it was made.

use super::plan::MS;
use super::store::Id;

/// U: how wrong a worker may be about the store's time, and how long its reading of the plan is good.
pub(super) const BOUND: u64 = 100 * MS;
/// Longer than any schedule, so that nothing is forgotten in one; a boundary of slices lies within the faults.
pub(super) const WINDOW: u64 = 400_000 * MS;
/// How long before it is written to a generation is announced.
const NOTICE: u64 = BOUND * 5 / 2;

/// Generations, by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sets(pub(super) u64);

impl Sets {
    pub(super) fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Takes the first one out.
    pub(super) fn next(&mut self) -> Option<usize> {
        let first = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (first < 64).then_some(first)
    }
}

#[derive(Clone, Copy, Debug)]
struct Generation {
    slice: u64,
    /// From when on it is written to.
    from: u64,
    /// When it came into the plan.
    announced: u64,
    /// The IDs in it.
    ids: u64,
}

/// What a worker knows at one moment: what it takes for the store's time, and when it read the plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) at: u64,
    pub(super) read_at: u64,
}

/// All times are microseconds of the store's clock.
#[derive(Debug)]
pub(super) struct Slices {
    generations: Vec<Generation>,
}

impl Slices {
    pub(super) fn new() -> Self {
        Self { generations: Vec::new() }
    }

    fn oldest(at: u64) -> u64 {
        (at - WINDOW - 2 * BOUND) / WINDOW
    }

    fn newest(at: u64) -> u64 {
        (at + 2 * BOUND) / WINDOW
    }

    /// Makes the slices that are missing in a reading; it is then one of now.
    pub(super) fn span(&mut self, known: &mut Known, now: u64) {
        for slice in Self::oldest(known.at)..=Self::newest(known.at) {
            let found = self.generations.iter().find(|it| it.slice == slice).map(|it| it.announced);
            if found.is_none() {
                self.announce(Generation { slice, from: 0, announced: now, ids: 0 });
            }
            if found.is_none_or(|announced| announced > known.read_at) {
                known.read_at = now;
            }
        }
    }

    fn announce(&mut self, generation: Generation) {
        assert!(self.generations.len() < 64, "a plan that fits");
        self.generations.push(generation);
    }

    /// Lets the current slice grow, unless it does.
    pub(super) fn grow(&mut self, now: u64, at_once: bool) {
        let slice = now / WINDOW;
        let current = || self.generations.iter().filter(|it| it.slice == slice);
        if current().next().is_some() && current().all(|it| it.from <= now) {
            self.announce(Generation { slice, from: now + if at_once { 0 } else { NOTICE }, announced: now, ids: 0 });
        }
    }

    fn sets(&self, known: Known, which: impl Fn(usize, &Generation) -> bool) -> Sets {
        let mut sets = Sets::default();
        for (number, generation) in self.generations.iter().enumerate() {
            if generation.announced <= known.read_at && which(number, generation) {
                sets.0 |= 1 << number;
            }
        }
        sets
    }

    /// Where an ID could lie.
    pub(super) fn readable(&self, known: Known) -> Sets {
        let oldest = Self::oldest(known.at);
        self.sets(known, |_, it| it.slice >= oldest)
    }

    /// Where it could lie if nobody's clock were ahead: what a look-up that misses the next slice asks.
    pub(super) fn readable_so_far(&self, known: Known) -> Sets {
        let (oldest, current) = (Self::oldest(known.at), known.at / WINDOW);
        self.sets(known, |_, it| (oldest..=current).contains(&it.slice))
    }

    /// Where an ID is written.
    pub(super) fn writable(&self, known: Known) -> usize {
        let slice = known.at / WINDOW;
        let due = |it: &Generation| it.announced <= known.read_at && it.slice == slice && it.from <= known.at;
        self.generations.iter().rposition(due).expect("a reading spans the current slice")
    }

    /// Where others may have written since a time, beside where it is written now.
    pub(super) fn written_since(&self, known: Known, since: u64, written: usize) -> Sets {
        let since = since - 2 * BOUND;
        let retired = |number: usize, of: &Generation| {
            let newer = self.generations[number + 1..].iter().filter(|it| it.slice == of.slice);
            newer.filter(|it| it.announced <= known.read_at).map(|it| it.from).min()
        };
        self.sets(known, |number, it| {
            number != written
                && it.slice >= since / WINDOW
                && it.from <= known.at + 2 * BOUND
                && retired(number, it).is_none_or(|retired| retired > since)
        })
    }

    /// Whether a generation is not the first of its slice.
    pub(super) fn is_further(&self, number: usize) -> bool {
        self.generations[..number].iter().any(|it| it.slice == self.generations[number].slice)
    }

    pub(super) fn has(&self, number: usize, id: Id) -> bool {
        self.generations[number].ids & (1 << id) != 0
    }

    /// Whether an ID lies anywhere.
    pub(super) fn knows(&self, id: Id) -> bool {
        (0..self.generations.len()).any(|number| self.has(number, id))
    }

    /// Adds an ID; says whether it was new there.
    pub(super) fn add(&mut self, number: usize, id: Id) -> bool {
        let new = !self.has(number, id);
        self.generations[number].ids |= 1 << id;
        new
    }

    /// Forgets all IDs; returns which there were. The plan is put back by whoever knows it.
    pub(super) fn lose(&mut self) -> u64 {
        self.generations.iter_mut().fold(0, |all, it| all | std::mem::take(&mut it.ids))
    }
}
