//! A record that cannot be handled goes to the dead-letter topic, with its origin in its headers, and its partition goes
//! on; its offset is committed only once it lies there.

mod interrupted;
mod poison;
mod retries;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hapax::consumer::{ConsumerBuilder, Failure, Handler};
use hapax::id::IdPolicy;
use hapax::observe::{Observer, Outcome, PartitionStop};
use hapax::record::{Record, TopicPartition};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Headers, Message as _, OwnedMessage};
use tokio::sync::watch;

use super::common::{Kafka, Message, RedisServer, await_until, unique};
use super::consuming::{Journal, PATIENCE, Running, consumer, handler, redis_store, told};

/// What became of each record, one line each, named by its payload.
#[derive(Clone, Debug, Default)]
struct Notes(Arc<watch::Sender<Vec<String>>>);

impl Notes {
    fn note(&self, line: String) {
        self.0.send_modify(|lines| lines.push(line));
    }

    /// Waits until there are so many lines that begin like this.
    async fn until(&self, count: usize, beginning: &str) {
        let enough = |lines: &Vec<String>| lines.iter().filter(|line| line.starts_with(beginning)).count() >= count;
        let mut lines = self.0.subscribe();
        let waiting = tokio::time::timeout(PATIENCE, lines.wait_for(enough)).await.map(|found| drop(found.unwrap()));
        waiting.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {count} × {beginning} in {:#?}", self.0.borrow()));
    }

    fn of(&self, beginning: &str) -> Vec<String> {
        self.0.borrow().iter().filter(|line| line.starts_with(beginning)).cloned().collect()
    }
}

fn text(record: &Record) -> String {
    record.payload().map(|payload| String::from_utf8_lossy(payload).into_owned()).unwrap_or_default()
}

impl Observer for Notes {
    fn on_claim(&self, record: &Record, _: u32, suspect: bool) {
        if suspect {
            self.note(format!("took over {}", text(record)));
        }
    }

    fn on_settle(&self, record: &Record, outcome: Outcome, _: Duration) {
        self.note(format!("{outcome:?} {}", text(record)));
    }

    fn on_delivery_failed(&self, record: &Record, reason: &str) {
        self.note(format!("undelivered {}: {reason}", text(record)));
    }

    fn on_stop(&self, _: &TopicPartition, stop: &PartitionStop) {
        self.note(format!("stopped {}: {}", stop.offset, stop.reason));
    }
}

/// A topic of one partition and its dead-letter topic.
struct Topic {
    kafka: &'static Kafka,
    redis: RedisServer,
    name: String,
    group: String,
    notes: Notes,
}

impl Topic {
    async fn create() -> Self {
        let topic = Self::create_without_letters().await;
        topic.kafka.create_topic(&topic.letters(), 1).await;
        topic
    }

    async fn create_without_letters() -> Self {
        let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
        let (name, group, notes) = (unique("orders"), unique("billing"), Notes::default());
        kafka.create_topic(&name, 1).await;
        Self { kafka, redis, name, group, notes }
    }

    fn letters(&self) -> String {
        format!("{}-dlt", self.name)
    }

    fn settings(&self) -> ConsumerBuilder {
        let store = Arc::new(redis_store(self.redis.url(), &self.group).build().unwrap());
        consumer(self.kafka, &self.group, &self.name, &Journal::default())
            .observer(Arc::new(self.notes.clone()))
            .store(store)
            .max_attempts(3)
            .backoff(Duration::from_millis(20), Duration::from_millis(100))
            .dead_letter_auto()
    }

    async fn produce(&self, payloads: &[&str]) {
        self.kafka.produce(&self.name, payloads.iter().map(|payload| event(payload))).await;
    }

    async fn all_committed(&self, running: &mut Running) {
        running.until_all_committed(self.kafka, &self.group, &self.name).await;
    }

    async fn committed(&self) -> BTreeMap<i32, i64> {
        self.kafka.committed_offsets(&self.group, &self.name).await
    }
}

/// A message whose ID is its payload.
fn event(payload: &str) -> Message {
    Message::new().payload(payload).header("ce_id", payload).header("ce_source", "/shop")
}

/// Fails at records that begin with `bad`.
fn fails_at_bad(failure: impl Fn(&str) -> Failure + Send + Sync + 'static) -> impl Handler {
    handler(move |record| {
        let text = text(&record);
        std::future::ready(if text.starts_with("bad") { Err(failure(&text)) } else { Ok(()) })
    })
}

fn headers(record: &OwnedMessage) -> Vec<(String, Option<Vec<u8>>)> {
    let headers = record.headers().map(|headers| headers.iter().collect::<Vec<_>>()).unwrap_or_default();
    headers.into_iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
}

fn payloads(records: &[OwnedMessage]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(record.payload().unwrap_or_default()).into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn exhausted_attempts_lead_there_with_the_origin_in_the_headers_and_the_partition_goes_on() {
    let topic = Topic::create().await;
    let bad = event("bad").key("a key").null_header("nothing");
    topic.kafka.produce(&topic.name, [event("a"), bad, event("b")]).await;
    let fails = fails_at_bad(|text| Failure::retryable(format!("{text}:\nno such customer")));
    let mut running = Running::start(topic.settings(), fails);
    topic.all_committed(&mut running).await;
    running.stop().await;
    assert_eq!(topic.notes.of(""), ["Handled a", "DeadLettered bad", "Handled b"].map(str::to_owned));

    let source = topic.kafka.records(&topic.name).await.remove(1);
    let letters = topic.kafka.records(&topic.letters()).await;
    assert_eq!(payloads(&letters), ["bad"]);
    assert_eq!(letters[0].key(), source.key());
    let timestamp = source.timestamp().to_millis().unwrap();
    let mut expected = headers(&source);
    assert_eq!(expected.len(), 3);
    let mut add = |name: &str, value: &[u8]| expected.push((name.to_owned(), Some(value.to_vec())));
    add("kafka_dlt-original-topic", topic.name.as_bytes());
    add("kafka_dlt-original-partition", &0_i32.to_be_bytes());
    add("kafka_dlt-original-offset", &1_i64.to_be_bytes());
    add("kafka_dlt-original-timestamp", &timestamp.to_be_bytes());
    add("kafka_dlt-original-consumer-group", topic.group.as_bytes());
    add("kafka_dlt-exception-message", b"bad: no such customer");
    add("hapax-attempts", b"3");
    assert_eq!(headers(&letters[0]), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_counts_as_done_for_its_duplicates() {
    let topic = Topic::create().await;
    topic.produce(&["bad", "a", "bad"]).await;
    let mut running = Running::start(topic.settings(), fails_at_bad(|_| Failure::fatal("no")));
    topic.all_committed(&mut running).await;
    running.stop().await;
    let mut notes = topic.notes.of("");
    notes.sort();
    assert_eq!(notes, ["DeadLettered bad", "Duplicate bad", "Handled a"]);
    assert_eq!(payloads(&topic.kafka.records(&topic.letters()).await), ["bad"]);
}

/// Its topic takes no record of that size: refused without end, until somebody repairs it.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_take_it_holds_the_offset_until_it_does() {
    let topic = Topic::create_without_letters().await;
    topic.kafka.create_topic_with(&topic.letters(), 1, &[("max.message.bytes", "100")]).await;
    topic.produce(&["a", "bad", "b"]).await;
    let mut running = Running::start(topic.settings(), fails_at_bad(|_| Failure::fatal("no")));
    running.until(topic.notes.until(3, "undelivered bad")).await;
    let before = BTreeMap::from([(0, 1)]);
    running.until_committed(topic.kafka, &topic.group, &topic.name, &before).await;
    assert_eq!(topic.notes.of("Handled"), ["Handled a"], "nothing overtakes it");

    topic.kafka.delete_topic(&topic.letters()).await;
    let admin: AdminClient<DefaultClientContext> = topic.kafka.config().create().unwrap();
    // The broker may still be deleting the old one.
    await_until("the topic is created anew", PATIENCE, async || {
        let name = topic.letters();
        let (new, options) = ([NewTopic::new(&name, 1, TopicReplication::Fixed(1))], AdminOptions::new());
        admin.create_topics(&new, &options).await.is_ok_and(|results| results.iter().all(Result::is_ok))
    })
    .await;
    topic.all_committed(&mut running).await;
    running.stop().await;
    assert_eq!(topic.notes.of("DeadLettered"), ["DeadLettered bad"]);
    let letters = payloads(&topic.kafka.records(&topic.letters()).await);
    assert!(!letters.is_empty() && letters.iter().all(|letter| letter == "bad"), "{letters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_a_stopped_consumer_could_not_deliver_is_delivered_by_the_next() {
    let topic = Topic::create_without_letters().await;
    topic.kafka.create_topic_with(&topic.letters(), 1, &[("max.message.bytes", "100")]).await;
    topic.produce(&["bad", "b"]).await;
    let mut running = Running::start(topic.settings(), fails_at_bad(|_| Failure::fatal("no")));
    running.until(topic.notes.until(1, "undelivered bad")).await;
    running.stop().await;
    assert_eq!((topic.committed().await, topic.notes.of("Handled").len()), (BTreeMap::new(), 0));

    let other = unique("letters");
    topic.kafka.create_topic(&other, 1).await;
    let settings = topic.settings().dead_letter_topic(&other);
    let mut running = Running::start(settings, fails_at_bad(|_| Failure::fatal("no")));
    topic.all_committed(&mut running).await;
    running.stop().await;
    assert_eq!(payloads(&topic.kafka.records(&other).await), ["bad"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_without_an_id_goes_there_by_default_and_stops_its_partition_by_choice() {
    let topic = Topic::create().await;
    topic.kafka.produce(&topic.name, [event("a"), Message::new().payload("anonymous"), event("b")]).await;
    let settings = topic.settings().id_policy(IdPolicy::Stop);
    let running = Running::start(settings, fails_at_bad(|_| Failure::fatal("no")));
    topic.notes.until(1, "stopped 1: header ce_id is missing").await;
    running.stop().await;

    let mut running = Running::start(topic.settings(), fails_at_bad(|_| Failure::fatal("no")));
    topic.all_committed(&mut running).await;
    running.stop().await;
    assert_eq!(topic.notes.of("DeadLettered"), ["DeadLettered anonymous"]);
    let letters = topic.kafka.records(&topic.letters()).await;
    assert_eq!(payloads(&letters), ["anonymous"]);
    let said = "it has no usable message ID: header ce_id is missing";
    let told = ("kafka_dlt-exception-message".to_owned(), Some(said.as_bytes().to_vec()));
    assert!(headers(&letters[0]).contains(&told), "{:?}", headers(&letters[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_record_settles_and_its_duplicate_is_not_asked_about_again() {
    let topic = Topic::create().await;
    topic.produce(&["a", "bad", "b", "bad"]).await;
    let mut running = Running::start(topic.settings(), fails_at_bad(|_| Failure::skip("of no interest")));
    topic.all_committed(&mut running).await;
    running.stop().await;
    let mut notes = topic.notes.of("");
    notes.sort();
    assert_eq!(notes, ["Duplicate bad", "Handled a", "Handled b", "Skipped bad"]);
    assert!(topic.kafka.records(&topic.letters()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_record_settles_or_goes_there_as_one_likes() {
    for there in [false, true] {
        let topic = Topic::create().await;
        let expires = |payload: &str, at: &str| event(payload).header("expires", at);
        let messages = [
            expires("old", "2001-02-03T04:05:06Z"),
            expires("older", "1000"),
            expires("young", "2101-02-03T04:05:06Z"),
            expires("odd", "soon"),
        ];
        topic.kafka.produce(&topic.name, messages).await;
        let settings = topic.settings().expires_header(true).expired_to_dead_letter(there);
        let mut running = Running::start(settings.max_age(Duration::from_secs(3600)), fails_at_bad(|_| unreachable!()));
        topic.all_committed(&mut running).await;
        running.stop().await;
        let (outcome, letters) = if there { ("DeadLettered", vec!["old", "older"]) } else { ("Expired", Vec::new()) };
        assert_eq!(topic.notes.of(outcome), [format!("{outcome} old"), format!("{outcome} older")]);
        assert_eq!(topic.notes.of("Handled"), ["Handled young", "Handled odd"]);
        assert_eq!(payloads(&topic.kafka.records(&topic.letters()).await), letters);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_everything_fails_the_partition_stops_and_keeps_its_messages() {
    let topic = Topic::create().await;
    let messages: Vec<_> = (0..50).map(|n| format!("bad {n}")).collect();
    topic.kafka.produce(&topic.name, messages.iter().map(|payload| event(payload))).await;
    let mut running = Running::start(topic.settings(), fails_at_bad(|_| Failure::fatal("a wrong password")));
    running.until(topic.notes.until(1, "stopped 19: 20 of the last 20 records")).await;
    running.until_committed(topic.kafka, &topic.group, &topic.name, &BTreeMap::from([(0, 19)])).await;
    running.stop().await;
    assert_eq!(topic.kafka.records(&topic.letters()).await.len(), 19);

    // Repaired, and started again.
    let mut running = Running::start(topic.settings(), handler(|_| std::future::ready(Ok(()))));
    topic.all_committed(&mut running).await;
    running.stop().await;
    assert_eq!(topic.notes.of("Handled").len(), 31);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_told_at_the_start() {
    let topic = Topic::create_without_letters().await;
    let running = Running::start(topic.settings(), handler(|_| std::future::ready(Ok(()))));
    let said = told(&running.ended().await.unwrap_err());
    assert!(said.contains(&topic.letters()), "{said}");
}
