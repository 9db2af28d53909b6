//! One worker process: the wrapper as a user would run it, with a handler that appends to a file.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use hapax::consumer::{Consumer, Failure};
use hapax::observe::{Observer, PartitionStop};
use hapax::record::{Epoch, Record, TopicPartition};
use hapax::store::LeaseTerms;
use hapax::store::RedisStore;
use tokio::signal::unix::{SignalKind, signal};

use super::effects::Writer;

/// A short lease, so that what a killed worker held is taken over soon.
pub const TERMS: LeaseTerms =
    LeaseTerms { lease: Duration::from_secs(5), grace: Duration::from_secs(120), window: Duration::from_secs(3600) };

#[derive(Debug)]
struct Tell;

impl Observer for Tell {
    fn on_assign(&self, partition: &TopicPartition, _: Epoch) {
        println!("assigned {partition}");
    }

    fn on_stop(&self, partition: &TopicPartition, stop: &PartitionStop) {
        println!("stopped {partition} at {}: {}", stop.offset, stop.reason);
    }
}

pub async fn run() {
    let var = |name: &str| env::var(name).expect("a variable of the test");
    let store = RedisStore::builder(var("REDIS"), var("GROUP").parse().unwrap()).terms(TERMS).build().unwrap();
    let consumer = Consumer::builder()
        .brokers(var("KAFKA"))
        .group(var("GROUP"))
        .topic(var("TOPIC"))
        .property("session.timeout.ms", "6000")
        .property("heartbeat.interval.ms", "500")
        .store(Arc::new(store))
        .observer(Arc::new(Tell))
        .build()
        .unwrap();
    let effects = Arc::new(Writer::open(&var("EFFECTS")));
    let handler = move |record: Record| {
        let effects = Arc::clone(&effects);
        async move {
            let payload = record.payload().expect("a payload");
            effects.happen(std::str::from_utf8(payload).map_err(Failure::fatal)?);
            // Long enough that the test can act in the middle: 12 lanes make some 12,000 effects a second.
            tokio::time::sleep(Duration::from_micros(500)).await;
            Ok::<(), Failure>(())
        }
    };
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    consumer.run(handler, async move { terminated.recv().await.unwrap_or(()) }).await.unwrap();
}
