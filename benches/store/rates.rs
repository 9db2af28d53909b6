//! 256 tasks on the public API, beside a bare client and a loop.

use std::sync::Arc;

use super::bare;
use super::ids::id;
use super::meter::{Meter, Sample, connect, median};
use super::options::Options;
use super::recording;
use super::service::RedisServer;
use super::subject::{self, opened};
use super::table::{Table, figure, progress, ratio};

/// What ran in each turn.
#[derive(Default)]
struct Turns {
    one_by_one: Vec<Sample>,
    fresh: Vec<Sample>,
    duplicates: Vec<Sample>,
    bare: Vec<Sample>,
    batches: Vec<(f64, f64)>,
}

pub async fn measure(options: &Options, table: &mut Table, threads: &str) {
    let server = RedisServer::start();
    let mut meter = Meter::new(&server).await;
    let mut redis = connect(&server.url()).await;
    let mut turns = Turns::default();
    // The first turn warms up, and tells the size of the batches.
    for turn in 0..=options.rounds as u64 {
        progress(&format!("256 tasks on {threads}, turn {turn} of {}", options.rounds));
        let ids: Arc<Vec<_>> = Arc::new((0..options.ids).map(|n| id(turn, n)).collect());
        let namespace = format!("turn-{turn}");

        meter.flush().await;
        let some = options.ids / 10;
        let one_by_one = meter.measure(some, bare::one_by_one(&mut redis, (0..some).map(|n| id(turn, n)))).await;

        meter.flush().await;
        let (store, dedup) = opened(&server.url(), &namespace).await;
        let fresh = meter.measure(options.ids, subject::handle(&dedup, &ids, false)).await;
        let batches = store.mean_batches();
        // Another worker, for whom all of them are duplicates.
        let (_, other) = opened(&server.url(), &namespace).await;
        let duplicates = meter.measure(options.ids, subject::handle(&other, &ids, true)).await;

        meter.flush().await;
        let size = (f64::midpoint(batches.0, batches.1).round() as usize).max(1);
        let recorded = Arc::new(recording::record(server.port(), &namespace, &ids, size).await);
        meter.flush().await;
        let bare = meter.measure(options.ids, bare::send(&redis, &recorded)).await;
        if turn > 0 {
            turns.one_by_one.push(one_by_one);
            turns.fresh.push(fresh);
            turns.duplicates.push(duplicates);
            turns.bare.push(bare);
            turns.batches.push(batches);
        }
    }
    turns.show(table, threads);
}

impl Turns {
    fn show(&self, table: &mut Table, threads: &str) {
        let columns = ["256 tasks", "IDs/s", "Redis CPU µs/ID", "our CPU µs/ID", "commands/ID"];
        table.section(&format!("Claim and completion, {threads}"), &columns);
        let rows = [
            ("one SET NX PX after the other", &self.one_by_one),
            ("bare client, the same commands", &self.bare),
            ("Deduplicator, fresh IDs", &self.fresh),
            ("Deduplicator, duplicates", &self.duplicates),
        ];
        for (what, samples) in rows {
            let median = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
            table.row([
                what.to_owned(),
                figure(median(Sample::rate)),
                figure(median(Sample::redis_cpu_per_id)),
                figure(median(Sample::our_cpu_per_id)),
                figure(median(Sample::commands_per_id)),
            ]);
        }
        let of = |one: &[Sample], other: &[Sample], figure: fn(&Sample) -> f64| {
            median(one.iter().zip(other).map(|(one, other)| figure(one) / figure(other)))
        };
        table.section(&format!("Ratios, each of one turn, {threads}"), &["256 tasks", "ratio"]);
        let mut show = |what: &str, cell| table.row([what.to_owned(), cell]);
        let rate = of(&self.fresh, &self.one_by_one, Sample::rate);
        show("fresh IDs, to SET NX one by one", ratio(rate, |ratio| ratio >= 10.0, "10 or more"));
        let rate = of(&self.fresh, &self.bare, Sample::rate);
        show("fresh IDs, to the bare client", ratio(rate, |ratio| ratio >= 0.85, "0.85 or more"));
        let rate = of(&self.duplicates, &self.fresh, Sample::rate);
        show("duplicates, to fresh IDs", ratio(rate, |ratio| ratio >= 1.5, "1.5 or more"));
        let cpu = of(&self.fresh, &self.bare, Sample::redis_cpu_per_id);
        // A hundredth of a second is what both are counted in, at best.
        show("Redis CPU per fresh ID, to the bare client", ratio(cpu, |ratio| ratio <= 1.02, "1 or less"));
        let batch = |of: fn(&(f64, f64)) -> f64| figure(median(self.batches.iter().map(of)));
        show("mean batch of claims", batch(|batches| batches.0));
        show("mean batch of completions", batch(|batches| batches.1));
    }
}
