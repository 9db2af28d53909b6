//! A map whose entries leave by themselves.

use std::collections::{BTreeSet, HashMap};

use tokio::time::Instant;

use crate::id::Fingerprint;

/// Values by fingerprint, each until its deadline. What is over is never seen, and leaves in [`Expiring::purge`].
#[derive(Debug)]
pub(super) struct Expiring<V> {
    entries: HashMap<Fingerprint, (V, Instant)>,
    /// The same entries in the order in which they end.
    order: BTreeSet<(Instant, Fingerprint)>,
}

impl<V> Expiring<V> {
    /// The value and its deadline, unless that has passed.
    pub(super) fn get(&self, fingerprint: &Fingerprint, now: Instant) -> Option<(&V, Instant)> {
        self.entries
            .get(fingerprint)
            .filter(|(_, deadline)| now < *deadline)
            .map(|(value, deadline)| (value, *deadline))
    }

    /// Sets the value and its deadline.
    pub(super) fn insert(&mut self, fingerprint: Fingerprint, value: V, deadline: Instant) {
        if let Some((_, before)) = self.entries.insert(fingerprint, (value, deadline)) {
            self.order.remove(&(before, fingerprint));
        }
        self.order.insert((deadline, fingerprint));
    }

    /// Removes an entry; answers whether it was there and not over.
    pub(super) fn remove(&mut self, fingerprint: &Fingerprint, now: Instant) -> bool {
        let Some((_, deadline)) = self.entries.remove(fingerprint) else { return false };
        self.order.remove(&(deadline, *fingerprint));
        now < deadline
    }

    /// Removes up to `most` entries that are over. Called with more than a call can add, it bounds the memory, and no
    /// call has to wait for a great clean-up.
    pub(super) fn purge(&mut self, now: Instant, most: usize) {
        for _ in 0..most {
            match self.order.first() {
                Some(&(deadline, fingerprint)) if deadline <= now => {
                    self.order.pop_first();
                    self.entries.remove(&fingerprint);
                }
                _ => return,
            }
        }
    }

    /// How many entries are held, over or not.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.order.len());
        self.entries.len()
    }
}

impl<V> Default for Expiring<V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), order: BTreeSet::new() }
    }
}
