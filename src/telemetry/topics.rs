//! The metrics of each topic, looked up once: after that a count costs neither an allocation nor a hash.
#![allow(clippy::disallowed_macros, reason = "metrics are named in this room only")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use parking_lot::RwLock;

use super::names;
use crate::observe::{DuplicateBy, FailureKind, Outcome, RefusalKind, WaitsFor};
use crate::store::Verdict;

/// Everything that is counted per topic, but not per partition.
pub(super) struct Topic {
    name: Arc<str>,
    pub(super) delivered: Counter,
    settled: [Counter; 7],
    pub(super) given_back: Counter,
    pub(super) in_flight: Gauge,
    duplicates: [Counter; 3],
    pub(super) conflicts: Counter,
    failures: [Counter; 6],
    pub(super) retries: Counter,
    pub(super) dead_letters: Counter,
    pub(super) deliveries_failed: Counter,
    pub(super) handler_seconds: Histogram,
    pub(super) settle_seconds: Histogram,
    pub(super) record_age: Histogram,
    completions: [Counter; 3],
    pub(super) claims: Counter,
    pub(super) suspects: Counter,
    pub(super) parked: Counter,
    pub(super) leases_lost: Counter,
    pub(super) commits: Counter,
    commits_failed: [Counter; 3],
    pub(super) commit_lag: Histogram,
}

fn labelled(topic: &Arc<str>, metric: &'static str, label: &'static str, value: &'static str) -> Counter {
    counter!(metric, "topic" => Arc::clone(topic), label => value)
}

impl Topic {
    fn new(name: &Arc<str>) -> Self {
        for waits_for in WaitsFor::NAMES {
            drop(labelled(name, names::STALLS, "waits_for", waits_for));
        }
        let counted = |metric: &'static str| counter!(metric, "topic" => Arc::clone(name));
        let measured = |metric: &'static str| histogram!(metric, "topic" => Arc::clone(name));
        Self {
            name: Arc::clone(name),
            delivered: counted(names::DELIVERED),
            settled: ["handled", "duplicate", "dead_lettered", "retried", "expired", "skipped", "skipped_by_operator"]
                .map(|value| labelled(name, names::SETTLED, "outcome", value)),
            given_back: counted(names::GIVEN_BACK),
            in_flight: gauge!(names::IN_FLIGHT, "topic" => Arc::clone(name)),
            duplicates: ["cache", "store", "process"].map(|value| labelled(name, names::DUPLICATES, "by", value)),
            conflicts: counted(names::CONFLICTS),
            failures: ["retryable", "fatal", "skip", "unavailable", "panicked", "timed_out"]
                .map(|value| labelled(name, names::ATTEMPTS_FAILED, "kind", value)),
            retries: counted(names::RETRIES),
            dead_letters: counted(names::DEAD_LETTERS),
            deliveries_failed: counted(names::DELIVERIES_FAILED),
            handler_seconds: measured(names::HANDLER_SECONDS),
            settle_seconds: measured(names::SETTLE_SECONDS),
            record_age: measured(names::RECORD_AGE),
            completions: ["first", "overrun", "possible_overrun"]
                .map(|value| labelled(name, names::COMPLETIONS, "verdict", value)),
            claims: counted(names::CLAIMS),
            suspects: counted(names::SUSPECTS),
            parked: counted(names::PARKED),
            leases_lost: counted(names::LEASES_LOST),
            commits: counted(names::COMMITS),
            commits_failed: [RefusalKind::Rebalance, RefusalKind::Failed, RefusalKind::Fenced]
                .map(|kind| labelled(name, names::COMMITS_FAILED, "kind", kind.name())),
            commit_lag: measured(names::COMMIT_LAG),
        }
    }

    pub(super) fn settled(&self, outcome: Outcome) -> &Counter {
        let [handled, duplicate, dead_lettered, retried, expired, skipped, by_operator] = &self.settled;
        match outcome {
            Outcome::Handled => handled,
            Outcome::Duplicate => duplicate,
            Outcome::DeadLettered => dead_lettered,
            Outcome::Retried => retried,
            Outcome::Expired => expired,
            Outcome::Skipped => skipped,
            Outcome::SkippedByOperator => by_operator,
        }
    }

    pub(super) fn duplicates(&self, by: DuplicateBy) -> &Counter {
        let [cache, store, process] = &self.duplicates;
        match by {
            DuplicateBy::Cache => cache,
            DuplicateBy::Store => store,
            DuplicateBy::Process => process,
        }
    }

    pub(super) fn failures(&self, kind: FailureKind) -> &Counter {
        let [retryable, fatal, skip, unavailable, panicked, timed_out] = &self.failures;
        match kind {
            FailureKind::Retryable => retryable,
            FailureKind::Fatal => fatal,
            FailureKind::Skip => skip,
            FailureKind::Unavailable => unavailable,
            FailureKind::Panicked => panicked,
            FailureKind::TimedOut => timed_out,
        }
    }

    pub(super) fn commits_failed(&self, kind: RefusalKind) -> &Counter {
        let [rebalance, failed, fenced] = &self.commits_failed;
        match kind {
            RefusalKind::Rebalance => rebalance,
            RefusalKind::Failed => failed,
            RefusalKind::Fenced => fenced,
        }
    }

    pub(super) fn completions(&self, verdict: Verdict) -> &Counter {
        let [first, overrun, possible_overrun] = &self.completions;
        match verdict {
            Verdict::First => first,
            Verdict::Overrun => overrun,
            Verdict::PossibleOverrun => possible_overrun,
        }
    }
}

/// The topics seen so far.
///
/// None is ever forgotten, for its counters must not start again. A consumer's topics are named one by one in its
/// settings, patterns are refused, so there are no more than those.
#[derive(Default)]
pub(super) struct Topics {
    known: RwLock<Known>,
    /// The topic of the last call: the next one mostly has the same.
    last: AtomicUsize,
}

#[derive(Default)]
struct Known {
    topics: Vec<Topic>,
    by_name: HashMap<Arc<str>, usize>,
}

impl Topics {
    /// Counts something of a topic.
    pub(super) fn with<T>(&self, name: &Arc<str>, count: impl FnOnce(&Topic) -> T) -> T {
        loop {
            {
                let known = self.known.read();
                if let Some(topic) = known.find(name, &self.last) {
                    return count(topic);
                }
            }
            self.known.write().add(name);
        }
    }
}

impl std::fmt::Debug for Topics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.known.read().by_name.keys()).finish()
    }
}

impl Known {
    fn find(&self, name: &Arc<str>, last: &AtomicUsize) -> Option<&Topic> {
        let same = |topic: &&Topic| Arc::ptr_eq(&topic.name, name) || topic.name == *name;
        if let Some(topic) = self.topics.get(last.load(Ordering::Relaxed)).filter(same) {
            return Some(topic);
        }
        let index = *self.by_name.get(name)?;
        last.store(index, Ordering::Relaxed);
        self.topics.get(index)
    }

    fn add(&mut self, name: &Arc<str>) {
        if !self.by_name.contains_key(name) {
            self.by_name.insert(Arc::clone(name), self.topics.len());
            self.topics.push(Topic::new(name));
        }
    }
}
