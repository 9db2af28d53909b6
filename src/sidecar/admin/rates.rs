//! How much happened in each of the last seconds.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many seconds are remembered: a minute, the one that runs, and some to spare for whoever reads late.
const SLOTS: usize = 64;
/// How many seconds are told.
pub(super) const TOLD: usize = 60;

/// A number for each of the last seconds. Whoever adds takes no lock: each slot holds its second and its number in one
/// word, and what a slot held of an earlier minute is replaced by the first who comes.
#[derive(Debug)]
pub(super) struct Rates([AtomicU64; SLOTS]);

impl Default for Rates {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Rates {
    /// Adds to the number of a second, counted from any fixed moment.
    pub(super) fn add(&self, second: u32, more: u32) {
        let Some(slot) = self.0.get(second as usize % SLOTS) else { return };
        let stamp = u64::from(second) << 32;
        // Never fails: every value is replaced by one.
        let _before = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |value| {
            let number = if value >> 32 == u64::from(second) { value as u32 } else { 0 };
            Some(stamp | u64::from(number.saturating_add(more)))
        });
    }

    /// The numbers of the last 60 whole seconds before `second`, oldest first.
    pub(super) fn last(&self, second: u32) -> [u32; TOLD] {
        std::array::from_fn(|at| {
            let back = (TOLD - at) as u32;
            let Some(wanted) = second.checked_sub(back) else { return 0 };
            let value = self.0.get(wanted as usize % SLOTS).map_or(0, |slot| slot.load(Ordering::Relaxed));
            if value >> 32 == u64::from(wanted) { value as u32 } else { 0 }
        })
    }
}

/// How much that is per second, over so many of the last seconds, or over those since the start where it was later.
pub(super) fn per_second(last: &[u32; TOLD], seconds: usize, since_start: u32) -> f64 {
    let over = seconds.min(since_start as usize).min(TOLD);
    let sum: u64 = last.iter().rev().take(over).map(|number| u64::from(*number)).sum();
    if over == 0 { 0.0 } else { sum as f64 / over as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_own_number_and_what_is_old_is_forgotten() {
        let rates = Rates::default();
        rates.add(5, 2);
        rates.add(5, 1);
        rates.add(6, 4);
        let last = rates.last(7);
        assert_eq!(last[TOLD - 2..], [3, 4]);
        assert_eq!(rates.last(6)[TOLD - 1], 3, "the second that runs is not told");
        assert_eq!(rates.last(65)[0], 3);
        assert_eq!(rates.last(66)[0], 4);
        assert_eq!(rates.last(70).iter().sum::<u32>(), 0);
        rates.add(5 + SLOTS as u32, 9);
        assert_eq!(rates.last(6 + SLOTS as u32)[TOLD - 1], 9, "not added to what an earlier minute left");
        assert_eq!(rates.last(6 + SLOTS as u32).iter().sum::<u32>(), 9);
    }

    #[test]
    fn a_rate_is_over_the_time_since_the_start_where_that_is_short() {
        let rates = Rates::default();
        (0..4).for_each(|second| rates.add(second, 10));
        assert_eq!(per_second(&rates.last(4), 10, 4), 10.0);
        assert_eq!(per_second(&rates.last(10), 10, 10), 4.0);
        assert_eq!(per_second(&rates.last(0), 10, 0), 0.0);
    }

    #[test]
    fn whoever_adds_at_the_same_time_loses_nothing() {
        let rates = Rates::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| rates.add(1, 1)));
            }
        });
        assert_eq!(rates.last(2)[TOLD - 1], 40_000);
    }
}
