//! A handler that fails, panics or hangs: tried again as it was told, then its partition stops; nothing is skipped.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use hapax::consumer::{Attempt, ConsumerBuilder, Failure, Handler};
use hapax::observe::FailureKind;
use hapax::record::Record;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::common::{Client, Kafka, Message, RedisServer, unique};
use super::consuming::{Entry, Journal, Running, consumer, effects, place, redis_store};

/// What the failing handlers say: it may hold parts of a message, so no reason to stop repeats it.
const SECRET: &str = "hunter2";
const ATTEMPTS: u32 = 3;
const TIME_LIMIT: Duration = Duration::from_millis(200);

/// Two partitions of five records each; the third of the first partition is the one to fail.
struct Topic {
    kafka: &'static Kafka,
    redis: RedisServer,
    name: String,
    group: String,
    journal: Journal,
}

impl Topic {
    async fn create() -> Self {
        let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
        let (name, group, journal) = (unique("orders"), unique("billing"), Journal::default());
        kafka.create_topic(&name, 2).await;
        let message =
            |n: i32| Message::new().partition(n % 2).header("ce_id", n.to_string()).header("ce_source", "/shop");
        kafka.produce(&name, (0..10).map(message)).await;
        Self { kafka, redis, name, group, journal }
    }

    fn client(&self) -> &Client {
        self.kafka
    }

    fn settings(&self) -> ConsumerBuilder {
        let store = Arc::new(redis_store(self.redis.url(), &self.group).build().unwrap());
        consumer(self.kafka, &self.group, &self.name, &self.journal)
            .store(store)
            .max_attempts(ATTEMPTS)
            .backoff(Duration::from_millis(20), Duration::from_millis(100))
            .handler_time_limit(TIME_LIMIT)
    }

    async fn all_committed(&self, running: &mut Running) {
        running.until_all_committed(self.client(), &self.group, &self.name).await;
    }

    /// The effects of both partitions.
    fn effects(&self) -> [Vec<i64>; 2] {
        [0, 1].map(|partition| self.journal.effects_of(partition))
    }

    /// The attempts that failed, with how; all of them are of the one record.
    fn failures(&self) -> Vec<(u32, FailureKind)> {
        let failure = |entry| match entry {
            Entry::Failed(place, attempt, kind) => {
                assert_eq!(place, (0, 2));
                Some((attempt, kind))
            }
            _ => None,
        };
        self.journal.entries().into_iter().filter_map(failure).collect()
    }
}

/// Has its effect, but for the one record.
struct FailsAt<F>(Journal, F);

impl<F, Fut> Handler for FailsAt<F>
where
    F: Fn(u32) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send,
{
    fn handle(&self, record: Record, attempt: Attempt) -> impl Future<Output = Result<(), Failure>> + Send {
        // Called before the future is made, so that a handler may fail in either.
        let fails = (place(&record) == (0, 2)).then(|| (self.1)(attempt.number));
        async move {
            if let Some(fails) = fails {
                fails.await?;
            }
            self.0.effect(&record);
            Ok(())
        }
    }
}

/// The handler fails in this way: after so many attempts its partition stops there; the other goes on to its end. After
/// a restart with a handler that works, the record is handled and the rest follows.
async fn gives_up<F, Fut>(fails: F, kind: FailureKind, attempts: u32, reason: &str)
where
    F: Fn(u32) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let topic = Topic::create().await;
    let mut running = Running::start(topic.settings(), FailsAt(topic.journal.clone(), fails));
    running.until(topic.journal.until_stops(1)).await;
    let before = BTreeMap::from([(0, 2), (1, 5)]);
    running.until_committed(topic.client(), &topic.group, &topic.name, &before).await;
    running.stop().await;

    assert_eq!(topic.failures(), (1..=attempts).map(|attempt| (attempt, kind)).collect::<Vec<_>>());
    let stops = topic.journal.stops();
    let [(place, said)] = stops.as_slice() else { panic!("one stop: {stops:?}") };
    assert!(*place == (0, 2) && said.contains(reason) && !said.contains(SECRET), "{stops:?}");
    assert_eq!(topic.effects(), [vec![0, 1], vec![0, 1, 2, 3, 4]]);
    assert_eq!(topic.client().committed_offsets(&topic.group, &topic.name).await, before);

    let mut running = Running::start(topic.settings(), effects(&topic.journal));
    topic.all_committed(&mut running).await;
    running.stop().await;
    assert_eq!(topic.effects(), [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_tried_again_then_the_partition_stops() {
    let fails = async |_| Err(std::io::Error::other(SECRET).into());
    gives_up(fails, FailureKind::Retryable, ATTEMPTS, "its handler failed 3 times").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_tried_again_then_the_partition_stops() {
    let fails = |_| async { panic!("{SECRET}") };
    gives_up(fails, FailureKind::Panicked, ATTEMPTS, "its handler failed 3 times").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_before_the_future_is_made_is_one_of_the_handler() {
    let fails = |attempt| {
        assert!(attempt > ATTEMPTS, "{SECRET}");
        std::future::ready(Ok(()))
    };
    gives_up(fails, FailureKind::Panicked, ATTEMPTS, "its handler failed 3 times").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_over_its_time_limit_is_tried_again_then_the_partition_stops() {
    let started = Instant::now();
    gives_up(|_| pending(), FailureKind::TimedOut, ATTEMPTS, "its handler failed 3 times").await;
    assert!(started.elapsed() >= TIME_LIMIT * ATTEMPTS);
}

/// Panics when it is dropped, as a handler might that cleans up after itself.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("{SECRET}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_while_a_late_attempt_is_dropped_is_one_of_the_handler() {
    let fails = |_| async {
        let _fragile = Fragile;
        pending().await
    };
    gives_up(fails, FailureKind::Panicked, ATTEMPTS, "its handler failed 3 times").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fatal_failure_stops_its_partition_at_once() {
    let fails = |_| async { Err(Failure::fatal(SECRET)) };
    gives_up(fails, FailureKind::Fatal, 1, "trying again is no use").await;
}

/// Not available is no failure of the record: it is tried for longer than there are attempts, which counts none.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_available_is_waited_for() {
    const AWAY: usize = 4 * ATTEMPTS as usize;
    let topic = Topic::create().await;
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&attempts);
    let fails = move |attempt| {
        seen.lock().push(attempt);
        let back = seen.lock().len() > AWAY;
        std::future::ready(if back { Ok(()) } else { Err(Failure::unavailable(SECRET)) })
    };
    let mut running = Running::start(topic.settings(), FailsAt(topic.journal.clone(), fails));
    topic.all_committed(&mut running).await;
    running.stop().await;
    assert_eq!(*attempts.lock(), [1; AWAY + 1], "no attempt is counted");
    assert_eq!(topic.failures().len(), AWAY);
    assert_eq!(topic.effects(), [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]], "nothing overtakes it");
    assert_eq!(topic.journal.stops(), []);
}

/// The waits double up to the cap; each is random below that, so only their sum says something.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_passes_is_retried_with_back_off_and_holds_up_nobody_else() {
    let topic = Topic::create().await;
    let others = topic.journal.clone();
    // The last attempt succeeds, once the other partition is through.
    let fails = move |attempt| {
        let others = others.clone();
        async move {
            match attempt {
                9 => {
                    assert_eq!(others.effects_of(1), [0, 1, 2, 3, 4]);
                    Ok(())
                }
                _ => Err(Failure::retryable(SECRET)),
            }
        }
    };
    let settings = topic.settings().max_attempts(10).backoff(Duration::from_millis(200), Duration::from_millis(500));
    let started = Instant::now();
    let mut running = Running::start(settings, FailsAt(topic.journal.clone(), fails));
    topic.all_committed(&mut running).await;
    // Eight waits of up to 200, 400, 500, 500 … ms, and of half of that at least.
    assert!(started.elapsed() >= Duration::from_millis(1800), "{:?}", started.elapsed());
    running.stop().await;
    assert_eq!(topic.failures(), (1..=8).map(|attempt| (attempt, FailureKind::Retryable)).collect::<Vec<_>>());
    assert_eq!(topic.effects(), [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]);
}
