//! Other ways to do the hot path, by a bare client: what each promise costs.

mod ways;

use std::sync::Arc;

use super::bare;
use super::meter::{Meter, Sample, connect, median};
use super::options::Options;
use super::service::RedisServer;
use super::table::{Table, figure, progress};

/// IDs per batch; two batches are under way.
const BATCH: usize = 128;

pub async fn measure(options: &Options, table: &mut Table) {
    let server = RedisServer::start();
    let mut meter = Meter::new(&server).await;
    let mut redis = connect(&server.url()).await;
    for script in ways::SCRIPTS {
        redis::Script::new(script).load_async(&mut redis).await.expect("SCRIPT LOAD");
    }
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); ways::ALL.len()];
    for turn in 0..=options.rounds as u64 {
        progress(&format!("alternatives, turn {turn} of {}", options.rounds));
        for (way, samples) in ways::ALL.iter().zip(&mut samples) {
            meter.flush().await;
            let batches = Arc::new(ways::batches(way, turn, options.ids, BATCH));
            let sample = meter.measure(options.ids, bare::send(&redis, &batches)).await;
            if turn > 0 {
                samples.push(sample);
            }
        }
    }
    let columns = ["hot path, bare client", "Redis CPU µs/ID", "to the first", "IDs/s", "to the first"];
    table.section(&format!("Alternatives, batches of {BATCH}, two under way"), &columns);
    for (way, of_way) in ways::ALL.iter().zip(&samples) {
        let to_first = |figure: fn(&Sample) -> f64| {
            median(of_way.iter().zip(&samples[0]).map(|(one, first)| figure(one) / figure(first)))
        };
        table.row([
            way.name.to_owned(),
            figure(median(of_way.iter().map(Sample::redis_cpu_per_id))),
            figure(to_first(Sample::redis_cpu_per_id)),
            figure(median(of_way.iter().map(Sample::rate))),
            figure(to_first(Sample::rate)),
        ]);
    }
}
