//! The sidecar and its command line, against real services and scripted applications.
//!
//! One binary beside that of the promises, so that neither has to wait for the other to compile. Services, processes and
//! networks come from the same harness ([`common`]).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says by panicking what is wrong"
)]
#![allow(unreachable_pub, reason = "nothing is exported from a test binary; `pub` marks what a module offers")]

#[path = "../promises/common/mod.rs"]
mod common;

mod admin;
#[allow(dead_code, reason = "a harness offers more than the tests of a day use")]
mod app;
#[allow(dead_code, reason = "a harness offers more than the tests of a day use")]
mod beside;
mod commands;
mod config;
#[allow(dead_code, reason = "a harness offers more than the tests of a day use")]
#[path = "../promises/consuming.rs"]
mod consuming;
mod examples;
mod frozen;
mod health;
mod lifecycle;
mod listen;
mod message_ids;
mod newcomer;
mod operations;
mod pull;
mod push_answers;
mod push_delivery;
mod push_ends;
mod push_events;
mod push_speed;
mod push_tls;
mod refusals;
mod rust_examples;
mod schema;
mod serving;
mod setting;
mod stops;
mod tracing;
