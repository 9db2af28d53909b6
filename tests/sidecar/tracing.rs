//! Traces: off unless asked for; then a span for each delivery, between the producer's and the application's.

use std::time::Duration;

use crate::app::{App, Reply};
use crate::common::{Kafka, Message, RedisServer, await_until};
use crate::setting::Setting;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Delivers one message whose producer is traced; returns the application's `traceparent`, and what was exported.
async fn delivered(more: &[(&str, &str)], exported_to: &App) -> (String, Vec<Vec<u8>>) {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let app = App::start(|_| Reply::status(204)).await;
    let setting = Setting::new(kafka, 1, &redis, app.url()).await;
    let parent = format!("00-{TRACE}-{PARENT}-01");
    kafka.produce(&setting.topic, [Message::new().header("id", "a7").header("traceparent", parent).payload("x")]).await;
    let hapax = setting.start(more);
    app.until(1).await;
    await_until("it is committed", Duration::from_secs(60), async || hapax.metric("hapax_commits_total", "").await > 0)
        .await;
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
    let exported = exported_to.requests().into_iter().inspect(|request| {
        assert!(request.line.starts_with("POST /v1/traces "), "{}", request.line);
        assert_eq!(request.header("content-type"), "application/x-protobuf");
    });
    (app.requests()[0].header("traceparent"), exported.map(|request| request.body).collect())
}

fn holds(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[tokio::test]
async fn a_delivery_is_a_span_between_the_producers_and_the_applications() {
    let receiver = App::start(|_| Reply::status(200)).await;
    let url = format!("http://{}", receiver.address());
    let (passed_on, exported) =
        delivered(&[("HAPAX_TRACES", &url), ("HAPAX_SERVICE_NAME", "billing-hapax")], &receiver).await;
    let parts: Vec<_> = passed_on.split('-').collect();
    let ["00", TRACE, span, "01"] = parts[..] else { panic!("{passed_on}") };
    assert_ne!(span, PARENT, "the application's span is the child of ours");
    let [body] = &exported[..] else { panic!("{} exports", exported.len()) };
    assert!(holds(body, &bytes(TRACE)) && holds(body, &bytes(PARENT)) && holds(body, &bytes(span)));
    for text in ["process orders-", "messaging.system", "kafka", "messaging.consumer.group.name", "billing-hapax"] {
        assert!(holds(body, text.as_bytes()), "{text}");
    }
}

#[tokio::test]
async fn without_a_receiver_the_trace_passes_through_as_it_is() {
    let receiver = App::start(|_| Reply::status(200)).await;
    let (passed_on, exported) = delivered(&[], &receiver).await;
    assert_eq!(passed_on, format!("00-{TRACE}-{PARENT}-01"));
    assert!(exported.is_empty());
}

#[tokio::test]
async fn a_receiver_that_is_away_holds_up_nothing() {
    let receiver = App::start(|_| Reply::status(200)).await;
    let url = format!("http://127.0.0.1:{}", crate::beside::free_port());
    let (passed_on, _) = delivered(&[("HAPAX_TRACES", &url)], &receiver).await;
    assert!(passed_on.contains(TRACE), "{passed_on}");
}
