//! A consumer within the test's process: what it does is written into a journal that can be waited for.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hapax::consumer::{Consumer, ConsumerBuilder, Failure, Handler};
use hapax::error::RunError;
use hapax::observe::{DuplicateBy, FailureKind, Observer, PartitionStop};
use hapax::record::{Epoch, Offset, Origin, Record, TopicPartition};
use hapax::store::{LeaseTerms, RedisStore, RedisStoreBuilder, StoreError, Verdict};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::common::{Client, await_until};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A partition and an offset.
pub type Place = (i32, Offset);

/// One thing that a consumer did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The handler had its effect.
    Effect(Place),
    /// The handler was started and had no effect.
    Failed(Place, u32, FailureKind),
    Completed(Place),
    Duplicate(Place),
    /// Its ID was handled before with another payload, by the record at the other place.
    Conflict(Place, String),
    Stopped(Place, String),
    Committed(Place),
    Assigned(i32),
    /// The store did not answer an item of this operation.
    StoreError(&'static str),
}

/// What happened, in order. Clones share it; a consumer that follows another writes into the same one.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<watch::Sender<Vec<Entry>>>);

impl Journal {
    pub fn write(&self, entry: Entry) {
        self.0.send_modify(|entries| entries.push(entry));
    }

    pub fn effect(&self, record: &Record) {
        self.write(Entry::Effect(place(record)));
    }

    /// What happened so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.borrow().clone()
    }

    /// How many entries of a kind there are so far.
    pub fn count(&self, kind: impl Fn(&Entry) -> bool) -> usize {
        self.0.borrow().iter().filter(|entry| kind(entry)).count()
    }

    /// Waits until it holds so many entries of a kind.
    pub async fn until(&self, count: usize, what: &str, kind: impl Fn(&Entry) -> bool) {
        let enough = |entries: &Vec<Entry>| entries.iter().filter(|entry| kind(entry)).count() >= count;
        let mut entries = self.0.subscribe();
        let waiting = tokio::time::timeout(PATIENCE, entries.wait_for(enough)).await.map(|found| drop(found.unwrap()));
        waiting.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {count} × {what} in {:#?}", self.entries()));
    }

    pub async fn until_effects(&self, count: usize) {
        self.until(count, "an effect", |entry| matches!(entry, Entry::Effect(_))).await;
    }

    pub async fn until_stops(&self, count: usize) {
        self.until(count, "a stop", |entry| matches!(entry, Entry::Stopped(..))).await;
    }

    /// The places that had effects, in order; one that had several occurs as often.
    pub fn effects(&self) -> Vec<Place> {
        let effect = |entry: &Entry| if let Entry::Effect(place) = entry { Some(*place) } else { None };
        self.0.borrow().iter().filter_map(effect).collect()
    }

    /// The effects of one partition, by offset and in order.
    pub fn effects_of(&self, partition: i32) -> Vec<Offset> {
        self.effects().into_iter().filter(|place| place.0 == partition).map(|place| place.1).collect()
    }

    pub fn stops(&self) -> Vec<(Place, String)> {
        let stop = |entry: Entry| if let Entry::Stopped(place, reason) = entry { Some((place, reason)) } else { None };
        self.entries().into_iter().filter_map(stop).collect()
    }
}

pub fn place(record: &Record) -> Place {
    (record.partition().partition(), record.offset())
}

impl Observer for Journal {
    fn on_failure(&self, record: &Record, attempt: u32, kind: FailureKind) {
        self.write(Entry::Failed(place(record), attempt, kind));
    }

    fn on_complete(&self, record: &Record, _: Verdict) {
        self.write(Entry::Completed(place(record)));
    }

    fn on_duplicate(&self, record: &Record, _: DuplicateBy, _: Option<&Origin>) {
        self.write(Entry::Duplicate(place(record)));
    }

    fn on_conflict(&self, record: &Record, first: &Origin) {
        self.write(Entry::Conflict(place(record), first.to_string()));
    }

    fn on_stop(&self, partition: &TopicPartition, stop: &PartitionStop) {
        self.write(Entry::Stopped((partition.partition(), stop.offset), stop.reason.to_string()));
    }

    fn on_commit(&self, partition: &TopicPartition, offset: Offset, _: Duration) {
        self.write(Entry::Committed((partition.partition(), offset)));
    }

    fn on_assign(&self, partition: &TopicPartition, _: Epoch) {
        self.write(Entry::Assigned(partition.partition()));
    }

    fn on_store_error(&self, operation: &'static str, _: &StoreError) {
        self.write(Entry::StoreError(operation));
    }
}

/// A running consumer.
#[derive(Debug)]
pub struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

impl Running {
    pub fn start(builder: ConsumerBuilder, handler: impl Handler) -> Self {
        let consumer = builder.build().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(consumer.run_until(handler, shutdown.clone()));
        Self { shutdown, task }
    }

    /// Waits, unless it ends first, which it must not.
    pub async fn until(&mut self, waiting: impl Future<Output = ()>) {
        tokio::select! {
            () = waiting => {}
            ended = &mut self.task => panic!("the consumer ended: {ended:?}"),
        }
    }

    /// Waits until the group has committed these offsets.
    pub async fn until_committed(&mut self, kafka: &Client, group: &str, topic: &str, wanted: &BTreeMap<i32, Offset>) {
        let what = format!("{group} has committed {wanted:?} of {topic}");
        self.until(await_until(&what, PATIENCE, async || kafka.committed_offsets(group, topic).await == *wanted)).await;
    }

    /// Waits until everything is committed.
    pub async fn until_all_committed(&mut self, kafka: &Client, group: &str, topic: &str) {
        let ends = kafka.end_offsets(topic).await;
        self.until_committed(kafka, group, topic, &ends).await;
    }

    /// Asks it to end, which it does in order.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.ended().await.unwrap();
    }

    /// Waits until it ends by itself.
    pub async fn ended(self) -> Result<(), RunError> {
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.unwrap_or_else(|_| panic!("the consumer did not end within {PATIENCE:?}")).unwrap()
    }

    /// Ends it as a crash would: nothing is drained, released or committed.
    pub async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()), "the consumer had ended by itself");
    }
}

/// A handler that writes each effect into the journal.
pub fn effects(journal: &Journal) -> impl Handler {
    let journal = journal.clone();
    handler(move |record| {
        journal.effect(&record);
        std::future::ready(Ok(()))
    })
}

/// Lets the compiler see that a closure is a handler.
pub fn handler<F, Fut>(handle: F) -> F
where
    F: Fn(Record) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send,
{
    handle
}

/// Settings for a test: no cache, so that the store decides; commits and rebalances that nobody waits long for.
pub fn consumer(kafka: &Client, group: &str, topic: &str, journal: &Journal) -> ConsumerBuilder {
    Consumer::builder()
        .brokers(kafka.bootstrap())
        .group(group)
        .topic(topic)
        .property("session.timeout.ms", "6000")
        .property("heartbeat.interval.ms", "500")
        .cache(0, Duration::ZERO)
        .commit_every(Duration::from_millis(50), 10_000)
        .observer(Arc::new(journal.clone()))
}

pub const TERMS: LeaseTerms =
    LeaseTerms { lease: Duration::from_secs(5), grace: Duration::from_secs(120), window: Duration::from_secs(3600) };

/// A store of this group's namespace that soon says when Redis does not answer.
pub fn redis_store(url: String, group: &str) -> RedisStoreBuilder {
    let builder = RedisStore::builder(url, group.parse().unwrap()).terms(TERMS);
    builder.connect_limit(Duration::from_millis(500)).response_limit(Duration::from_millis(250))
}

/// An error and all that lies behind it, as a log would show it, and as `Debug` would.
pub fn told(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
