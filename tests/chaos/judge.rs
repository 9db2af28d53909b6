//! The half of the chaos harness that judges, without the half that runs: it needs no services.
//!
//! The history of a run and its checker, proven against histories that were written by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says by panicking what is wrong")]
#![allow(unreachable_pub, reason = "nothing is exported from a test binary; `pub` marks what a module offers")]
#![allow(missing_docs, reason = "the fields of a history are named for what they are")]

mod checker;
#[allow(dead_code, unused_imports, reason = "the half that runs writes what is only read here")]
mod history;
mod report;
mod tests;
