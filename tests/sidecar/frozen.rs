//! A process that stood still (SIGSTOP) while its attempt was under way, for longer than its lease and the handler's time
//! limit.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use crate::app::{App, Reply, Step};
use crate::common::{Kafka, Message, RedisServer, Signal, await_until};
use crate::setting::Setting;

const PATIENCE: Duration = Duration::from_secs(90);

/// Its effect happened and another process repeated it. Its own attempt only times out, and the ID settles as a
/// duplicate: without a report, none of the two would ever be known to be a repeat.
#[tokio::test]
async fn effect_repeated_during_a_freeze_is_reported() {
    let (kafka, redis, first) = (Kafka::shared().await, RedisServer::start(), AtomicBool::new(true));
    // The first request has its effect and no answer.
    let app = App::start(move |_| match first.swap(false, SeqCst) {
        true => Reply::steps([Step::Hang]),
        false => Reply::status(204),
    })
    .await;
    let setting = Setting::new(kafka, 1, &redis, app.url()).await;
    kafka.produce(&setting.topic, [Message::new().header("id", "order-1").payload("order-1")]).await;
    let terms = [
        ("HAPAX_DONE_MODE", "exact"),
        ("HAPAX_LEASE", "4s"),
        ("HAPAX_HANDLER_TIME_LIMIT", "3s"),
        ("HAPAX_KAFKA_CONSUMER_SESSION_TIMEOUT_MS", "6000"),
        ("HAPAX_KAFKA_CONSUMER_HEARTBEAT_INTERVAL_MS", "500"),
    ];
    let frozen = setting.start(&terms);
    app.until(1).await;
    frozen.process.signal(Signal::Stop);
    let other = setting.start(&terms);
    await_until("the other records the effect", PATIENCE, async || {
        other.metric("hapax_completions_total", "\"first\"").await == 1
    })
    .await;
    assert_eq!(app.requests().len(), 2, "the effect happened twice");
    frozen.process.signal(Signal::Continue);
    await_until("the frozen one counts it", PATIENCE, async || {
        frozen.metric("hapax_completions_total", "possible_overrun").await == 1
    })
    .await;
    let line = frozen.process.line("possibly a repeated effect").await;
    let origin = format!("{}-0@0", setting.topic);
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["origin"], &line["first"]), (&origin.clone().into(), &origin.into()), "{line}");
    assert_eq!(frozen.end().await, 0, "{}", frozen.process.output());
    assert_eq!(other.end().await, 0, "{}", other.process.output());
    assert_eq!(app.requests().len(), 2);
}
