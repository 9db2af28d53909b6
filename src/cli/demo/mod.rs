//! `hapax demo`: the promise, shown with nothing to install.
//!
//! An embedded cluster and the memory store stand in for Kafka and Redis; everything between them is what ships: the
//! same poll thread, engine and driver. Lost and repeated effects are counted from the effects themselves.

mod cluster;
mod effects;
mod report;
mod workers;

use std::error::Error;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use cluster::{Cluster, Plan};
use effects::Effects;
pub(super) use report::Report;
use workers::Workers;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long the demo waits for progress before it gives up and reports what is missing.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// How many different messages to produce.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..=500_000))]
    records: u64,
    /// How many of 100 messages are sent once more, half of them to another partition.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=100))]
    duplicates: u64,
    /// Chooses which messages are duplicated and where; the same seed produces the same topic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many workers consume; one of them is killed on the way.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=16))]
    workers: u64,
}

/// Runs the demo; an error means that it could not be run, not that the promise was broken.
pub(super) fn run(options: &Options) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(play(options))
}

async fn play(options: &Options) -> Result<Report> {
    let plan = Plan::new(options.records, options.duplicates, options.seed);
    let bar = |length, message: &'static str| -> Result<ProgressBar> {
        let style = ProgressStyle::with_template("{msg:<10} {wide_bar} {pos}/{len} {per_sec}")?;
        Ok(ProgressBar::new(length).with_style(style).with_message(message))
    };
    let cluster = Cluster::start(&plan)?;
    let producing = bar(plan.deliveries(), "producing")?;
    cluster.produce(&plan, &producing)?;
    producing.finish();

    let effects = Effects::default();
    let consuming = bar(plan.deliveries(), "consuming")?;
    let mut workers = Workers::new(&cluster, &effects);
    for _ in 0..options.workers {
        workers.start()?;
    }
    let (mut begun, mut moved) = (None, (Instant::now(), 0));
    let complete = loop {
        workers.check()?;
        let committed = cluster.committed()?;
        consuming.set_position(committed);
        if committed == plan.deliveries() {
            break true;
        }
        if committed > 0 && begun.is_none() {
            begun = Some(Instant::now());
        }
        if committed > plan.deliveries() * 2 / 5 && !workers.has_killed() {
            consuming.println("a worker is killed: no drain, no commit, no release; another one joins");
            workers.kill();
            workers.start()?;
        }
        if committed != moved.1 {
            moved = (Instant::now(), committed);
        } else if moved.0.elapsed() > PATIENCE {
            break false;
        }
        // The embedded cluster tells nobody of commits: asking is the only way.
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let took = begun.map_or(Duration::ZERO, |begun| begun.elapsed());
    consuming.finish();
    workers.stop().await?;
    Ok(Report::new(&plan, &effects, workers.killed(), complete, took))
}
