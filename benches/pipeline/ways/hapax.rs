//! hapax, as its README shows it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hapax::consumer::{Consumer, ConsumerBuilder};
use hapax::id::Namespace;
use hapax::observe::{DuplicateBy, Observer, Outcome, PartitionStop};
use hapax::record::{Offset, Record, TopicPartition};
use hapax::store::{RedisStore, Verdict};
use hapax::telemetry::Telemetry;
use tokio_util::sync::CancellationToken;

use crate::service::unique;
use crate::watch::Watch;

/// What a hapax consumer reads, and where it remembers.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    pub brokers: &'a str,
    pub topic: &'a str,
    pub redis: &'a str,
}

/// Handles records until the watch has seen all it waits for.
pub async fn consume<F>(
    ends: Ends<'_>,
    watch: &Arc<Watch>,
    settings: impl FnOnce(ConsumerBuilder) -> ConsumerBuilder,
    handler: impl Fn(Record) -> F + Send + Sync + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let group = unique("hapax");
    let namespace = Namespace::new(group.as_str()).expect("a namespace");
    let store = RedisStore::builder(ends.redis, namespace).build().expect("a store");
    let builder = Consumer::builder()
        .brokers(ends.brokers)
        .group(group)
        .topic(ends.topic)
        .store(Arc::new(store))
        .observer(Arc::new(Watching { watch: watch.clone(), telemetry: Telemetry::new() }));
    let consumer = settings(builder).build().expect("a consumer");
    let shutdown = CancellationToken::new();
    let handler = {
        let watch = watch.clone();
        move |record: Record| {
            let (handling, watch) = (handler(record), watch.clone());
            async move {
                handling.await;
                watch.effect();
                Ok::<(), Infallible>(())
            }
        }
    };
    let running = tokio::spawn(consumer.run_until(handler, shutdown.clone()));
    watch.done().await;
    shutdown.cancel();
    running.await.expect("a task that ends").expect("a consumer that ends in order");
}

/// The usual observer, and the watch.
#[derive(Debug)]
struct Watching {
    watch: Arc<Watch>,
    telemetry: Telemetry,
}

impl Observer for Watching {
    fn on_delivered(&self, partition: &TopicPartition, records: usize) {
        self.watch.came();
        self.telemetry.on_delivered(partition, records);
    }
    fn on_claim(&self, record: &Record, attempts: u32, suspect: bool) {
        self.telemetry.on_claim(record, attempts, suspect);
    }
    fn on_duplicate(&self, record: &Record, by: DuplicateBy, first: Option<&hapax::record::Origin>) {
        self.telemetry.on_duplicate(record, by, first);
    }
    fn on_handled(&self, record: &Record, attempt: u32, took: Duration) {
        self.telemetry.on_handled(record, attempt, took);
    }
    fn on_complete(&self, record: &Record, verdict: Verdict) {
        self.telemetry.on_complete(record, verdict);
    }
    fn on_settle(&self, record: &Record, outcome: Outcome, since_delivery: Duration) {
        self.telemetry.on_settle(record, outcome, since_delivery);
        self.watch.settled(1);
    }
    fn on_commit(&self, partition: &TopicPartition, offset: Offset, lag: Duration) {
        self.telemetry.on_commit(partition, offset, lag);
    }
    fn on_stop(&self, partition: &TopicPartition, stop: &PartitionStop) {
        panic!("{partition} stopped at {}: {}", stop.offset, stop.reason);
    }
}
