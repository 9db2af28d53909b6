//! Every decision moves the metrics it should, and no other; every metric that is described is emitted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::board::Board;
use super::{partition, record};
use crate::observe::{
    CommitRefused, DuplicateBy, FailureKind, GroupState, KafkaClients, KafkaHealth, KafkaState, Observer, Outcome,
    PartitionStop, RefusalKind, StopCause, WaitsFor,
};
use crate::record::{Epoch, Origin, Record};
use crate::store::{Breaker, Cause, NodeHealth, StoreError, StoreHealth, Verdict};
use crate::telemetry::{Telemetry, names};

const MILLI: Duration = Duration::from_millis(1);

/// Checks by how much `act` changes which numbers, after `before`.
#[track_caller]
fn moves(before: impl FnOnce(&Telemetry), act: impl FnOnce(&Telemetry), expected: &[(&str, f64)]) {
    let board = Board::default();
    metrics::with_local_recorder(&board, || {
        let telemetry = Telemetry::new();
        before(&telemetry);
        let old = board.numbers();
        act(&telemetry);
        let new = board.numbers();
        let all: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
        let change = |series: &String| new.get(series).unwrap_or(&0.0) - old.get(series).unwrap_or(&0.0);
        let changed: BTreeMap<_, _> =
            all.into_iter().map(|series| (series.clone(), change(&series))).filter(|(_, by)| *by != 0.0).collect();
        let expected: BTreeMap<_, _> = expected.iter().map(|(series, by)| ((*series).to_owned(), *by)).collect();
        assert_eq!(changed, expected);
    });
}

fn nothing(_: &Telemetry) {}

/// Of the topic of all records here.
macro_rules! of_topic {
    ($name:literal $(, $label:literal)?) => {
        concat!($name, "{", $($label, ",",)? "topic=\"orders\"}")
    };
}

/// Of the partition of all records here.
macro_rules! of_partition {
    ($name:literal) => {
        concat!($name, "{partition=\"7\",topic=\"orders\"}")
    };
}

#[test]
fn records_move_from_one_count_to_another() {
    let delivered = |t: &Telemetry| t.on_delivered(&partition(), 5);
    moves(
        nothing,
        delivered,
        &[(of_topic!("hapax_records_delivered_total"), 5.0), (of_topic!("hapax_records_in_flight"), 5.0)],
    );
    for (outcome, settled) in [
        (Outcome::Handled, of_topic!("hapax_records_settled_total", "outcome=\"handled\"")),
        (Outcome::Duplicate, of_topic!("hapax_records_settled_total", "outcome=\"duplicate\"")),
        (Outcome::DeadLettered, of_topic!("hapax_records_settled_total", "outcome=\"dead_lettered\"")),
        (Outcome::Retried, of_topic!("hapax_records_settled_total", "outcome=\"retried\"")),
        (Outcome::Expired, of_topic!("hapax_records_settled_total", "outcome=\"expired\"")),
        (Outcome::Skipped, of_topic!("hapax_records_settled_total", "outcome=\"skipped\"")),
        (Outcome::SkippedByOperator, of_topic!("hapax_records_settled_total", "outcome=\"skipped_by_operator\"")),
    ] {
        moves(
            delivered,
            |t| t.on_settle(&record(), outcome, 250 * MILLI),
            &[
                (settled, 1.0),
                (of_topic!("hapax_records_in_flight"), -1.0),
                (of_topic!("hapax_settle_duration_seconds_count"), 1.0),
                (of_topic!("hapax_settle_duration_seconds_sum"), 0.25),
            ],
        );
    }
    moves(
        delivered,
        |t| t.on_give_back(&partition(), 3),
        &[(of_topic!("hapax_records_given_back_total"), 3.0), (of_topic!("hapax_records_in_flight"), -3.0)],
    );
}

#[test]
fn what_happens_on_the_way_settles_nothing() {
    moves(nothing, |t| t.on_claim(&record(), 0, false), &[(of_topic!("hapax_claims_total"), 1.0)]);
    let taken_over = [(of_topic!("hapax_claims_total"), 1.0), (of_topic!("hapax_suspects_total"), 1.0)];
    moves(nothing, |t| t.on_claim(&record(), 1, true), &taken_over);
    moves(nothing, |t| t.on_park(&record(), Some(MILLI)), &[(of_topic!("hapax_parked_total"), 1.0)]);
    moves(
        nothing,
        |t| t.on_handled(&record(), 1, 500 * MILLI),
        &[
            (of_topic!("hapax_handler_duration_seconds_count"), 1.0),
            (of_topic!("hapax_handler_duration_seconds_sum"), 0.5),
        ],
    );
    moves(nothing, |t| t.on_retry(&record(), 1, MILLI), &[(of_topic!("hapax_retries_total"), 1.0)]);
    moves(nothing, |t| t.on_dead_letter(&record(), 5, "why"), &[(of_topic!("hapax_dead_letters_total"), 1.0)]);
    moves(nothing, |t| t.on_delivery_failed(&record(), "why"), &[(of_topic!("hapax_deliveries_failed_total"), 1.0)]);
    moves(nothing, |t| t.on_expire(&record(), MILLI), &[]);
    moves(nothing, |t| t.on_lease_lost(&record()), &[(of_topic!("hapax_leases_lost_total"), 1.0)]);
    let first = Origin { partition: partition(), offset: 7 };
    moves(nothing, |t| t.on_conflict(&record(), &first), &[(of_topic!("hapax_conflicts_total"), 1.0)]);
}

#[test]
fn every_kind_has_its_own_count() {
    for (by, counted) in [
        (DuplicateBy::Cache, "hapax_duplicates_total{by=\"cache\",topic=\"orders\"}"),
        (DuplicateBy::Store, "hapax_duplicates_total{by=\"store\",topic=\"orders\"}"),
        (DuplicateBy::Process, "hapax_duplicates_total{by=\"process\",topic=\"orders\"}"),
    ] {
        moves(nothing, |t| t.on_duplicate(&record(), by, None), &[(counted, 1.0)]);
    }
    for (kind, counted) in [
        (FailureKind::Retryable, of_topic!("hapax_attempts_failed_total", "kind=\"retryable\"")),
        (FailureKind::Fatal, of_topic!("hapax_attempts_failed_total", "kind=\"fatal\"")),
        (FailureKind::Skip, of_topic!("hapax_attempts_failed_total", "kind=\"skip\"")),
        (FailureKind::Unavailable, of_topic!("hapax_attempts_failed_total", "kind=\"unavailable\"")),
        (FailureKind::Panicked, of_topic!("hapax_attempts_failed_total", "kind=\"panicked\"")),
        (FailureKind::TimedOut, of_topic!("hapax_attempts_failed_total", "kind=\"timed_out\"")),
    ] {
        moves(nothing, |t| t.on_failure(&record(), 1, kind), &[(counted, 1.0)]);
    }
    for (verdict, counted) in [
        (Verdict::First, "hapax_completions_total{topic=\"orders\",verdict=\"first\"}"),
        (Verdict::Overrun, "hapax_completions_total{topic=\"orders\",verdict=\"overrun\"}"),
        (Verdict::PossibleOverrun, "hapax_completions_total{topic=\"orders\",verdict=\"possible_overrun\"}"),
    ] {
        moves(nothing, |t| t.on_complete(&record(), verdict), &[(counted, 1.0)]);
    }
}

#[test]
fn commits_are_counted_with_their_lag() {
    moves(
        nothing,
        |t| t.on_commit(&partition(), 43, 500 * MILLI),
        &[
            (of_topic!("hapax_commits_total"), 1.0),
            (of_topic!("hapax_commit_lag_seconds_count"), 1.0),
            (of_topic!("hapax_commit_lag_seconds_sum"), 0.5),
            (of_partition!("hapax_committed_offset"), 43.0),
        ],
    );
    for (kind, failed) in [
        (RefusalKind::Rebalance, of_topic!("hapax_commits_failed_total", "kind=\"rebalance\"")),
        (RefusalKind::Failed, of_topic!("hapax_commits_failed_total", "kind=\"failed\"")),
        (RefusalKind::Fenced, of_topic!("hapax_commits_failed_total", "kind=\"fenced\"")),
    ] {
        let refused = CommitRefused { kind, reason: "why".to_owned() };
        moves(nothing, |t| t.on_commit_failed(&partition(), 44, &refused), &[(failed, 1.0)]);
    }
}

#[test]
fn a_partition_shows_its_state_and_no_other_once_it_is_gone() {
    let busy = |t: &Telemetry| {
        t.on_assign(&partition(), Epoch(1));
        t.on_stop(&partition(), &PartitionStop::new(42, StopCause::NoId, "why"));
        t.on_pause(&partition(), true);
        t.on_stall(&partition(), 42, MILLI, &WaitsFor::Stopped);
    };
    moves(
        nothing,
        busy,
        &[
            (of_partition!("hapax_partition_assigned"), 1.0),
            (of_partition!("hapax_partition_stopped"), 1.0),
            (of_partition!("hapax_partition_paused"), 1.0),
            (of_partition!("hapax_partition_stalled"), 1.0),
            ("hapax_stalls_total{topic=\"orders\",waits_for=\"stopped\"}", 1.0),
            ("hapax_rebalances_total{kind=\"assigned\"}", 1.0),
        ],
    );
    let gone = |how| {
        [
            (of_partition!("hapax_partition_assigned"), -1.0),
            (of_partition!("hapax_partition_stopped"), -1.0),
            (of_partition!("hapax_partition_paused"), -1.0),
            (of_partition!("hapax_partition_stalled"), -1.0),
            (how, 1.0),
        ]
    };
    moves(busy, |t| t.on_revoke(&partition(), Epoch(1), true), &gone("hapax_rebalances_total{kind=\"drained\"}"));
    moves(busy, |t| t.on_revoke(&partition(), Epoch(1), false), &gone("hapax_rebalances_total{kind=\"cut_off\"}"));
    moves(busy, |t| t.on_lost(&partition(), Epoch(1)), &gone("hapax_rebalances_total{kind=\"lost\"}"));
}

#[test]
fn a_stall_counts_once_until_it_waits_for_something_else_or_is_over() {
    let stall = |t: &Telemetry, waits_for| t.on_stall(&partition(), 42, MILLI, &waits_for);
    let stalled = |t: &Telemetry| stall(t, WaitsFor::Handler(MILLI));
    moves(stalled, |t| stall(t, WaitsFor::Handler(2 * MILLI)), &[]);
    let counted = "hapax_stalls_total{topic=\"orders\",waits_for=\"completion\"}";
    moves(stalled, |t| stall(t, WaitsFor::Completion), &[(counted, 1.0)]);
    moves(stalled, |t| t.on_stall_over(&partition()), &[(of_partition!("hapax_partition_stalled"), -1.0)]);
    let over = |t: &Telemetry| {
        stalled(t);
        t.on_stall_over(&partition());
    };
    let again = "hapax_stalls_total{topic=\"orders\",waits_for=\"handler\"}";
    moves(over, stalled, &[(again, 1.0), (of_partition!("hapax_partition_stalled"), 1.0)]);
}

#[test]
fn a_record_is_as_old_as_its_timestamp_says() {
    let settled = |timestamp: i64| {
        let board = Board::default();
        let record = Record::builder(partition(), 42).timestamp(timestamp).build();
        metrics::with_local_recorder(&board, || Telemetry::new().on_settle(&record, Outcome::Handled, MILLI));
        let numbers = board.numbers();
        let of = |series| numbers.get(series).copied().unwrap_or_default();
        (of(of_topic!("hapax_record_age_seconds_count")), of(of_topic!("hapax_record_age_seconds_sum")))
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let now = i64::try_from(now.as_millis()).expect("a clock that is not mad");
    let (count, age) = settled(now - 3_600_000);
    assert!(count == 1.0 && (3600.0..3660.0).contains(&age), "{count} of {age} s");
    assert_eq!(settled(now + 3_600_000), (1.0, 0.0), "from the future: new");
    assert_eq!(settled(-1), (0.0, 0.0), "before 1970: no time at all");
}

#[test]
fn the_store_is_shown() {
    let away = NodeHealth { breaker: Breaker::Open, problem: Some("away".to_owned()), ..NodeHealth::default() };
    let health = StoreHealth::of_nodes("redis", vec![away]);
    let found = ("hapax_store_finding{finding=\"unreachable\"}", 1.0);
    moves(nothing, |t| t.on_store_health(&health), &[("hapax_store_breaker{}", 2.0), found]);
    let error = StoreError::Unavailable(Cause::new("away"));
    let counted = "hapax_store_errors_total{kind=\"unavailable\",operation=\"claim\"}";
    moves(nothing, |t| t.on_store_error("claim", &error), &[(counted, 1.0)]);
}

#[test]
fn the_state_of_each_kafka_client_is_a_gauge() {
    let health = |state, last_answer| {
        let mut health = KafkaHealth::default();
        (health.state, health.last_answer) = (state, last_answer);
        health
    };
    for (state, number) in [(KafkaState::NoCoordinator, 1.0), (KafkaState::Unreachable, 2.0), (KafkaState::Denied, 3.0)]
    {
        let mut consumer = health(state, 12_500);
        consumer.group = Some(GroupState::Joined);
        let clients = KafkaClients::new(consumer, Some(health(KafkaState::Unreachable, 9_000)));
        moves(
            nothing,
            |t| t.on_kafka_health(&clients),
            &[
                ("hapax_kafka_group_joined{}", 1.0),
                ("hapax_kafka_last_answer_timestamp_seconds{client=\"consumer\"}", 12.5),
                ("hapax_kafka_last_answer_timestamp_seconds{client=\"producer\"}", 9.0),
                ("hapax_kafka_state{client=\"consumer\"}", number),
                ("hapax_kafka_state{client=\"producer\"}", 2.0),
            ],
        );
    }
}

#[test]
fn every_metric_is_emitted_as_described_and_no_other() {
    let board = Board::default();
    metrics::with_local_recorder(&board, || {
        let telemetry = Telemetry::new();
        // All that is counted per topic shows from its first record on, at zero.
        telemetry.on_delivered(&partition(), 1);
        telemetry.on_assign(&partition(), Epoch(1));
        telemetry.on_stall(&partition(), 42, MILLI, &WaitsFor::Turn);
        telemetry.on_commit(&partition(), 43, MILLI);
        telemetry.on_store_error("claim", &StoreError::Unavailable(Cause::new("away")));
        telemetry.on_store_health(&StoreHealth::of_nodes("redis", vec![NodeHealth::default()]));
        telemetry.on_kafka_health(&KafkaClients::default());
    });
    let mut emitted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for series in board.series() {
        let (name, labels) = series.trim_end_matches('}').split_once('{').expect("labels");
        let labels = labels.split(',').filter_map(|label| label.split_once('=')).map(|(label, _)| label.to_owned());
        emitted.insert(name.to_owned(), labels.collect());
    }
    let described: BTreeMap<String, BTreeSet<String>> = names::ALL
        .iter()
        .map(|metric| (metric.name.to_owned(), metric.labels.iter().map(|label| (*label).to_owned()).collect()))
        .collect();
    assert_eq!(emitted, described);
}

/// `increase()` sees no change where a series begins with its first event.
#[test]
fn counter_known_label_value_is_there_before_its_first_event() {
    let board = Board::default();
    metrics::with_local_recorder(&board, || {
        let counters = || {
            let series = board.series();
            series.into_iter().filter(|series| series.contains("_total{")).collect::<BTreeSet<_>>()
        };
        let telemetry = Telemetry::new();
        telemetry.on_assign(&partition(), Epoch(1));
        let before = counters();
        assert!(before.contains("hapax_stalls_total{topic=\"orders\",waits_for=\"elsewhere\"}"), "{before:?}");
        let cause = || Cause::new("away");
        for error in [
            StoreError::Unknown(cause()),
            StoreError::Unavailable(cause()),
            StoreError::Full(cause()),
            StoreError::Refused(cause()),
        ] {
            for operation in ["claim", "renew", "complete", "release", "inspect"] {
                telemetry.on_store_error(operation, &error);
            }
        }
        for waits_for in [
            WaitsFor::Claim,
            WaitsFor::Elsewhere,
            WaitsFor::Twin,
            WaitsFor::Turn,
            WaitsFor::Completion,
            WaitsFor::Delivery,
            WaitsFor::Stopped,
        ] {
            telemetry.on_stall(&partition(), 42, MILLI, &waits_for);
        }
        telemetry.on_delivered(&partition(), 1);
        telemetry.on_revoke(&partition(), Epoch(1), true);
        telemetry.on_revoke(&partition(), Epoch(1), false);
        telemetry.on_lost(&partition(), Epoch(1));
        assert_eq!(counters(), before);
    });
}
