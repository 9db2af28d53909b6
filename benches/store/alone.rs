//! One caller alone: what the shared background work costs whom it cannot help.

use hapax::dedup::{Begin, Deduplicator};
use hapax::id::Fingerprint;
use redis::aio::MultiplexedConnection;
use tokio::time::Instant;

use super::bare;
use super::ids::id;
use super::meter::{Meter, connect, median};
use super::options::Options;
use super::recording::{self, Batch};
use super::service::RedisServer;
use super::subject::opened;
use super::table::{Table, figure, progress, ratio};

/// IDs in a row of either.
const BLOCK: usize = 50;

pub async fn measure(options: &Options, table: &mut Table, threads: &str) {
    let server = RedisServer::start();
    let mut meter = Meter::new(&server).await;
    let mut redis = connect(&server.url()).await;
    let (mut ours, mut bares) = (Vec::new(), Vec::new());
    for turn in 0..=options.rounds as u64 {
        progress(&format!("one caller alone on {threads}, turn {turn} of {}", options.rounds));
        let ids: Vec<Fingerprint> = (0..options.alone).map(|n| id(turn, n)).collect();
        let recorded = recording::record(server.port(), "alone", &ids, 1).await;
        meter.flush().await;
        let (_, dedup) = opened(&server.url(), "alone-too").await;
        let (mut our_times, mut bare_times) = (Vec::new(), Vec::new());
        // Block after block, so that both see the same weather, and each pays itself for what it leaves behind: the
        // deletion of a lease that nobody waits for travels while the next ID is claimed.
        for (ids, batches) in ids.chunks(BLOCK).zip(recorded.chunks(BLOCK)) {
            for id in ids {
                our_times.push(ours_once(&dedup, *id).await);
            }
            let mut before = None;
            for batch in batches {
                bare_times.push(bare_once(&mut redis, before, batch).await);
                before = Some(batch);
            }
        }
        if turn > 0 {
            ours.push(median(our_times));
            bares.push(median(bare_times));
        }
    }
    table.section(&format!("One caller alone, begin and complete, {threads}"), &["median latency", "µs"]);
    table.row(["bare client, the same commands".to_owned(), figure(median(bares.iter().copied()))]);
    table.row(["Deduplicator".to_owned(), figure(median(ours.iter().copied()))]);
    let of_bare = median(ours.iter().zip(&bares).map(|(ours, bare)| ours / bare));
    table.row(["ratio".to_owned(), ratio(of_bare, |ratio| ratio <= 1.3, "1.3 or less")]);
}

async fn ours_once(dedup: &Deduplicator, id: Fingerprint) -> f64 {
    let started = Instant::now();
    match dedup.begin_fingerprint(id).await.expect("an answer") {
        Begin::Claimed(guard) => guard.complete().await.expect("an answer"),
        other => panic!("{other:?} was not expected"),
    };
    started.elapsed().as_secs_f64() * 1e6
}

async fn bare_once(redis: &mut MultiplexedConnection, before: Option<&Batch>, batch: &Batch) -> f64 {
    let started = Instant::now();
    bare::send_one(redis, before, batch).await;
    started.elapsed().as_secs_f64() * 1e6
}
