//! A worker ends between the decision about a copy and what records it. The next owner sends the copy again, calls no
//! handler, and goes on with the count.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hapax::consumer::{Attempt, Consumer, ConsumerBuilder, Failure, Handler};
use hapax::engine::Order;
use hapax::id::Fingerprint;
use hapax::record::Record;
use hapax::store::{
    Agreement, Answers, Claim, ClaimOutcome, Completion, CompletionOutcome, GiveUp, GiveUpOutcome, Lease, LeaseTerms,
    OpenError, RedisStore, Release, ReleaseOutcome, RenewOutcome, State, Store, StoreHealth,
};
use parking_lot::Mutex;
use rdkafka::message::OwnedMessage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::super::common::{Client, Kafka, Mode, RedisServer, Signal, Worker, role, unique};
use super::super::consuming::Running;
use super::{Notes, event, headers, payloads};

const PARTITION: i32 = 0;
/// What a worker that is killed holds is taken over soon.
const SHORT: Duration = Duration::from_secs(1);
/// So long that no test waits for its end.
const LONG: Duration = Duration::from_secs(300);
/// How long an end may take.
const DRAIN: Duration = Duration::from_secs(2);
/// What a worker prints when the store has answered that a record is given up.
const NOTED: &str = "noted:";
/// What a worker prints when it asks the store to record what follows a copy.
const ASKS: &str = "asks the store to record it";

/// The store of a worker. It prints each note that was made. Where it is deaf, whatever follows a copy is asked for and
/// neither done nor answered: so a kill always comes after the copy was delivered, and before that is recorded.
#[derive(Debug)]
struct Watched {
    store: RedisStore,
    deaf: bool,
}

impl Watched {
    fn unless_deaf<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&RedisStore) -> BoxFuture<'static, T>,
    ) -> BoxFuture<'static, T> {
        if self.deaf {
            println!("{ASKS}");
            return Box::pin(std::future::pending());
        }
        ask(&self.store)
    }
}

impl Store for Watched {
    fn open<'a>(&'a self, agreement: &'a Agreement) -> BoxFuture<'a, Result<(), OpenError>> {
        self.store.open(agreement)
    }

    fn mode(&self) -> &'static str {
        self.store.mode()
    }

    fn keeps_details(&self) -> bool {
        self.store.keeps_details()
    }

    fn terms(&self) -> LeaseTerms {
        self.store.terms()
    }

    fn claim(&self, claims: Vec<Claim>) -> BoxFuture<'static, Answers<ClaimOutcome>> {
        self.store.claim(claims)
    }

    fn complete(&self, completions: Vec<Completion>) -> BoxFuture<'static, Answers<CompletionOutcome>> {
        self.unless_deaf(|store| store.complete(completions))
    }

    fn renew(&self, leases: Vec<Lease>) -> BoxFuture<'static, Answers<RenewOutcome>> {
        self.store.renew(leases)
    }

    fn release(&self, releases: Vec<Release>) -> BoxFuture<'static, Answers<ReleaseOutcome>> {
        self.unless_deaf(|store| store.release(releases))
    }

    fn give_up(&self, items: Vec<GiveUp>) -> BoxFuture<'static, Answers<GiveUpOutcome>> {
        let noting = self.store.give_up(items);
        Box::pin(async move {
            let answers = noting.await;
            println!("{NOTED} {answers:?}");
            answers
        })
    }

    fn inspect(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<State>> {
        self.store.inspect(ids)
    }

    fn forget(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<bool>> {
        self.store.forget(ids)
    }

    fn health(&self) -> StoreHealth {
        self.store.health()
    }
}

/// A topic of one partition with one record, `bad`, and where its copy goes.
struct Scene {
    redis: RedisServer,
    topic: String,
    letters: String,
    /// Where a failed attempt leads first, if not to the dead letters.
    retries: Option<String>,
    /// When a copy there is due.
    delay: Duration,
    group: String,
    lease: Duration,
}

impl Scene {
    async fn create(kafka: &Client, delay: Option<Duration>, lease: Duration) -> Self {
        let (topic, letters, group) = (unique("orders"), unique("dead"), unique("billing"));
        let retries = delay.map(|_| unique("soon"));
        for name in [Some(&topic), Some(&letters), retries.as_ref()].into_iter().flatten() {
            kafka.create_topic(name, PARTITION + 1).await;
        }
        kafka.produce(&topic, [event("bad")]).await;
        let delay = delay.unwrap_or_default();
        Self { redis: RedisServer::start(), topic, letters, retries, delay, group, lease }
    }

    fn worker(&self, test: &str, role: &str, brokers: String, gate: &str) -> Worker {
        let retries = self.retries.clone().unwrap_or_default();
        let envs = [
            ("KAFKA", brokers),
            ("REDIS", self.redis.url()),
            ("TOPIC", self.topic.clone()),
            ("LETTERS", self.letters.clone()),
            ("RETRIES", retries),
            ("GROUP", self.group.clone()),
            ("DELAY", self.delay.as_millis().to_string()),
            ("LEASE", self.lease.as_millis().to_string()),
            ("GATE", gate.to_owned()),
        ];
        Worker::spawn(test, role, envs)
    }

    /// Starts the next owner, whose handler succeeds at everything and notes what it gets.
    fn next(&self, kafka: &Client) -> (Running, Notes, Calls) {
        let (notes, calls) = (Notes::default(), Calls::default());
        let retries = self.retries.as_deref().unwrap_or_default();
        let builder = settings(&kafka.bootstrap(), &self.group, &self.topic, &self.letters, retries, self.delay);
        let store = Arc::new(store(self.redis.url(), &self.group, self.lease));
        (Running::start(builder.store(store).observer(Arc::new(notes.clone())), calls.clone()), notes, calls)
    }
}

/// The topic of each record that a handler was called for, with the number of the attempt.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<(String, u32)>>>);

impl Handler for Calls {
    async fn handle(&self, record: Record, attempt: Attempt) -> Result<(), Failure> {
        self.0.lock().push((record.topic().to_owned(), attempt.number));
        Ok(())
    }
}

fn has_both_attempts(letter: &OwnedMessage) -> bool {
    headers(letter).contains(&("hapax-attempts".to_owned(), Some(b"2".to_vec())))
}

fn store(url: String, group: &str, lease: Duration) -> RedisStore {
    let terms = LeaseTerms { lease, grace: Duration::from_secs(120), window: Duration::from_secs(3600) };
    RedisStore::builder(url, group.parse().unwrap()).terms(terms).build().unwrap()
}

fn settings(brokers: &str, group: &str, topic: &str, letters: &str, retries: &str, delay: Duration) -> ConsumerBuilder {
    let builder = Consumer::builder()
        .brokers(brokers)
        .group(group)
        .topic(topic)
        // The next owner is the same member, so it need not wait until a session ends.
        .static_member("one")
        .property("session.timeout.ms", "6000")
        .property("heartbeat.interval.ms", "500")
        .commit_every(Duration::from_millis(50), 10_000)
        .drain_limit(DRAIN)
        .max_attempts(2)
        .backoff(Duration::from_millis(20), Duration::from_millis(100))
        .dead_letter_topic(letters);
    match retries {
        "" => builder,
        retries => builder.order(Order::Unordered).retry_topic(retries, delay),
    }
}

/// Fails at everything. Where there is a gate, the last attempt ends when the test opens it.
struct Fails;

impl Handler for Fails {
    async fn handle(&self, _: Record, attempt: Attempt) -> Result<(), Failure> {
        let gate = env::var("GATE").expect("a variable of the test");
        if attempt.number == 2 && !gate.is_empty() {
            let mut gate = TcpStream::connect(gate).await.expect("the test listens");
            gate.read_u8().await.expect("the test opens the gate");
        }
        Err(Failure::retryable("no such customer"))
    }
}

async fn worker(role: &str) {
    let var = |name: &str| env::var(name).expect("a variable of the test");
    let time = |name: &str| Duration::from_millis(var(name).parse().unwrap());
    let store = Watched { store: store(var("REDIS"), &var("GROUP"), time("LEASE")), deaf: role == "killed" };
    let builder =
        settings(&var("KAFKA"), &var("GROUP"), &var("TOPIC"), &var("LETTERS"), &var("RETRIES"), time("DELAY"));
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    builder
        .store(Arc::new(store))
        .build()
        .unwrap()
        .run(Fails, async move { terminated.recv().await.unwrap_or(()) })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letter_of_a_killed_worker_is_sent_again_not_handled() {
    const TEST: &str = "dead_letters::interrupted::dead_letter_of_a_killed_worker_is_sent_again_not_handled";
    if let Some(role) = role() {
        return worker(&role).await;
    }
    let kafka = Kafka::shared().await;
    let scene = Scene::create(kafka, None, SHORT).await;
    let killed = scene.worker(TEST, "killed", kafka.bootstrap(), "");
    killed.line(ASKS).await;
    killed.signal(Signal::Kill);
    assert_eq!(killed.exit().await, 128 + 9);
    assert_eq!(payloads(&kafka.records(&scene.letters).await), ["bad"], "the copy lies there");

    let (mut next, notes, calls) = scene.next(kafka);
    next.until_all_committed(kafka, &scene.group, &scene.topic).await;
    // Its duplicate, which the note alone would send after it.
    kafka.produce(&scene.topic, [event("bad")]).await;
    next.until_all_committed(kafka, &scene.group, &scene.topic).await;
    next.stop().await;
    assert_eq!(*calls.0.lock(), [], "what lies among the dead letters is not handled as well");
    let letters = kafka.records(&scene.letters).await;
    assert_eq!(payloads(&letters), ["bad", "bad"], "the next owner cannot know that the copy was delivered");
    assert!(letters.iter().all(has_both_attempts), "the count goes along");
    assert_eq!(notes.of(""), ["DeadLettered bad", "Duplicate bad"], "its ID is recorded as done");
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_copy_of_a_killed_worker_is_sent_again_not_handled() {
    const TEST: &str = "dead_letters::interrupted::retry_copy_of_a_killed_worker_is_sent_again_not_handled";
    if let Some(role) = role() {
        return worker(&role).await;
    }
    let kafka = Kafka::shared().await;
    // The copies are not due before the test is over.
    let (scene, retries) = killed_at_a_retry_copy(TEST, kafka, LONG).await;
    let (mut next, notes, calls) = scene.next(kafka);
    next.until_all_committed(kafka, &scene.group, &scene.topic).await;
    next.stop().await;
    assert_eq!(*calls.0.lock(), [], "its attempt failed, and the next one is that of a copy");
    assert_eq!(notes.of(""), ["Retried bad"]);
    assert_eq!(payloads(&kafka.records(&retries).await), ["bad", "bad"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_copies_of_a_killed_worker_are_handled_once() {
    const TEST: &str = "dead_letters::interrupted::retry_copies_of_a_killed_worker_are_handled_once";
    if let Some(role) = role() {
        return worker(&role).await;
    }
    let kafka = Kafka::shared().await;
    let (scene, retries) = killed_at_a_retry_copy(TEST, kafka, Duration::from_millis(100)).await;
    let (mut next, notes, calls) = scene.next(kafka);
    for topic in [&scene.topic, &retries] {
        next.until_all_committed(kafka, &scene.group, topic).await;
    }
    next.stop().await;
    // The copy may arrive before the record: they are one message, and either may be handled.
    let attempts: Vec<u32> = calls.0.lock().iter().map(|(_, attempt)| *attempt).collect();
    assert_eq!(attempts, [2], "once, and the count goes along: {:?}", notes.of(""));
    assert_eq!(notes.of("Handled"), ["Handled bad"]);
}

/// A worker is killed after it sent a copy to a retry topic. Returns the name of that topic, too.
async fn killed_at_a_retry_copy(test: &str, kafka: &Client, delay: Duration) -> (Scene, String) {
    let scene = Scene::create(kafka, Some(delay), SHORT).await;
    let retries = scene.retries.clone().unwrap();
    let killed = scene.worker(test, "killed", kafka.bootstrap(), "");
    killed.line(ASKS).await;
    killed.signal(Signal::Kill);
    assert_eq!(killed.exit().await, 128 + 9);
    assert_eq!(payloads(&kafka.records(&retries).await), ["bad"], "the copy lies there");
    (scene, retries)
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letter_that_waits_at_a_shutdown_is_given_back() {
    const TEST: &str = "dead_letters::interrupted::dead_letter_that_waits_at_a_shutdown_is_given_back";
    if let Some(role) = role() {
        return worker(&role).await;
    }
    let (kafka, to_kafka) = Kafka::own_behind_proxy().await;
    let scene = Scene::create(&kafka, None, LONG).await;
    let gate = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gate.local_addr().unwrap().to_string();
    let ended = scene.worker(TEST, "ended", to_kafka.address().to_string(), &address);
    let (mut last_attempt, _) = gate.accept().await.unwrap();
    // Gone before the decision, so that the copy is certainly not delivered.
    to_kafka.set(Mode::Cut);
    last_attempt.write_u8(0).await.unwrap();
    ended.line(NOTED).await;
    ended.signal(Signal::Term);
    assert_eq!(ended.exit().await, 0, "{}", ended.output());

    let left = Instant::now();
    let (mut next, notes, calls) = scene.next(&kafka);
    next.until_all_committed(&kafka, &scene.group, &scene.topic).await;
    assert!(left.elapsed() < LONG / 5, "it waited for the end of the lease: {:?}", left.elapsed());
    next.stop().await;
    assert_eq!(*calls.0.lock(), []);
    assert_eq!(notes.of(""), ["DeadLettered bad"], "an end in order is no crash");
    let letters = kafka.records(&scene.letters).await;
    assert_eq!(payloads(&letters), ["bad"]);
    assert!(has_both_attempts(&letters[0]), "the count goes along");
}
