//! A Kafka broker, and what tests ask of it.

mod broker;
mod client;

pub use broker::Kafka;
pub use client::{Client, Message};
