//! Delivered through Kafka and Redis: the application may die, be replaced by one that knows nothing, and come back;
//! no message is lost, given up, or handled twice by an application that honours the key.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use hapax::consumer::ConsumerBuilder;
use hapax::engine::Order;
use hapax::id::{IdKey, Identity, MessageId, Scope};
use hapax::sidecar::push::{Push, TargetState};
use parking_lot::Mutex;

use crate::app::{App, PATIENCE, Reply, Request};
use crate::common::{Kafka, Message, RedisServer, unique};
use crate::consuming::{Journal, Running, consumer, redis_store};
use crate::push_answers::{push, settings};

/// What an application keeps that honours the key: each effect once, and which body had it.
#[derive(Clone, Debug, Default)]
struct Effects(Arc<Mutex<HashMap<String, Vec<Vec<u8>>>>>);

impl Effects {
    fn take(&self, request: &Request) -> Reply {
        let mut effects = self.0.lock();
        let bodies = effects.entry(request.header("idempotency-key")).or_default();
        bodies.push(request.body.clone());
        Reply::status(204)
    }

    /// The bodies, each as often as it had an effect.
    fn bodies(&self) -> Vec<String> {
        let effects = self.0.lock();
        // A repeated request has no effect; it must be the same message, or one would be swallowed.
        assert!(effects.values().all(|bodies| bodies.iter().all(|body| *body == bodies[0])));
        effects.values().map(|bodies| String::from_utf8(bodies[0].clone()).unwrap()).collect()
    }

    fn count(&self) -> usize {
        self.0.lock().len()
    }
}

struct Topic {
    kafka: &'static Kafka,
    redis: RedisServer,
    name: String,
    dead: String,
    group: String,
    journal: Journal,
}

impl Topic {
    async fn create(messages: impl IntoIterator<Item = Message>) -> Self {
        let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
        let (name, dead, group) = (unique("orders"), unique("dead"), unique("billing"));
        kafka.create_topic(&name, 4).await;
        kafka.create_topic(&dead, 1).await;
        kafka.produce(&name, messages.into_iter().collect::<Vec<_>>()).await;
        Self { kafka, redis, name, dead, group, journal: Journal::default() }
    }

    fn consumer(&self) -> ConsumerBuilder {
        let store = Arc::new(redis_store(self.redis.url(), &self.group).build().unwrap());
        consumer(self.kafka, &self.group, &self.name, &self.journal)
            .store(store)
            .dead_letter_topic(&self.dead)
            .order(Order::Unordered)
            .backoff(Duration::from_millis(50), Duration::from_millis(500))
    }

    async fn dead_letters(&self) -> i64 {
        self.kafka.end_offsets(&self.dead).await.values().sum()
    }
}

fn numbered(n: usize) -> Message {
    let id = n.to_string();
    // Without a key a partition may stay empty, and of such a one nothing is committed.
    Message::new().key(id.clone()).header("ce_id", id.clone()).header("ce_source", "/shop").payload(id)
}

async fn until(push: &Push, state: impl Fn(&TargetState) -> bool) {
    let mut watch = push.watch();
    let waiting =
        tokio::time::timeout(PATIENCE, watch.wait_for(|known| state(known))).await.map(|found| drop(found.unwrap()));
    waiting.unwrap_or_else(|_| panic!("{:?}", push.state()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_dies_and_is_replaced_gets_every_message_once() {
    const MESSAGES: usize = 3000;
    let topic = Topic::create((0..MESSAGES).map(numbered)).await;
    let effects = Effects::default();
    let works = || {
        let effects = effects.clone();
        move |request: &Request| effects.take(request)
    };
    let mut app = App::start(works()).await;
    let push = push(&settings(&app.url()));
    let mut running = Running::start(topic.consumer(), push.clone());

    // It dies under load, requests and answers on their way, and comes back.
    for death in 1..=2 {
        running.until(app.until(MESSAGES / 10)).await;
        let address = app.kill().await;
        running.until(until(&push, |state| matches!(state, TargetState::Unavailable { .. }))).await;
        assert!(effects.count() < MESSAGES, "death {death} came too late to prove anything");
        app = App::start_at(address, works()).await;
    }
    // For a while another one stands in its place.
    running.until(app.until(MESSAGES / 10)).await;
    let address = app.kill().await;
    let wrong = App::start_at(address, |_| Reply::answer(404, &[], "no such page")).await;
    running.until(wrong.until(200)).await;
    assert!(matches!(push.state(), TargetState::Misconfigured { .. }), "{:?}", push.state());
    assert!(effects.count() < MESSAGES, "the wrong one came too late to prove anything");
    let address = wrong.kill().await;
    let _app = App::start_at(address, works()).await;

    running.until_all_committed(topic.kafka, &topic.group, &topic.name).await;
    running.stop().await;
    let bodies = effects.bodies();
    assert_eq!(bodies.len(), MESSAGES, "one key for each message");
    let expected: BTreeSet<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
    assert_eq!(bodies.into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(topic.dead_letters().await, 0);
    assert_eq!(topic.journal.stops(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_the_same_for_each_attempt_and_for_each_copy() {
    // Two copies, of which each group handles one: whichever it comes to first.
    let copy = |partition| numbered(7).partition(partition);
    let topic = Topic::create([copy(0), copy(1)]).await;
    let identity = Identity::new(Scope::Header("/shop".into()), MessageId::new("7").unwrap());
    let key = format!("\"{}\"", IdKey::default().fingerprint(&identity));
    let app = App::start(|request| match request.header("hapax-attempt").as_str() {
        "1" => Reply::status(500),
        "2" => Reply::status(503),
        _ => Reply::status(200),
    })
    .await;
    let push = push(&settings(&app.url()));
    // An answer of 503 counts no attempt: the next one is the second again.
    let consumer = topic.consumer().max_attempts(3);
    let mut running = Running::start(consumer, push);
    running.until(app.until(3)).await;
    let requests = app.requests();
    running.stop().await;
    for request in &requests {
        assert_eq!(request.header("idempotency-key"), key);
        assert_eq!(request.header("ce-id"), "7");
    }
    let attempts: Vec<_> = requests.iter().take(3).map(|request| request.header("hapax-attempt")).collect();
    assert_eq!(attempts, ["1", "2", "2"], "not available counts no attempt");
}

/// An application may answer so after its effect. Uncounted, the effect would be repeated without end.
#[tokio::test(flavor = "multi_thread")]
async fn answer_of_a_wrong_target_counts_attempts() {
    const MESSAGES: usize = 8;
    const STATUSES: [u16; 5] = [101, 303, 401, 404, 405];
    let topic = Topic::create((0..MESSAGES).map(numbered)).await;
    let app = App::start(|request| {
        let number: usize = request.header("ce-id").parse().unwrap();
        Reply::status(STATUSES.get(number).copied().unwrap_or(204))
    })
    .await;
    let consumer = topic.consumer().max_attempts(3).dead_letter_share(1.0);
    let mut running = Running::start(consumer, push(&settings(&app.url())));
    running.until_all_committed(topic.kafka, &topic.group, &topic.name).await;
    running.stop().await;
    let mut attempts = BTreeMap::<String, usize>::new();
    for request in app.requests() {
        *attempts.entry(request.header("ce-id")).or_default() += 1;
    }
    let expected = |n: usize| (n.to_string(), if n < STATUSES.len() { 3 } else { 1 });
    assert_eq!(attempts, (0..MESSAGES).map(expected).collect());
    assert_eq!(topic.dead_letters().await, STATUSES.len() as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_application_refuses_is_a_dead_letter_and_the_rest_of_its_batch_is_not() {
    const MESSAGES: usize = 200;
    let topic = Topic::create((0..MESSAGES).map(numbered)).await;
    let handled = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let seen = Arc::clone(&handled);
    let app = App::start(move |request| {
        let events: Vec<serde_json::Value> = serde_json::from_slice(&request.body).unwrap();
        let mut seen = seen.lock();
        let result = |(index, event): (usize, &serde_json::Value)| {
            let id = event["id"].as_str().unwrap();
            // One in ten is refused; one in ten of the others fails once.
            let status = match id.parse::<usize>().unwrap() % 10 {
                3 => 422,
                7 if event["attempt"] == "1" => 500,
                _ => 200,
            };
            if status == 200 {
                *seen.entry(id.to_owned()).or_default() += 1;
            }
            serde_json::json!({"index": index, "status": status})
        };
        let results: Vec<_> = events.iter().enumerate().map(result).collect();
        Reply::answer(200, &[], serde_json::json!({ "results": results }).to_string())
    })
    .await;
    let mut settings = settings(&app.url());
    settings.batched = true;
    let consumer = topic.consumer().batch(16).dead_letter_share(1.0).build().unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let task = tokio::spawn(consumer.run_batches(push(&settings), shutdown.clone()));
    let ends = topic.kafka.end_offsets(&topic.name).await;
    crate::common::await_until("all is committed", PATIENCE, async || {
        topic.kafka.committed_offsets(&topic.group, &topic.name).await == ends
    })
    .await;
    shutdown.cancel();
    task.await.unwrap().unwrap();
    let expected: BTreeMap<_, _> = (0..MESSAGES).filter(|n| n % 10 != 3).map(|n| (n.to_string(), 1)).collect();
    assert_eq!(*handled.lock(), expected);
    assert_eq!(topic.dead_letters().await, (MESSAGES / 10) as i64);
    assert!(app.requests().len() < MESSAGES, "many at once");
}
