//! The ways from a topic to a handler that are compared.

pub mod bare;
pub mod hapax;
pub mod set_nx;
pub mod straight;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::load::{ID, Load};
use crate::service::unique;

/// How many records a loop takes at once.
pub const POLL: usize = 500;

/// What a loop written by hand begins with.
fn consumer(load: &Load) -> BaseConsumer {
    consumer_with(load, &[("enable.auto.commit", "false")])
}

/// The settings of librdkafka that hapax uses. With librdkafka's defaults, a short run reads only what was fetched ahead,
/// and a long run waits for a second each time its queue was full.
const OURS: [(&str, &str); 7] = [
    ("enable.auto.commit", "false"),
    ("check.crcs", "true"),
    ("queued.min.messages", "10000"),
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.queue.backoff.ms", "10"),
    ("fetch.message.max.bytes", "524288"),
    ("partition.assignment.strategy", "cooperative-sticky"),
];

fn consumer_with(load: &Load, settings: &[(&str, &str)]) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &load.brokers).set("group.id", unique("by-hand"));
    config.set("auto.offset.reset", "earliest");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    let consumer: BaseConsumer = config.create().expect("a consumer");
    consumer.subscribe(&[&load.topic]).expect("a subscription");
    consumer
}

/// The ID of a message.
fn id<'a>(message: &'a BorrowedMessage<'_>) -> &'a [u8] {
    let headers = message.headers().expect("headers");
    headers.iter().find(|header| header.key == ID).and_then(|header| header.value).expect("an ID")
}

/// Takes what there is, up to [`POLL`] records; waits a little for the first.
fn poll(consumer: &BaseConsumer) -> Vec<BorrowedMessage<'_>> {
    let mut messages = Vec::with_capacity(POLL);
    let mut wait = std::time::Duration::from_millis(100);
    while messages.len() < POLL
        && let Some(message) = consumer.poll(wait)
    {
        messages.push(message.expect("a record"));
        wait = std::time::Duration::ZERO;
    }
    messages
}
