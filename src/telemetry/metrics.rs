//! The observer that counts.
#![allow(clippy::disallowed_macros, reason = "this is the one file that may name a metric where it is emitted")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use parking_lot::RwLock;

use super::names::{self, Kind};
use crate::observe::{DuplicateBy, FailureKind, Observer};
use crate::record::{Epoch, Offset, Origin, Record, TopicPartition};
use crate::store::{Breaker, FINDINGS, Server, StoreError, StoreHealth, Verdict};

/// Counts every decision through the `metrics` facade.
#[derive(Debug, Default)]
pub struct Metrics {
    /// The counters of the hot path, looked up once per topic.
    topics: RwLock<HashMap<String, Arc<Topic>>>,
}

struct Topic {
    delivered: Counter,
    handled: Counter,
    claims: Counter,
    duplicates: [Counter; 3],
    completions: [Counter; 3],
    handler_seconds: Histogram,
}

impl std::fmt::Debug for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Topic")
    }
}

impl Topic {
    fn new(topic: &str) -> Self {
        let counted = |name| counter!(name, "topic" => topic.to_owned());
        let duplicates = |by: &'static str| counter!(names::DUPLICATES, "topic" => topic.to_owned(), "by" => by);
        let completions =
            |verdict: &'static str| counter!(names::COMPLETIONS, "topic" => topic.to_owned(), "verdict" => verdict);
        Self {
            delivered: counted(names::DELIVERED),
            handled: counted(names::HANDLED),
            claims: counted(names::CLAIMS),
            duplicates: ["cache", "store", "process"].map(duplicates),
            completions: ["first", "overrun", "possible_overrun"].map(completions),
            handler_seconds: histogram!(names::HANDLER_SECONDS, "topic" => topic.to_owned()),
        }
    }
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
        Self::default()
    }

    fn topic(&self, name: &str) -> Arc<Topic> {
        if let Some(topic) = self.topics.read().get(name) {
            return Arc::clone(topic);
        }
        Arc::clone(self.topics.write().entry(name.to_owned()).or_insert_with(|| Arc::new(Topic::new(name))))
    }
}

fn count(name: &'static str, topic: &str) {
    counter!(name, "topic" => topic.to_owned()).increment(1);
}

fn set(name: &'static str, partition: &TopicPartition, value: f64) {
    gauge!(name, "topic" => partition.topic().to_owned(), "partition" => partition.partition().to_string()).set(value);
}

fn rebalanced(kind: &'static str) {
    counter!(names::REBALANCES, "kind" => kind).increment(1);
}

impl Observer for Metrics {
    fn on_delivered(&self, partition: &TopicPartition, records: usize) {
        self.topic(partition.topic()).delivered.increment(records as u64);
    }

    fn on_claim(&self, record: &Record, _attempts: u32, suspect: bool) {
        self.topic(record.topic()).claims.increment(1);
        if suspect {
            count(names::SUSPECTS, record.topic());
        }
    }

    fn on_duplicate(&self, record: &Record, by: DuplicateBy, _first: Option<&Origin>) {
        let [cache, store, process] = &self.topic(record.topic()).duplicates;
        match by {
            DuplicateBy::Cache => cache.increment(1),
            DuplicateBy::Store => store.increment(1),
            DuplicateBy::Process => process.increment(1),
        }
    }

    fn on_conflict(&self, record: &Record, _first: &Origin) {
        count(names::CONFLICTS, record.topic());
    }

    fn on_park(&self, record: &Record, _remaining: Option<Duration>) {
        count(names::PARKED, record.topic());
    }

    fn on_handled(&self, record: &Record, _attempt: u32, took: Duration) {
        let topic = self.topic(record.topic());
        topic.handled.increment(1);
        topic.handler_seconds.record(took);
    }

    fn on_failure(&self, record: &Record, _attempt: u32, kind: FailureKind) {
        let kind = match kind {
            FailureKind::Retryable => "retryable",
            FailureKind::Fatal => "fatal",
            FailureKind::Skip => "skip",
            FailureKind::Unavailable => "unavailable",
            FailureKind::Panicked => "panicked",
            FailureKind::TimedOut => "timed_out",
        };
        counter!(names::ATTEMPTS_FAILED, "topic" => record.topic().to_owned(), "kind" => kind).increment(1);
    }

    fn on_complete(&self, record: &Record, verdict: Verdict) {
        let [first, overrun, possible_overrun] = &self.topic(record.topic()).completions;
        match verdict {
            Verdict::First => first.increment(1),
            Verdict::Overrun => overrun.increment(1),
            Verdict::PossibleOverrun => possible_overrun.increment(1),
        }
    }

    fn on_lease_lost(&self, record: &Record) {
        count(names::LEASES_LOST, record.topic());
    }

    fn on_stop(&self, partition: &TopicPartition, _offset: Offset, _reason: &str) {
        set(names::STOPPED, partition, 1.0);
    }

    fn on_commit(&self, partition: &TopicPartition, offset: Offset, _lag: Duration) {
        set(names::COMMITTED_OFFSET, partition, offset as f64);
    }

    fn on_commit_failed(&self, partition: &TopicPartition, _offset: Offset, _reason: &str) {
        count(names::COMMITS_FAILED, partition.topic());
    }

    fn on_assign(&self, partition: &TopicPartition, _epoch: Epoch) {
        set(names::ASSIGNED, partition, 1.0);
        set(names::STOPPED, partition, 0.0);
        set(names::PAUSED, partition, 0.0);
        rebalanced("assigned");
    }

    fn on_revoke(&self, partition: &TopicPartition, _epoch: Epoch, drained: bool) {
        set(names::ASSIGNED, partition, 0.0);
        set(names::STOPPED, partition, 0.0);
        rebalanced(if drained { "drained" } else { "cut_off" });
    }

    fn on_lost(&self, partition: &TopicPartition, _epoch: Epoch) {
        set(names::ASSIGNED, partition, 0.0);
        set(names::STOPPED, partition, 0.0);
        rebalanced("lost");
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
}
