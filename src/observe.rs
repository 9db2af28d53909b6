//! What the engine and the store tell of themselves.
//!
//! Every decision goes through an [`Observer`]; metrics are one implementation of it (`telemetry`). Methods are called
//! on the hot path: they must return at once.

use std::time::Duration;

use crate::record::{Epoch, Offset, Origin, Record, TopicPartition};
use crate::store::{StoreError, StoreHealth, Verdict};

/// Who recognised a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DuplicateBy {
    /// The local cache of done IDs.
    Cache,
    /// The store.
    Store,
    /// An earlier record of this process with the same ID, which was handled meanwhile.
    Process,
}

/// What a handler said of a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// Try again, with back-off, up to the limit of attempts.
    Retryable,
    /// Do not try again.
    Fatal,
    /// What the handler needs is away; pause and try again, counting no attempt.
    Unavailable,
    /// The handler panicked; tried again as a retryable failure.
    Panicked,
    /// The attempt exceeded its time limit; tried again as a retryable failure.
    TimedOut,
}

/// Sees every decision. All methods do nothing by default.
pub trait Observer: std::fmt::Debug + Send + Sync + 'static {
    /// Records arrived from the source.
    fn on_delivered(&self, partition: &TopicPartition, records: usize) {
        let _ = (partition, records);
    }
    /// An ID was claimed for this record.
    fn on_claim(&self, record: &Record, attempts: u32, suspect: bool) {
        let _ = (record, attempts, suspect);
    }
    /// A record settled as a duplicate.
    fn on_duplicate(&self, record: &Record, by: DuplicateBy) {
        let _ = (record, by);
    }
    /// A record's ID was handled before with another payload, by the record at `first`. What follows is a matter of
    /// policy, and told apart.
    fn on_conflict(&self, record: &Record, first: &Origin) {
        let _ = (record, first);
    }
    /// A record waits: its ID is in flight elsewhere for that long at most, or `None` where elsewhere is this process.
    fn on_park(&self, record: &Record, remaining: Option<Duration>) {
        let _ = (record, remaining);
    }
    /// A handler's effect succeeded.
    fn on_handled(&self, record: &Record, attempt: u32, took: Duration) {
        let _ = (record, attempt, took);
    }
    /// A handler failed.
    fn on_failure(&self, record: &Record, attempt: u32, kind: FailureKind) {
        let _ = (record, attempt, kind);
    }
    /// A handled record was recorded as done.
    fn on_complete(&self, record: &Record, verdict: Verdict) {
        let _ = (record, verdict);
    }
    /// A lease could not be renewed in time: another worker may take the ID over while the handler runs.
    fn on_lease_lost(&self, record: &Record) {
        let _ = record;
    }
    /// A partition stopped at an offset and says why. Nothing of it is skipped.
    fn on_stop(&self, partition: &TopicPartition, offset: Offset, reason: &str) {
        let _ = (partition, offset, reason);
    }
    /// Records before `offset` need nothing more, and the source knows it.
    fn on_commit(&self, partition: &TopicPartition, offset: Offset) {
        let _ = (partition, offset);
    }
    /// A commit was refused; the next owner will see the records again and drop them as duplicates.
    fn on_commit_failed(&self, partition: &TopicPartition, offset: Offset, reason: &str) {
        let _ = (partition, offset, reason);
    }
    /// A partition was assigned.
    fn on_assign(&self, partition: &TopicPartition, epoch: Epoch) {
        let _ = (partition, epoch);
    }
    /// A partition was given up in order; `drained` tells whether everything that ran had ended by the deadline.
    fn on_revoke(&self, partition: &TopicPartition, epoch: Epoch, drained: bool) {
        let _ = (partition, epoch, drained);
    }
    /// A partition was lost: nothing of it was committed any more.
    fn on_lost(&self, partition: &TopicPartition, epoch: Epoch) {
        let _ = (partition, epoch);
    }
    /// The source was told to hold back (`true`) or to deliver again (`false`).
    fn on_pause(&self, partition: &TopicPartition, paused: bool) {
        let _ = (partition, paused);
    }
    /// The store did not answer an item of `operation`.
    fn on_store_error(&self, operation: &'static str, error: &StoreError) {
        let _ = (operation, error);
    }
    /// The store's state is another than it was; looked at every second.
    fn on_store_health(&self, health: &StoreHealth) {
        let _ = health;
    }
}

/// Sees nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blind;

impl Observer for Blind {}
