//! How the cost grows: with what is remembered, and with nodes.

use std::sync::Arc;

use super::ids::id;
use super::meter::{Meter, Sample, median, per};
use super::options::Options;
use super::service::{RedisCluster, RedisServer};
use super::subject::{self, opened, redis_store, remember};
use super::table::{Table, figure, progress};

pub async fn measure(options: &Options, table: &mut Table) {
    let columns = ["nodes", "IDs remembered", "fresh IDs/s", "Redis CPU µs/ID", "commands/ID", "round trips/1000 IDs"];
    table.section("Growth", &columns);
    for remembered in options.remembered.iter().copied() {
        let server = RedisServer::start();
        let mut meter = Meter::new(&server).await;
        // Few enough that they do not change what is measured; more turns where that is very few.
        let some = options.ids.min(remembered / 5).max(1_000);
        let turns = options.rounds as u64 * (options.ids / some).clamp(1, 10);
        let (mut samples, mut round_trips) = (Vec::new(), Vec::new());
        for turn in 0..=turns {
            progress(&format!("growth: {remembered} IDs remembered, turn {turn} of {turns}"));
            if turn == 0 || some < options.ids {
                meter.flush().await;
                remember(&redis_store(&server.url(), "growth"), (0..remembered).map(|n| id(u64::MAX, n))).await;
            }
            let ids: Arc<Vec<_>> = Arc::new((0..some).map(|n| id(turn, n)).collect());
            let (store, dedup) = opened(&server.url(), "growth").await;
            let sample = meter.measure(some, subject::handle(&dedup, &ids, false)).await;
            if turn > 0 {
                samples.push(sample);
                round_trips.push(per(store.round_trips() as f64 * 1e3, some as f64));
            }
        }
        let middle = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
        table.row([
            "1, no cluster".to_owned(),
            remembered.to_string(),
            figure(middle(Sample::rate)),
            figure(middle(Sample::redis_cpu_per_id)),
            figure(middle(Sample::commands_per_id)),
            figure(median(round_trips)),
        ]);
    }
    for nodes in [1, 3, 6] {
        on_a_cluster(options, table, nodes).await;
    }
}

/// All on one machine, so its processors are shared: what counts is what each node is asked.
async fn on_a_cluster(options: &Options, table: &mut Table, nodes: usize) {
    progress(&format!("growth: a cluster of {nodes} nodes"));
    let cluster = RedisCluster::start_with(nodes, false);
    let mut meters = Vec::new();
    for node in cluster.nodes() {
        meters.push(Meter::new(node).await);
    }
    let some = options.ids.min(20_000);
    let (store, dedup) = opened(&cluster.url(), "growth").await;
    let ids: Arc<Vec<_>> = Arc::new((0..some).map(|n| id(0, n)).collect());
    subject::handle(&dedup, &ids, false).await;
    let before = store.round_trips();
    let (mut rates, mut commands, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=options.rounds as u64 {
        let ids: Arc<Vec<_>> = Arc::new((0..some).map(|n| id(turn, n)).collect());
        let mut readings = Vec::new();
        for meter in &mut meters {
            readings.push(meter.reading().await);
        }
        let started = tokio::time::Instant::now();
        subject::handle(&dedup, &ids, false).await;
        rates.push(per(some as f64, started.elapsed().as_secs_f64()));
        for (meter, before) in meters.iter_mut().zip(readings) {
            let after = meter.reading().await;
            commands.push(per((after.1 - before.1) as f64, some as f64));
            cpu.push(per((after.0 - before.0) * 1e6, some as f64));
        }
    }
    let round_trips = per((store.round_trips() - before) as f64 * 1e3, (some * options.rounds as u64) as f64);
    table.row([
        format!("{nodes}, each"),
        some.to_string(),
        figure(median(rates)),
        figure(median(cpu)),
        figure(median(commands)),
        figure(round_trips),
    ]);
}
