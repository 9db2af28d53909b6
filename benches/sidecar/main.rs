//! The sidecar as a process, beside what its parts can do without it, as one table.
//!
//! ```text
//! cargo bench --features sidecar --bench sidecar                 about two minutes
//! cargo bench --features sidecar --bench sidecar -- --quick      half a minute: it compiles and works, its figures mean nothing
//! ```
//!
//! A broker, a Redis server and a trivial HTTP server of its own; everything shares the machine's cores, so only ratios of
//! one run mean anything.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark is a program that prints, and stops where something is wrong"
)]
#![allow(unreachable_pub, reason = "nothing is exported from a benchmark; `pub` marks what a module offers")]

mod application;
mod beside;
mod generator;
mod pull;
mod push;
#[path = "../pipeline/service.rs"]
mod service;
mod start;
#[path = "../store/table.rs"]
#[allow(dead_code, reason = "the benchmark of the store asks for more")]
mod table;

use service::{Kafka, RedisServer};
use table::{Table, progress};

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Amounts {
    /// How often each way is measured; the table shows the medians.
    pub rounds: usize,
    /// Records of a kilobyte in each round.
    pub records: u64,
    /// Calls of 100 IDs in each round.
    pub pull_calls: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = arguments.iter().find(|argument| !["--bench", "--quick"].contains(&argument.as_str())) {
        eprintln!("unknown argument {unknown:?}\nusage: cargo bench --features sidecar --bench sidecar -- [--quick]");
        std::process::exit(64);
    }
    let thorough = arguments.iter().any(|argument| argument == "--bench")
        && !arguments.iter().any(|argument| argument == "--quick");
    let amounts = match thorough {
        true => Amounts { rounds: 3, records: 100_000, pull_calls: 2_000 },
        false => Amounts { rounds: 1, records: 2_000, pull_calls: 50 },
    };
    let mut table = Table::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        progress("starting Kafka and Redis");
        let (kafka, redis) = (Kafka::own().await, RedisServer::start());
        push::measure(amounts, &mut table, &kafka, &redis).await;
        pull::measure(amounts, &mut table, &redis).await;
        start::measure(amounts, &mut table, &kafka, &redis).await;
    });
    println!("{table}");
}

/// The one in the middle.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
