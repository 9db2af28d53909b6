//! Window, mode or ID rule change: a new namespace, and the old one behind it until everybody has moved. Nothing repeats
//! on the way there, beside workers that have not moved yet, or on the way back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hapax::consumer::{ConsumerBuilder, Failure, ServiceHandler};
use hapax::dedup::{Begin, Dedup, DedupError, DedupLayer, Deduped, Deduplicator, OkIsSuccess};
use hapax::id::{
    Coordinates, HeaderId, IdKey, IdProblem, Identification, Identifier, Identity, MessageId, Namespace, Scope,
};
use hapax::observe::FailureKind;
use hapax::record::Record;
use hapax::store::{Agreement, DoneMode, LeaseTerms, OpenError, RedisStore, State, Store};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::common::{Kafka, Message, RedisServer, unique};
use super::conformance::{LONG, only, until};
use super::consuming::{Entry, Journal, Running, TERMS, consumer, redis_store};

type Number = u32;
type Handling = BoxCloneSyncService<Number, (), Failure>;
type Identify = fn(&Number) -> Result<Identity, IdProblem>;

/// Each message's effects, counted where they happen.
#[derive(Clone, Debug, Default)]
struct Effects(Arc<Mutex<BTreeMap<String, u32>>>);

impl Effects {
    fn add(&self, id: impl ToString) {
        *self.0.lock().entry(id.to_string()).or_default() += 1;
    }

    /// Each of so many messages had one effect, and no other had any.
    #[track_caller]
    fn assert_once(&self, wanted: usize) {
        let effects = self.0.lock();
        assert!(effects.values().all(|count| *count == 1), "repeated: {effects:?}");
        assert_eq!(effects.len(), wanted, "{effects:?}");
    }

    fn handling(&self) -> Handling {
        let effects = self.clone();
        BoxCloneSyncService::new(service_fn(move |number: Number| {
            effects.add(number);
            std::future::ready(Ok(()))
        }))
    }
}

fn identify(number: &Number) -> Result<Identity, IdProblem> {
    Ok(Identity::new(Scope::Name("orders".into()), MessageId::new(number.to_string())?))
}

/// One worker's view of one namespace.
#[derive(Clone)]
struct Side {
    store: Arc<RedisStore>,
    dedup: Deduplicator,
}

impl Side {
    async fn open(url: &str, namespace: &str, terms: LeaseTerms, mode: DoneMode) -> Result<Self, OpenError> {
        let builder = RedisStore::builder(url, Namespace::new(namespace).unwrap()).terms(terms).mode(mode);
        let store = Arc::new(builder.build().unwrap());
        store.open(&Agreement::of(&*store, "number", &IdKey::default())).await?;
        let dedup = Deduplicator::new(store.clone()).unwrap();
        Ok(Self { store, dedup })
    }

    /// What is handled once in this namespace.
    fn around<S>(&self, service: S) -> Dedup<S, Identify, OkIsSuccess> {
        DedupLayer::new(self.dedup.clone(), identify as Identify).layer(service)
    }

    async fn begin(&self, number: Number) -> Begin {
        self.dedup.begin(&identify(&number).unwrap()).await.unwrap()
    }

    async fn is_done(&self, number: Number) -> bool {
        let id = self.dedup.fingerprint(&identify(&number).unwrap());
        matches!(only(self.store.inspect(vec![id]).await), State::Done { .. })
    }
}

const OLD: LeaseTerms = LONG;
const NEW: LeaseTerms = LeaseTerms { window: Duration::from_secs(7200), ..LONG };

/// Before the change, an old worker; after it, a new one. Each has connections of its own.
struct Change {
    _redis: RedisServer,
    /// A worker that has not moved.
    old: Side,
    /// The old namespace within the worker that has moved.
    within: Side,
    new: Side,
    effects: Effects,
}

impl Change {
    async fn begin() -> Self {
        let redis = RedisServer::start();
        let open = async |namespace, terms, mode| Side::open(&redis.url(), namespace, terms, mode).await;
        let old = open("orders", OLD, DoneMode::Compact).await.unwrap();
        for (terms, mode) in [(NEW, DoneMode::Compact), (OLD, DoneMode::Exact)] {
            let refused = open("orders", terms, mode).await;
            assert!(matches!(refused, Err(OpenError::Disagreement { .. })), "so it takes a new namespace");
        }
        let within = open("orders", OLD, DoneMode::Compact).await.unwrap();
        let new = open("orders-2", NEW, DoneMode::Exact).await.unwrap();
        Self { _redis: redis, old, within, new, effects: Effects::default() }
    }

    /// Handles as a worker that has not moved.
    async fn handle_old(&self, number: Number) -> Deduped<()> {
        again(|| self.old.around(self.effects.handling()), number).await
    }

    /// Handles as one that has: in the new namespace, within it in the old one.
    async fn handle_new(&self, number: Number) -> Deduped<Deduped<()>> {
        again(|| self.new.around(failing_as_told(self.within.around(self.effects.handling()))), number).await
    }
}

/// A service whose failures are those of a consumer's handler.
fn failing_as_told<S, T>(service: S) -> BoxCloneSyncService<Number, T, Failure>
where
    S: Service<Number, Response = T> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<Failure>,
    T: 'static,
{
    BoxCloneSyncService::new(service.map_err(Into::into))
}

/// Calls until it is not in flight elsewhere, as a consumer does after [`FailureKind::Unavailable`].
async fn again<S, T>(service: impl Fn() -> S, number: Number) -> T
where
    S: Service<Number, Response = T, Error = DedupError<Failure>>,
{
    let mut answer = None;
    until(async || {
        answer = match service().oneshot(number).await {
            Ok(answer) => Some(answer),
            Err(DedupError::InFlight(_)) => None,
            Err(DedupError::Inner(failure)) if failure.kind() == FailureKind::Unavailable => None,
            Err(error) => panic!("{number}: {error:?}"),
        };
        answer.is_some()
    })
    .await;
    answer.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_window_and_mode_repeat_nothing_and_can_be_taken_back() {
    let change = Change::begin().await;
    for number in 0..5 {
        assert_eq!(change.handle_old(number).await, Deduped::Handled(()));
    }
    for number in 0..10 {
        let was_handled = number < 5;
        let wanted = if was_handled { Deduped::Duplicate } else { Deduped::Handled(()) };
        assert_eq!(change.handle_new(number).await, Deduped::Handled(wanted), "{number}");
        assert!(change.new.is_done(number).await && change.old.is_done(number).await, "{number} is done in both");
    }
    for number in 0..10 {
        assert_eq!(change.handle_new(number).await, Deduped::Duplicate, "the old namespace is not needed for it now");
        assert_eq!(change.handle_old(number).await, Deduped::Duplicate, "back to the old settings");
    }
    change.effects.assert_once(10);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_have_not_moved_may_run_meanwhile() {
    let change = Change::begin().await;
    // Everything comes to both at once, as after a rebalance and a resend.
    let both = (0..100).map(|number| {
        let change = &change;
        async move {
            match number % 2 {
                0 => drop(tokio::join!(change.handle_old(number), change.handle_new(number))),
                _ => drop(tokio::join!(change.handle_new(number), change.handle_old(number))),
            }
        }
    });
    futures_util::future::join_all(both).await;
    change.effects.assert_once(100);
    for number in 0..100 {
        assert!(change.new.is_done(number).await && change.old.is_done(number).await, "{number} is done in both");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_handles_the_other_waits_for() {
    let change = Change::begin().await;
    // The old one handles it: the new one neither handles nor drops it, and counts no attempt.
    let Begin::Claimed(guard) = change.old.begin(1).await else { panic!("free") };
    let once = || change.new.around(failing_as_told(change.within.around(change.effects.handling())));
    match once().oneshot(1).await {
        Err(DedupError::Inner(failure)) => assert_eq!(failure.kind(), FailureKind::Unavailable),
        other => panic!("{other:?}"),
    }
    assert!(!change.new.is_done(1).await);
    change.effects.add(1);
    guard.complete().await.unwrap();
    assert_eq!(change.handle_new(1).await, Deduped::Handled(Deduped::Duplicate));

    // The new one handles it: the old one waits.
    let (started, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (effects, signals) = (change.effects.clone(), (started.clone(), go_on.clone()));
    let slow = service_fn(move |number: Number| {
        let (effects, (started, go_on)) = (effects.clone(), signals.clone());
        async move {
            started.notify_one();
            go_on.notified().await;
            effects.add(number);
            Ok::<_, Failure>(())
        }
    });
    let call = tokio::spawn(change.new.around(failing_as_told(change.within.around(slow))).oneshot(2));
    started.notified().await;
    assert!(matches!(change.old.begin(2).await, Begin::InFlight(_)));
    go_on.notify_one();
    assert_eq!(call.await.unwrap().unwrap(), Deduped::Handled(Deduped::Handled(())));
    assert_eq!(change.handle_old(2).await, Deduped::Duplicate);
    change.effects.assert_once(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_leaves_it_claimable_in_both() {
    let change = Change::begin().await;
    let failing = service_fn(|_: Number| std::future::ready(Err::<(), _>(Failure::retryable("the bank is closed"))));
    match change.new.around(failing_as_told(change.within.around(failing))).oneshot(1).await {
        Err(DedupError::Inner(failure)) => assert_eq!(failure.to_string(), "the bank is closed", "not wrapped"),
        other => panic!("{other:?}"),
    }
    for side in [&change.old, &change.new] {
        let Begin::Claimed(guard) = side.begin(1).await else { panic!("claimable") };
        guard.give_back().await.unwrap();
    }
    // A crash between the two records: the effect is done in the old namespace alone.
    assert_eq!(again(|| change.within.around(change.effects.handling()), 2).await, Deduped::Handled(()));
    for number in [1, 2] {
        change.handle_new(number).await;
        assert_eq!(change.handle_old(number).await, Deduped::Duplicate);
    }
    change.effects.assert_once(2);
}

// ---- the ID rule, through the consumer ----

/// The handler's service: writes down whose effect it is, by the payload.
fn service(effects: &Effects, journal: &Journal) -> BoxCloneSyncService<Record, (), Failure> {
    let (effects, journal) = (effects.clone(), journal.clone());
    BoxCloneSyncService::new(service_fn(move |record: Record| {
        effects.add(String::from_utf8_lossy(record.payload().unwrap()));
        journal.effect(&record);
        std::future::ready(Ok(()))
    }))
}

/// The old namespace with its rule: what src/docs/guarantees.md tells to put around the handler.
async fn within(
    url: String,
    namespace: &str,
) -> DedupLayer<impl Fn(&Record) -> Result<Identity, IdProblem> + Clone + Send + Sync + 'static> {
    let store = redis_store(url, namespace).build().unwrap();
    let rule = Identifier::new(namespace.parse().unwrap()).extractor(HeaderId::new("order"));
    store.open(&Agreement::of(&store, rule.rule(), &IdKey::default())).await.unwrap();
    DedupLayer::new(Deduplicator::new(Arc::new(store)).unwrap(), move |record: &Record| {
        Ok(match rule.identify(record) {
            Identification::Id { identity, .. } => identity,
            _ => Coordinates::identity(record),
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn another_id_rule_repeats_nothing_and_can_be_taken_back() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let (topic, group) = (unique("orders"), unique("billing"));
    kafka.create_topic(&topic, 1).await;
    let moved = format!("{group}-2");
    let (effects, journal) = (Effects::default(), Journal::default());
    let message = |n: u32| {
        let message = Message::new().header("order", format!("o-{n}")).header("event", format!("e-{n}"));
        message.payload(n.to_string())
    };
    let settings = |namespace: &str, header: &str| -> ConsumerBuilder {
        consumer(kafka, &group, &topic, &journal)
            .namespace(namespace.parse().unwrap())
            .store(Arc::new(redis_store(redis.url(), namespace).build().unwrap()))
            .extractor(HeaderId::new(header))
            .max_attempts(2)
            .backoff(Duration::from_millis(10), Duration::from_millis(50))
    };

    // Before: by the header "order".
    kafka.produce(&topic, (0..5).map(message)).await;
    let mut running = Running::start(settings(&group, "order"), ServiceHandler(service(&effects, &journal)));
    running.until_all_committed(kafka, &group, &topic).await;
    running.stop().await;
    effects.assert_once(5);

    // Meanwhile: by the header "event", in a new namespace; all are sent again, five are new, one has no old ID.
    kafka.produce(&topic, (0..10).map(message)).await;
    kafka.produce(&topic, [Message::new().header("event", "e-10").payload("10")]).await;
    let layer = within(redis.url(), &group).await;
    // A worker that has not moved handles one of them, longer than two attempts would take.
    let elsewhere = RedisStore::builder(redis.url(), group.parse().unwrap()).terms(TERMS).build().unwrap();
    let elsewhere = Deduplicator::new(Arc::new(elsewhere)).unwrap();
    let identity = Identity::new(Scope::Topic(topic.as_str().into()), MessageId::new("o-7").unwrap());
    let Begin::Claimed(guard) = elsewhere.begin(&identity).await.unwrap() else { panic!("free") };
    let handler = ServiceHandler(layer.layer(service(&effects, &journal)));
    let mut running = Running::start(settings(&moved, "event"), handler);
    let unavailable = |entry: &Entry| matches!(entry, Entry::Failed(_, _, FailureKind::Unavailable));
    running.until(journal.until(3, "an attempt that does not count", unavailable)).await;
    guard.fail().await.unwrap();
    running.until_all_committed(kafka, &group, &topic).await;
    effects.assert_once(11);

    // What was handled is known by the new rule alone, too.
    kafka.produce(&topic, [Message::new().header("event", "e-3").payload("3")]).await;
    running.until_all_committed(kafka, &group, &topic).await;
    running.stop().await;
    effects.assert_once(11);
    assert!(journal.stops().is_empty(), "{:?}", journal.stops());

    // Back: by the header "order" again.
    kafka.produce(&topic, (0..10).map(message)).await;
    let mut running = Running::start(settings(&group, "order"), ServiceHandler(service(&effects, &journal)));
    running.until_all_committed(kafka, &group, &topic).await;
    running.stop().await;
    effects.assert_once(11);
}
