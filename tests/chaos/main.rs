//! Chaos: real brokers, a real Redis and real worker processes, broken by a seeded plan, and judged by what they left.
//!
//! `tests/chaos/run` builds this program and runs it. Without `CHAOS` in its environment it does nothing, so that a plain
//! `cargo test` passes over it; with a role it is one of the processes of a run.
//!
//! | file | holds |
//! |---|---|
//! | `options`, `mode` | the command line; how consumers are set |
//! | `schedule`, `nemesis` | which faults, when; how each is done and undone |
//! | `world` | brokers, Redis, workers, producers, and what is read from outside |
//! | `worker` | the processes: the library, an application for push, a loop for pull |
//! | `phases` | a run from its start to its verdict |
//! | `history`, `checker`, `report` | what is written down, and judged |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a harness stops by panicking, and reports by printing"
)]
#![allow(unreachable_pub, reason = "nothing is exported from a test binary; `pub` marks what a module offers")]
#![allow(missing_docs, reason = "nothing is exported from a test binary")]

#[path = "../promises/common/mod.rs"]
mod common;

#[allow(dead_code, unused_imports, reason = "a checker offers more than one program uses")]
mod checker;
#[allow(dead_code, unused_imports, reason = "a format offers more than one writer uses")]
mod history;
mod mode;
mod nemesis;
mod options;
mod phases;
mod report;
mod schedule;
mod worker;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Ok(role) = std::env::var(worker::ROLE) {
        worker::main(&role);
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("CHAOS").is_none() {
        println!("chaos: nothing to do here; tests/chaos/run runs it");
        return ExitCode::SUCCESS;
    }
    let options = match options::Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n\n{}", options::USAGE);
            return ExitCode::from(64);
        }
    };
    world::end_with_the_caller();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let passed = runtime.block_on(phases::run_all(&options));
    // What still runs in the background holds nothing that is worth waiting for.
    runtime.shutdown_background();
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
