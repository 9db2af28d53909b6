//! Kafka or Redis away, at the start and on the way: an error that says so, or a pause; no message is lost.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use hapax::consumer::{ConsumerBuilder, Control, Handler};
use hapax::error::RunError;
use hapax::id::{HeaderId, Identification, Identifier};
use hapax::kafka::SourceError;
use hapax::observe::Observer;
use hapax::record::{Record, TopicPartition};
use hapax::store::{Breaker, LeaseTerms, MemoryStore, OpenError, State, Store, StoreError, StoreHealth};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::common::{Client, Kafka, Message, Mode, Proxy, RedisServer, await_until, unique};
use super::consuming::{Entry, Journal, PATIENCE, Place, Running, consumer, effects, handler, redis_store, told};

const SECRET: &str = "hunter2";
/// What a busy machine may need beyond a limit.
const SLACK: Duration = Duration::from_secs(3);

fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(LeaseTerms::default()))
}

/// A way to somebody who never answers. It can be counted who tries.
fn nobody() -> (Proxy, TcpListener) {
    let deaf = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    (Proxy::to(deaf.local_addr().unwrap()), deaf)
}

/// Runs it to its end, which must be an error, and answers that and what a log would show of it.
async fn fails(builder: ConsumerBuilder, within: Duration) -> (RunError, String) {
    let started = Instant::now();
    let builder = builder.start_timeout(Duration::ZERO);
    let error = Running::start(builder, effects(&Journal::default())).ended().await.unwrap_err();
    let shown = format!("{} {error:?}", told(&error));
    assert!(started.elapsed() < within + SLACK, "after {:?}: {shown}", started.elapsed());
    assert!(!shown.contains(SECRET), "{shown}");
    (error, shown)
}

#[tokio::test]
async fn an_unknown_topic_is_named() {
    let kafka = Kafka::shared().await;
    let (known, unknown) = (unique("orders"), unique("odrers"));
    kafka.create_topic(&known, 1).await;
    let settings = consumer(kafka, &unique("billing"), &known, &Journal::default()).topic(&unknown).store(memory());
    let (error, shown) = fails(settings, Duration::from_secs(2)).await;
    assert!(shown.contains("does not exist: create it"), "{shown}");
    assert!(error.is_retryable(), "somebody may create it meanwhile");
    let RunError::Source(SourceError::UnknownTopic { topic }) = error else { panic!("{shown}") };
    assert_eq!(topic, unknown);
}

#[tokio::test]
async fn brokers_that_do_not_answer_at_the_start_are_named_within_the_limit() {
    let (nobody, _deaf) = nobody();
    let limit = Duration::from_secs(1);
    for mode in [Mode::Cut, Mode::Pass] {
        nobody.set(mode);
        let brokers = Client::new(nobody.address().to_string());
        let settings = consumer(&brokers, "billing", "orders", &Journal::default()).store(memory()).start_limit(limit);
        let (error, shown) = fails(settings.property("sasl.password", SECRET), limit).await;
        assert!(
            error.is_retryable() && shown.contains(&brokers.bootstrap()) && shown.contains("within 1 s"),
            "{shown}"
        );
        assert!(matches!(error, RunError::Source(SourceError::Unreachable { .. })), "{mode:?}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_does_not_answer_at_the_start_is_named_within_the_limit() {
    let redis = RedisServer::start_with(&["--requirepass", "another"]);
    let to_redis = Proxy::to_port(redis.port());
    let url = format!("redis://:{SECRET}@{}/", to_redis.address());
    for (mode, retryable) in
        [(Mode::Cut, true), (Mode::Blackhole, true), (Mode::SwallowReplies, true), (Mode::Pass, false)]
    {
        to_redis.set(mode);
        // Brokers are asked for after that only: nobody listens at this address.
        let kafka = Client::new("127.0.0.1:1");
        let store = Arc::new(redis_store(url.clone(), "billing").build().unwrap());
        let settings = consumer(&kafka, "billing", "orders", &Journal::default()).store(store);
        let (error, shown) = fails(settings, Duration::from_millis(500)).await;
        assert_eq!(error.is_retryable(), retryable, "{mode:?}: {shown}");
        assert!(shown.contains(&to_redis.address().to_string()), "{mode:?}: {shown}");
        match error {
            RunError::Open(OpenError::Store(StoreError::Refused(_))) => assert_eq!(mode, Mode::Pass),
            RunError::Open(OpenError::Store(_)) => {}
            other => panic!("{mode:?}: {other:?}"),
        }
    }
}

/// A library consumer waits for services as the sidecar does, up to its limit, and returns the last error.
#[tokio::test]
async fn a_start_gives_up_with_the_last_error_after_its_timeout() {
    let (nobody, _deaf) = nobody();
    nobody.set(Mode::Cut);
    let (brokers, timeout) = (Client::new(nobody.address().to_string()), Duration::from_secs(2));
    let settings = consumer(&brokers, "billing", "orders", &Journal::default()).store(memory());
    let settings = settings.start_limit(Duration::from_millis(300)).start_timeout(timeout);
    let started = Instant::now();
    let error = Running::start(settings, effects(&Journal::default())).ended().await.unwrap_err();
    let took = started.elapsed();
    assert!(took >= timeout && took < timeout + SLACK, "{took:?}");
    assert!(matches!(error, RunError::Source(SourceError::Unreachable { .. })), "{error:?}");
    assert!(error.is_retryable());
}

/// What no time mends is returned at once, however long the start may take.
#[tokio::test]
async fn a_start_returns_at_once_what_no_time_mends() {
    let redis = RedisServer::start_with(&["--requirepass", "another"]);
    let store =
        Arc::new(redis_store(format!("redis://:wrong@127.0.0.1:{}/", redis.port()), "billing").build().unwrap());
    let settings = consumer(&Client::new("127.0.0.1:1"), "billing", "orders", &Journal::default()).store(store);
    let started = Instant::now();
    let error = Running::start(settings, effects(&Journal::default())).ended().await.unwrap_err();
    assert!(!error.is_retryable() && started.elapsed() < SLACK, "{:?}: {error:?}", started.elapsed());
}

/// Redis and the broker come up after the consumer: it says what it waits for, and starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_redis_and_the_brokers() {
    let (redis, kafka) = (RedisServer::start(), Kafka::own().await);
    let to_redis = Proxy::to_port(redis.port());
    to_redis.set(Mode::Cut);
    let (topic, group, journal) = (unique("orders"), unique("billing"), Journal::default());
    kafka.create_topic(&topic, 1).await;
    kafka.produce(&topic, messages(0..1)).await;
    kafka.kill();
    let store = Arc::new(redis_store(to_redis.redis_url(), &group).build().unwrap());
    let control = Control::new();
    let settings = consumer(&kafka, &group, &topic, &journal).store(store).control(control.clone());
    let settings = settings.start_limit(Duration::from_millis(500)).start_timeout(2 * PATIENCE);
    let mut running = Running::start(settings, effects(&journal));
    let waits = async |what: &str| {
        let waits = async || control.waits_for().is_some_and(|waits| waits.starts_with(what));
        await_until(&format!("it waits for {what}"), PATIENCE, waits).await;
    };
    running.until(waits("the store is not available yet: ")).await;
    to_redis.set(Mode::Pass);
    running.until(waits("Kafka is not available yet: ")).await;
    running.until(kafka.restart()).await;
    running.until(journal.until_effects(1)).await;
    assert_eq!(control.waits_for(), None);
    running.stop().await;
}

/// Who is told to end while it still waits for a service need not wait for that.
#[tokio::test]
async fn a_shutdown_during_the_start_ends_at_once() {
    let (nobody, _deaf) = nobody();
    let kafka = Client::new(nobody.address().to_string());
    let settings = || consumer(&kafka, "billing", "orders", &Journal::default()).start_limit(PATIENCE * 2);
    let patient = redis_store(nobody.redis_url(), "billing").connect_limit(PATIENCE * 2);
    for settings in [settings().store(memory()), settings().store(Arc::new(patient.build().unwrap()))] {
        let asked = nobody.accepted();
        let running = Running::start(settings, effects(&Journal::default()));
        await_until("it connects", PATIENCE, async || nobody.accepted() > asked).await;
        let told = Instant::now();
        running.stop().await;
        assert!(told.elapsed() < SLACK, "{:?}", told.elapsed());
    }
    // In a pause between two attempts.
    nobody.set(Mode::Cut);
    let control = Control::new();
    let settings = settings().store(memory()).start_limit(Duration::from_millis(100)).start_timeout(PATIENCE * 2);
    let running = Running::start(settings.control(control.clone()), effects(&Journal::default()));
    await_until("an attempt has failed", PATIENCE, async || control.waits_for().is_some()).await;
    let told = Instant::now();
    running.stop().await;
    assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
}

const PARTITIONS: i32 = 2;
/// Handlers running and completions under way at once, in these tests.
const EXPOSED: usize = 8;

fn messages(numbers: std::ops::Range<i32>) -> impl Iterator<Item = Message> {
    let message =
        |n: i32| Message::new().partition(n % PARTITIONS).header("ce_id", n.to_string()).header("ce_source", "/");
    numbers.map(message)
}

/// Writes effects down, and changes the weather with one of them: in the middle of what is in flight.
fn breaking(journal: &Journal, at: usize, proxy: &Arc<Proxy>, mode: Mode) -> impl Handler {
    let (journal, proxy, had) = (journal.clone(), Arc::clone(proxy), AtomicUsize::new(0));
    handler(move |record| {
        journal.effect(&record);
        if had.fetch_add(1, SeqCst) + 1 == at {
            proxy.set(mode);
        }
        std::future::ready(Ok(()))
    })
}

fn each_once(journal: &Journal, count: usize) {
    let effects = journal.effects();
    let different: BTreeSet<Place> = effects.iter().copied().collect();
    assert_eq!((different.len(), effects.len()), (count, count), "every message has one effect");
}

fn completions(journal: &Journal) -> usize {
    journal.count(|entry| matches!(entry, Entry::Completed(_)))
}

/// Whatever is behind a committed offset is done in Redis, which is asked directly.
async fn nothing_unrecorded_is_committed(kafka: &Kafka, redis: &RedisServer, group: &str, topic: &str) {
    let store = redis_store(redis.url(), group).build().unwrap();
    let identifier = Identifier::new(group.parse().unwrap()).extractor(HeaderId::cloud_events());
    for (partition, committed) in kafka.committed_offsets(group, topic).await {
        for offset in 0..committed {
            let id = offset * i64::from(PARTITIONS) + i64::from(partition);
            let record = Record::builder(TopicPartition::new(topic, partition), offset);
            let record = record.header("ce_id", id.to_string()).header("ce_source", "/").build();
            let Identification::Id { fingerprint, .. } = identifier.identify(&record) else { panic!("no ID") };
            let state = store.inspect(vec![fingerprint]).await.remove(0).unwrap();
            assert!(matches!(state, State::Done { .. }), "{partition}@{offset} is committed and {state:?}");
        }
    }
}

/// Redis does not answer, then refuses, then comes back: consumption pauses at the bound on exposed records, and goes
/// on. The process knows what it handled, so nothing is repeated.
#[tokio::test(flavor = "multi_thread")]
async fn redis_away_is_a_pause() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let to_redis = Arc::new(Proxy::to_port(redis.port()));
    let (topic, group, journal) = (unique("orders"), unique("billing"), Journal::default());
    kafka.create_topic(&topic, PARTITIONS).await;
    kafka.produce(&topic, messages(0..400)).await;
    let store = Arc::new(redis_store(to_redis.redis_url(), &group).build().unwrap());
    let settings = consumer(kafka, &group, &topic, &journal).store(store).max_exposed(EXPOSED);
    let mut running = Running::start(settings, breaking(&journal, 100, &to_redis, Mode::Blackhole));

    let unanswered = |entry: &Entry| *entry == Entry::StoreError("complete");
    running.until(journal.until(2 * EXPOSED, "a completion without an answer", unanswered)).await;
    let (had, recorded) = (journal.effects().len(), completions(&journal));
    assert!(recorded < had && had <= recorded + EXPOSED, "{had} effects, {recorded} of them recorded");
    nothing_unrecorded_is_committed(kafka, &redis, &group, &topic).await;

    to_redis.set(Mode::Cut);
    let so_far = journal.count(unanswered);
    running.until(journal.until(so_far + 2 * EXPOSED, "a completion without an answer", unanswered)).await;
    assert_eq!(journal.effects().len(), had, "nothing new is handled while Redis is away");
    nothing_unrecorded_is_committed(kafka, &redis, &group, &topic).await;

    to_redis.set(Mode::Pass);
    running.until_all_committed(kafka, &group, &topic).await;
    nothing_unrecorded_is_committed(kafka, &redis, &group, &topic).await;
    running.stop().await;
    each_once(&journal, 400);
    assert_eq!(completions(&journal), 400);
    assert_eq!(journal.stops(), []);
}

/// Redis comes back empty: what was in flight is recorded, nothing is lost. What it forgot is handled again when it is
/// delivered again, and only that.
#[tokio::test(flavor = "multi_thread")]
async fn redis_that_lost_its_data_loses_no_message() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let to_redis = Arc::new(Proxy::to_port(redis.port()));
    let (topic, group, journal) = (unique("orders"), unique("billing"), Journal::default());
    kafka.create_topic(&topic, PARTITIONS).await;
    kafka.produce(&topic, messages(0..400)).await;
    let store = || Arc::new(redis_store(to_redis.redis_url(), &group).build().unwrap());
    let settings = || consumer(kafka, &group, &topic, &journal).store(store()).max_exposed(EXPOSED);
    let mut running = Running::start(settings(), breaking(&journal, 100, &to_redis, Mode::Cut));
    let unanswered = |entry: &Entry| *entry == Entry::StoreError("complete");
    running.until(journal.until(EXPOSED, "a completion without an answer", unanswered)).await;
    let before: Vec<Entry> = journal.entries();
    redis.restart();
    assert_eq!(redis.cli(&["DBSIZE"]), "0");
    to_redis.set(Mode::Pass);
    running.until_all_committed(kafka, &group, &topic).await;
    each_once(&journal, 400);

    // All of them once more: forgotten are those that were recorded before the restart.
    kafka.produce(&topic, messages(0..400)).await;
    running.until_all_committed(kafka, &group, &topic).await;
    running.stop().await;
    let recorded = |(partition, offset): Place| before.contains(&Entry::Completed((partition, offset)));
    let again: BTreeSet<Place> = journal.effects()[400..].iter().map(|(p, offset)| (*p, offset - 200)).collect();
    assert_eq!(again.len(), journal.effects().len() - 400);
    assert!(!again.is_empty());
    let all = (0..PARTITIONS).flat_map(|partition| (0..200).map(move |offset| (partition, offset)));
    let forgotten: BTreeSet<Place> = all.filter(|place| recorded(*place)).collect();
    // A completion whose answer the cut swallowed was recorded, and forgotten too; it was then recorded anew.
    assert_eq!(again, forgotten, "handled again is what Redis forgot, and nothing else");
}

/// Kafka is cut off and comes back: consumption goes on, nothing is lost or repeated. A shutdown while it is away ends
/// within its limits, and what it could not commit is not repeated either.
#[tokio::test(flavor = "multi_thread")]
async fn kafka_cut_off_is_a_pause() {
    let (redis, (kafka, to_kafka)) = (RedisServer::start(), Kafka::own_behind_proxy().await);
    let (cut_off, to_kafka) = (Client::new(to_kafka.address().to_string()), Arc::new(to_kafka));
    let (topic, group, journal) = (unique("orders"), unique("billing"), Journal::default());
    kafka.create_topic(&topic, PARTITIONS).await;
    kafka.produce(&topic, messages(0..200)).await;
    let drain = Duration::from_secs(1);
    let settings = |brokers: &Client| {
        let store = Arc::new(redis_store(redis.url(), &group).build().unwrap());
        consumer(brokers, &group, &topic, &journal).store(store).drain_limit(drain)
    };
    let mut running = Running::start(settings(&cut_off), breaking(&journal, 100, &to_kafka, Mode::Cut));
    running.until(journal.until_effects(100)).await;
    kafka.produce(&topic, messages(200..300)).await;
    let tried = to_kafka.accepted();
    running.until(await_until("it tries to reach Kafka", PATIENCE, async || to_kafka.accepted() > tried + 2)).await;
    to_kafka.set(Mode::Pass);
    running.until_all_committed(&kafka, &group, &topic).await;
    running.stop().await;
    each_once(&journal, 300);

    kafka.produce(&topic, messages(300..400)).await;
    let running = Running::start(settings(&cut_off), breaking(&journal, 50, &to_kafka, Mode::Blackhole));
    journal.until_effects(350).await;
    let told = Instant::now();
    running.stop().await;
    assert!(told.elapsed() < 2 * drain + SLACK, "{:?}", told.elapsed());
    let all_arrived = kafka.end_offsets(&topic).await == kafka.committed_offsets(&group, &topic).await;
    assert!(!all_arrived, "the last commits cannot have arrived");

    let mut running = Running::start(settings(&kafka), effects(&journal));
    running.until_all_committed(&kafka, &group, &topic).await;
    running.stop().await;
    each_once(&journal, 400);
}

/// The broker is killed in the middle and started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_is_a_pause() {
    let (redis, kafka) = (RedisServer::start(), Kafka::own().await);
    let (topic, group, journal) = (unique("orders"), unique("billing"), Journal::default());
    kafka.create_topic(&topic, PARTITIONS).await;
    kafka.produce(&topic, messages(0..200)).await;
    let store = Arc::new(redis_store(redis.url(), &group).build().unwrap());
    let settings = consumer(&kafka, &group, &topic, &journal).store(store);
    let mut running = Running::start(settings, effects(&journal));
    running.until(journal.until_effects(100)).await;
    kafka.restart().await;
    kafka.produce(&topic, messages(200..300)).await;
    running.until_all_committed(&kafka, &group, &topic).await;
    running.stop().await;
    each_once(&journal, 300);
    assert_eq!(journal.stops(), []);
}

/// What an observer was told of the store's breaker.
#[derive(Debug, Default)]
struct Eyes(Mutex<Vec<Breaker>>);

impl Observer for Eyes {
    fn on_store_health(&self, health: &StoreHealth) {
        self.0.lock().push(health.breaker);
    }
}

/// The breaker is told, nothing starts while it is open, and work goes on about a second after Redis is back: half of
/// it until the next attempt to connect, half until the next question, at most.
#[tokio::test(flavor = "multi_thread")]
async fn redis_back_is_noticed_within_about_a_second() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let to_redis = Arc::new(Proxy::to_port(redis.port()));
    let (topic, group, journal) = (unique("orders"), unique("billing"), Journal::default());
    kafka.create_topic(&topic, PARTITIONS).await;
    kafka.produce(&topic, messages(0..400)).await;
    let store = Arc::new(redis_store(to_redis.redis_url(), &group).build().unwrap());
    let eyes = Arc::new(Eyes::default());
    let settings = consumer(kafka, &group, &topic, &journal).store(store).max_exposed(EXPOSED);
    let settings = settings.observer(Arc::clone(&eyes) as Arc<dyn Observer>);
    let mut running = Running::start(settings, breaking(&journal, 100, &to_redis, Mode::Cut));
    let told = async |breaker: Breaker| {
        await_until("the breaker is told", PATIENCE, async || eyes.0.lock().last() == Some(&breaker)).await;
    };
    running.until(told(Breaker::Open)).await;
    let (had, tried) = (journal.effects().len(), to_redis.accepted());
    running.until(await_until("it goes on trying", PATIENCE, async || to_redis.accepted() > tried + 8)).await;
    assert_eq!(journal.effects().len(), had, "nothing starts while Redis is away");

    to_redis.set(Mode::Pass);
    let back = Instant::now();
    running.until(journal.until_effects(had + 1)).await;
    println!("resumed after {:?}", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(1) + SLACK / 2, "{:?}", back.elapsed());
    running.until(told(Breaker::Closed)).await;
    running.until_all_committed(kafka, &group, &topic).await;
    running.stop().await;
    each_once(&journal, 400);
}
