//! Bytes per remembered ID.

use super::ids::id;
use super::meter::{Meter, connect, per};
use super::options::Options;
use super::service::RedisServer;
use super::subject::{redis_store, remember};
use super::table::{Table, figure, progress};

pub async fn measure(options: &Options, table: &mut Table) {
    table.section("Memory per done ID", &["what", "IDs", "bytes/ID"]);
    for ids in options.remembered.iter().copied() {
        // PLACE: the modes `compact` (with `expected_ids` right, and a tenth of what comes) and `exact`, once the
        // builder offers them. Until then there is one.
        for what in ["RedisStore"] {
            progress(&format!("memory of {ids} IDs: {what}"));
            let server = RedisServer::start();
            let mut meter = Meter::new(&server).await;
            let store = redis_store(&server.url(), "memory");
            remember(&store, [id(0, 0)]).await;
            let before = meter.used_memory().await;
            remember(&store, (0..ids).map(|n| id(1, n))).await;
            let bytes = meter.used_memory().await.saturating_sub(before);
            table.row([what.to_owned(), ids.to_string(), figure(per(bytes as f64, ids as f64))]);
        }
    }
    // The yardstick does not depend on how many there are.
    let ids = options.remembered.iter().copied().max().unwrap_or(0).min(1_000_000);
    progress(&format!("memory of {ids} IDs: plain keys"));
    let server = RedisServer::start();
    let mut meter = Meter::new(&server).await;
    let mut redis = connect(&server.url()).await;
    let before = meter.used_memory().await;
    let mut n = 0;
    while n < ids {
        let mut pipeline = redis::pipe();
        for _ in 0..1_000.min(ids - n) {
            pipeline.cmd("SET").arg(format!("seen:{}", id(1, n))).arg("1").arg("EX").arg(86_400).ignore();
            n += 1;
        }
        pipeline.exec_async(&mut redis).await.expect("an answer");
    }
    let bytes = meter.used_memory().await.saturating_sub(before);
    table.row(["a plain key with a time to live".to_owned(), ids.to_string(), figure(per(bytes as f64, ids as f64))]);
}
