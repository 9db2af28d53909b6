//! Every metric that is described is emitted, with the labels that it is described with, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshot};

use super::{Telemetry, names};
use crate::observe::{DuplicateBy, FailureKind, Observer};
use crate::record::{Epoch, Origin, Record, TopicPartition};
use crate::store::{Breaker, Cause, NodeHealth, StoreError, StoreHealth, Verdict};

/// Lets every decision happen once.
fn observed() -> Snapshot {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let partition = TopicPartition::new("orders", 7);
    let record = Record::builder(partition.clone(), 42).build();
    metrics::with_local_recorder(&recorder, || {
        let telemetry = Telemetry::new();
        telemetry.on_delivered(&partition, 3);
        telemetry.on_claim(&record, 0, false);
        telemetry.on_claim(&record, 1, true);
        telemetry.on_duplicate(&record, DuplicateBy::Store, None);
        telemetry.on_conflict(&record, &Origin { partition: partition.clone(), offset: 7 });
        telemetry.on_park(&record, Some(Duration::from_secs(1)));
        telemetry.on_handled(&record, 1, Duration::from_millis(5));
        telemetry.on_failure(&record, 1, FailureKind::Panicked);
        telemetry.on_complete(&record, Verdict::Overrun);
        telemetry.on_lease_lost(&record);
        telemetry.on_assign(&partition, Epoch(1));
        telemetry.on_stop(&partition, 42, "a reason");
        telemetry.on_pause(&partition, true);
        telemetry.on_commit(&partition, 43, Duration::ZERO);
        telemetry.on_commit_failed(&partition, 44, "a reason");
        telemetry.on_lost(&partition, Epoch(1));
        telemetry.on_store_error("claim", &StoreError::Unavailable(Cause::new("away")));
        let away = NodeHealth { breaker: Breaker::Open, problem: Some("away".to_owned()), ..NodeHealth::default() };
        telemetry.on_store_health(&StoreHealth::of_nodes("redis", vec![away]));
    });
    snapshotter.snapshot()
}

#[test]
fn every_metric_is_emitted_as_described() {
    let mut emitted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, _, _, _) in observed().into_vec() {
        let labels = key.key().labels().map(|label| label.key().to_owned()).collect();
        emitted.insert(key.key().name().to_owned(), labels);
    }
    let described: BTreeMap<String, BTreeSet<String>> = names::ALL
        .iter()
        .map(|metric| (metric.name.to_owned(), metric.labels.iter().map(|label| (*label).to_owned()).collect()))
        .collect();
    assert_eq!(emitted, described);
}

#[test]
fn decisions_are_counted() {
    let value = |name: &str, label: &str| {
        let found = observed().into_vec().into_iter().find(|(key, ..)| {
            key.key().name() == name && (label.is_empty() || key.key().labels().any(|held| held.value() == label))
        });
        found.map(|(_, _, _, value)| value)
    };
    assert_eq!(value(names::DELIVERED, ""), Some(DebugValue::Counter(3)));
    assert_eq!(value(names::CLAIMS, ""), Some(DebugValue::Counter(2)));
    assert_eq!(value(names::SUSPECTS, ""), Some(DebugValue::Counter(1)));
    assert_eq!(value(names::DUPLICATES, "store"), Some(DebugValue::Counter(1)));
    assert_eq!(value(names::DUPLICATES, "cache"), Some(DebugValue::Counter(0)));
    assert_eq!(value(names::CONFLICTS, "orders"), Some(DebugValue::Counter(1)));
    assert_eq!(value(names::COMPLETIONS, "overrun"), Some(DebugValue::Counter(1)));
    assert_eq!(value(names::ATTEMPTS_FAILED, "panicked"), Some(DebugValue::Counter(1)));
    assert_eq!(value(names::STORE_ERRORS, "unavailable"), Some(DebugValue::Counter(1)));
    assert_eq!(value(names::STORE_BREAKER, ""), Some(DebugValue::Gauge(2.0.into())));
    assert_eq!(value(names::STORE_FINDING, "unreachable"), Some(DebugValue::Gauge(1.0.into())));
    assert_eq!(value(names::STORE_FINDING, "evicting"), Some(DebugValue::Gauge(0.0.into())));
    assert_eq!(value(names::COMMITTED_OFFSET, "7"), Some(DebugValue::Gauge(43.0.into())));
    assert_eq!(value(names::ASSIGNED, "7"), Some(DebugValue::Gauge(0.0.into())));
}
