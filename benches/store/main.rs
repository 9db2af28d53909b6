//! What the Redis store costs and how fast it is, as one table.
//!
//! ```text
//! cargo bench --bench store                     about three minutes
//! cargo bench --bench store -- --quick          seconds: it compiles and works, its figures mean nothing
//! cargo bench --bench store -- --full           10 million IDs too; needs 2 GB of memory
//! cargo bench --bench store -- --only memory,rates,alone,growth,alternatives
//! ```
//!
//! It starts a Redis server of its own. What is compared runs in turns within one run, and the table shows medians of
//! the turns: machines differ, and are busy now and then, so only ratios of one run mean anything.
//!
//! *Bare* is the measure: a plain pipelined client (`MultiplexedConnection`, `Pipeline`) that sends the same commands as
//! the store did, recorded from the store itself (`recording.rs`), at the same mean batch size.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark is a program that prints, and stops where something is wrong"
)]
#![allow(unreachable_pub, reason = "nothing is exported from a benchmark; `pub` marks what a module offers")]

mod alone;
mod alternatives;
mod bare;
mod growth;
mod ids;
mod memory;
mod meter;
mod options;
mod rates;
mod recording;
mod service;
mod subject;
mod table;

use options::{Options, Part};
use table::Table;
use tokio::runtime::{Builder, Runtime};

fn main() {
    let options = Options::from_arguments();
    let mut table = Table::new();
    // On several threads tasks wake each other across them; on one they take turns with the connection. Both are used.
    for (threads, runtime) in [("one thread", one_thread()), ("a thread per core", many_threads())] {
        if options.runs(Part::Rates) {
            runtime.block_on(rates::measure(&options, &mut table, threads));
        }
        if options.runs(Part::Alone) {
            runtime.block_on(alone::measure(&options, &mut table, threads));
        }
    }
    let runtime = many_threads();
    if options.runs(Part::Memory) {
        runtime.block_on(memory::measure(&options, &mut table));
    }
    if options.runs(Part::Growth) {
        runtime.block_on(growth::measure(&options, &mut table));
    }
    if options.runs(Part::Alternatives) {
        runtime.block_on(alternatives::measure(&options, &mut table));
    }
    print!("{table}");
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn many_threads() -> Runtime {
    Builder::new_multi_thread().enable_all().build().expect("a runtime")
}
