//! A topic that changes under the consumer: it grows, is compacted, holds transactions, is deleted, or its group's
//! offsets are set back. Nothing is skipped, and nothing repeated.

use std::collections::BTreeSet;
use std::ops::Range;

use hapax::error::RunError;
use hapax::kafka::SourceError;

use super::common::{Kafka, Message, RedisServer, await_until};
use super::consuming::Running;
use super::members::{Crowd, Deaths, Kind, Ledger, PATIENCE, Terms, messages};

/// No test of this file starts a process.
const NO_WORKER: &str = "";

struct Group {
    kafka: &'static Kafka,
    redis: RedisServer,
    crowd: Crowd,
}

impl Group {
    async fn new() -> Self {
        Self { kafka: Kafka::shared().await, redis: RedisServer::start(), crowd: Crowd::new(NO_WORKER) }
    }

    fn member(&self, name: &str) -> Running {
        self.crowd.member(name, self.kafka.bootstrap(), self.redis.url(), &Terms::default())
    }

    async fn produce(&self, messages: impl IntoIterator<Item = Message>) -> Vec<(i32, i64)> {
        self.kafka.produce(&self.crowd.topic, messages).await
    }

    async fn all_committed(&self) {
        self.crowd.until_all_committed(self.kafka).await;
    }
}

fn had(ledger: &Ledger) -> BTreeSet<usize> {
    ledger.by_message().into_keys().map(|message| message.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_are_read_from_their_beginning() {
    let group = Group::new().await;
    let topic = &group.crowd.topic;
    group.kafka.create_topic(topic, 2).await;
    group.produce(messages(0..100, 2)).await;
    let members = [group.member("first"), group.member("second")];
    group.crowd.until_effects(50).await;
    group.kafka.add_partitions(topic, 6).await;
    // Before any member knows of them.
    group.produce(messages(100..700, 6)).await;
    group.all_committed().await;
    for member in members {
        member.stop().await;
    }
    let ledger = group.crowd.ledger();
    ledger.check_complete(700);
    assert_eq!(ledger.check_repeats(&Deaths::new(), 0), 0);
    ledger.check_order();
}

fn has_gaps(offsets: &BTreeSet<i64>) -> bool {
    offsets.iter().zip(offsets.iter().skip(1)).any(|(one, next)| next - one > 1)
}

/// Compaction leaves gaps between offsets, before a member reads and while it does.
#[tokio::test(flavor = "multi_thread")]
async fn gaps_of_compaction_do_not_hold_up_the_commits() {
    let group = Group::new().await;
    let topic = &group.crowd.topic;
    let compact = [("cleanup.policy", "compact"), ("segment.ms", "200"), ("min.cleanable.dirty.ratio", "0.001")];
    group.kafka.create_topic_with(topic, 1, &compact).await;
    // A third of the keys stay alone, so that there are gaps between them.
    let key =
        |number: usize| if number.is_multiple_of(3) { format!("alone {number}") } else { format!("{}", number % 10) };
    let keyed = |numbers: Range<usize>| messages(numbers.clone(), 1).zip(numbers).map(move |(m, n)| m.key(key(n)));
    group.produce(keyed(0..100)).await;
    // A record that comes after the time of a segment closes it, and only closed segments are compacted.
    let mut sent = 100;
    let mut stood = BTreeSet::new();
    await_until("the log has gaps", PATIENCE, async || {
        group.produce(keyed(sent..sent + 1)).await;
        sent += 1;
        stood = group.kafka.records(topic).await.iter().map(rdkafka::Message::offset).collect();
        has_gaps(&stood)
    })
    .await;
    let member = group.member("member");
    group.all_committed().await;
    member.stop().await;
    let ledger = group.crowd.ledger();
    let handled: BTreeSet<i64> = ledger.effects().map(|line| line.place.1).collect();
    // It may have been compacted once more before it was read.
    assert!(handled.is_subset(&stood) && handled.contains(stood.last().unwrap()), "{handled:?} of {stood:?}");
    assert!(has_gaps(&handled), "{handled:?}");
    assert_eq!(ledger.check_repeats(&Deaths::new(), 0), 0);
    ledger.check_order();
}

/// Records of aborted transactions are none, and the markers between records hold up nothing.
#[tokio::test(flavor = "multi_thread")]
async fn aborted_transactions_are_not_handled_and_markers_do_not_hold_up_the_commits() {
    let group = Group::new().await;
    let topic = &group.crowd.topic;
    group.kafka.create_topic(topic, 2).await;
    let member = group.member("member");
    group.kafka.transact(topic, messages(0..20, 2), true).await;
    group.kafka.transact(topic, messages(20..40, 2), false).await;
    group.produce(messages(40..60, 2)).await;
    group.kafka.transact(topic, messages(60..80, 2), false).await;
    let last = group.kafka.transact(topic, messages(80..100, 2), true).await;
    let behind = last.into_iter().map(|(partition, offset)| (partition, offset + 1)).collect();
    group.crowd.until_committed(group.kafka, &behind).await;
    // What lies behind the last marker takes the commit past it.
    group.produce(messages(100..104, 2)).await;
    group.all_committed().await;
    member.stop().await;
    let ledger = group.crowd.ledger();
    let wanted: BTreeSet<usize> = (0..20).chain(40..60).chain(80..104).collect();
    assert_eq!(had(&ledger), wanted);
    assert_eq!(ledger.check_repeats(&Deaths::new(), 0), 0);
    ledger.check_order();
}

/// An operator sets the group's offsets back: all of it is recognised.
#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_are_set_back_repeat_nothing() {
    let group = Group::new().await;
    let topic = &group.crowd.topic;
    group.kafka.create_topic(topic, 2).await;
    group.produce(messages(0..200, 2)).await;
    let member = group.member("first");
    group.all_committed().await;
    member.stop().await;
    group.kafka.set_offsets(&group.crowd.group, topic, [(0, 0), (1, 30)].into()).await;
    let member = group.member("second");
    group.all_committed().await;
    group.produce(messages(200..210, 2)).await;
    group.all_committed().await;
    member.stop().await;
    let ledger = group.crowd.ledger();
    ledger.check_complete(210);
    assert_eq!(ledger.check_repeats(&Deaths::new(), 0), 0);
    assert_eq!(ledger.count("second", Kind::Duplicate), 170);
    assert_eq!(ledger.count("second", Kind::Effect), 10);
}

/// A topic that is deleted ends the consumer, which names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_stops_the_consumer() {
    let (group, member) = deleted().await;
    let ended = member.ended().await;
    let Err(RunError::Source(SourceError::UnknownTopic { topic })) = ended else { panic!("{ended:?}") };
    assert_eq!(topic, group.crowd.topic);
    group.crowd.ledger().check_complete(100);
}

/// One that is created anew, whether it holds less or more than the one before, is read from its beginning.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_created_anew_is_read_from_its_beginning() {
    let anew = async |records: usize| {
        let (group, member) = deleted().await;
        group
            .crowd
            .until("it notices", |ledger| ledger.of(Kind::Revoked).chain(ledger.of(Kind::Lost)).count() > 0)
            .await;
        group.kafka.create_topic(&group.crowd.topic, 1).await;
        // Some of its messages were handled before the topic was deleted.
        group.produce(messages(90..90 + records, 1)).await;
        group.all_committed().await;
        member.stop().await;
        let ledger = group.crowd.ledger();
        ledger.check_complete(90 + records);
        assert_eq!(ledger.check_repeats(&Deaths::new(), 0), 0);
        // Those, and what a partition that changed hands meanwhile delivered again.
        assert!(ledger.count("member", Kind::Duplicate) >= 10);
    };
    tokio::join!(anew(20), anew(200));
}

async fn deleted() -> (Group, Running) {
    let group = Group::new().await;
    group.kafka.create_topic(&group.crowd.topic, 1).await;
    group.produce(messages(0..100, 1)).await;
    let member = group.member("member");
    group.all_committed().await;
    group.kafka.delete_topic(&group.crowd.topic).await;
    (group, member)
}
