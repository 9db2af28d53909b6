//! The observer that counts.
#![allow(clippy::disallowed_macros, reason = "metrics are named in this room only")]

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use parking_lot::Mutex;

use super::gate;
use super::names::{self, Kind};
use super::topics::{Topic, Topics};
use crate::observe::{
    CommitRefused, DuplicateBy, FailureKind, GroupState, KafkaClients, KafkaState, Observer, Outcome, PartitionStop,
    WaitsFor,
};
use crate::record::{Epoch, Offset, Origin, Record, TopicPartition};
use crate::store::{Breaker, FINDINGS, Server, StoreError, StoreHealth, Verdict};

/// Counts every decision through the `metrics` facade. The counts of records add up within
/// [`scrape`](super::scrape).
#[derive(Debug, Default)]
pub struct Metrics {
    topics: Topics,
    /// What each stalled partition was last told to wait for.
    stalled: Mutex<HashMap<TopicPartition, &'static str>>,
}

impl Metrics {
    /// Describes every metric to the installed recorder.
    pub fn new() -> Self {
        for metric in names::ALL {
            match metric.kind {
                Kind::Counter => describe_counter!(metric.name, metric.help),
                Kind::Gauge => describe_gauge!(metric.name, metric.help),
                Kind::Histogram => describe_histogram!(metric.name, metrics::Unit::Seconds, metric.help),
            }
        }
        // A counter that appears with its first event has no increase for it.
        for operation in STORE_OPERATIONS {
            for kind in StoreError::KINDS {
                drop(counter!(names::STORE_ERRORS, "operation" => operation, "kind" => kind));
            }
        }
        for kind in REBALANCES {
            drop(counter!(names::REBALANCES, "kind" => kind));
        }
        Self::default()
    }

    fn of(&self, record: &Record, count: impl FnOnce(&Topic)) {
        self.topics.with(record.partition().topic_arc(), count);
    }

    fn at(&self, partition: &TopicPartition, count: impl FnOnce(&Topic)) {
        self.topics.with(partition.topic_arc(), count);
    }

    /// Nothing is known of the partition, or nothing of it is of interest any more.
    fn forget(&self, partition: &TopicPartition) {
        self.stalled.lock().remove(partition);
        for name in [names::STOPPED, names::PAUSED, names::STALLED] {
            set(name, partition, 0.0);
        }
    }

    fn gone(&self, partition: &TopicPartition, how: &'static str) {
        set(names::ASSIGNED, partition, 0.0);
        self.forget(partition);
        rebalanced(how);
    }
}

/// What is asked of a store in the course of work.
const STORE_OPERATIONS: [&str; 5] = ["claim", "renew", "complete", "release", "inspect"];
/// What becomes of a partition in a rebalance.
const REBALANCES: [&str; 4] = ["assigned", "drained", "cut_off", "lost"];

fn set(name: &'static str, partition: &TopicPartition, value: f64) {
    let topic = partition.topic_arc().clone();
    gauge!(name, "topic" => topic, "partition" => partition.partition().to_string()).set(value);
}

fn rebalanced(kind: &'static str) {
    counter!(names::REBALANCES, "kind" => kind).increment(1);
}

/// How old a record is by the wall clock; `None` where it carries no time. One from the future is new.
fn age(record: &Record) -> Option<Duration> {
    let made = Duration::from_millis(u64::try_from(record.timestamp()?).ok()?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(now.saturating_sub(made))
}

impl Observer for Metrics {
    fn on_delivered(&self, partition: &TopicPartition, records: usize) {
        self.at(partition, |topic| {
            let _gate = gate::account();
            topic.delivered.increment(records as u64);
            topic.in_flight.increment(records as f64);
        });
    }

    fn on_settle(&self, record: &Record, outcome: Outcome, since_delivery: Duration) {
        let age = age(record);
        self.of(record, |topic| {
            let gate = gate::account();
            topic.settled(outcome).increment(1);
            topic.in_flight.decrement(1.0);
            drop(gate);
            topic.settle_seconds.record(since_delivery);
            if let Some(age) = age {
                topic.record_age.record(age);
            }
        });
    }

    fn on_give_back(&self, partition: &TopicPartition, records: usize) {
        self.at(partition, |topic| {
            let _gate = gate::account();
            topic.given_back.increment(records as u64);
            topic.in_flight.decrement(records as f64);
        });
    }

    fn on_claim(&self, record: &Record, _attempts: u32, suspect: bool) {
        self.of(record, |topic| {
            topic.claims.increment(1);
            if suspect {
                topic.suspects.increment(1);
            }
        });
    }

    fn on_duplicate(&self, record: &Record, by: DuplicateBy, _first: Option<&Origin>) {
        self.of(record, |topic| topic.duplicates(by).increment(1));
    }

    fn on_conflict(&self, record: &Record, _first: &Origin) {
        self.of(record, |topic| topic.conflicts.increment(1));
    }

    fn on_park(&self, record: &Record, _remaining: Option<Duration>) {
        self.of(record, |topic| topic.parked.increment(1));
    }

    /// The attempt only: whether its record settled is told by `on_settle`.
    fn on_handled(&self, record: &Record, _attempt: u32, took: Duration) {
        self.of(record, |topic| topic.handler_seconds.record(took));
    }

    fn on_failure(&self, record: &Record, _attempt: u32, kind: FailureKind) {
        self.of(record, |topic| topic.failures(kind).increment(1));
    }

    fn on_retry(&self, record: &Record, _attempt: u32, _delay: Duration) {
        self.of(record, |topic| topic.retries.increment(1));
    }

    fn on_dead_letter(&self, record: &Record, _attempts: u32, _reason: &str) {
        self.of(record, |topic| topic.dead_letters.increment(1));
    }

    fn on_delivery_failed(&self, record: &Record, _reason: &str) {
        self.of(record, |topic| topic.deliveries_failed.increment(1));
    }

    fn on_complete(&self, record: &Record, verdict: Verdict) {
        self.of(record, |topic| topic.completions(verdict).increment(1));
    }

    fn on_lease_lost(&self, record: &Record) {
        self.of(record, |topic| topic.leases_lost.increment(1));
    }

    fn on_stop(&self, partition: &TopicPartition, _stop: &PartitionStop) {
        set(names::STOPPED, partition, 1.0);
    }

    fn on_stop_over(&self, partition: &TopicPartition) {
        set(names::STOPPED, partition, 0.0);
    }

    fn on_commit(&self, partition: &TopicPartition, offset: Offset, lag: Duration) {
        self.at(partition, |topic| {
            topic.commits.increment(1);
            topic.commit_lag.record(lag);
        });
        set(names::COMMITTED_OFFSET, partition, offset as f64);
    }

    fn on_commit_failed(&self, partition: &TopicPartition, _offset: Offset, refused: &CommitRefused) {
        self.at(partition, |topic| topic.commits_failed(refused.kind).increment(1));
    }

    fn on_assign(&self, partition: &TopicPartition, _epoch: Epoch) {
        set(names::ASSIGNED, partition, 1.0);
        // So its counters are there, at zero, before its first record.
        self.at(partition, |_| ());
        self.forget(partition);
        rebalanced("assigned");
    }

    fn on_revoke(&self, partition: &TopicPartition, _epoch: Epoch, drained: bool) {
        self.gone(partition, if drained { "drained" } else { "cut_off" });
    }

    fn on_lost(&self, partition: &TopicPartition, _epoch: Epoch) {
        self.gone(partition, "lost");
    }

    fn on_stall(&self, partition: &TopicPartition, _offset: Offset, _since: Duration, waits_for: &WaitsFor) {
        let waits_for = waits_for.name();
        let before = self.stalled.lock().insert(partition.clone(), waits_for);
        if before != Some(waits_for) {
            let topic = partition.topic_arc().clone();
            counter!(names::STALLS, "topic" => topic, "waits_for" => waits_for).increment(1);
        }
        set(names::STALLED, partition, 1.0);
    }

    fn on_stall_over(&self, partition: &TopicPartition) {
        self.stalled.lock().remove(partition);
        set(names::STALLED, partition, 0.0);
    }

    fn on_pause(&self, partition: &TopicPartition, paused: bool) {
        set(names::PAUSED, partition, f64::from(u8::from(paused)));
    }

    fn on_store_error(&self, operation: &'static str, error: &StoreError) {
        counter!(names::STORE_ERRORS, "operation" => operation, "kind" => error.kind()).increment(1);
    }

    fn on_store_health(&self, health: &StoreHealth) {
        let breaker = match health.breaker {
            Breaker::Closed => 0.0,
            Breaker::HalfOpen => 1.0,
            Breaker::Open => 2.0,
        };
        gauge!(names::STORE_BREAKER).set(breaker);
        for name in FINDINGS {
            let found = health.findings.iter().any(|finding| finding.name == name);
            gauge!(names::STORE_FINDING, "finding" => name).set(f64::from(u8::from(found)));
        }
        let sum =
            |of: fn(&Server) -> u64| health.nodes.iter().filter_map(|node| node.server.as_ref()).map(of).sum::<u64>();
        gauge!(names::STORE_MEMORY).set(sum(|server| server.used_memory) as f64);
        gauge!(names::STORE_EVICTED).set(sum(|server| server.evicted_keys) as f64);
    }

    fn on_kafka_health(&self, clients: &KafkaClients) {
        let joined = clients.consumer.group == Some(GroupState::Joined);
        gauge!(names::KAFKA_JOINED).set(f64::from(u8::from(joined)));
        let all = [Some(("consumer", &clients.consumer)), clients.producer.as_ref().map(|each| ("producer", each))];
        for (client, health) in all.into_iter().flatten() {
            let state = match health.state {
                KafkaState::Reachable => 0.0,
                KafkaState::NoCoordinator => 1.0,
                KafkaState::Unreachable => 2.0,
                KafkaState::Denied => 3.0,
            };
            gauge!(names::KAFKA_STATE, "client" => client).set(state);
            gauge!(names::KAFKA_ANSWER, "client" => client).set(health.last_answer as f64 / 1000.0);
        }
    }
}
