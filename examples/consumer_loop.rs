//! An existing rdkafka loop, with four lines added (marked +): each payment is made once.
//!
//! What it promises: a payment whose ID was recorded is not made again, whoever reads its message. A crash between a
//! payment and its record can repeat that one payment. Run it: `cargo run --example consumer_loop`, with KAFKA, REDIS_URL,
//! TOPIC and GROUP set as needed; MESSAGES ends it after so many.
#![allow(clippy::print_stdout, reason = "an example tells what happens")]

use std::{env, error::Error, sync::Arc, time::Duration};

use hapax::dedup::{Begin, Deduplicator};
use hapax::id::{IdKey, Identity, MessageId, Scope};
use hapax::store::{Agreement, RedisStore, Store};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, consumer::BaseConsumer, consumer::CommitMode, consumer::Consumer};

fn identify(message: &BorrowedMessage<'_>) -> Result<Identity, Box<dyn Error>> {
    let header = message.headers().and_then(|headers| headers.iter().find(|header| header.key == "payment-id"));
    let id = header.and_then(|header| header.value).ok_or("a message without the header payment-id")?;
    Ok(Identity::new(Scope::Topic(message.topic().into()), MessageId::new(id.to_vec())?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let var = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let (topic, group) = (var("TOPIC", "payments"), var("GROUP", "billing"));
    let mut left: u64 = var("MESSAGES", &u64::MAX.to_string()).parse()?;

    let runtime = tokio::runtime::Runtime::new()?;
    let store = Arc::new(RedisStore::builder(var("REDIS_URL", "redis://localhost:6379"), group.parse()?).build()?);
    runtime.block_on(store.open(&Agreement::of(&*store, "header payment-id", &IdKey::default())))?;
    let dedup = runtime.block_on(async { Deduplicator::new(store) })?; // +

    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", var("KAFKA", "localhost:9092")).set("group.id", &group);
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&[&topic])?;

    while left > 0 {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message?;
        // Waits while another worker has the same payment under way: that is no duplicate yet.
        match runtime.block_on(dedup.begin_wait(&identify(&message)?, Duration::from_secs(120)))? {
            Begin::Claimed(guard) => {
                // +
                println!("paid {}", String::from_utf8_lossy(message.payload().unwrap_or_default()));
                runtime.block_on(guard.complete())?; // + recorded, and only now committed
            }
            Begin::Duplicate => println!("dropped a duplicate"), // +
            Begin::Conflict { first } => return Err(format!("another payment had this ID, at {first}").into()),
            Begin::InFlight(_) => return Err("somebody has held this payment for two minutes".into()),
        }
        consumer.commit_message(&message, CommitMode::Async)?;
        left -= 1;
    }
    runtime.block_on(dedup.shutdown(Duration::from_secs(5)))?;
    consumer.commit_consumer_state(CommitMode::Sync)?;
    Ok(())
}
