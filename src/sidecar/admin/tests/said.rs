//! The one sentence: what is worst comes first.

use super::super::state::{TargetCondition, TargetState};
use super::super::status::Snapshot;
use super::super::tally::Tally;
use super::super::verdict::{Severity, verdict};
use super::super::views::{PartitionView, StoppedView, WaitingView};
use crate::observe::{KafkaClients, KafkaHealth, KafkaState, PartitionStop, StopCause};
use crate::record::TopicPartition;
use crate::store::{self, Breaker, Finding, NodeHealth, StoreHealth};

fn part(number: i32) -> PartitionView {
    PartitionView {
        topic: "orders".to_owned(),
        partition: number,
        epoch: 1,
        phase: "active",
        stopped: None,
        watermark: Some(7),
        committed: Some(5),
        in_flight: 2,
        running: 1,
        settled: 7,
        held_back: false,
        waiting: None,
    }
}

fn snapshot() -> Snapshot {
    let tally = Tally::new();
    Snapshot {
        at: 0,
        version: "1",
        namespace: "billing".to_owned(),
        delivery: "push",
        uptime_s: 9,
        paused: None,
        target: None,
        store_mode: "compact",
        store: StoreHealth::of("redis"),
        kafka: Some(KafkaClients::default()),
        start_waits: None,
        counts: tally.counts(),
        rates: tally.rates(),
        partitions: Some(vec![part(0), part(1)]),
    }
}

fn stop(parts: &mut [PartitionView]) {
    for part in parts {
        part.phase = "stopped";
        part.stopped = Some(StoppedView::of(
            &TopicPartition::new("orders", 0),
            &PartitionStop::new(41, StopCause::NoId, "its ID is empty."),
        ));
    }
}

fn wait(snapshot: &mut Snapshot, seconds: u64) {
    let waiting =
        WaitingView { offset: 7, waits_for: "handler", says: "its handler".to_owned(), since_ms: seconds * 1000 };
    snapshot.partitions.as_mut().unwrap()[1].waiting = Some(waiting);
}

fn find(snapshot: &mut Snapshot, severity: store::Severity) {
    let finding =
        Finding { severity, name: "evicting", address: "r:1".to_owned(), says: "it evicts".to_owned(), remedy: "buy" };
    snapshot.store.findings.push(finding);
}

fn aim(snapshot: &mut Snapshot, condition: TargetCondition, says: Option<&str>) {
    let says = says.map(str::to_owned);
    snapshot.target = Some(TargetState { url: "http://app".to_owned(), condition, says });
}

fn reach(snapshot: &mut Snapshot, state: KafkaState, problem: Option<&str>) {
    let kafka = snapshot.kafka.as_mut().unwrap();
    (snapshot.at, kafka.consumer.since, kafka.consumer.last_answer) = (100_000, 40_000, 15_000);
    (kafka.consumer.state, kafka.consumer.problem) = (state, problem.map(str::to_owned));
}

fn says(change: impl FnOnce(&mut Snapshot)) -> (Severity, String) {
    let mut snapshot = snapshot();
    change(&mut snapshot);
    verdict(&snapshot)
}

#[test]
fn each_thing_that_is_wrong_has_its_sentence() {
    use Severity::{Error, Ok, Warning};
    type Change = fn(&mut Snapshot);
    let table: &[(Change, Severity, &str)] = &[
        (
            |s| {
                stop(&mut s.partitions.as_mut().unwrap()[..1]);
                s.partitions.as_mut().unwrap()[0].stopped.as_mut().unwrap().reason = "It is X. Do Y, or Z.".to_owned();
            },
            Error,
            "is stopped at offset 41: It is X. What to do stands at the partition.",
        ),
        (|_| {}, Ok, "All is well: 2 partitions, 0 records handled and 0 duplicates dropped per second."),
        (|s| s.partitions = Some(vec![]), Ok, "All is well, and no partition is assigned to this process."),
        (|s| (s.delivery, s.partitions) = ("pull", None), Ok, "All is well."),
        (|s| s.partitions = None, Error, "The consumer does not answer"),
        (
            |s| stop(&mut s.partitions.as_mut().unwrap()[..1]),
            Error,
            "Partition orders-0 is stopped at offset 41: its ID is empty.",
        ),
        (|s| stop(s.partitions.as_mut().unwrap()), Error, "its ID is empty. One more partition is stopped."),
        (|s| s.store.breaker = Breaker::Open, Error, "The store is not reached: nothing is handled until it is"),
        (
            |s| {
                let mut node = NodeHealth::default();
                (node.breaker, node.problem) = (Breaker::Open, Some("connection refused".to_owned()));
                s.store = StoreHealth::of_nodes("redis", vec![node]);
            },
            Error,
            "The store is not reached (connection refused): nothing is handled",
        ),
        (
            |s| reach(s, KafkaState::Unreachable, Some("connection refused")),
            Error,
            "Kafka has not answered for 1 min 25 s (connection refused): nothing new arrives and nothing is committed; nothing is \
             lost",
        ),
        (
            |s| reach(s, KafkaState::NoCoordinator, None),
            Error,
            "Kafka answers, and the group has had no coordinator for 1 min:",
        ),
        (
            |s| reach(s, KafkaState::Denied, Some("invalid password")),
            Error,
            "Kafka does not let this process in (invalid password): nothing new arrives",
        ),
        (
            |s| {
                s.at = 100_000;
                let mut producer = KafkaHealth::default();
                (producer.state, producer.last_answer) = (KafkaState::Unreachable, 40_000);
                s.kafka.as_mut().unwrap().producer = Some(producer);
            },
            Warning,
            "Kafka has not answered the producer of copies for 1 min: records for dead-letter",
        ),
        (
            |s| (s.start_waits, s.kafka) = (Some("Kafka is not available yet: away".to_owned()), None),
            Warning,
            "The start waits: Kafka is not available yet: away.",
        ),
        (|s| s.store.breaker = Breaker::HalfOpen, Warning, "The connection to the store is being made."),
        (|s| find(s, store::Severity::Error), Error, "The store at r:1: it evicts. To do: buy."),
        (|s| find(s, store::Severity::Warning), Warning, "The store at r:1: it evicts. To do: buy."),
        (
            |s| aim(s, TargetCondition::Misconfigured, Some("it answers 404: check the path")),
            Error,
            "The application cannot be used as it is: it answers 404: check the path.",
        ),
        (|s| aim(s, TargetCondition::Gone, None), Error, "asked for an end of delivery"),
        (|s| aim(s, TargetCondition::Unavailable, None), Warning, "The target is not available, and is tried again."),
        (|s| aim(s, TargetCondition::Starting, Some("no connection")), Warning, "waits for the target: no connection."),
        (|s| aim(s, TargetCondition::Ready, None), Ok, "All is well"),
        (
            |s| s.paused = Some("night".to_owned()),
            Warning,
            "Paused by an operator: night. 2 handlers are still running.",
        ),
        (|s| wait(s, 59), Ok, "All is well"),
        (|s| wait(s, 75), Warning, "Partition orders-1 has waited for 1 min 15 s at offset 7 for its handler."),
    ];
    for (change, severity, beginning) in table {
        let (is, says) = says(change);
        assert!(is == *severity && says.contains(beginning), "{is:?} {says}, and not {severity:?} {beginning}");
    }
}

#[test]
fn what_is_worse_is_said_first() {
    let all: [fn(&mut Snapshot); 9] = [
        |s| s.store.breaker = Breaker::Open,
        |s| reach(s, KafkaState::Unreachable, None),
        |s| stop(&mut s.partitions.as_mut().unwrap()[..1]),
        |s| aim(s, TargetCondition::Misconfigured, Some("it answers 404")),
        |s| find(s, store::Severity::Error),
        |s| s.start_waits = Some("the store is not available yet".to_owned()),
        |s| s.paused = Some("night".to_owned()),
        |s| wait(s, 75),
        |s| find(s, store::Severity::Warning),
    ];
    for first in 0..all.len() {
        let alone = says(all[first]);
        let with_all_that_follow = says(|snapshot| all[first..].iter().for_each(|change| change(snapshot)));
        assert_eq!(alone.0, with_all_that_follow.0);
        assert_eq!(
            alone.1.split(' ').take(4).collect::<Vec<_>>(),
            with_all_that_follow.1.split(' ').take(4).collect::<Vec<_>>()
        );
    }
}
