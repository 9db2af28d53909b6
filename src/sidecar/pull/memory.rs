//! What this process remembers of tokens. Bounded: what was forgotten is judged more carefully, never less.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::time::Instant;

use crate::record::Offset;
use crate::store::{Lease, Verdict};

/// How many of each kind are remembered.
const MOST: u64 = 100_000;

/// What is known of a claim that was answered here.
#[derive(Debug)]
pub(super) struct Held {
    /// When its claim was first sent.
    pub(super) claimed_at: Instant,
    /// Which attempt it is, counted from one; `None` of a claim that another process answered, or this one long ago.
    pub(super) attempt: Option<u32>,
    /// The running number under which the observer knows it.
    pub(super) offset: Offset,
    /// Calls that sent a completion for it which may have been executed.
    pub(super) sent: AtomicU32,
}

impl Held {
    /// Whether some call sent a completion that may have been executed.
    pub(super) fn was_sent(&self) -> bool {
        self.sent.load(Ordering::Acquire) > 0
    }
}

/// How a release ended, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Released {
    /// It was sent.
    Sent,
    /// It found the lease.
    Done,
    /// It did not.
    Stale,
}

/// The last tokens.
#[derive(Debug)]
pub(super) struct Memory {
    held: Cache<Lease, Arc<Held>>,
    completed: Cache<Lease, Verdict>,
    released: Cache<Lease, Released>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { held: bounded(), completed: bounded(), released: bounded() }
    }

    /// Notes a claim; where its token held the ID before, that claim goes on.
    pub(super) fn hold(&self, lease: Lease, held: Held) -> Arc<Held> {
        self.held.get_with(lease, || Arc::new(held))
    }

    pub(super) fn held(&self, lease: &Lease) -> Option<Arc<Held>> {
        self.held.get(lease)
    }

    pub(super) fn complete(&self, lease: Lease, verdict: Verdict) {
        self.completed.insert(lease, verdict);
        self.held.invalidate(&lease);
    }

    /// What the completion of this token found, where it was answered here.
    pub(super) fn completed(&self, lease: &Lease) -> Option<Verdict> {
        self.completed.get(lease)
    }

    /// Notes a release before it is sent; answers what is known of an earlier one.
    pub(super) fn release(&self, lease: Lease) -> Option<Released> {
        let before = self.released.get(&lease);
        self.released.insert(lease, before.unwrap_or(Released::Sent));
        before
    }

    pub(super) fn end_release(&self, lease: Lease, found: Released) {
        self.released.insert(lease, found);
        self.held.invalidate(&lease);
    }

    /// Whether a release of this token was sent: it never claims anything again.
    pub(super) fn is_released(&self, lease: &Lease) -> bool {
        self.released.contains_key(lease)
    }
}

/// The least recently used goes first: a token is asked for soon or never.
fn bounded<V: Clone + Send + Sync + 'static>() -> Cache<Lease, V> {
    Cache::builder().max_capacity(MOST).eviction_policy(EvictionPolicy::lru()).build()
}

/// How long ago the claim of a token was sent that is not known here: longer than any lease was ever held.
pub(super) const UNKNOWN_AGE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
