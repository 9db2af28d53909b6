//! Order by key and none, calls with many records, and an end at once: on a real broker and a real Redis.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hapax::consumer::{ConsumerBuilder, Failure, Shutdown};
use hapax::engine::Order;
use hapax::record::Record;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::common::{Kafka, Message, RedisServer, await_until, unique};
use super::consuming::{Entry, Journal, PATIENCE, Running, consumer, handler, redis_store};

const RECORDS: usize = 300;
const KEYS: usize = 12;

/// One partition, records of a dozen keys in turn, each tenth sent twice.
struct Topic {
    kafka: &'static Kafka,
    redis: RedisServer,
    name: String,
    group: String,
    journal: Journal,
}

impl Topic {
    async fn create(records: usize) -> Self {
        let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
        let (name, group, journal) = (unique("orders"), unique("billing"), Journal::default());
        kafka.create_topic(&name, 1).await;
        let message = |n: usize| {
            let message = Message::new().partition(0).header("ce_id", n.to_string()).header("ce_source", "/shop");
            message.key(format!("k{}", n % KEYS)).payload(n.to_string())
        };
        let twice = |n: usize| std::iter::repeat_n(n, if n.is_multiple_of(10) { 2 } else { 1 });
        kafka.produce(&name, (0..records).flat_map(twice).map(message)).await;
        Self { kafka, redis, name, group, journal }
    }

    fn settings(&self, order: Order) -> ConsumerBuilder {
        let store = Arc::new(redis_store(self.redis.url(), &self.group).build().unwrap());
        consumer(self.kafka, &self.group, &self.name, &self.journal).store(store).order(order)
    }

    async fn all_committed(&self, running: &mut Running) {
        running.until_all_committed(self.kafka, &self.group, &self.name).await;
    }
}

fn key(record: &Record) -> String {
    String::from_utf8(record.key().unwrap().to_vec()).unwrap()
}

fn number(record: &Record) -> usize {
    std::str::from_utf8(record.payload().unwrap()).unwrap().parse().unwrap()
}

/// Who is inside a handler, and what was handled in which order.
#[derive(Default)]
struct Watch {
    inside: Mutex<HashMap<String, usize>>,
    together: AtomicUsize,
    most: AtomicUsize,
    handled: Mutex<Vec<(String, usize)>>,
}

impl Watch {
    fn enter(&self, record: &Record) {
        let mut inside = self.inside.lock();
        *inside.entry(key(record)).or_default() += 1;
        let others = inside.values().sum::<usize>();
        self.together.fetch_max(*inside.get(&key(record)).unwrap(), Ordering::Relaxed);
        self.most.fetch_max(others, Ordering::Relaxed);
    }

    fn leave(&self, record: &Record) {
        self.handled.lock().push((key(record), number(record)));
        *self.inside.lock().get_mut(&key(record)).unwrap() -= 1;
    }

    /// Every record was handled once; those of each key in their order where that was asked for.
    fn check(&self, records: usize, in_order: bool) {
        let handled = self.handled.lock().clone();
        let mut by_key: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        handled.iter().for_each(|(key, number)| by_key.entry(key.clone()).or_default().push(*number));
        assert_eq!(handled.len(), records);
        for (key, mut numbers) in by_key {
            if in_order {
                assert!(numbers.is_sorted(), "{key}: {numbers:?}");
            }
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), records / KEYS, "{key}");
        }
    }
}

async fn side_by_side(order: Order) -> Arc<Watch> {
    let topic = Topic::create(RECORDS).await;
    let watch = Arc::new(Watch::default());
    let seen = Arc::clone(&watch);
    let handle = handler(move |record: Record| {
        let seen = Arc::clone(&seen);
        async move {
            seen.enter(&record);
            sleep(Duration::from_millis(5)).await;
            seen.leave(&record);
            Ok(())
        }
    });
    let mut running = Running::start(topic.settings(order).concurrency(8), handle);
    topic.all_committed(&mut running).await;
    running.stop().await;
    let most = watch.most.load(Ordering::Relaxed);
    assert!((2..=8).contains(&most), "{most} ran side by side in one partition");
    watch
}

#[tokio::test]
async fn by_key_those_of_one_key_follow_each_other_and_others_run_meanwhile() {
    let watch = side_by_side(Order::Key).await;
    watch.check(RECORDS, true);
    assert_eq!(watch.together.load(Ordering::Relaxed), 1, "never two of one key");
}

#[tokio::test]
async fn unordered_everything_runs_side_by_side() {
    let watch = side_by_side(Order::Unordered).await;
    watch.check(RECORDS, false);
}

#[tokio::test]
async fn a_key_that_hangs_holds_up_its_own_records_and_the_commit_only() {
    let topic = Topic::create(60).await;
    let release = Arc::new(Notify::new());
    let (journal, wait) = (topic.journal.clone(), Arc::clone(&release));
    let handle = handler(move |record: Record| {
        let (journal, wait) = (journal.clone(), Arc::clone(&wait));
        async move {
            if number(&record) == 5 {
                wait.notified().await;
            }
            journal.effect(&record);
            Ok(())
        }
    });
    let mut running = Running::start(topic.settings(Order::Key), handle);
    // Five of the sixty have the key of the one that hangs.
    running.until(topic.journal.until_effects(55)).await;
    let committed = |entry: &Entry| matches!(entry, Entry::Committed((0, offset)) if *offset > 6);
    assert_eq!(topic.journal.count(committed), 0, "the watermark waits for it");
    release.notify_one();
    topic.all_committed(&mut running).await;
    running.stop().await;
}

#[tokio::test]
async fn a_call_takes_many_and_each_record_has_its_own_answer() {
    let topic = Topic::create(RECORDS).await;
    let (calls, tries) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(BTreeMap::<usize, u32>::new())));
    let (seen, counted) = (Arc::clone(&calls), Arc::clone(&tries));
    let handle = move |records: Vec<Record>| {
        let (seen, counted) = (Arc::clone(&seen), Arc::clone(&counted));
        async move {
            sleep(Duration::from_millis(5)).await;
            seen.lock().push(records.len());
            let answer = |record: &Record| {
                let mut counted = counted.lock();
                let tries = counted.entry(number(record)).or_default();
                *tries += 1;
                // Each seventh fails once.
                match (number(record) % 7, *tries) {
                    (0, 1) => Err(Failure::retryable("not yet")),
                    _ => Ok(()),
                }
            };
            records.iter().map(answer).collect::<Vec<_>>()
        }
    };
    let settings = topic.settings(Order::Unordered).concurrency(2).batch(50);
    let settings = settings.backoff(Duration::from_millis(1), Duration::from_millis(10));
    let shutdown = Shutdown::new();
    let run = tokio::spawn(settings.build().unwrap().run_batches(handle, shutdown.clone()));
    let ends = topic.kafka.end_offsets(&topic.name).await;
    await_until("everything is committed", PATIENCE, async || {
        topic.kafka.committed_offsets(&topic.group, &topic.name).await == ends
    })
    .await;
    shutdown.drain();
    run.await.unwrap().unwrap();
    let tries = tries.lock();
    assert_eq!(tries.len(), RECORDS);
    assert!(tries.iter().all(|(number, tries)| *tries == if number.is_multiple_of(7) { 2 } else { 1 }), "{tries:?}");
    let calls = calls.lock();
    assert!(calls.iter().any(|records| *records > 1) && calls.iter().all(|records| *records <= 50), "{calls:?}");
}

#[tokio::test]
async fn asked_twice_it_ends_at_once_and_gives_back_what_has_not_started() {
    let topic = Topic::create(60).await;
    let journal = topic.journal.clone();
    // The second record hangs: so the first is handled, one is inside, and others are claimed behind it.
    let handle = handler(move |record: Record| {
        let journal = journal.clone();
        async move {
            if number(&record) == 1 {
                journal.effect(&record);
                pending::<()>().await;
            }
            journal.effect(&record);
            Ok(())
        }
    });
    let shutdown = Shutdown::new();
    let settings = topic.settings(Order::Partition).drain_limit(Duration::from_secs(60));
    let run = tokio::spawn(settings.build().unwrap().run_until(handle, shutdown.clone()));
    topic.journal.until_effects(2).await;
    shutdown.drain();
    let begun = Instant::now();
    shutdown.at_once();
    timeout(PATIENCE, run).await.expect("it ends").unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "it waited {:?}", begun.elapsed());
    let handled = BTreeMap::from([(0, 2)]);
    assert_eq!(topic.kafka.committed_offsets(&topic.group, &topic.name).await, handled, "0 and its duplicate");
    // Deletions travel with the next batch: that of 0 may have had none. All others were claimed behind the one that hangs.
    let leases = topic.redis.cli(&["KEYS", "*:l:*"]).lines().filter(|line| line.contains(":l:")).count();
    assert!((1..=2).contains(&leases), "{leases} are still claimed");

    // The next one waits for the lease of the one that hung, and for nobody else's.
    let next = Journal::default();
    let effects = next.clone();
    let handle = handler(move |record: Record| {
        effects.effect(&record);
        std::future::ready(Ok(()))
    });
    let mut running = Running::start(topic.settings(Order::Unordered), handle);
    running.until(next.until_effects(58)).await;
    topic.all_committed(&mut running).await;
    running.stop().await;
    assert_eq!(next.count(|entry| matches!(entry, Entry::Effect(_))), 59);
}
