//! Bytes per remembered ID.

use hapax::id::Namespace;
use hapax::store::{DoneMode, RedisStore, RedisStoreBuilder};

use super::ids::id;
use super::meter::{Meter, connect, per};
use super::options::Options;
use super::service::RedisServer;
use super::subject::{handle_in_batches as handle, remember};
use super::table::{Table, figure, progress};

pub async fn measure(options: &Options, table: &mut Table) {
    table.section("Memory per done ID", &["what", "IDs", "bytes/ID", "encoding of the largest set"]);
    for ids in options.remembered.iter().copied() {
        type Setting = fn(RedisStoreBuilder, u64) -> RedisStoreBuilder;
        let ways: [(&str, Setting); 4] = [
            ("compact, as many as expected", |builder, ids| builder.expected_ids(ids)),
            ("compact, ten times as many as expected", |builder, ids| builder.expected_ids(ids / 10)),
            ("compact, nothing said", |builder, _| builder),
            ("exact", |builder, _| builder.mode(DoneMode::Exact)),
        ];
        for (what, setting) in ways {
            progress(&format!("memory of {ids} IDs: {what}"));
            let server = RedisServer::start();
            let mut meter = Meter::new(&server).await;
            let builder = RedisStore::builder(server.url(), Namespace::new("memory").expect("a namespace"));
            let store = setting(builder, ids).build().expect("a store");
            remember(&store, [id(0, 0)]).await;
            let before = meter.used_memory().await;
            handle(&store, (0..ids).map(|n| id(1, n))).await;
            let bytes = meter.used_memory().await.saturating_sub(before);
            let encoding = meter.worst_encoding().await;
            table.row([what.to_owned(), ids.to_string(), figure(per(bytes as f64, ids as f64)), encoding]);
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
    table.row([
        "a plain key with a time to live".to_owned(),
        ids.to_string(),
        figure(per(bytes as f64, ids as f64)),
        "-".to_owned(),
    ]);
}
