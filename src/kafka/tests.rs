//! Against librdkafka's in-process cluster.

mod cluster;
mod commits;
mod contact;
mod leaders;
mod outages;
mod publisher;
mod rebalance;
mod settings;
mod silence;

use std::time::Duration;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::time::Instant;

use super::{KafkaSettings, OffsetLost, Source, SourceError, SourceEvent, StartAt};
use crate::engine::Assignment;
use cluster::{Cluster, GROUP, Member, TOPIC, bad_headers, numbers};

#[tokio::test]
async fn records_arrive_owned_and_whole() {
    let cluster = Cluster::new(1);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "ce_id", value: Some("7") })
        .insert(Header { key: "empty", value: Some("") })
        .insert(Header { key: "null", value: None::<&str> })
        .insert(Header { key: "ce_id", value: Some("8") });
    cluster
        .send(BaseRecord::to(TOPIC).key("key").payload(&b"payload"[..]).timestamp(1_700_000_000_123).headers(headers));
    cluster.send(BaseRecord::to(TOPIC).key("tombstone"));
    cluster.send(BaseRecord::to(TOPIC).payload(&b""[..]).headers(bad_headers()));

    let mut member = cluster.start().await;
    let assignments = member.assigned().await;
    let taken = member.take(3).await;
    // What the source held is gone; the records are not.
    member.close().await;

    let (assignment, first) = &taken[0];
    assert_eq!(assignment, &assignments[0]);
    assert_eq!((first.topic(), first.partition().partition(), first.offset()), (TOPIC, 0, 0));
    assert_eq!(first.timestamp(), Some(1_700_000_000_123));
    assert_eq!(first.key().map(|key| &key[..]), Some(&b"key"[..]));
    assert_eq!(first.payload().map(|payload| &payload[..]), Some(&b"payload"[..]));
    let headers: Vec<_> = first.headers().iter().map(|each| (&*each.name, each.value.as_deref())).collect();
    assert_eq!(
        headers,
        [("ce_id", Some(&b"7"[..])), ("empty", Some(&b""[..])), ("null", None), ("ce_id", Some(&b"8"[..]))]
    );
    let tombstone = &taken[1].1;
    assert_eq!((tombstone.key().map(|key| &key[..]), tombstone.payload()), (Some(&b"tombstone"[..]), None));
    let odd = &taken[2].1;
    assert_eq!((odd.key(), odd.payload().map(|payload| payload.len())), (None, Some(0)));
    assert_eq!(&*odd.headers()[0].name, "bad-\u{fffd}");
}

#[tokio::test]
async fn a_new_group_starts_at_the_earliest_and_goes_on_where_it_committed() {
    let cluster = Cluster::new(2);
    cluster.produce(0, 0..10);
    cluster.produce(1, 10..20);
    let mut member = cluster.start().await;
    let assignments = member.assigned().await;
    assert_eq!(member.take(20).await.len(), 20);
    assert_eq!(member.commit(&assignments[0], 7).await, Ok(()));
    member.close().await;
    assert_eq!(cluster.committed(2), [Some(7), None]);

    let mut member = cluster.start().await;
    let again = member.assigned().await;
    assert_eq!(again.len(), 2);
    let mut seen = numbers(&member.take(13).await);
    seen.sort_unstable();
    assert_eq!(seen, (7..20).collect::<Vec<_>>());
    member.close().await;
}

#[tokio::test]
async fn commits_are_answered_once_each_and_never_go_back() {
    let cluster = Cluster::new(2);
    cluster.produce(0, 0..10);
    let mut member = cluster.start().await;
    let assignments = member.assigned().await;
    member.take(10).await;

    // Together, without waiting: one request for each partition, an answer for each commit.
    for offset in [3, 4, 5] {
        member.source.commit(assignments[0].clone(), offset).await;
    }
    let mut answered = Vec::new();
    while answered.len() < 3 {
        match member.next().await {
            SourceEvent::Committed { assignment, offset, result } if assignment == assignments[0] => {
                answered.push((offset, result));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(answered, [(3, Ok(())), (4, Ok(())), (5, Ok(()))]);
    assert_eq!(cluster.committed(2), [Some(5), None]);

    assert!(member.commit(&assignments[0], 4).await.is_err(), "a commit may not go back");
    let mut old = assignments[0].clone();
    old.epoch.0 -= 1;
    assert!(member.commit(&old, 9).await.is_err(), "an epoch that is over may not commit");
    assert_eq!(cluster.committed(2), [Some(5), None]);
    member.close().await;
}

#[tokio::test]
async fn a_refused_commit_is_told_and_the_next_one_works() {
    let cluster = Cluster::new(1);
    cluster.produce(0, 0..5);
    let mut member = cluster.start().await;
    let assignments = member.assigned().await;
    member.take(5).await;
    let refusal = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_COMMIT_OFFSET_SIZE];
    cluster.mock().request_errors(RDKafkaApiKey::OffsetCommit, &refusal);
    assert!(member.commit(&assignments[0], 2).await.is_err());
    assert_eq!(member.commit(&assignments[0], 3).await, Ok(()));
    member.close().await;
    assert_eq!(cluster.committed(1), [Some(3)]);
}

#[tokio::test]
async fn records_that_nobody_takes_are_held_back_and_neither_lost_nor_repeated() {
    const EACH: u32 = 15_000;
    let cluster = Cluster::new(2);
    cluster.produce(0, 0..EACH);
    cluster.produce(1, 0..EACH);
    let mut member = cluster.start().await;
    let assignments = member.assigned().await;
    let mut taken = Vec::new();
    for _ in 0..2 {
        while !member.source.inspect().await.stalled {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Commits are served and callbacks come meanwhile.
        let offset = taken.len() as i64;
        assert_eq!(member.commit(&assignments[0], offset).await, Ok(()));
        taken.extend(member.take(9_000).await);
    }
    taken.extend(member.take(2 * EACH as usize - taken.len()).await);
    for assignment in &assignments {
        let offsets: Vec<_> = taken.iter().filter(|(from, _)| from == assignment).map(|(_, r)| r.offset()).collect();
        assert_eq!(offsets, (0..i64::from(EACH)).collect::<Vec<_>>());
    }
    assert!(member.source.inspect().await.longest_gap < Duration::from_secs(1));
    member.close().await;
}

#[tokio::test]
async fn a_paused_partition_is_silent_until_it_is_resumed() {
    let cluster = Cluster::new(2);
    cluster.produce(0, 0..1);
    cluster.produce(1, 0..1);
    let mut member = cluster.start().await;
    let assignments = member.assigned().await;
    member.take(2).await;
    member.source.pause(assignments[0].clone()).await;
    // Obeyed once this is answered.
    member.source.inspect().await;
    cluster.produce(0, 1..6);
    cluster.produce(1, 1..6);
    let taken = member.take(5).await;
    assert!(taken.iter().all(|(from, _)| *from == assignments[1]), "{taken:?}");
    member.source.resume(assignments[0].clone()).await;
    let taken = member.take(5).await;
    assert!(taken.iter().all(|(from, _)| *from == assignments[0]));
    assert_eq!(numbers(&taken), [1, 2, 3, 4, 5]);
    member.close().await;
}

#[tokio::test]
async fn a_committed_offset_that_no_longer_exists_stops_the_source() {
    let cluster = Cluster::new(2);
    cluster.produce(0, 0..10);
    cluster.produce(1, 0..10);
    let mut member = cluster.start().await;
    let assignments = member.assigned().await;
    member.take(20).await;
    assert_eq!(member.commit(&assignments[1], 1000).await, Ok(()));
    member.close().await;

    let mut member = cluster.start().await;
    member.assigned().await;
    let SourceEvent::Failed(error) = member.next().await else { panic!("a failure was expected") };
    let SourceError::OffsetLost { partition: Some(partition), next: Some(1000), .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(partition.to_string(), "orders-1");
    assert_eq!(
        error.to_string(),
        "offset 1000 of orders-1 does not exist: the broker holds 0 to 10 (the end is not included): set the group's \
         offset by hand (kafka-consumer-groups --reset-offsets) and start again; nothing was skipped"
    );
    member.close().await;
    assert_eq!(cluster.committed(2), [None, Some(1000)]);
}

/// A committed offset beyond the end, a policy, and where the member goes on.
async fn lost(policy: OffsetLost) -> (Cluster, Member, Vec<Assignment>) {
    let cluster = Cluster::new(2);
    cluster.produce(0, 0..10);
    cluster.produce(1, 0..10);
    let mut settings = cluster.settings();
    settings.offset_lost = policy;
    let mut member = Member::start(settings.clone()).await;
    let assignments = member.assigned().await;
    member.take(20).await;
    assert_eq!(member.commit(&assignments[0], 10).await, Ok(()));
    assert_eq!(member.commit(&assignments[1], 1000).await, Ok(()));
    member.close().await;
    let mut member = Member::start(settings).await;
    let assignments = member.assigned().await;
    (cluster, member, assignments)
}

#[tokio::test]
async fn an_offset_that_is_lost_goes_on_at_the_earliest_in_another_epoch_and_commits_may_go_back() {
    let (cluster, mut member, assignments) = lost(OffsetLost::Earliest).await;
    let taken = member.take(10).await;
    assert_eq!(member.lost().await, assignments[1..]);
    let anew = member.assigned().await;
    assert_eq!(anew[0].partition, assignments[1].partition);
    assert!(anew.len() == 1 && anew[0].epoch > assignments[1].epoch);
    assert!(taken.iter().all(|(from, _)| *from == anew[0]));
    assert_eq!(numbers(&taken), (0..10).collect::<Vec<_>>());
    assert!(member.commit(&assignments[1], 1001).await.is_err(), "nothing of the old log is committed");
    assert_eq!(member.commit(&anew[0], 4).await, Ok(()));
    // The other partition kept its epoch.
    cluster.produce(0, 10..12);
    let taken = member.take(2).await;
    assert!(taken.iter().all(|(from, _)| *from == assignments[0]));
    member.close().await;
    assert_eq!(cluster.committed(2), [Some(10), Some(4)]);
}

#[tokio::test]
async fn an_offset_that_is_lost_goes_on_at_the_latest() {
    let (cluster, mut member, assignments) = lost(OffsetLost::Latest).await;
    // Until it has found the end, what is written may lie before that.
    let mut taken = Vec::new();
    for number in 10.. {
        cluster.produce(1, number..number + 1);
        let waited = tokio::time::timeout(Duration::from_millis(200), member.events.records.recv()).await;
        if let Ok(Some(batch)) = waited {
            taken.extend(batch.records.into_iter().map(|record| (batch.assignment.clone(), record)));
            break;
        }
    }
    assert_eq!(member.lost().await, assignments[1..]);
    let anew = member.assigned().await;
    assert!(taken[0].0 == anew[0] && taken[0].1.offset() >= 10, "{taken:?}");
    assert_eq!(member.commit(&anew[0], taken[0].1.offset() + 1).await, Ok(()));
    member.close().await;
}

#[tokio::test]
async fn a_group_that_starts_at_the_latest_leaves_out_what_was_there() {
    let cluster = Cluster::new(1);
    cluster.produce(0, 0..10);
    let mut settings = cluster.settings();
    settings.start_at = StartAt::Latest;
    let mut member = Member::start(settings).await;
    member.assigned().await;
    let mut number = 10;
    let first = loop {
        cluster.produce(0, number..number + 1);
        number += 1;
        let waited = tokio::time::timeout(Duration::from_millis(200), member.events.records.recv()).await;
        if let Ok(Some(batch)) = waited {
            break batch.records[0].offset();
        }
    };
    assert!(first >= 10, "{first}");
    member.close().await;
}

#[tokio::test]
async fn a_fatal_error_ends_the_source_with_its_reason() {
    let cluster = Cluster::new(1);
    let mut settings = cluster.settings();
    settings.static_member = Some("worker-1".to_owned());
    let mut member = Member::start(settings).await;
    member.assigned().await;
    let fenced = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID; 5];
    cluster.mock().request_errors(RDKafkaApiKey::Heartbeat, &fenced);
    loop {
        match member.next().await {
            SourceEvent::Failed(SourceError::Fatal { reason }) => {
                assert!(reason.to_lowercase().contains("fenced"), "{reason}");
                break;
            }
            SourceEvent::Lost(_) | SourceEvent::RevokeRequested(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let limit = Duration::from_secs(2);
    let begun = Instant::now();
    member.source.close(limit).await;
    assert!(begun.elapsed() < limit + Duration::from_secs(1));
}

#[tokio::test]
async fn a_topic_that_is_deleted_stops_the_source() {
    let cluster = Cluster::new(1);
    let mut settings = cluster.settings();
    for name in ["topic.metadata.refresh.interval.ms", "topic.metadata.propagation.max.ms"] {
        settings.properties.insert(name.to_owned(), "100".to_owned());
    }
    let mut member = Member::start(settings).await;
    member.assigned().await;
    let gone = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.mock().topic_error(TOPIC, gone).expect("the topic is gone");
    loop {
        match member.next().await {
            SourceEvent::Failed(error) => {
                assert_eq!(error, SourceError::UnknownTopic { topic: TOPIC.to_owned() });
                break;
            }
            SourceEvent::RevokeRequested(assignments) => member.source.revoke_done(assignments).await,
            SourceEvent::Lost(_) => {}
            other => panic!("{other:?}"),
        }
    }
    member.close().await;
}

#[tokio::test]
async fn a_close_without_brokers_is_bounded() {
    let cluster = Cluster::new(1);
    cluster.produce(0, 0..5);
    let mut member = cluster.start().await;
    let assignments = member.assigned().await;
    member.take(5).await;
    cluster.mock().broker_down(1).expect("the broker goes down");
    member.source.commit(assignments[0].clone(), 5).await;
    let begun = Instant::now();
    let limit = Duration::from_secs(1);
    assert!(!member.source.close(limit).await, "nobody can have confirmed it");
    assert!(begun.elapsed() < limit + Duration::from_millis(500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_abandoned_source_commits_nothing_and_another_takes_over() {
    let cluster = Cluster::new(1);
    cluster.produce(0, 0..5);
    let mut first = cluster.start().await;
    let assignments = first.assigned().await;
    first.take(5).await;
    let Member { source, mut events } = first;
    // What the thread has not seen yet when the crash comes is not obeyed any more.
    source.freeze(Duration::from_millis(100)).await;
    source.commit(assignments[0].clone(), 5).await;
    source.abandon();
    while events.control.recv().await.is_some() {}
    assert!(events.records.recv().await.is_none());
    assert_eq!(cluster.committed(1), [None]);

    let mut second = cluster.start().await;
    assert_eq!(second.assigned().await[0].partition, assignments[0].partition);
    assert_eq!(numbers(&second.take(5).await), [0, 1, 2, 3, 4]);
    second.close().await;
}

#[tokio::test]
async fn a_source_whose_events_nobody_reads_any_more_ends() {
    let cluster = Cluster::new(1);
    let mut member = cluster.start().await;
    member.assigned().await;
    let Member { source, events } = member;
    drop(events);
    source.commands_closed().await;
}

#[tokio::test]
async fn a_start_that_cannot_work_says_why() {
    let cluster = Cluster::new(1);
    let mut settings = KafkaSettings::new(cluster.mock().bootstrap_servers(), GROUP, ["missing"]);
    let error = Source::start(settings.clone()).await.expect_err("the topic is missing");
    assert_eq!(error, SourceError::UnknownTopic { topic: "missing".to_owned() });

    // A port that nobody listens on: bound here, and closed again.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    settings.brokers = format!("127.0.0.1:{port}");
    settings.start_limit = Duration::from_secs(1);
    let begun = Instant::now();
    let error = Source::start(settings).await.expect_err("nobody answers");
    assert!(begun.elapsed() < Duration::from_secs(4));
    let text = error.to_string();
    assert!(text.starts_with(&format!("no broker of 127.0.0.1:{port} answered within 1 s: ")), "{text}");
    assert!(text.contains("Connection refused"), "{text}");
}
