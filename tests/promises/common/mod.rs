//! What the promises are tested with: real services, processes that can be killed, a network that can be cut.
//!
//! | for | use |
//! |---|---|
//! | a Redis server of one's own | [`RedisServer::start`], [`RedisServer::start_with`] its arguments |
//! | six of them as a cluster | [`RedisCluster::start`] |
//! | a master with replica and sentinels | [`RedisSentinels::start`] |
//! | a PostgreSQL server | [`PostgresServer::start`] |
//! | certificates | [`Authority::new`] |
//! | a Kafka broker | [`Kafka::shared`]: one for all tests of this binary |
//! | a broker to kill, restart or cut off | [`Kafka::own`], [`Kafka::own_behind_proxy`] |
//! | one broker or several, each behind a proxy | [`KafkaCluster::start`] |
//! | topics, records, offsets | [`Client`]: every [`Kafka`] derefs to one; a worker process makes one by [`Client::new`] |
//! | a worker process | [`Worker::spawn`], which runs the same test again in the [`role`] given to it |
//! | an example | [`example`] |
//! | any other program, the binary among them | [`Program::start`] |
//! | a network that delays, loses, cuts | [`Proxy::to`] an address |
//! | a name nobody else has | [`unique`]: for topics, groups, key prefixes |
//! | something outside that gives no signal | [`await_until`] |
//!
//! # Rules
//!
//! * Every test owns its topics, groups and key prefixes ([`unique`]); nothing is fixed, ports least of all.
//! * Wait for a signal ([`Program::line`], [`Program::exit`]), or with [`await_until`] for a condition; never sleep.
//! * Whatever is started ends with the test, also when that panics or its process is killed with SIGKILL: each child
//!   is held by a shell (`tests/services/guard.sh`) that reads from a pipe which only this process holds open.
//! * Without a service a test fails and says how to get it ([`tools`]); it is never skipped.
//! * Real services and tokio's paused clock do not go together: waiting for a service would jump to its deadline.
//!
//! # A test with worker processes
//!
//! The test names itself, and branches first of all. In the worker, whose environment says which role it has, only
//! the branch runs; when it returns the worker exits with 0, when it panics with 101.
//!
//! ```ignore
//! #[tokio::test]
//! async fn a_killed_worker_loses_nothing() {
//!     if role().is_some() {
//!         return worker().await;
//!     }
//!     let kafka = Kafka::shared().await;
//!     let redis = RedisServer::start();
//!     let topic = unique("orders");
//!     kafka.create_topic(&topic, 12).await;
//!     kafka.produce(&topic, (0..1000).map(|n| Message::new().header("ce_id", n.to_string()))).await;
//!     let envs = [("KAFKA", kafka.bootstrap()), ("REDIS", redis.url()), ("TOPIC", topic.clone())];
//!     let worker = Worker::spawn("proof::a_killed_worker_loses_nothing", "worker", envs);
//!     worker.line("assigned").await;
//!     worker.signal(Signal::Kill);
//!     assert_eq!(worker.exit().await, 128 + 9);
//! }
//! ```
#![allow(dead_code, unused_imports, reason = "a harness offers more than the tests of a day use")]

mod certificates;
mod example;
mod guard;
pub mod kafka;
mod port;
mod postgres;
mod program;
mod proxy;
mod redis;
mod redis_cluster;
mod redis_sentinel;
pub mod tools;
mod until;
mod worker;

pub use certificates::{Authority, Identity};
pub use example::example;
pub use guard::Signal;
pub use kafka::{Client, Kafka, KafkaCluster, Message};
pub use postgres::PostgresServer;
pub use program::Program;
pub use proxy::{Mode, Proxy};
pub use redis::RedisServer;
pub use redis_cluster::RedisCluster;
pub use redis_sentinel::RedisSentinels;
pub use until::{await_until, unique};
pub use worker::{Worker, role};
