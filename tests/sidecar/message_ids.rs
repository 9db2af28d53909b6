//! What tells messages apart, through Kafka: structured events, tombstones, schema registries; and a log that adds up.

use std::collections::HashSet;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use crate::app::{App, Reply};
use crate::common::{Kafka, Message, RedisServer, await_until};
use crate::setting::Setting;

const STRUCTURED: &str = "application/cloudevents+json; charset=utf-8";

fn structured(id: &str, source: &str) -> Message {
    let event = serde_json::json!({ "specversion": "1.0", "id": id, "source": source, "type": "t" });
    Message::new().header("content-type", STRUCTURED).payload(event.to_string())
}

async fn settled(hapax: &crate::beside::Beside, count: u64) {
    await_until("all are settled", Duration::from_secs(60), async || {
        assert!(hapax.process.runs(), "{}", hapax.process.output());
        hapax.metric("hapax_records_settled_total", "").await >= count
    })
    .await;
}

#[tokio::test]
async fn structured_event_is_handled_once_in_either_mode() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let app = App::start(|_| Reply::status(204)).await;
    let setting = Setting::new(kafka, 1, &redis, app.url()).await;
    let binary = Message::new().header("ce_id", "1").header("ce_source", "/a").payload("binary");
    kafka.produce(&setting.topic, [structured("1", "/a"), structured("1", "/b"), binary, structured("1", "/b")]).await;
    let hapax = setting.start(&[("HAPAX_ID", "cloudevents")]);
    settled(&hapax, 4).await;
    let bodies: Vec<Value> =
        app.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap_or_default()).collect();
    let sources: Vec<_> = bodies.iter().map(|event| event["source"].clone()).collect();
    assert_eq!(sources, ["/a", "/b"], "the second two are duplicates");
    assert_eq!(hapax.metric("hapax_duplicates_total", "").await, 2);
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
    assert!(!hapax.process.output().contains("without its source"), "{}", hapax.process.output());
}

#[tokio::test]
async fn id_without_its_source_is_reported_by_log_and_doctor() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let app = App::start(|_| Reply::status(204)).await;
    let setting = Setting::new(kafka, 1, &redis, app.url()).await;
    kafka.produce(&setting.topic, [structured("1", "/a"), structured("1", "/b")]).await;
    let pointer = [("HAPAX_ID", "json:/id")];
    let hapax = setting.start(&pointer);
    settled(&hapax, 2).await;
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
    let warnings = hapax.process.output().matches("the ID of a CloudEvent is used without its source").count();
    assert_eq!(warnings, 1, "{}", hapax.process.output());

    let found = async |rule: &'static str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hapax"));
        command.args(["doctor", "--json"]).env_clear().envs(setting.with(&[("HAPAX_ID", rule)]));
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let names: Vec<_> =
            report["findings"].as_array().unwrap().iter().map(|finding| finding["name"].clone()).collect();
        names
    };
    assert!(found("json:/id").await.contains(&"id_without_source".into()));
    assert!(found("header:none").await.contains(&"no_message_id".into()));
    let fine = found("cloudevents").await;
    assert!(!fine.contains(&"id_without_source".into()) && !fine.contains(&"no_message_id".into()), "{fine:?}");
}

#[tokio::test]
async fn tombstone_falls_through_to_the_key() {
    // One of the two tombstones of the key.
    captured(&[("HAPAX_ID", "json:/payload/source/lsn,key")], 4).await;
}

#[tokio::test]
async fn tombstones_by_their_place_are_each_handled() {
    captured(&[("HAPAX_ID", "json:/payload/source/lsn"), ("HAPAX_ID_POLICY", "coordinates")], 5).await;
}

/// A Debezium connector's topic: three changes, one of them twice, and the tombstones of two deletions of one row.
async fn captured(settings: &[(&str, &str)], handled: usize) {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let app = App::start(|_| Reply::status(204)).await;
    let setting = Setting::new(kafka, 1, &redis, app.url()).await;
    let change = |lsn: u64| Message::new().key("7").payload(format!(r#"{{"payload":{{"source":{{"lsn":{lsn}}}}}}}"#));
    let registered = [&[0, 0, 0, 0, 12][..], br#"{"payload":{"source":{"lsn":2}}}"#].concat();
    let messages = [
        change(1),
        change(2),
        Message::new().key("7"),
        Message::new().key("8").payload(registered),
        Message::new().key("7"),
        change(3),
    ];
    kafka.produce(&setting.topic, messages).await;
    let hapax = setting.start(settings);
    settled(&hapax, 6).await;
    assert_eq!(app.requests().len(), handled);
    assert_eq!(hapax.metric("hapax_duplicates_total", "").await, 6 - handled as u64);
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
}

/// How many failures the log states: its lines of a kind, and those that were left out.
fn stated(output: &str, message: &str, kind: &str) -> u64 {
    let events = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of = |event: Value| {
        let suppressed = event["suppressed"].as_u64().unwrap_or(0);
        match event["message"].as_str() {
            Some(text) if text.contains(message) => suppressed + 1,
            Some(text) if text.contains("the end of a burst") && event["kind"] == kind => suppressed,
            _ => 0,
        }
    };
    events.map(of).sum()
}

#[tokio::test]
async fn sampled_log_adds_up_after_a_burst_and_at_the_end() {
    const BURST: usize = 60;
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let seen: Mutex<HashSet<String>> = Mutex::default();
    // Each message fails once.
    let app = App::start(move |request| {
        Reply::status(if seen.lock().insert(request.header("idempotency-key")) { 500 } else { 204 })
    })
    .await;
    let setting = Setting::new(kafka, 1, &redis, app.url()).await;
    let more = [("HAPAX_ORDER", "unordered"), ("HAPAX_CONCURRENCY", "16"), ("HAPAX_BACKOFF_FIRST", "50ms")];
    let hapax = setting.start(&more);
    hapax.ready().await;
    let burst = |from: usize| (from..from + BURST).map(|n| Message::new().header("id", n.to_string()).payload("x"));
    let both = |output: &str| {
        (stated(output, "a failed record is tried again", "retry"), stated(output, "the handler failed", "retryable"))
    };
    kafka.produce(&setting.topic, burst(0).collect::<Vec<_>>()).await;
    settled(&hapax, 60).await;
    await_until("the rest of the burst is logged", Duration::from_secs(20), async || {
        both(&hapax.process.output()) == (60, 60)
    })
    .await;
    kafka.produce(&setting.topic, burst(BURST).collect::<Vec<_>>()).await;
    settled(&hapax, 120).await;
    assert_eq!(hapax.metric("hapax_retries_total", "").await, 120);
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
    let output = hapax.process.output();
    assert_eq!(both(&output), (120, 120), "{output}");
    assert!(output.lines().last().is_some_and(|line| line.contains("ended in order")), "{output}");
}
