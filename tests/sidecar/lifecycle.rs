//! The sidecar from its start to its end, as a process: it waits for what is away, ends in order under load, and at once
//! when it is told twice.

use std::collections::HashMap;
use std::time::Duration;

use crate::app::{App, Reply, Request, Step};
use crate::beside::{Beside, free, free_port, get};
use crate::commands;
use crate::common::{Kafka, Message, Mode, RedisServer, Signal, await_until, unique};
use crate::setting::Setting;

fn order(n: usize) -> Message {
    // Without a key a partition may stay empty, and of such a one nothing is committed.
    Message::new().key(format!("{n}")).header("id", format!("order-{n}")).payload(format!("{n}"))
}

/// How often each body came.
fn counts(requests: &[Request]) -> HashMap<Vec<u8>, usize> {
    let mut counts = HashMap::new();
    requests.iter().for_each(|request| *counts.entry(request.body.clone()).or_default() += 1);
    counts
}

#[tokio::test]
async fn each_message_is_delivered_once_and_counted() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let app = App::start(|_| Reply::status(204)).await;
    let setting = Setting::new(kafka, 3, &redis, app.url()).await;
    kafka.produce(&setting.topic, (0..100).chain(0..50).map(order)).await;
    let hapax = setting.start(&[]);
    hapax.ready().await;
    await_until("all are settled", Duration::from_secs(60), async || {
        hapax.metric("hapax_records_settled_total", "").await == 150
    })
    .await;
    assert_eq!(hapax.metric("hapax_records_settled_total", "duplicate").await, 50);
    let counts = counts(&app.requests());
    assert_eq!((counts.len(), counts.values().max()), (100, Some(&1)));
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
    assert_eq!(kafka.committed_offsets(&setting.group, &setting.topic).await, kafka.end_offsets(&setting.topic).await);
}

#[tokio::test]
async fn a_signal_under_load_loses_nothing_and_repeats_nothing() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let app =
        App::start(|_| Reply::steps([Step::Trickle(b"HTTP/1.1 204 done\r\n\r\n".to_vec(), Duration::from_millis(1))]))
            .await;
    let setting = Setting::new(kafka, 3, &redis, app.url()).await;
    kafka.produce(&setting.topic, (0..600).map(order)).await;
    let order_of = [("HAPAX_ORDER", "unordered"), ("HAPAX_CONCURRENCY", "16")];
    // Ended again and again while it delivers.
    for rounds in 1..=3 {
        let hapax = setting.start(&order_of);
        app.until(rounds * 100).await;
        assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
    }
    let hapax = setting.start(&order_of);
    await_until("all are delivered", Duration::from_secs(60), async || counts(&app.requests()).len() == 600).await;
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
    let counts = counts(&app.requests());
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    assert_eq!(kafka.committed_offsets(&setting.group, &setting.topic).await, kafka.end_offsets(&setting.topic).await);
}

#[tokio::test]
async fn it_is_not_ready_while_it_drains_and_still_answers_probes() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    // Two seconds for each request.
    let slowly = Step::Trickle(b"HTTP/1.1 204 done\r\n\r\n".to_vec(), Duration::from_millis(100));
    let app = App::start(move |_| Reply::steps([slowly.clone()])).await;
    let setting = Setting::new(kafka, 3, &redis, app.url()).await;
    kafka.produce(&setting.topic, [order(1)]).await;
    let hapax = setting.start(&[("HAPAX_DRAIN_LIMIT", "20s")]);
    hapax.ready().await;
    await_until("the request is under way", Duration::from_secs(60), async || {
        hapax.metric("hapax_claims_total", "").await == 1
    })
    .await;
    hapax.process.signal(Signal::Term);
    await_until("it is not ready", Duration::from_secs(10), async || hapax.health("/ready").await.0 == 503).await;
    assert_eq!(hapax.health("/health").await.0, 200);
    assert_eq!(hapax.process.exit().await, 0, "{}", hapax.process.output());
    assert_eq!(app.requests().len(), 1);
    let committed = kafka.committed_offsets(&setting.group, &setting.topic).await;
    assert_eq!(committed.values().sum::<i64>(), 1, "what ended within the drain is committed: {committed:?}");
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let app = App::start(|_| Reply::steps([Step::Hang])).await;
    let setting = Setting::new(kafka, 3, &redis, app.url()).await;
    kafka.produce(&setting.topic, [order(1)]).await;
    let hapax = setting.start(&[("HAPAX_DRAIN_LIMIT", "60s"), ("HAPAX_SHUTDOWN_LIMIT", "90s")]);
    hapax.ready().await;
    await_until("the request is under way", Duration::from_secs(60), async || {
        hapax.metric("hapax_claims_total", "").await == 1
    })
    .await;
    hapax.process.signal(Signal::Term);
    hapax.process.line("a second signal ends at once").await;
    let begun = tokio::time::Instant::now();
    hapax.process.signal(Signal::Term);
    assert_eq!(hapax.process.exit().await, 0, "{}", hapax.process.output());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(kafka.committed_offsets(&setting.group, &setting.topic).await.values().all(|offset| *offset == 0));
}

#[tokio::test]
async fn an_end_takes_no_longer_than_its_limit() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let app = App::start(|_| Reply::steps([Step::Hang])).await;
    let setting = Setting::new(kafka, 3, &redis, app.url()).await;
    kafka.produce(&setting.topic, [order(1)]).await;
    let hapax = setting.start(&[("HAPAX_DRAIN_LIMIT", "1s"), ("HAPAX_SHUTDOWN_LIMIT", "2s")]);
    await_until("the request is under way", Duration::from_secs(60), async || {
        hapax.process.runs()
            && get(hapax.health, "/metrics").await.is_some_and(|(_, text)| text.contains("hapax_claims_total{"))
    })
    .await;
    let begun = tokio::time::Instant::now();
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn it_waits_for_a_store_that_comes_later_and_says_so() {
    let kafka = Kafka::shared().await;
    let app = App::start(|_| Reply::status(204)).await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await;
    kafka.produce(&topic, [order(1)]).await;
    let port = free_port();
    let setting = Setting {
        group: unique("billing"),
        topic,
        brokers: kafka.bootstrap(),
        redis: format!("redis://127.0.0.1:{port}"),
        url: app.url(),
    };
    let hapax = setting.start(&[]);
    hapax.process.line("is not available yet; trying again").await;
    assert_eq!(hapax.health("/ready").await.0, 503);
    assert_eq!(hapax.health("/health").await.0, 200, "it lives, and restarting it would not help");
    let _redis = RedisServer::start_on([port], &[]);
    hapax.ready().await;
    app.until(1).await;
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
}

#[tokio::test]
async fn it_waits_for_the_application_before_it_delivers() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let address = free();
    let setting = Setting::new(kafka, 3, &redis, format!("http://{address}/orders")).await;
    kafka.produce(&setting.topic, [order(1)]).await;
    let hapax = setting.start(&[]);
    hapax.process.line("the application is not ready").await;
    assert_eq!(hapax.health("/ready").await.0, 503);
    let app = App::start_at(address, |_| Reply::status(204)).await;
    hapax.ready().await;
    app.until(1).await;
    assert_eq!(app.requests()[0].header("hapax-attempt"), "1");
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
}

#[tokio::test]
async fn a_service_that_stays_away_ends_it_with_69() {
    let redis = RedisServer::start();
    let app = App::start(|_| Reply::status(204)).await;
    let setting = Setting {
        group: unique("billing"),
        topic: unique("orders"),
        brokers: format!("127.0.0.1:{}", free_port()),
        redis: redis.url(),
        url: app.url(),
    };
    let hapax = setting.start(&[("HAPAX_START_WAIT", "1s"), ("HAPAX_START_LIMIT", "500ms")]);
    assert_eq!(hapax.process.exit().await, 69, "{}", hapax.process.output());
    assert!(hapax.process.output().contains("no broker"), "{}", hapax.process.output());
}

#[tokio::test]
async fn an_address_that_is_taken_ends_it_with_69_and_its_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let settings = [("HAPAX_DELIVERY", "pull"), ("HAPAX_NAMESPACE", "billing"), ("HAPAX_STORE", "memory")];
    let hapax = Beside::start(&[&settings[..], &[("HAPAX_LISTEN", &address)]].concat());
    assert_eq!(hapax.process.exit().await, 69, "{}", hapax.process.output());
    assert!(hapax.process.output().contains("HAPAX_LISTEN"), "{}", hapax.process.output());
}

#[tokio::test]
async fn settings_that_others_do_not_share_end_it_with_64() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let app = App::start(|_| Reply::status(204)).await;
    let setting = Setting::new(kafka, 3, &redis, app.url()).await;
    let first = setting.start(&[]);
    first.ready().await;
    let second = setting.start(&[("HAPAX_WINDOW", "1h")]);
    assert_eq!(second.process.exit().await, 64, "{}", second.process.output());
    assert!(second.process.output().contains("was opened with other settings"), "{}", second.process.output());
}

#[tokio::test]
async fn log_lines_are_json_where_there_is_no_terminal() {
    let redis = RedisServer::start();
    let settings = [("HAPAX_DELIVERY", "pull"), ("HAPAX_NAMESPACE", "billing"), ("HAPAX_REDIS_URL", &*redis.url())];
    let hapax = Beside::start(&settings);
    hapax.ready().await;
    assert_eq!(hapax.end().await, 0);
    let output = hapax.process.output();
    for line in output.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        assert!(event["message"].is_string() && event["level"].is_string(), "{line}");
    }
    assert!(output.contains("ended in order"), "{output}");
}

#[tokio::test]
async fn an_outage_of_kafka_later_on_takes_nobody_out_of_service() {
    let (kafka, proxy) = Kafka::own_behind_proxy().await;
    let redis = RedisServer::start();
    let app = App::start(|_| Reply::status(204)).await;
    let mut setting = Setting::new(&kafka, 3, &redis, app.url()).await;
    setting.brokers = proxy.address().to_string();
    let hapax = setting.start(&[]);
    hapax.ready().await;
    kafka.produce(&setting.topic, [order(1)]).await;
    app.until(1).await;
    proxy.set(Mode::Cut);
    kafka.produce(&setting.topic, [order(2)]).await;
    assert_eq!(hapax.health("/ready").await.0, 200);
    proxy.set(Mode::Pass);
    app.until(2).await;
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
}

/// All brokers are killed: nothing stays green but readiness, which names it.
#[tokio::test]
async fn kafka_away_is_shown_everywhere_until_it_is_back() {
    let (kafka, redis) = (Kafka::own().await, RedisServer::start());
    let app = App::start(|_| Reply::status(204)).await;
    let setting = Setting::new(&kafka, 3, &redis, app.url()).await;
    let hapax = setting.start(&[]);
    hapax.ready().await;
    let patience = Duration::from_secs(60);
    let is_well = async || {
        let status = hapax.get("/v1/status").await;
        let consumer = &status["kafka"]["consumer"];
        status["severity"] != "error" && consumer["state"] == "reachable" && consumer["group"] == "joined"
    };
    await_until("all is well", patience, is_well).await;
    await_until("the metric is there", patience, async || hapax.metric("hapax_kafka_group_joined", "").await == 1)
        .await;
    assert_eq!(hapax.metric("hapax_kafka_state", "consumer").await, 0);
    assert!(hapax.metric("hapax_kafka_last_answer_timestamp_seconds", "consumer").await > 1_700_000_000);

    kafka.kill();
    await_until("the status names Kafka", Duration::from_secs(25), async || {
        hapax.get("/v1/status").await["severity"] == "error"
    })
    .await;
    let status = hapax.get("/v1/status").await;
    let says = status["says"].as_str().unwrap();
    assert!(says.starts_with("Kafka has not answered for 1") && says.contains("refused"), "{says}");
    assert_eq!(status["kafka"]["consumer"]["state"], "unreachable");
    await_until("the metric says so", patience, async || hapax.metric("hapax_kafka_state", "consumer").await == 2)
        .await;
    let (code, body) = hapax.health("/ready").await;
    let report: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &report["parts"]["kafka"]["reason"]), (200, &"not reached".into()), "{body}");
    assert!(hapax.process.output().contains("Kafka is not reached"), "{}", hapax.process.output());
    let listen = hapax.address.to_string();
    let (code, out, err) = commands::hapax(&["status"], &setting.with(&[("HAPAX_LISTEN", &listen)])).await;
    assert!(code == 0 && out.starts_with("error: Kafka has not answered for "), "{out}{err}");
    assert!(out.contains("kafka consumer: unreachable"), "{out}");

    kafka.restart().await;
    await_until("all is well again", patience, is_well).await;
    // It is reported within a second of the status.
    await_until("readiness says so, too", patience, async || {
        let (code, body) = hapax.health("/ready").await;
        code == 200 && body.contains(r#""kafka":{"state":"started"}"#)
    })
    .await;
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
}

#[tokio::test]
async fn what_goes_away_later_on_is_named_and_takes_nobody_out_of_service() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let app = App::start(|_| Reply::status(204)).await;
    let setting = Setting::new(kafka, 3, &redis, app.url()).await;
    let hapax = setting.start(&[]);
    hapax.ready().await;
    let address = app.kill().await;
    kafka.produce(&setting.topic, [order(1)]).await;
    let says = async |part: &str, state: &str| {
        let (status, body) = hapax.health("/ready").await;
        let report: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 200, "{body}");
        report["parts"][part]["state"] == state
    };
    let patience = Duration::from_secs(60);
    await_until("the application is named", patience, async || says("application", "failed").await).await;
    let app = App::start_at(address, |_| Reply::status(204)).await;
    app.until(1).await;
    await_until("it is back", patience, async || says("application", "started").await).await;
    drop(redis);
    kafka.produce(&setting.topic, [order(2)]).await;
    await_until("the store is named", patience, async || says("store", "failed").await).await;
}

#[tokio::test]
async fn a_store_that_goes_away_shows_also_where_claims_are_answered() {
    let redis = RedisServer::start();
    let settings = [("HAPAX_DELIVERY", "pull"), ("HAPAX_NAMESPACE", "billing"), ("HAPAX_REDIS_URL", &*redis.url())];
    let hapax = Beside::start(&settings);
    hapax.ready().await;
    assert_eq!(hapax.metric("hapax_store_breaker", "").await, 0);
    drop(redis);
    await_until("the store is not reached", Duration::from_secs(60), async || {
        // Nobody looks for a store that nobody asks.
        hapax.post("/v1/claim", r#"{"ids": [{"id": "a7"}]}"#).await;
        hapax.metric("hapax_store_breaker", "").await > 0 && hapax.health("/ready").await.1.contains("not reached")
    })
    .await;
    assert_eq!(hapax.health("/ready").await.0, 200);
}
