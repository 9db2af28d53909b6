//! The whole way, from Kafka through Redis to a handler, beside what people write by hand, as one table.
//!
//! ```text
//! cargo bench --bench pipeline                     about fifteen minutes
//! cargo bench --bench pipeline -- --quick          a minute at most: it compiles and works, its figures mean nothing
//! cargo bench --bench pipeline -- --full           more turns, and ten minutes of memory; needs 10 GB on the disk
//! cargo bench --bench pipeline -- --only rates,concurrency,latency,memory
//! ```
//!
//! It starts a broker and a Redis server of its own. What is compared runs in turns on the same broker and the same
//! records, each turn with a group and a namespace of its own, and the table shows medians of the turns: machines differ,
//! and are busy now and then, so only ratios of one run mean anything. All of it shares the machine's cores.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark is a program that prints, and stops where something is wrong"
)]
#![allow(unreachable_pub, reason = "nothing is exported from a benchmark; `pub` marks what a module offers")]

mod allocations;
mod concurrency;
mod latency;
mod load;
mod memory;
#[path = "../store/meter.rs"]
#[allow(dead_code, reason = "the benchmark of the store asks for more")]
mod meter;
mod options;
mod rates;
mod service;
#[path = "../store/table.rs"]
mod table;
mod watch;
mod ways;

use options::{Options, Part};
use service::{Kafka, RedisServer};
use table::{Table, progress};
use tokio::runtime::Builder;

fn main() {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if let Some(task) = memory::Task::of_this_process() {
        return runtime.block_on(memory::work(task));
    }
    let options = Options::from_arguments();
    let mut table = Table::new();
    runtime.block_on(async {
        progress("starting Kafka and Redis");
        let (kafka, redis) = (Kafka::own().await, RedisServer::start());
        if options.runs(Part::Rates) {
            rates::measure(&options, &mut table, &kafka, &redis).await;
        }
        if options.runs(Part::Concurrency) {
            concurrency::measure(&options, &mut table, &kafka, &redis).await;
        }
        if options.runs(Part::Latency) {
            latency::measure(&options, &mut table, &kafka, &redis).await;
        }
        if options.runs(Part::Memory) {
            memory::measure(&options, &mut table, &kafka, &redis).await;
        }
    });
    print!("{table}");
}
