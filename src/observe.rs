//! What the engine and the store tell of themselves.
//!
//! Every decision goes through an [`Observer`]; metrics are one implementation of it (`telemetry`). Methods are called
//! on the hot path: they must return at once.

mod commit;
mod fan;
mod kafka;
mod stop;

use std::time::Duration;

use crate::record::{Epoch, Offset, Origin, Record, TopicPartition};
use crate::store::{StoreError, StoreHealth, Verdict};

pub use commit::{CommitRefused, RefusalKind};
pub use fan::Fan;
pub(crate) use fan::every_method;
pub use kafka::{GroupState, KafkaClients, KafkaHealth, KafkaState};
pub use stop::{PartitionStop, StopCause};

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

/// What became of a record that needs nothing more.
///
/// Every delivered record has exactly one outcome, is given back, or is in flight: at any moment `delivered` is the sum
/// of all outcomes, of the records given back and of those in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its handler's effect succeeded and is recorded as done.
    Handled,
    /// Another record with its ID was handled.
    Duplicate,
    /// It lies in the dead-letter topic.
    DeadLettered,
    /// A copy of it lies in a retry topic, from where it is handled later.
    Retried,
    /// It was too old.
    Expired,
    /// Its handler said to skip it.
    Skipped,
    /// An operator skipped it.
    SkippedByOperator,
}

/// What a partition that makes no progress waits for: the state of its first record that is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// The store answers neither its claim nor its renewal.
    Claim,
    /// Its ID is in flight in another process.
    Elsewhere,
    /// Another record of this process has its ID.
    Twin,
    /// It is ready and waits for its turn: others fill the bound on handlers or on exposed records, or it, or another
    /// suspect, has to run alone.
    Turn,
    /// Its handler has been running for that long.
    Handler(Duration),
    /// The time of its next attempt, after that many failed ones.
    Backoff(u32),
    /// The store does not answer its completion.
    Completion,
    /// The dead-letter topic or the retry topic does not take it.
    Delivery,
    /// The time of its next try, or an operator: the partition is stopped.
    Stopped,
}

impl WaitsFor {
    /// All that [`name`](Self::name) may return.
    pub(crate) const NAMES: [&'static str; 9] =
        ["claim", "elsewhere", "twin", "turn", "handler", "backoff", "completion", "delivery", "stopped"];

    /// A short name that stays the same: for labels and programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Elsewhere => "elsewhere",
            Self::Twin => "twin",
            Self::Turn => "turn",
            Self::Handler(_) => "handler",
            Self::Backoff(_) => "backoff",
            Self::Completion => "completion",
            Self::Delivery => "delivery",
            Self::Stopped => "stopped",
        }
    }
}

/// What a handler said of a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// Try again, with back-off, up to the limit of attempts.
    Retryable,
    /// Do not try again.
    Fatal,
    /// Skip the record: it is recorded as done although it had no effect.
    Skip,
    /// What the handler needs is away; pause and try again, counting no attempt.
    Unavailable,
    /// The handler panicked; tried again as a retryable failure.
    Panicked,
    /// The attempt exceeded its time limit; tried again as a retryable failure.
    TimedOut,
}

/// Sees every decision. The methods do nothing by default, but for `on_possible_repeat`.
pub trait Observer: std::fmt::Debug + Send + Sync + 'static {
    /// Records arrived from the source.
    fn on_delivered(&self, partition: &TopicPartition, records: usize) {
        let _ = (partition, records);
    }
    /// An ID was claimed for this record.
    fn on_claim(&self, record: &Record, attempts: u32, suspect: bool) {
        let _ = (record, attempts, suspect);
    }
    /// A record settled as a duplicate; of the one that was handled `first` a store that
    /// [keeps details](crate::store::Store::keeps_details) knows the coordinates.
    fn on_duplicate(&self, record: &Record, by: DuplicateBy, first: Option<&Origin>) {
        let _ = (record, by, first);
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
    /// A failed record is tried again after that time at most, by its handler here.
    fn on_retry(&self, record: &Record, attempt: u32, delay: Duration) {
        let _ = (record, attempt, delay);
    }
    /// A record goes to the dead-letter topic, after so many attempts. It settles once its copy is delivered.
    fn on_dead_letter(&self, record: &Record, attempts: u32, reason: &str) {
        let _ = (record, attempts, reason);
    }
    /// A copy for the dead-letter topic or a retry topic was not delivered; it is sent again, and the record waits.
    fn on_delivery_failed(&self, record: &Record, reason: &str) {
        let _ = (record, reason);
    }
    /// A record is too old, by that much; it settles without being handled.
    fn on_expire(&self, record: &Record, late: Duration) {
        let _ = (record, late);
    }
    /// A record needs nothing more, that long after it arrived from the source.
    fn on_settle(&self, record: &Record, outcome: Outcome, since_delivery: Duration) {
        let _ = (record, outcome, since_delivery);
    }
    /// So many delivered records of a partition are nobody's business here any more, without an outcome: the partition
    /// was revoked, lost or stopped. Whoever reads it next gets them again.
    fn on_give_back(&self, partition: &TopicPartition, records: usize) {
        let _ = (partition, records);
    }
    /// A handled record was recorded as done; or see [`on_possible_repeat`](Self::on_possible_repeat).
    fn on_complete(&self, record: &Record, verdict: Verdict) {
        let _ = (record, verdict);
    }
    /// An attempt ended without it being known whether it had its effect, and the ID was done, or taken over, by another
    /// attempt meanwhile: the effect may have happened twice. Of the one that was handled `first` a store that
    /// [keeps details](crate::store::Store::keeps_details) knows the coordinates.
    ///
    /// Passed on to [`on_complete`](Self::on_complete) by default, as a possible overrun.
    fn on_possible_repeat(&self, record: &Record, first: Option<&Origin>) {
        let _ = first;
        self.on_complete(record, Verdict::PossibleOverrun);
    }
    /// A lease could not be renewed in time: another worker may take the ID over while the handler runs.
    fn on_lease_lost(&self, record: &Record) {
        let _ = record;
    }
    /// A partition stopped at a record, or stopped there again after a try. Nothing of it is skipped.
    fn on_stop(&self, partition: &TopicPartition, stop: &PartitionStop) {
        let _ = (partition, stop);
    }
    /// A stopped partition tries its record again, as the try of that number: by itself, or because an operator asked.
    fn on_try(&self, partition: &TopicPartition, offset: Offset, tries: u32, by_operator: bool) {
        let _ = (partition, offset, tries, by_operator);
    }
    /// A stopped partition goes on: its record needs nothing more.
    fn on_stop_over(&self, partition: &TopicPartition) {
        let _ = partition;
    }
    /// Records before `offset` need nothing more, and the source knows it, that long after the first of them settled.
    fn on_commit(&self, partition: &TopicPartition, offset: Offset, lag: Duration) {
        let _ = (partition, offset, lag);
    }
    /// A commit was refused; the next commit covers it, or the next owner reads the records again and drops them as
    /// duplicates.
    fn on_commit_failed(&self, partition: &TopicPartition, offset: Offset, refused: &CommitRefused) {
        let _ = (partition, offset, refused);
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
    /// A partition has settled nothing for that long, though records of it are in flight; told again for as long as it
    /// lasts, less and less often. The first record that is not settled is at `offset`.
    fn on_stall(&self, partition: &TopicPartition, offset: Offset, since: Duration, waits_for: &WaitsFor) {
        let _ = (partition, offset, since, waits_for);
    }
    /// A stalled partition goes on, or is no longer this process's.
    fn on_stall_over(&self, partition: &TopicPartition) {
        let _ = partition;
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
    /// The state of the Kafka clients is another than it was; looked at every second while the consumer runs.
    fn on_kafka_health(&self, clients: &KafkaClients) {
        let _ = clients;
    }
}

/// Sees nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blind;

impl Observer for Blind {}
