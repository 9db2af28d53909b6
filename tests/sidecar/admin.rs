//! An operator's calls to a consumer that runs, against real services.

pub mod browser;
mod controlled;
mod page;

use serde_json::json;

use super::common::{RedisServer, await_until};
use controlled::{Controlled, PATIENCE, call, id};
use hapax::store::DoneMode;

/// The states of these IDs, in their order.
async fn states(sidecar: &Controlled, ids: &[usize]) -> Vec<String> {
    let ids: Vec<_> = ids.iter().map(|id_of| id(*id_of)).collect();
    let (status, answer) = call(&sidecar.state, "POST", "/v1/inspect", json!({ "ids": ids })).await;
    assert_eq!(status, 200, "{answer}");
    answer["ids"].as_array().unwrap().iter().map(|id| id["state"].as_str().unwrap_or("error").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_consumer_starts_nothing_holds_nothing_and_commits_what_ended() {
    let redis = RedisServer::start();
    let mut sidecar = Controlled::new(&redis, DoneMode::Compact, 1).await;
    sidecar.produce(0, 0..10).await;
    let all: Vec<usize> = (0..10).collect();

    // Paused before it starts: what arrives waits.
    call(&sidecar.state, "POST", "/v1/pause", json!({ "reason": "before the start" })).await;
    sidecar.start();
    sidecar.until("all have arrived", async |status| status["partitions"][0]["in_flight"] == 10).await;
    assert_eq!((sidecar.started(), states(&sidecar, &all).await), (0, vec!["absent".to_owned(); 10]));

    // It goes on, and its first handler takes a while.
    call(&sidecar.state, "POST", "/v1/resume", json!({})).await;
    sidecar.until("one runs", async |status| status["partitions"][0]["running"] == 1).await;
    await_until("the others are claimed ahead", PATIENCE, async || {
        states(&sidecar, &all).await.iter().all(|state| state == "in_flight")
    })
    .await;

    // Paused again: that one ends and is committed, and nobody's claim is kept.
    call(&sidecar.state, "POST", "/v1/pause", json!({ "reason": "stock-taking" })).await;
    await_until("the claims made ahead are given back", PATIENCE, async || {
        states(&sidecar, &all[1..]).await.iter().all(|state| state == "absent")
    })
    .await;
    assert_eq!(states(&sidecar, &all[..1]).await, ["in_flight"]);
    sidecar.let_end(1000);
    sidecar.until("what ended is committed", async |status| status["partitions"][0]["committed"] == 1).await;
    assert_eq!((sidecar.started(), states(&sidecar, &all[..2]).await), (1, vec!["done".into(), "absent".into()]));
    let (_, status) = call(&sidecar.state, "GET", "/v1/status", json!(null)).await;
    assert_eq!(status["says"], "Paused by an operator: stock-taking.");

    call(&sidecar.state, "POST", "/v1/resume", json!({})).await;
    sidecar.until("all are committed", async |status| status["partitions"][0]["committed"] == 10).await;
    assert_eq!((sidecar.started(), sidecar.effects()), (10, all.clone()));
    let state = sidecar.end().await;
    // It has ended: there is nothing to tell of it, and what it handled is known all the same.
    let (_, answer) = call(&state, "GET", "/v1/partitions", json!(null)).await;
    assert_eq!(answer, json!({ "partitions": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_consumer_ends_in_order() {
    let redis = RedisServer::start();
    let mut sidecar = Controlled::new(&redis, DoneMode::Compact, 1).await;
    sidecar.produce(0, 0..5).await;
    sidecar.start();
    sidecar.until("one runs", async |status| status["partitions"][0]["running"] == 1).await;
    call(&sidecar.state, "POST", "/v1/pause", json!({})).await;
    sidecar.let_end(1);
    sidecar.until("it has ended", async |status| status["partitions"][0]["running"] == 0).await;
    let state = sidecar.end().await;
    let (_, answer) = call(&state, "POST", "/v1/inspect", json!({ "ids": [id(0), id(1)] })).await;
    assert_eq!((&answer["ids"][0]["state"], &answer["ids"][1]["state"]), (&json!("done"), &json!("absent")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_is_handled_again_though_this_process_had_it_in_its_cache() {
    let redis = RedisServer::start();
    let mut sidecar = Controlled::new(&redis, DoneMode::Compact, 1).await;
    sidecar.let_end(1000);
    sidecar.produce(0, 0..1).await;
    sidecar.start();
    sidecar.until("it is handled", async |status| status["counts"]["handled"] == 1).await;
    sidecar.produce(0, 0..1).await;
    sidecar.until("its cache knows it", async |status| status["counts"]["duplicates_by_cache"] == 1).await;

    let (_, answer) = call(&sidecar.state, "POST", "/v1/explain", json!({ "ids": [id(0)] })).await;
    let says = answer["ids"][0]["says"].as_str().unwrap();
    assert!(says.contains("dropped as a duplicate") && says.contains("between about"), "{says}");
    let forget = json!({ "ids": [id(0), id(1)], "confirm": true });
    let (_, answer) = call(&sidecar.state, "POST", "/v1/forget", forget).await;
    assert_eq!((&answer["ids"][0]["forgotten"], &answer["ids"][1]["forgotten"]), (&json!(true), &json!(false)));

    sidecar.produce(0, 0..1).await;
    sidecar.until("it is handled again", async |status| status["counts"]["handled"] == 2).await;
    assert_eq!(sidecar.effects(), [0, 0]);
    sidecar.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exact_store_names_the_first_record_and_one_that_is_away_says_so_of_each_id() {
    let redis = RedisServer::start();
    let mut sidecar = Controlled::new(&redis, DoneMode::Exact, 1).await;
    sidecar.let_end(1000);
    sidecar.produce(0, 0..2).await;
    sidecar.start();
    sidecar.until("both are committed", async |status| status["partitions"][0]["committed"] == 2).await;
    let (_, answer) = call(&sidecar.state, "POST", "/v1/explain", json!({ "ids": [id(1)] })).await;
    let told = &answer["ids"][0];
    assert_eq!((&told["first"]["topic"], &told["first"]["offset"]), (&json!(sidecar.topic), &json!(1)));
    assert!(told["says"].as_str().unwrap().contains(&format!("the record at {}-0@1 was handled at 20", sidecar.topic)));

    redis.kill();
    let (status, answer) = call(&sidecar.state, "POST", "/v1/inspect", json!({ "ids": [id(0), id(1)] })).await;
    let errors: Vec<_> = answer["ids"].as_array().unwrap().iter().filter_map(|id| id["error"].as_str()).collect();
    assert_eq!((status, errors.len()), (200, 2), "{answer}");
    sidecar
        .until("the status says it", async |status| {
            status["severity"] == "error"
                && status["says"].as_str().is_some_and(|says| says.contains("store is not reached"))
        })
        .await;
}
