//! Several observers as one.

use std::sync::Arc;
use std::time::Duration;

use super::{CommitRefused, DuplicateBy, FailureKind, KafkaClients, Observer, Outcome, WaitsFor};
use crate::record::{Epoch, Offset, Origin, Record, TopicPartition};
use crate::store::{StoreError, StoreHealth, Verdict};

/// Passes everything on to several observers, to each in turn.
#[derive(Clone, Debug)]
pub struct Fan(Arc<[Arc<dyn Observer>]>);

impl Fan {
    /// An observer that is all of these.
    pub fn new(observers: impl IntoIterator<Item = Arc<dyn Observer>>) -> Self {
        Self(observers.into_iter().collect())
    }
}

/// Hands the signatures of all methods of an [`Observer`] to a macro, so that whoever passes them on misses none.
macro_rules! every_method {
    ($implement:ident) => {
        $implement! {
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
            on_possible_repeat(record: &Record, first: Option<&Origin>);
            on_lease_lost(record: &Record);
            on_stop(partition: &TopicPartition, stop: &crate::observe::PartitionStop);
            on_try(partition: &TopicPartition, offset: Offset, tries: u32, by_operator: bool);
            on_stop_over(partition: &TopicPartition);
            on_commit(partition: &TopicPartition, offset: Offset, lag: Duration);
            on_commit_failed(partition: &TopicPartition, offset: Offset, refused: &CommitRefused);
            on_assign(partition: &TopicPartition, epoch: Epoch);
            on_revoke(partition: &TopicPartition, epoch: Epoch, drained: bool);
            on_lost(partition: &TopicPartition, epoch: Epoch);
            on_stall(partition: &TopicPartition, offset: Offset, since: Duration, waits_for: &WaitsFor);
            on_stall_over(partition: &TopicPartition);
            on_pause(partition: &TopicPartition, paused: bool);
            on_store_error(operation: &'static str, error: &StoreError);
            on_store_health(health: &StoreHealth);
            on_kafka_health(clients: &KafkaClients);
        }
    };
}
pub(crate) use every_method;

macro_rules! fan {
    ($($method:ident($($name:ident: $type:ty),*);)*) => {
        impl Observer for Fan {
            $(fn $method(&self, $($name: $type),*) {
                self.0.iter().for_each(|observer| observer.$method($($name),*));
            })*
        }

        /// The names of the methods that are passed on.
        #[cfg(test)]
        const METHODS: &[&str] = &[$(stringify!($method)),*];
    };
}

every_method!(fan);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Counter(AtomicUsize);

    impl Observer for Counter {
        fn on_delivered(&self, _: &TopicPartition, records: usize) {
            self.0.fetch_add(records, Ordering::Relaxed);
        }
    }

    #[test]
    fn no_method_is_missed() {
        let text = include_str!("../observe.rs");
        let methods = text.split("    fn on_").skip(1).map(|rest| rest.split('(').next().unwrap());
        let methods: Vec<_> = methods.map(|rest| format!("on_{rest}")).collect();
        assert!(methods.len() > 20);
        assert_eq!(METHODS, methods);
    }

    #[test]
    fn everybody_is_told() {
        let counters = [Arc::new(Counter::default()), Arc::new(Counter::default())];
        let fan = Fan::new(counters.iter().map(|counter| Arc::clone(counter) as Arc<dyn Observer>));
        fan.on_delivered(&TopicPartition::new("t", 0), 3);
        assert_eq!(counters.map(|counter| counter.0.load(Ordering::Relaxed)), [3, 3]);
    }
}
