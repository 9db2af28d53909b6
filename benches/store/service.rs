//! The Redis server, started and stopped as the tests do.
#![allow(dead_code, reason = "the tests' harness offers more than a benchmark uses")]

#[path = "../../tests/promises/common/guard.rs"]
mod guard;
#[path = "../../tests/promises/common/port.rs"]
mod port;
#[path = "../../tests/promises/common/redis.rs"]
mod redis;
#[path = "../../tests/promises/common/redis_cluster.rs"]
mod redis_cluster;
#[path = "../../tests/promises/common/tools.rs"]
mod tools;

pub use redis::RedisServer;
pub use redis_cluster::RedisCluster;
