//! The Kafka source against a real broker: what goes with a commit, and how partitions change hands in every protocol.
#![allow(unsafe_code, reason = "the safe interface shows no leader epoch")]

use std::collections::BTreeSet;
use std::time::Duration;

use hapax::engine::Assignment;
use hapax::kafka::{GroupProtocol, KafkaSettings, Source, SourceEvent, SourceEvents};
use hapax::observe::{CommitRefused, RefusalKind};
use rdkafka::TopicPartitionList;
use rdkafka::bindings::rd_kafka_topic_partition_get_leader_epoch;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::{Instant, sleep_until, timeout};

use crate::common::{Client, Kafka, Message, unique};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long what runs is let end, while the others wait.
const DRAIN: Duration = Duration::from_secs(3);

/// A partition and an offset in it.
type Place = (i32, i64);

struct Member {
    source: Source,
    events: SourceEvents,
    seen: Vec<Place>,
}

impl Member {
    async fn start(settings: &KafkaSettings) -> Self {
        let (source, events) = Source::start(settings.clone()).await.expect("the source starts");
        Self { source, events, seen: Vec::new() }
    }

    async fn next(&mut self) -> SourceEvent {
        timeout(PATIENCE, self.events.control.recv()).await.expect("an event in time").expect("the source runs")
    }

    async fn assigned(&mut self) -> Vec<Assignment> {
        match self.next().await {
            SourceEvent::Assigned(assignments) => assignments,
            other => panic!("an assignment was expected, not {other:?}"),
        }
    }

    async fn commit(&mut self, assignment: &Assignment, offset: i64) -> Result<(), CommitRefused> {
        self.source.commit(assignment.clone(), offset).await;
        loop {
            match self.next().await {
                SourceEvent::Committed { result, .. } => return result,
                SourceEvent::Assigned(_) => {}
                other => panic!("the answer to a commit was expected, not {other:?}"),
            }
        }
    }

    async fn take(&mut self, count: usize) {
        let wanted = self.seen.len() + count;
        while self.seen.len() < wanted {
            let batch = timeout(PATIENCE, self.events.records.recv()).await;
            let batch = batch.unwrap_or_else(|_| panic!("{} of {wanted} records came", self.seen.len()));
            let batch = batch.expect("the source runs");
            let partition = batch.assignment.partition.partition();
            self.seen.extend(batch.records.iter().map(|record| (partition, record.offset())));
        }
    }

    async fn close(self) {
        assert!(self.source.close(PATIENCE).await, "the source closes in order");
    }
}

fn numbered(partition: i32, count: u32) -> impl Iterator<Item = Message> {
    (0..count).map(move |number| Message::new().partition(partition).payload(number.to_string()))
}

/// The leader epoch that the broker holds with a committed offset; -1 for none.
async fn committed_epoch(client: &Client, group: &str, topic: &str) -> (Option<i64>, i32) {
    let mut config = client.config();
    config.set("group.id", group);
    let topic = topic.to_owned();
    let asked = move || {
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition(&topic, 0);
        let found = consumer.committed_offsets(list, PATIENCE).expect("the offset is read");
        let offset = found.elements()[0].offset().to_raw().filter(|offset| *offset >= 0);
        // SAFETY: the list is alive and has one element.
        (offset, unsafe { rd_kafka_topic_partition_get_leader_epoch((*found.ptr()).elems) })
    };
    tokio::task::spawn_blocking(asked).await.expect("it answers")
}

#[tokio::test]
async fn a_committed_offset_carries_the_leader_epoch_of_its_record() {
    let kafka = Kafka::own().await;
    let (topic, group) = (unique("orders"), unique("group"));
    kafka.create_topic(&topic, 1).await;
    kafka.produce(&topic, numbered(0, 5)).await;
    let settings = KafkaSettings::new(kafka.bootstrap(), &group, [&topic]);
    let mut member = Member::start(&settings).await;
    let assigned = member.assigned().await;
    member.take(5).await;
    assert_eq!(member.commit(&assigned[0], 5).await, Ok(()));
    member.close().await;
    assert_eq!(committed_epoch(&kafka, &group, &topic).await, (Some(5), 0));

    // A leader that comes back counts as a new one: records of both epochs, and commits behind records of each.
    kafka.restart().await;
    kafka.produce(&topic, numbered(0, 5)).await;
    let mut member = Member::start(&settings).await;
    let assigned = member.assigned().await;
    member.take(5).await;
    assert_eq!(member.seen[0], (0, 5), "it goes on where it committed");
    assert_eq!(member.commit(&assigned[0], 8).await, Ok(()));
    member.close().await;
    let (offset, epoch) = committed_epoch(&kafka, &group, &topic).await;
    assert!(offset == Some(8) && epoch > 0, "{offset:?} {epoch}");
}

/// One member reads everything, a second joins, the first drains for a while and keeps polling; the second gets
/// partitions only afterwards, and together they see every record.
async fn partitions_change_hands(change: impl Fn(&mut KafkaSettings)) {
    const EACH: u32 = 50;
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("orders"), unique("group"));
    kafka.create_topic(&topic, 4).await;
    for partition in 0..4 {
        kafka.produce(&topic, numbered(partition, EACH)).await;
    }
    let mut settings = KafkaSettings::new(kafka.bootstrap(), &group, [&topic]);
    settings.drain_limit = DRAIN * 3;
    settings.max_poll_interval = Duration::from_secs(60);
    change(&mut settings);
    let mut first = Member::start(&settings).await;
    let mut held = first.assigned().await;
    while held.len() < 4 {
        held.extend(first.assigned().await);
    }
    first.take(4 * EACH as usize).await;

    let mut second = Member::start(&settings).await;
    let moving = loop {
        match first.next().await {
            SourceEvent::RevokeRequested(moving) => break moving,
            SourceEvent::Assigned(_) => {}
            other => panic!("a revoke was expected, not {other:?}"),
        }
    };
    // The drain: half of each partition is done, and commits are answered, so the first one polls.
    let drained = Instant::now() + DRAIN;
    let half = i64::from(EACH / 2);
    for assignment in &moving {
        let committed = first.commit(assignment, half).await;
        assert!(committed.is_ok() || committed.is_err_and(|refused| refused.kind == RefusalKind::Rebalance));
    }
    sleep_until(drained).await;
    let early = second.events.control.try_recv();
    let none = match &early {
        Ok(SourceEvent::Assigned(assigned)) => assigned.is_empty(),
        Ok(_) => false,
        Err(error) => *error == TryRecvError::Empty,
    };
    assert!(none, "it has to wait for the drain: {early:?}");
    first.source.revoke_done(moving.clone()).await;

    let mut got = second.assigned().await;
    while got.is_empty() {
        got = second.assigned().await;
    }
    let moved: BTreeSet<_> = moving.iter().map(|each| each.partition.partition()).collect();
    assert!(got.iter().all(|each| moved.contains(&each.partition.partition())), "{got:?} of {moving:?}");
    // What was not committed comes again, and nothing is missing.
    let committed = kafka.committed_offsets(&group, &topic).await;
    let partitions: BTreeSet<_> = got.iter().map(|each| each.partition.partition()).collect();
    let from = |partition: &i32| committed.get(partition).copied().unwrap_or(0);
    let expected: BTreeSet<Place> =
        partitions.iter().flat_map(|each| (from(each)..i64::from(EACH)).map(move |offset| (*each, offset))).collect();
    second.take(expected.len()).await;
    assert_eq!(second.seen.iter().copied().collect::<BTreeSet<_>>(), expected);
    second.close().await;
    first.close().await;
}

#[tokio::test]
async fn eager_members_change_hands_after_the_drain() {
    partitions_change_hands(|settings| {
        settings.properties.insert("partition.assignment.strategy".to_owned(), "range".to_owned());
    })
    .await;
}

#[tokio::test]
async fn cooperative_members_change_hands_after_the_drain() {
    partitions_change_hands(|_| {}).await;
}

#[tokio::test]
async fn members_of_the_consumer_protocol_change_hands_after_the_drain() {
    partitions_change_hands(|settings| settings.group_protocol = GroupProtocol::Consumer).await;
}

#[tokio::test]
async fn partitions_added_while_running_are_read_from_their_beginning() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("orders"), unique("group"));
    kafka.create_topic(&topic, 1).await;
    kafka.produce(&topic, numbered(0, 5)).await;
    let mut settings = KafkaSettings::new(kafka.bootstrap(), &group, [&topic]);
    settings.properties.insert("topic.metadata.refresh.interval.ms".to_owned(), "500".to_owned());
    let mut member = Member::start(&settings).await;
    member.assigned().await;
    member.take(5).await;
    let admin: rdkafka::admin::AdminClient<_> = kafka.config().create().expect("an admin client");
    let more = rdkafka::admin::NewPartitions::new(&topic, 3);
    let created = admin.create_partitions([&more], &rdkafka::admin::AdminOptions::new()).await;
    assert!(created.expect("an answer").iter().all(Result::is_ok));
    kafka.produce(&topic, numbered(2, 5)).await;
    member.take(5).await;
    assert_eq!(member.seen[5..].to_vec(), (0..5).map(|at| (2, at)).collect::<Vec<_>>());
    member.close().await;
}
