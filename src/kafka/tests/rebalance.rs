//! Partitions that come and go.

use std::collections::HashSet;
use std::time::Duration;

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::sync::mpsc::error::TryRecvError;

use super::super::SourceEvent;
use super::cluster::{Cluster, Member, numbers, sorted};
use crate::engine::Assignment;
use crate::observe::{CommitRefused, RefusalKind};

/// Follows two members until each holds one of two partitions. On a busy machine that may take the group more than
/// one rebalance.
async fn settle(first: &mut Member, second: &mut Member, held: [HashSet<Assignment>; 2]) -> [HashSet<Assignment>; 2] {
    let mut held = held;
    while held.iter().any(|held| held.len() != 1) {
        let (who, event) = tokio::select! {
            event = first.next() => (0, event),
            event = second.next() => (1, event),
        };
        match event {
            SourceEvent::Assigned(assignments) => held[who].extend(assignments),
            SourceEvent::Lost(gone) => held[who].retain(|each| !gone.contains(each)),
            SourceEvent::RevokeRequested(gone) => {
                held[who].retain(|each| !gone.contains(each));
                let member = if who == 0 { &*first } else { &*second };
                member.source.revoke_done(gone).await;
            }
            other => panic!("{other:?}"),
        }
    }
    let mut partitions: Vec<_> = held.iter().flatten().map(|each| each.partition.partition()).collect();
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1]);
    held
}

/// A commit during a rebalance is answered; the answer is not always the same. The mock lets a member join twice when
/// its answer to the leader's plan comes late, and refuses commits meanwhile; brokers have such phases too.
fn accepted_or_rebalancing(result: Result<(), CommitRefused>) {
    if let Err(refused) = result {
        assert!(refused.reason.contains("rebalance in progress"), "{refused}");
        assert_eq!(refused.kind, RefusalKind::Rebalance);
    }
}

#[tokio::test]
async fn cooperative_members_hand_over_only_what_moves() {
    let cluster = Cluster::new(2);
    cluster.produce(0, 0..10);
    cluster.produce(1, 10..20);
    let mut first = cluster.start().await;
    let all = first.assigned().await;
    first.take(20).await;

    let mut second = cluster.start().await;
    let moving = first.revoke_requested().await;
    assert_eq!(moving.len(), 1, "one partition stays");
    let staying = all.iter().find(|each| **each != moving[0]).expect("the other partition").clone();

    // The drain: the thread goes round and keeps the partition; commits are answered, so it polls; the other waits.
    first.rounds().await;
    for offset in 1..=4 {
        accepted_or_rebalancing(first.commit(&moving[0], offset).await);
    }
    assert_eq!(second.events.control.try_recv().err(), Some(TryRecvError::Empty));

    first.source.commit(moving[0].clone(), 6).await;
    first.source.revoke_done(moving.clone()).await;
    let SourceEvent::Committed { offset: 6, result, .. } = first.next().await else {
        panic!("the last commit is answered before the partition is given back")
    };
    accepted_or_rebalancing(result);
    let taken = second.assigned().await;
    assert_eq!(taken[0].partition, moving[0].partition);
    let at = moving[0].partition.partition();
    let committed = cluster.committed(2)[usize::try_from(at).expect("0 or 1")].unwrap_or(0);
    let start = at * 10 + i32::try_from(committed).expect("a small offset");
    let records = second.take(usize::try_from(10 - committed).expect("a small offset")).await;
    assert_eq!(numbers(&records)[0], u32::try_from(start).expect("a small number"));

    // The partition that stayed kept its epoch; the one that moved may not commit any more.
    accepted_or_rebalancing(first.commit(&staying, 3).await);
    assert!(first.commit(&moving[0], 9).await.is_err_and(|refused| refused.reason.contains("the assignment is over")));
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn eager_members_give_everything_back_first() {
    let cluster = Cluster::new(2);
    let mut settings = cluster.settings();
    settings.assignment_strategy = "range".to_owned();
    let mut first = Member::start(settings.clone()).await;
    let all = first.assigned().await;

    let mut second = Member::start(settings).await;
    assert_eq!(first.revoke_requested().await, all);
    first.rounds().await;
    // Answered during the drain. The mock refuses it, as a broker does once everybody has joined.
    assert!(first.commit(&all[0], 0).await.is_err_and(|refused| refused.reason.contains("rebalance in progress")));
    first.source.revoke_done(vec![all[0].clone()]).await;
    first.rounds().await;
    assert_eq!(second.events.control.try_recv().err(), Some(TryRecvError::Empty), "one is not done yet");
    first.source.revoke_done(vec![all[1].clone()]).await;

    let [mine, _] = settle(&mut first, &mut second, [HashSet::new(), HashSet::new()]).await;
    assert!(mine.iter().all(|each| each.epoch > all[0].epoch && each.epoch > all[1].epoch));
    assert!(first.commit(&all[0], 1).await.is_err());
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn partitions_that_nobody_drains_are_given_back_at_the_deadline() {
    let cluster = Cluster::new(2);
    cluster.produce(0, 0..5);
    cluster.produce(1, 0..5);
    let mut settings = cluster.settings();
    settings.max_poll_interval = Duration::from_secs(4);
    settings.drain_limit = Duration::from_secs(1);
    let mut first = Member::start(settings.clone()).await;
    first.assigned().await;
    first.take(10).await;
    let mut second = Member::start(settings).await;
    let moving = first.revoke_requested().await;
    assert_eq!(second.assigned().await[0].partition, moving[0].partition);
    assert!(first.source.inspect().await.longest_gap < Duration::from_secs(1), "it polled during the drain");
    // Too late, and harmless.
    first.source.revoke_done(moving.clone()).await;
    assert!(first.commit(&moving[0], 5).await.is_err());
    first.close().await;
    second.close().await;
    assert_eq!(cluster.committed(2), [None, None]);
}

#[tokio::test]
async fn a_session_that_ended_loses_the_partitions_without_a_commit() {
    let cluster = Cluster::new(2);
    cluster.produce(0, 0..10);
    let mut member = cluster.start().await;
    let all = member.assigned().await;
    member.take(10).await;
    let ended = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID];
    cluster.mock().request_errors(RDKafkaApiKey::Heartbeat, &ended);
    assert_eq!(member.lost().await, all);
    assert!(member.commit(&all[0], 10).await.is_err());
    let again = member.assigned().await;
    assert!(again[0].epoch > all[1].epoch);
    assert_eq!(numbers(&member.take(10).await), (0..10).collect::<Vec<_>>());
    member.close().await;
    assert_eq!(cluster.committed(2), [None, None]);
}

#[tokio::test]
async fn a_session_that_ends_during_a_drain_loses_the_partitions() {
    let cluster = Cluster::new(2);
    let mut first = cluster.start().await;
    let all = first.assigned().await;
    let mut second = cluster.start().await;
    let moving = first.revoke_requested().await;
    let ended = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID];
    cluster.mock().request_errors(RDKafkaApiKey::OffsetCommit, &ended);
    assert!(first.commit(&moving[0], 1).await.is_err());
    first.source.revoke_done(moving.clone()).await;

    // Both find their way back into the group, whichever of them is told first.
    let staying = all.into_iter().filter(|each| *each != moving[0]).collect();
    settle(&mut first, &mut second, [staying, HashSet::new()]).await;
    first.close().await;
    second.close().await;
    assert_eq!(cluster.committed(2), [None, None]);
}

#[tokio::test]
async fn a_gap_in_polling_loses_the_partitions_and_joins_the_group_anew() {
    let cluster = Cluster::new(2);
    cluster.produce(0, 0..10);
    let mut settings = cluster.settings();
    // The session outlives the gap: librdkafka's own thread sends heartbeats, and may not notice so short a gap.
    settings.max_poll_interval = Duration::from_millis(2100);
    settings.drain_limit = Duration::from_secs(1);
    let mut member = Member::start(settings).await;
    let all = member.assigned().await;
    member.take(10).await;
    member.source.freeze(Duration::from_millis(2200)).await;
    member.source.commit(all[0].clone(), 10).await;
    let mut lost = Vec::new();
    let again = loop {
        match member.next().await {
            SourceEvent::Lost(assignments) => lost.extend(assignments),
            SourceEvent::Committed { result, .. } => assert!(result.is_err(), "nothing is committed after a gap"),
            SourceEvent::Assigned(assignments) => break sorted(assignments),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(sorted(lost), all);
    assert_eq!(again.len(), 2);
    assert!(again[0].epoch > all[1].epoch);
    assert_eq!(numbers(&member.take(10).await), (0..10).collect::<Vec<_>>());
    assert_eq!(member.commit(&again[0], 10).await, Ok(()));
    member.close().await;
}

#[tokio::test]
async fn a_partition_that_was_paused_comes_back_awake() {
    let cluster = Cluster::new(1);
    cluster.produce(0, 0..3);
    let mut member = cluster.start().await;
    let all = member.assigned().await;
    member.take(3).await;
    member.source.pause(all[0].clone()).await;
    member.source.inspect().await;
    let ended = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID];
    cluster.mock().request_errors(RDKafkaApiKey::Heartbeat, &ended);
    assert_eq!(member.lost().await, all);
    member.assigned().await;
    assert_eq!(numbers(&member.take(3).await), [0, 1, 2]);
    member.close().await;
}
