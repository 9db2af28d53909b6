//! The broker and the Redis server, started and stopped as the tests do.

#[path = "../../tests/promises/common/mod.rs"]
mod common;

pub use common::{Client, Kafka, Message, Program, RedisServer, unique};
