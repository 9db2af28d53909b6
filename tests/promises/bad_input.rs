//! Bad input: each kind has a defined outcome, and none loses a message, its own or a neighbour's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hapax::id::{Extract, HeaderId, IdPolicy, JsonPointer, MAX_ID_BYTES};

use super::common::{Kafka, Message, RedisServer, unique};
use super::consuming::{Entry, Journal, Running, consumer, effects, handler, place, redis_store};

/// Stands in every part of a bad record that a message decides: no reason may show it.
const SECRET: &str = "hunter2";

/// A bad record, and what its partition's reason to stop says of it.
type Bad = (Message, &'static str);

fn event(id: impl Into<Vec<u8>>) -> Message {
    Message::new().key(SECRET).payload(SECRET).header("ce_source", SECRET).header("ce_id", id)
}

fn without_id() -> Message {
    Message::new().key(SECRET).payload(SECRET).header("other", SECRET).header("ce_source", SECRET)
}

fn bad_headers() -> Vec<Bad> {
    let huge = |length: usize| SECRET.bytes().cycle().take(length).collect::<Vec<_>>();
    vec![
        (without_id(), "header ce_id is missing"),
        (without_id().null_header("ce_id"), "header ce_id is null"),
        (without_id().header("ce_id", ""), "the ID is empty"),
        (without_id().header("ce_id", huge(MAX_ID_BYTES + 1)), "the ID has 1025 bytes, more than the 1024 allowed"),
        (without_id().header("ce_id", huge(1 << 20)), "the ID has 1048576 bytes, more than the 1024 allowed"),
        (event("a").header("ce_id", SECRET), "header ce_id occurs more than once"),
        (event("a").header("ce_id", "a"), "header ce_id occurs more than once"),
        (Message::new().payload(SECRET).header("ce_id", SECRET), "header ce_source"),
        (event("a").header("ce_source", SECRET), "header ce_source"),
        (event("a").header("hapax-replay", SECRET), "header hapax-replay"),
    ]
}

/// IDs that are unusual and fine: other bytes than text, what a store's protocol or key could trip over, twins that
/// only look the same.
fn fine_headers() -> Vec<Message> {
    let longest = vec![b'x'; MAX_ID_BYTES];
    let mut ids: Vec<&[u8]> = vec![
        b"\xff\xfe\x00\x80",
        b"\x00",
        b"\x00\x00",
        b"a\r\nDEL b\r\n",
        b" a",
        b"a ",
        b"A",
        b"{}",
        b"{x}",
        b"%s",
        b"*",
        b":",
        b"1",
        b"01",
        b"null",
    ];
    ids.extend(["é".as_bytes(), "e\u{301}".as_bytes(), &longest, &longest[1..]]);
    let mut messages: Vec<_> = ids.into_iter().map(event).collect();
    // A tombstone is a message like any other.
    messages.push(Message::new().header("ce_id", "tombstone").header("ce_source", SECRET));
    messages
}

fn json(payload: impl Into<Vec<u8>>) -> Message {
    Message::new().payload(payload)
}

fn bad_payloads() -> Vec<Bad> {
    vec![
        (Message::new(), "payload is null"),
        (json(""), "is not valid JSON"),
        (json(r#"{"id": "hunter2"#), "is not valid JSON (line 1, column 15)"),
        (json(r#"{"id": "hunter2"} hunter2"#), "is not valid JSON"),
        (json(*b"{\"id\": \"hunter2\xff\"}"), "is not UTF-8"),
        (json(r#"{"hunter2": 1}"#), "is missing"),
        (json(r#"{"id": null, "x": "hunter2"}"#), "is null"),
        (json(r#"{"id": ""}"#), "the ID is empty"),
        (json(r#"{"id": 1.0}"#), "several spellings"),
        (json(r#"{"id": 18446744073709551616}"#), "several spellings"),
        (json(r#"{"id": true}"#), "is a boolean"),
        (json(r#"{"id": {"hunter2": 1}}"#), "is an object"),
        (json(r#"{"id": "a", "id": "hunter2"}"#), "occurs more than once"),
        (json("[".repeat(100_000)), "is not valid JSON"),
    ]
}

fn fine_payloads() -> Vec<Message> {
    let texts = [r#"{"id": 1}"#, r#"{"id": "1"}"#, r#"{"id": -1}"#, r#"{"id": "null"}"#, r#"{"id": "\u0000"}"#];
    let mut messages = texts.map(json).to_vec();
    messages.push(json(r#"{"id": 18446744073709551615}"#));
    messages
}

/// One partition for each bad record, with two good records before it and two behind it, and at the end one partition
/// of fine records, all of them twice.
struct Topic {
    name: String,
    bad: Vec<Bad>,
    fine: usize,
}

impl Topic {
    async fn create(kafka: &Kafka, bad: Vec<Bad>, good: fn(String) -> Message, fine: Vec<Message>) -> Self {
        let name = unique("orders");
        let last = i32::try_from(bad.len()).unwrap();
        kafka.create_topic_with(&name, last + 1, &[("max.message.bytes", "4000000")]).await;
        let mut messages = Vec::new();
        for (partition, (message, _)) in (0..).zip(&bad) {
            let good = |n: i32| good(format!("{partition}-{n}"));
            messages.extend([good(0), good(1), message.clone(), good(3), good(4)].map(|m| m.partition(partition)));
        }
        let twice = fine.iter().chain(&fine).cloned();
        messages.extend(twice.map(|message| message.partition(last)));
        kafka.produce(&name, messages).await;
        Self { name, bad, fine: fine.len() }
    }

    fn last(&self) -> i32 {
        i32::try_from(self.bad.len()).unwrap()
    }

    /// The offset of each partition's bad record, and the end of the one that has none.
    fn stops(&self) -> BTreeMap<i32, i64> {
        let end = i64::try_from(2 * self.fine).unwrap();
        (0..self.last()).map(|partition| (partition, 2)).chain([(self.last(), end)]).collect()
    }
}

/// The default: each partition stops at its bad record and says why; then another policy goes on from there.
async fn stops_and_goes_on(topic: Topic, extractor: impl Extract + Clone, then: IdPolicy) {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let (group, journal) = (unique("billing"), Journal::default());
    let settings = || {
        let store = Arc::new(redis_store(redis.url(), &group).build().unwrap());
        consumer(kafka, &group, &topic.name, &journal).store(store).extractor(extractor.clone())
    };

    let mut running = Running::start(settings(), effects(&journal));
    running.until(journal.until_stops(topic.bad.len())).await;
    running.until_committed(kafka, &group, &topic.name, &topic.stops()).await;
    running.stop().await;

    let mut stops = journal.stops();
    stops.sort();
    assert_eq!(stops.len(), topic.bad.len(), "each partition stops once: {stops:#?}");
    for ((partition, (_, problem)), (place, reason)) in (0..).zip(&topic.bad).zip(&stops) {
        assert_eq!(*place, (partition, 2), "{reason}");
        assert!(reason.contains(problem), "{problem:?} is not in {reason:?}");
        assert!(reason.contains(&format!("{}-{partition}@2", topic.name)), "the record is not named: {reason}");
        assert!(!reason.contains(SECRET) && reason.len() < 1000, "the reason shows the record: {reason}");
        for way_out in ["a header", "the record key", "JSON pointer", "process", "coordinates"] {
            assert!(reason.contains(way_out), "{way_out} is not in {reason:?}");
        }
        assert_eq!(journal.effects_of(partition), [0, 1], "{problem}");
    }
    let all_fine: Vec<_> = (0..i64::try_from(topic.fine).unwrap()).collect();
    assert_eq!(journal.effects_of(topic.last()), all_fine, "each fine ID is another one, and its repeat a duplicate");
    assert_eq!(kafka.committed_offsets(&group, &topic.name).await, topic.stops());

    let mut running = Running::start(settings().id_policy(then), effects(&journal));
    running.until_all_committed(kafka, &group, &topic.name).await;
    running.stop().await;
    for (partition, (_, problem)) in (0..).zip(&topic.bad) {
        assert_eq!(journal.effects_of(partition), [0, 1, 2, 3, 4], "{problem}");
    }
    assert_eq!(journal.effects_of(topic.last()), all_fine);
    assert_eq!(journal.stops().len(), topic.bad.len(), "nothing stops any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_id_header_stops_its_partition_until_the_policy_is_process() {
    let topic = Topic::create(Kafka::shared().await, bad_headers(), event, fine_headers()).await;
    stops_and_goes_on(topic, HeaderId::cloud_events(), IdPolicy::Process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_id_header_stops_its_partition_until_the_policy_is_coordinates() {
    let topic = Topic::create(Kafka::shared().await, bad_headers(), event, fine_headers()).await;
    stops_and_goes_on(topic, HeaderId::cloud_events(), IdPolicy::Coordinates).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_payload_stops_its_partition() {
    let good = |id: String| json(format!(r#"{{"id": "{id}"}}"#));
    let topic = Topic::create(Kafka::shared().await, bad_payloads(), good, fine_payloads()).await;
    stops_and_goes_on(topic, JsonPointer::new("/id").unwrap(), IdPolicy::Process).await;
}

/// A crash between completions and commits delivers everything again: what has an ID is a duplicate then, and what has
/// none is handled once by its coordinates, or once more without de-duplication.
async fn redelivered(policy: IdPolicy, effects_of_bad: usize) {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let topic = Topic::create(kafka, bad_headers(), event, fine_headers()).await;
    let (group, journal) = (unique("billing"), Journal::default());
    let settings = || {
        let store = Arc::new(redis_store(redis.url(), &group).build().unwrap());
        consumer(kafka, &group, &topic.name, &journal).store(store).id_policy(policy)
    };
    let never = settings().commit_every(Duration::from_secs(3600), 1_000_000);
    let running = Running::start(never, effects(&journal));
    let (bad, fine) = (topic.bad.len(), topic.fine);
    let unrecorded = if policy == IdPolicy::Process { bad } else { 0 };
    journal.until_effects(5 * bad + fine).await;
    journal.until(5 * bad + fine - unrecorded, "a completion", |entry| matches!(entry, Entry::Completed(_))).await;
    running.crash().await;
    assert_eq!(kafka.committed_offsets(&group, &topic.name).await, BTreeMap::new());

    let mut running = Running::start(settings(), effects(&journal));
    running.until_all_committed(kafka, &group, &topic.name).await;
    running.stop().await;
    for partition in 0..topic.last() {
        for (offset, times) in [(0, 1), (1, 1), (2, effects_of_bad), (3, 1), (4, 1)] {
            let place = (partition, offset);
            let had = journal.effects().iter().filter(|effect| **effect == place).count();
            assert_eq!(had, times, "effects of {place:?} ({})", topic.bad[usize::try_from(partition).unwrap()].1);
        }
    }
    assert_eq!(journal.effects_of(topic.last()).len(), fine);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_id_and_processed_a_redelivery_is_handled_again() {
    redelivered(IdPolicy::Process, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_id_and_known_by_its_coordinates_a_redelivery_is_a_duplicate() {
    redelivered(IdPolicy::Coordinates, 1).await;
}

/// What is handed to the handler is what was produced, byte for byte: nothing is made of null, empty or binary parts.
#[tokio::test(flavor = "multi_thread")]
async fn odd_records_reach_the_handler_as_they_are() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let (topic, group, journal) = (unique("orders"), unique("billing"), Journal::default());
    kafka.create_topic_with(&topic, 1, &[("max.message.bytes", "4000000")]).await;
    let payloads = [None, Some(Vec::new()), Some(vec![0xff, 0x00]), Some(vec![7; 1 << 20])];
    let message = |(n, payload): (usize, &Option<Vec<u8>>)| {
        let message = Message::new().header("id", vec![0xff, u8::try_from(n).unwrap()]).null_header("none");
        payload.iter().fold(message, |message, payload| message.payload(payload.clone()))
    };
    kafka.produce(&topic, payloads.iter().enumerate().map(message)).await;

    let store = Arc::new(redis_store(redis.url(), &group).build().unwrap());
    let settings = consumer(kafka, &group, &topic, &journal).store(store).extractor(HeaderId::new("id"));
    let (seen, handled) = (Arc::new(parking_lot::Mutex::new(Vec::new())), journal.clone());
    let records = Arc::clone(&seen);
    let mut running = Running::start(
        settings,
        handler(move |record| {
            assert_eq!(place(&record).0, 0);
            records.lock().push(record.payload().map(|payload| payload.to_vec()));
            handled.effect(&record);
            std::future::ready(Ok(()))
        }),
    );
    running.until_all_committed(kafka, &group, &topic).await;
    running.stop().await;
    assert_eq!(*seen.lock(), payloads);
}
