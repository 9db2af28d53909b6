//! Commits that are refused, coordinators and leaders that move, brokers that are away at the end.

use std::time::Duration;

use futures_util::FutureExt;
use rdkafka::mocking::MockCoordinator;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::time::Instant;

use super::super::SourceEvent;
use super::cluster::{Cluster, GROUP, Member, TOPIC, numbers};
use crate::engine::Assignment;
use crate::observe::{GroupState, KafkaHealth, KafkaState, RefusalKind};
use crate::record::Offset;

/// Commits until it is confirmed, by whatever assignment the member then has; answers that and the first refusal.
async fn commit_in_the_end(
    member: &mut Member,
    assignment: &Assignment,
    offset: Offset,
) -> (Assignment, Option<RefusalKind>) {
    let (mut assignment, mut refused) = (assignment.clone(), None);
    loop {
        member.source.commit(assignment.clone(), offset).await;
        loop {
            match member.next().await {
                SourceEvent::Committed { result: Ok(()), .. } => return (assignment, refused),
                SourceEvent::Committed { result: Err(refusal), .. } => {
                    refused.get_or_insert(refusal.kind);
                    break;
                }
                SourceEvent::Assigned(anew) => assignment = anew.first().expect("the one partition").clone(),
                SourceEvent::RevokeRequested(gone) => member.source.revoke_done(gone).await,
                SourceEvent::Lost(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_commit_that_is_refused_is_dropped_or_repeated_and_the_next_one_goes_through() {
    use RDKafkaRespErr as Code;
    for (code, fenced) in [
        (Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, true),
        (Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, true),
        (Code::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, false),
        (Code::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, false),
        (Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, false),
        (Code::RD_KAFKA_RESP_ERR_NOT_COORDINATOR, false),
        (Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, false),
    ] {
        let cluster = Cluster::new(1);
        cluster.produce(0, 0..5);
        let mut member = cluster.start().await;
        let assigned = member.assigned().await;
        member.take(5).await;
        cluster.mock().request_errors(RDKafkaApiKey::OffsetCommit, &[code]);
        let (held, refused) = commit_in_the_end(&mut member, &assigned[0], 2).await;
        assert!(refused == Some(RefusalKind::Rebalance) || !fenced, "{code:?} is an answer to be told: {refused:?}");
        if held == assigned[0] {
            assert_eq!(member.commit(&held, 4).await, Ok(()), "{code:?}");
            assert!(member.commit(&held, 3).await.is_err(), "{code:?}: what was confirmed is still known");
        } else {
            assert!(held.epoch > assigned[0].epoch, "{code:?}");
            assert_eq!(member.commit(&held, 4).await, Ok(()), "{code:?}");
        }
        member.close().await;
        assert_eq!(cluster.committed(1), [Some(4)], "{code:?}");
    }
}

#[tokio::test]
async fn a_coordinator_that_moves_is_found() {
    let cluster = Cluster::of_brokers(3, 1);
    cluster.mock().coordinator(MockCoordinator::Group(GROUP.to_owned()), 2).expect("the coordinator is set");
    cluster.produce(0, 0..5);
    let mut member = cluster.start().await;
    let assigned = member.assigned().await;
    member.take(5).await;
    let (held, _) = commit_in_the_end(&mut member, &assigned[0], 2).await;
    cluster.mock().coordinator(MockCoordinator::Group(GROUP.to_owned()), 3).expect("the coordinator moves");
    commit_in_the_end(&mut member, &held, 4).await;
    member.close().await;
    assert_eq!(cluster.committed(1), [Some(4)]);
}

#[tokio::test]
async fn a_partition_whose_leader_moves_is_read_on_and_commits_name_the_leader_of_their_record() {
    let cluster = Cluster::of_brokers(3, 1);
    cluster.mock().partition_leader(TOPIC, 0, Some(1)).expect("the leader is set");
    cluster.produce(0, 0..5);
    let mut member = cluster.start().await;
    let assigned = member.assigned().await;
    member.take(5).await;
    assert_eq!(member.commit(&assigned[0], 3).await, Ok(()));
    cluster.mock().partition_leader(TOPIC, 0, Some(2)).expect("the leader moves");
    cluster.produce(0, 5..10);
    assert_eq!(numbers(&member.take(5).await), (5..10).collect::<Vec<_>>());
    // Unlike a broker the mock refuses an epoch that is not the current one: so it was sent.
    let reason = member.commit(&assigned[0], 5).await.expect_err("the epoch of the leader before");
    assert!(reason.reason.contains("FencedLeaderEpoch"), "{reason}");
    assert_eq!(member.commit(&assigned[0], 7).await, Ok(()));
    member.close().await;
    assert_eq!(cluster.committed(1), [Some(7)]);
}

#[tokio::test]
async fn an_end_during_a_drain_without_brokers_is_bounded() {
    let cluster = Cluster::new(2);
    let mut first = cluster.start().await;
    first.assigned().await;
    let second = cluster.start().await;
    let moving = first.revoke_requested().await;
    cluster.mock().broker_down(1).expect("the broker goes down");
    first.source.commit(moving[0].clone(), 1).await;
    let limit = Duration::from_secs(1);
    for (member, owns) in [(first, true), (second, false)] {
        let begun = Instant::now();
        let closed = member.source.close(limit).await;
        assert!(!owns || !closed, "nobody can have confirmed it");
        assert!(begun.elapsed() < limit + Duration::from_millis(500), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn an_abandoned_source_without_brokers_ends() {
    let cluster = Cluster::new(1);
    let mut member = cluster.start().await;
    member.assigned().await;
    cluster.mock().broker_down(1).expect("the broker goes down");
    let Member { source, mut events } = member;
    source.abandon();
    let ended = async {
        while events.control.recv().await.is_some() {}
        while events.records.recv().await.is_some() {}
    };
    tokio::time::timeout(Duration::from_secs(15), ended).await.expect("the thread lets go of its ends");
}

#[tokio::test]
async fn an_end_whose_answer_nobody_awaits_comes_all_the_same() {
    let cluster = Cluster::new(1);
    let mut member = cluster.start().await;
    member.assigned().await;
    let Member { source, mut events } = member;
    assert!(source.close(Duration::from_secs(5)).now_or_never().is_none());
    let ended = async { while events.control.recv().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(15), ended).await.expect("the thread ends");
}

/// Waits until the source's client sees Kafka so.
async fn until_seen(member: &Member, state: KafkaState) -> KafkaHealth {
    let watch = member.source.watch(None);
    let seen = async {
        while watch.look().consumer.state != state {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), seen).await;
    waited.unwrap_or_else(|_| panic!("not {state:?} but {:?}", watch.look()));
    watch.look().consumer
}

#[tokio::test]
async fn a_coordinator_away_is_not_kafka_away() {
    let cluster = Cluster::of_brokers(3, 1);
    cluster.mock().coordinator(MockCoordinator::Group(GROUP.to_owned()), 2).expect("the coordinator is set");
    cluster.mock().partition_leader(TOPIC, 0, Some(1)).expect("the leader is set");
    let mut settings = cluster.settings();
    settings.properties.insert("statistics.interval.ms".to_owned(), "1000".to_owned());
    let mut member = Member::start(settings).await;
    member.assigned().await;
    // One of three says nothing of the others.
    cluster.mock().broker_down(3).expect("the broker goes down");
    cluster.mock().broker_down(2).expect("the coordinator goes down");
    let seen = until_seen(&member, KafkaState::NoCoordinator).await;
    assert_eq!(seen.group, Some(GroupState::LooksForCoordinator));
    cluster.mock().broker_up(2).expect("the coordinator comes up");
    until_seen(&member, KafkaState::Reachable).await;
    cluster.mock().broker_down(2).expect("the coordinator goes down");
    cluster.mock().broker_down(1).expect("the last one goes down");
    let seen = until_seen(&member, KafkaState::Unreachable).await;
    assert!(seen.problem.is_some_and(|problem| problem.contains("refused")));
    for broker in 1..=3 {
        cluster.mock().broker_up(broker).expect("the broker comes up");
    }
    assert_eq!(until_seen(&member, KafkaState::Reachable).await.problem, None);
}
