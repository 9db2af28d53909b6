//! A Kafka broker, and what tests ask of it.

mod broker;
mod client;
mod cluster;

pub use broker::Kafka;
pub use client::{Client, Message};
pub use cluster::KafkaCluster;
