//! What is told of each decision.

mod adding_up;
mod board;
mod cost;
mod counts;
mod lines;

use crate::record::{Record, TopicPartition};

/// The partition of all records here.
fn partition() -> TopicPartition {
    TopicPartition::new("orders", 7)
}

/// A record without a timestamp.
fn record() -> Record {
    Record::builder(partition(), 42).build()
}
