//! Both observers as one.

use std::time::Duration;

use super::{Log, Metrics};
use crate::observe::{DuplicateBy, FailureKind, Observer, Outcome, WaitsFor};
use crate::record::{Epoch, Offset, Origin, Record, TopicPartition};
use crate::store::{StoreError, StoreHealth, Verdict};

/// Counts and logs: the observer of a consumer that was given no other. The counts are read by
/// [`scrape`](super::scrape).
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
    log: Log,
}

impl Telemetry {
    /// Describes every metric to the installed recorder.
    pub fn new() -> Self {
        Self { metrics: Metrics::new(), log: Log::new() }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

macro_rules! both {
    ($($method:ident($($name:ident: $type:ty),*);)*) => {
        impl Observer for Telemetry {
            $(fn $method(&self, $($name: $type),*) {
                self.metrics.$method($($name),*);
                self.log.$method($($name),*);
            })*
        }
    };
}

both! {
    on_delivered(partition: &TopicPartition, records: usize);
    on_claim(record: &Record, attempts: u32, suspect: bool);
    on_duplicate(record: &Record, by: DuplicateBy, first: Option<&Origin>);
    on_conflict(record: &Record, first: &Origin);
    on_park(record: &Record, remaining: Option<Duration>);
    on_handled(record: &Record, attempt: u32, took: Duration);
    on_failure(record: &Record, attempt: u32, kind: FailureKind);
    on_retry(record: &Record, attempt: u32, delay: Duration);
    on_dead_letter(record: &Record, attempts: u32, reason: &str);
    on_delivery_failed(record: &Record, reason: &str);
    on_expire(record: &Record, late: Duration);
    on_settle(record: &Record, outcome: Outcome, since_delivery: Duration);
    on_give_back(partition: &TopicPartition, records: usize);
    on_complete(record: &Record, verdict: Verdict);
    on_lease_lost(record: &Record);
    on_stop(partition: &TopicPartition, offset: Offset, reason: &str);
    on_commit(partition: &TopicPartition, offset: Offset, lag: Duration);
    on_commit_failed(partition: &TopicPartition, offset: Offset, reason: &str);
    on_assign(partition: &TopicPartition, epoch: Epoch);
    on_revoke(partition: &TopicPartition, epoch: Epoch, drained: bool);
    on_lost(partition: &TopicPartition, epoch: Epoch);
    on_stall(partition: &TopicPartition, offset: Offset, since: Duration, waits_for: &WaitsFor);
    on_stall_over(partition: &TopicPartition);
    on_pause(partition: &TopicPartition, paused: bool);
    on_store_error(operation: &'static str, error: &StoreError);
    on_store_health(health: &StoreHealth);
}
