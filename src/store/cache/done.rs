//! The local cache of done IDs.

use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::time::Instant;

use crate::id::{BuildFingerprintHasher, Fingerprint};

/// Which IDs are known, in this process, to be done.
///
/// Holds *done* facts only: never that an ID is absent, never that it is in flight, for both change without a word.
/// A done ID stays done until its window ends or somebody forgets it, so an entry is never wrong for longer than the
/// cache's lifetime; see [`DoneCache::new`].
///
/// Clones share the entries.
#[derive(Clone, Debug)]
pub struct DoneCache {
    /// The deadline is ours, compared on every read: moka's clock does not stand still under paused time. moka's own
    /// expiry only bounds the memory.
    entries: Cache<Fingerprint, Instant, BuildFingerprintHasher>,
    lifetime: Duration,
}

impl DoneCache {
    /// How many IDs are kept where nothing else is said: at about 150 bytes each, 15 MB.
    pub const DEFAULT_CAPACITY: u64 = 100_000;

    /// How long an ID is kept where nothing else is said: 10 min.
    pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);

    /// A cache of at most `capacity` IDs, each for `lifetime`, but never longer than the store's `window`.
    ///
    /// The lifetime bounds two things: how long a `forget` in another process goes unseen here, and how much longer
    /// than its window an ID counts as done that another process completed (the store does not say when).
    pub fn new(capacity: u64, lifetime: Duration, window: Duration) -> Self {
        let lifetime = lifetime.min(window);
        // LRU, because a repeat follows its original closely. moka's default policy (TinyLFU) may refuse a new entry
        // in favour of often-read ones, and new entries are the ones that are asked for.
        let entries = Cache::builder()
            .max_capacity(capacity)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(lifetime)
            .build_with_hasher(BuildFingerprintHasher::default());
        Self { entries, lifetime }
    }

    /// A cache of the default capacity and lifetime, for a store with this `window`.
    pub fn with_window(window: Duration) -> Self {
        Self::new(Self::DEFAULT_CAPACITY, Self::DEFAULT_LIFETIME, window)
    }

    /// Whether the ID is known to be done. Does not prolong how long it is known.
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.entries.get(fingerprint).is_some_and(|deadline| Instant::now() < deadline)
    }

    /// Notes that the ID was done at `since` at the latest. An entry that still counts is left as it is: a duplicate
    /// never extends the window.
    pub fn insert(&self, fingerprint: Fingerprint, since: Instant) {
        if !self.contains(&fingerprint) {
            self.entries.insert(fingerprint, since + self.lifetime);
        }
    }

    /// Notes that the ID was recorded as done at `since`, for the first time as far as the store knows. So there is no
    /// entry to be left as it is, and none is looked for.
    pub(super) fn insert_first(&self, fingerprint: Fingerprint, since: Instant) {
        self.entries.insert(fingerprint, since + self.lifetime);
    }

    /// Drops what is known of the ID.
    pub fn remove(&self, fingerprint: &Fingerprint) {
        self.entries.invalidate(fingerprint);
    }

    /// The entries themselves: their clean-up is moka's business, and tests hurry it along.
    #[cfg(test)]
    pub(super) fn entries(&self) -> &Cache<Fingerprint, Instant, BuildFingerprintHasher> {
        &self.entries
    }

    /// How long an entry counts.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }
}
