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

#[tokio::main]
async fn main() {
    let options = Options::from_arguments();
    let mut table = Table::new();
    if options.runs(Part::Rates) {
        rates::measure(&options, &mut table).await;
    }
    if options.runs(Part::Alone) {
        alone::measure(&options, &mut table).await;
    }
    if options.runs(Part::Memory) {
        memory::measure(&options, &mut table).await;
    }
    if options.runs(Part::Growth) {
        growth::measure(&options, &mut table).await;
    }
    if options.runs(Part::Alternatives) {
        alternatives::measure(&options, &mut table).await;
    }
    print!("{table}");
}
