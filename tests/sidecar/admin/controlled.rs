//! A consumer with the administration around it, as a sidecar has it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use hapax::consumer::{Consumer, ConsumerBuilder, Control};
use hapax::error::RunError;
use hapax::id::IdKey;
use hapax::observe::Fan;
use hapax::record::Record;
use hapax::sidecar::admin::{AdminState, ScopeKind, Tally, Target, TargetState, router};
use hapax::store::{DoneMode, LeaseTerms, RedisStore};
use hapax::telemetry::Telemetry;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::common::{Kafka, Message, RedisServer, unique};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What all messages come from.
const SOURCE: &str = "/shop";

/// See the module.
pub struct Controlled {
    kafka: &'static Kafka,
    pub topic: String,
    pub state: Arc<AdminState>,
    pub target: Arc<Mutex<Option<TargetState>>>,
    builder: Option<ConsumerBuilder>,
    handled: Arc<Handled>,
    shutdown: CancellationToken,
    running: Option<JoinHandle<Result<(), RunError>>>,
}

#[derive(Debug)]
struct Handled {
    started: Mutex<usize>,
    /// The IDs whose effect happened.
    effects: Mutex<Vec<usize>>,
    /// How many handlers may end.
    ends: Semaphore,
}

impl Controlled {
    /// A topic with so many partitions, and a consumer that is not started.
    pub async fn new(redis: &RedisServer, mode: DoneMode, partitions: i32) -> Self {
        let kafka = Kafka::shared().await;
        let (topic, group) = (unique("orders"), unique("billing"));
        kafka.create_topic(&topic, partitions).await;
        let terms = LeaseTerms { lease: Duration::from_secs(30), ..LeaseTerms::default() };
        let store = RedisStore::builder(redis.url(), group.parse().unwrap()).terms(terms).mode(mode);
        let store = store.connect_limit(Duration::from_millis(500)).response_limit(Duration::from_millis(500));
        let store = Arc::new(store.build().unwrap());
        let (control, tally) = (Control::new(), Arc::new(Tally::new()));
        let builder = Consumer::builder()
            .brokers(kafka.bootstrap())
            .group(&group)
            .topic(&topic)
            .property("session.timeout.ms", "6000")
            .property("heartbeat.interval.ms", "500")
            .commit_every(Duration::from_millis(50), 10_000)
            .handler_time_limit(Duration::from_secs(120))
            .store(store.clone())
            .control(control.clone())
            .observer(Arc::new(Fan::new([Arc::clone(&tally) as _, Arc::new(Telemetry::new()) as _])));
        let target = Arc::new(Mutex::new(None));
        let told = Arc::clone(&target);
        let ready = || TargetState {
            url: "http://127.0.0.1:8080/messages".to_owned(),
            condition: hapax::sidecar::admin::TargetCondition::Ready,
            says: None,
        };
        let state = AdminState {
            namespace: group.parse().unwrap(),
            delivery: "push",
            store,
            id_key: IdKey::default(),
            scope: ScopeKind::Header,
            cache_lifetime: Duration::from_secs(600),
            tally,
            consumer: Some(control),
            target: Some(Target::new(move || told.lock().clone().unwrap_or_else(ready))),
        };
        let handled = Handled { started: Mutex::default(), effects: Mutex::default(), ends: Semaphore::new(0) };
        Self {
            kafka,
            topic,
            state: Arc::new(state),
            target,
            builder: Some(builder),
            handled: Arc::new(handled),
            shutdown: CancellationToken::new(),
            running: None,
        }
    }

    /// Starts the consumer. Its handlers end only as [`let_end`](Self::let_end) lets them.
    pub fn start(&mut self) {
        let consumer = self.builder.take().expect("it is started once").build().unwrap();
        let handled = Arc::clone(&self.handled);
        let handler = move |record: Record| {
            let handled = Arc::clone(&handled);
            async move {
                *handled.started.lock() += 1;
                handled.ends.acquire().await.unwrap().forget();
                let id = record.header_values("ce_id").next().flatten().map(|id| String::from_utf8_lossy(id).parse());
                handled.effects.lock().push(id.unwrap().unwrap());
                Ok::<(), std::io::Error>(())
            }
        };
        self.running = Some(tokio::spawn(consumer.run_until(handler, self.shutdown.clone())));
    }

    /// Lets so many handlers end.
    pub fn let_end(&self, handlers: usize) {
        self.handled.ends.add_permits(handlers);
    }

    /// How many handlers have started.
    pub fn started(&self) -> usize {
        *self.handled.started.lock()
    }

    /// The IDs whose effect happened, in their order.
    pub fn effects(&self) -> Vec<usize> {
        self.handled.effects.lock().clone()
    }

    /// Sends messages with these IDs to a partition.
    pub async fn produce(&self, partition: i32, ids: Range<usize>) {
        let message = |id: usize| Message::new().header("ce_id", id.to_string()).header("ce_source", SOURCE);
        self.kafka.produce(&self.topic, ids.map(|id| message(id).partition(partition).payload("x"))).await;
    }

    /// Sends a message without an ID.
    pub async fn produce_without_id(&self, partition: i32) {
        self.kafka.produce(&self.topic, [Message::new().partition(partition).payload("x")]).await;
    }

    /// Waits until the status is as it should be.
    pub async fn until(&self, what: &str, is: impl AsyncFn(&Value) -> bool) {
        let mut last = json!(null);
        let polling = async {
            loop {
                last = call(&self.state, "GET", "/v1/status", json!(null)).await.1;
                if is(&last).await {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, polling).await.is_err() {
            panic!("not within {PATIENCE:?}: {what}; {last:#}");
        }
    }

    /// Ends the consumer in order.
    pub async fn end(self) -> Arc<AdminState> {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.running.expect("it was started")).await;
        ended.expect("an end in time").unwrap().unwrap();
        self.state
    }
}

/// One of the messages, as an operator names it.
pub fn id(id: usize) -> Value {
    json!({ "scope": SOURCE, "id": id.to_string() })
}

/// Calls the administration; anything but `null` goes out as JSON.
pub async fn call(state: &Arc<AdminState>, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path);
    let request = match body {
        Value::Null => request.body(Body::empty()),
        body => request.header("content-type", "application/json").body(Body::from(body.to_string())),
    };
    let answer = router(Arc::clone(state)).oneshot(request.unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}
