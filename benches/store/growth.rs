//! How the cost grows: with what is remembered, and with nodes.

use std::sync::Arc;

use super::ids::id;
use super::meter::{Meter, Sample, median, per};
use super::options::Options;
use super::service::RedisServer;
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
    // PLACE: clusters of 1, 3 and 6 nodes, commands and round trips per node, once the store speaks to clusters.
}
