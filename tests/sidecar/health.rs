//! What probes and scrapes see.

use std::sync::Arc;

use hapax::observe::Observer;
use hapax::record::{Record, TopicPartition};
use hapax::sidecar::health::{self, Health, Part};
use hapax::sidecar::listen::Limits;
use hapax::store::Verdict;
use hapax::telemetry::Telemetry;

use crate::schema;
use crate::serving::{Served, client, read};

#[tokio::test]
async fn probes_follow_the_latches_and_scrapes_hold_what_was_counted() {
    let metrics = health::install_recorder().expect("the only recorder of this process");
    let health = Arc::new(Health::new([Part::Store, Part::Listener]));
    let served = Served::start(health::router(health.clone(), Some(metrics)), Limits::default(), None).await;
    let client = client();
    let document = serde_json::from_str(include_str!("../../src/sidecar/pull/openapi.json")).unwrap();
    let ready = async || {
        let (status, report) = read(client.get(served.url("/ready")).send().await.unwrap()).await;
        schema::check(&document, "/ready", "get", status, &report);
        (status, report)
    };
    let alive = async || client.get(served.url("/health")).send().await.unwrap().status().as_u16();
    assert_eq!((ready().await.0, alive().await), (503, 200));
    health.started(Part::Listener);
    health.failed(Part::Store, "not reached");
    let (status, report) = ready().await;
    assert_eq!((status, &report["parts"]["store"]["reason"]), (503, &"not reached".into()));
    health.started(Part::Store);
    assert_eq!(ready().await.0, 200);
    health.failed(Part::Store, "not reached");
    assert_eq!(ready().await.0, 200, "an outage takes no pod out of its Service");
    health.shutting_down();
    assert_eq!((ready().await.0, alive().await), (503, 200), "it still lives");

    let record = Record::builder(TopicPartition::new("scraped", 0), 0).build();
    Telemetry::new().on_complete(&record, Verdict::First);
    let answer = client.get(served.url("/metrics")).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text().await.unwrap();
    assert!(text.contains("hapax_completions_total{topic=\"scraped\",verdict=\"first\"} 1"), "{text}");
}
