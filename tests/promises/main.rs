//! The promises, each proven against what really runs: a Kafka broker, a Redis server, processes that are killed.
//!
//! One binary, so that the library is linked once; one module per promise, named for it. How to start services and
//! processes: [`common`]. `tests/run` finds or installs the services and runs everything.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says by panicking what is wrong, and a worker process talks to its test by printing"
)]
#![allow(unreachable_pub, reason = "nothing is exported from a test binary; `pub` marks what a module offers")]

mod common;

mod bad_input;
mod brokers;
mod changing_settings;
mod conflicts;
mod conformance;
mod consuming;
mod custom_store;
mod dead_letters;
mod examples;
mod failing_handlers;
mod frozen;
mod harness;
mod kafka_publisher;
mod kafka_source;
mod killed;
mod last_answers;
mod members;
mod orders;
mod outages;
mod pages;
mod proof;
mod reach;
mod rooms;
mod settings;
mod shutdowns;
mod store_alike;
mod store_cluster;
mod store_conformance;
mod store_faults;
#[cfg(target_os = "linux")]
mod store_faults_clock;
mod store_faults_network;
mod store_faults_refusals;
mod store_faults_restart;
mod store_health;
mod store_late;
mod store_proxy;
mod store_redis;
mod store_redis_faults;
mod store_rights;
mod store_sentinel;
mod store_sets;
mod store_tls;
mod storm;
mod topics;
