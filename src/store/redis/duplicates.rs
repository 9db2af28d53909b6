//! Whether most of what comes was done before.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Which part of what was claimed lately had been done before.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    /// In thousandths, of some thousand claims.
    share: AtomicU32,
}

impl Duplicates {
    /// Whether looking first pays: a look-up costs Redis about half of what a lease costs that is taken in vain.
    pub(super) fn are_most(&self) -> bool {
        self.share.load(Relaxed) > 500
    }

    pub(super) fn note(&self, done: usize, of: usize) {
        // Several batches may be noted at once, and one be forgotten: it is an estimate.
        let (before, weight) = (self.share.load(Relaxed) as usize, of.min(500));
        let share = (before * (1000 - weight) + weight * 1000 * done / of.max(1)) / 1000;
        self.share.store(share as u32, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_first_begins_and_ends_with_a_few_hundred_claims() {
        let duplicates = Duplicates::default();
        duplicates.note(5, 5);
        assert!(!duplicates.are_most(), "a handful says nothing");
        (0..10).for_each(|_| duplicates.note(100, 100));
        assert!(duplicates.are_most());
        (0..10).for_each(|_| duplicates.note(60, 100));
        assert!(duplicates.are_most());
        (0..10).for_each(|_| duplicates.note(0, 100));
        assert!(!duplicates.are_most());
        duplicates.note(1000, 1000);
        duplicates.note(0, 0);
    }
}
