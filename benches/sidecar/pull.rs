//! IDs claimed and completed in calls of 100, by a few connections at once.

use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::beside::Beside;
use crate::generator::Connection;
use crate::service::{RedisServer, unique};
use crate::table::{Table, figure, progress, ratio};
use crate::{Amounts, median};

const IDS: u64 = 100;
const CONNECTIONS: u64 = 8;
const AIM: f64 = 20_000.0;

pub async fn measure(amounts: Amounts, table: &mut Table, redis: &RedisServer) {
    let (namespace, url) = (unique("bench"), redis.url());
    let beside =
        Beside::start(&[("HAPAX_DELIVERY", "pull"), ("HAPAX_NAMESPACE", &namespace), ("HAPAX_REDIS_URL", &url)]);
    beside.ready().await;
    let mut rates = Vec::new();
    for round in 1..=amounts.rounds {
        progress(&format!("pull, round {round} of {}", amounts.rounds));
        let mut tasks = JoinSet::new();
        let calls = amounts.pull_calls / CONNECTIONS;
        let begun = Instant::now();
        for connection in 0..CONNECTIONS {
            let address = beside.address;
            tasks.spawn(async move {
                let mut to = Connection::to(address).await;
                for call in 0..calls {
                    claim_and_complete(&mut to, &format!("{round}-{connection}-{call}")).await;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("a client that ended well");
        }
        rates.push((calls * CONNECTIONS * IDS) as f64 / begun.elapsed().as_secs_f64());
    }
    let rate = median(rates);
    table.section("Pull, calls of 100, 8 connections, IDs/s", &["way", "IDs/s", "to the aim"]);
    table.row(["claim and complete".to_owned(), figure(rate), ratio(rate / AIM, |it| it >= 1.0, "of 20,000, 1")]);
}

async fn claim_and_complete(to: &mut Connection, prefix: &str) {
    let ids: Vec<Value> = (0..IDS).map(|n| json!({ "id": format!("{prefix}-{n}") })).collect();
    let claimed = call(to, "/v1/claim", &json!({ "ids": ids })).await;
    let items: Vec<Value> = claimed.iter().map(|it| json!({ "id": it["id"], "token": it["token"] })).collect();
    let completed = call(to, "/v1/complete", &json!({ "items": items })).await;
    assert!(completed.iter().all(|it| it["status"] == "completed"), "{completed:?}");
}

async fn call(to: &mut Connection, path: &str, body: &Value) -> Vec<Value> {
    let answer = to.post(path, "application/json", Bytes::from(body.to_string())).await;
    let status = answer.status();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    assert!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
    let mut body: Value = serde_json::from_slice(&body).expect("JSON");
    match body["results"].take() {
        Value::Array(results) => results,
        _ => panic!("{path} answered without results"),
    }
}
