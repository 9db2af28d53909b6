//! Records that are written.
#![allow(unsafe_code, reason = "the safe interface cannot bring a fatal error about")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::time::Instant;

use super::super::{KafkaSettings, Outgoing, PublishError, Publisher, SourceError};
use super::cluster::{Cluster, GROUP, TOPIC, numbers};
use crate::record::Header;

fn numbered(number: u32) -> Outgoing {
    Outgoing {
        topic: TOPIC.into(),
        partition: None,
        key: None,
        payload: Some(Bytes::from(number.to_string())),
        headers: Vec::new(),
        timestamp: None,
    }
}

async fn start(settings: &KafkaSettings) -> Publisher {
    Publisher::start(settings, &[TOPIC.into()]).await.expect("the publisher starts")
}

fn with(cluster: &Cluster, properties: &[(&str, &str)]) -> KafkaSettings {
    let mut settings = cluster.settings();
    for (name, value) in properties {
        settings.properties.insert((*name).to_owned(), (*value).to_owned());
    }
    settings
}

#[tokio::test]
async fn a_record_arrives_whole_once_it_is_acknowledged() {
    let cluster = Cluster::new(2);
    let publisher = start(&cluster.settings()).await;
    let header = |name: &str, value: Option<&'static str>| Header { name: name.into(), value: value.map(Bytes::from) };
    let headers = vec![header("a", Some("1")), header("empty", Some("")), header("null", None), header("a", Some("2"))];
    let whole = Outgoing {
        partition: Some(1),
        key: Some(Bytes::from_static(b"key")),
        payload: Some(Bytes::from_static(b"\xff\x00payload")),
        headers: headers.clone(),
        timestamp: Some(1_700_000_000_123),
        ..numbered(0)
    };
    assert_eq!(publisher.publish(whole).await, Ok(()));
    assert_eq!(publisher.publish(Outgoing { partition: Some(1), payload: None, ..numbered(0) }).await, Ok(()));
    let empty = Outgoing { partition: Some(1), key: Some(Bytes::new()), payload: Some(Bytes::new()), ..numbered(0) };
    assert_eq!(publisher.publish(empty).await, Ok(()));

    let mut member = cluster.start().await;
    member.assigned().await;
    let taken: Vec<_> = member.take(3).await.into_iter().map(|(_, record)| record).collect();
    assert_eq!((taken[0].partition().partition(), taken[0].timestamp()), (1, Some(1_700_000_000_123)));
    assert_eq!(taken[0].key().map(|key| &key[..]), Some(&b"key"[..]));
    assert_eq!(taken[0].payload().map(|payload| &payload[..]), Some(&b"\xff\x00payload"[..]));
    assert_eq!(taken[0].headers(), headers);
    assert_eq!((taken[1].key(), taken[1].payload()), (None, None));
    assert!(taken[2].key().is_some_and(Bytes::is_empty) && taken[2].payload().is_some_and(Bytes::is_empty));
    member.close().await;
}

#[tokio::test]
async fn names_that_cannot_be_written_are_refused() {
    let cluster = Cluster::new(1);
    let publisher = start(&cluster.settings()).await;
    let refused = publisher.publish(Outgoing { topic: "a\0b".into(), ..numbered(0) }).await;
    assert!(matches!(&refused, Err(error @ PublishError::Refused { .. }) if !error.is_retryable()), "{refused:?}");
    let refused = publisher.publish(Outgoing { partition: Some(7), ..numbered(0) }).await;
    assert!(matches!(refused, Err(PublishError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_start_that_cannot_work_says_why() {
    let cluster = Cluster::new(1);
    let missing = Publisher::start(&cluster.settings(), &[TOPIC.into(), "missing".into()]).await.err();
    assert_eq!(missing, Some(SourceError::UnknownTopic { topic: "missing".to_owned() }));

    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let mut settings = KafkaSettings::new(format!("127.0.0.1:{port}"), GROUP, [TOPIC]);
    settings.start_limit = Duration::from_secs(1);
    let begun = Instant::now();
    let text = Publisher::start(&settings, &[TOPIC.into()]).await.expect_err("nobody answers").to_string();
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert!(text.starts_with(&format!("no broker of 127.0.0.1:{port} answered within 1 s: ")), "{text}");
    assert!(text.contains("Connection refused"), "{text}");
}

#[tokio::test]
async fn what_the_brokers_refuse_is_told_apart_from_what_they_do_not_answer() {
    use RDKafkaRespErr as Code;
    let cluster = Cluster::new(1);
    let publisher = start(&with(&cluster, &[("delivery.timeout.ms", "4000")])).await;
    let produce = RDKafkaApiKey::Produce;
    for code in [Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, Code::RD_KAFKA_RESP_ERR_POLICY_VIOLATION] {
        cluster.mock().request_errors(produce, &[code]);
        let refused = publisher.publish(numbered(0)).await;
        assert!(matches!(&refused, Err(PublishError::Refused { .. })), "{code:?}: {refused:?}");
        assert_eq!(publisher.publish(numbered(1)).await, Ok(()), "after {code:?}");
    }
    // What a broker gets over is repeated by librdkafka itself.
    cluster.mock().request_errors(produce, &[Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS]);
    assert_eq!(publisher.publish(numbered(2)).await, Ok(()));

    cluster.mock().broker_down(1).expect("the broker goes down");
    let lost = publisher.publish(numbered(3)).await;
    assert!(matches!(&lost, Err(error @ PublishError::NotAcknowledged { .. }) if error.is_retryable()), "{lost:?}");
    cluster.mock().broker_up(1).expect("the broker comes back");
    while let Err(error) = publisher.publish(numbered(4)).await {
        assert!(error.is_retryable(), "{error}");
    }
    cluster.mock().request_errors(produce, &[Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let refused = publisher.publish(numbered(5)).await;
    assert!(matches!(&refused, Err(PublishError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_full_queue_is_told_at_once() {
    let cluster = Cluster::new(1);
    let publisher = start(&with(&cluster, &[("queue.buffering.max.messages", "2")])).await;
    cluster.mock().broker_down(1).expect("the broker goes down");
    let waiting: Vec<_> = (0..2)
        .map(|number| {
            let mut waiting = Box::pin({
                let publisher = publisher.clone();
                async move { publisher.publish(numbered(number)).await }
            });
            assert!(waiting.as_mut().now_or_never().is_none(), "it waits for the broker");
            waiting
        })
        .collect();
    let full = publisher.publish(numbered(2)).now_or_never().expect("it does not wait");
    assert!(matches!(&full, Err(error @ PublishError::QueueFull { .. }) if error.is_retryable()), "{full:?}");
    cluster.mock().broker_up(1).expect("the broker comes back");
    for waiting in waiting {
        assert_eq!(waiting.await, Ok(()));
    }
}

#[tokio::test]
async fn a_dropped_future_loses_only_the_answer_also_where_the_publisher_goes_with_it() {
    let cluster = Cluster::new(1);
    let publisher = start(&cluster.settings()).await;
    assert!(publisher.publish(numbered(1)).now_or_never().is_none());
    drop(publisher);
    let mut member = cluster.start().await;
    member.assigned().await;
    assert_eq!(numbers(&member.take(1).await), [1]);
    member.close().await;
}

#[tokio::test]
async fn a_publisher_without_brokers_ends_at_once() {
    let cluster = Cluster::new(1);
    let publisher = start(&cluster.settings()).await;
    cluster.mock().broker_down(1).expect("the broker goes down");
    assert!(publisher.publish(numbered(1)).now_or_never().is_none());
    let begun = Instant::now();
    drop(publisher);
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_fatal_error_makes_a_new_producer_and_answers_who_waited_for_the_old_one() {
    let cluster = Cluster::new(1);
    let publisher = start(&cluster.settings()).await;
    assert_eq!(publisher.publish(numbered(0)).await, Ok(()));
    cluster.mock().broker_down(1).expect("the broker goes down");
    let mut waiting = Box::pin(publisher.publish(numbered(1)));
    assert!(waiting.as_mut().now_or_never().is_none(), "it waits for the broker");
    let old = publisher.native_ptr();
    let reason = c"a fatal error for the test";
    let code = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    // SAFETY: the publisher holds the producer, and librdkafka copies the text.
    unsafe { rdkafka::bindings::rd_kafka_test_fatal_error(old, code, reason.as_ptr()) };
    let mut next = Box::pin(publisher.publish(numbered(2)));
    assert!(next.as_mut().now_or_never().is_none());
    assert_ne!(publisher.native_ptr(), old);
    let begun = Instant::now();
    let lost = waiting.await;
    assert!(lost.as_ref().is_err_and(PublishError::is_retryable), "{lost:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "long before the delivery timeout");
    cluster.mock().broker_up(1).expect("the broker comes back");
    assert_eq!(next.await, Ok(()));
}

#[test]
fn consumer_and_producer_get_the_properties_that_they_know() {
    let mut settings = KafkaSettings::new("localhost:9092", GROUP, [TOPIC]);
    for (name, value) in [
        ("sasl.username", "user"),
        ("isolation.level", "read_uncommitted"),
        ("session.timeout.ms", "6000"),
        ("compression.type", "zstd"),
        ("message.timeout.ms", "4000"),
        ("acks", "-1"),
    ] {
        settings.properties.insert(name.to_owned(), value.to_owned());
    }
    let (consumer, producer) = (settings.client_config().expect("valid"), settings.producer_config().expect("valid"));
    for both in [&consumer, &producer] {
        assert_eq!(both.get("sasl.username"), Some("user"));
        assert_eq!(both.get("bootstrap.servers"), Some("localhost:9092"));
    }
    for name in ["isolation.level", "session.timeout.ms", "group.id", "enable.auto.commit"] {
        assert!(consumer.get(name).is_some() && producer.get(name).is_none(), "{name}");
    }
    for name in ["compression.type", "message.timeout.ms", "acks", "enable.idempotence"] {
        assert!(consumer.get(name).is_none() && producer.get(name).is_some(), "{name}");
    }
    assert_eq!((producer.get("acks"), producer.get("enable.idempotence")), (Some("all"), Some("true")));
    assert_eq!(producer.get("delivery.timeout.ms"), None, "its other name was set");
}

#[test]
fn properties_that_make_writing_unsafe_are_refused() {
    for (name, value) in [
        ("enable.idempotence", "false"),
        ("acks", "1"),
        ("request.required.acks", "0"),
        ("transactional.id", "one"),
        ("delivery.report.only.error", "true"),
    ] {
        let mut settings = KafkaSettings::new("localhost:9092", GROUP, [TOPIC]);
        settings.properties.insert(name.to_owned(), value.to_owned());
        let problem = settings.producer_config().expect_err(name);
        assert!(matches!(&problem, SourceError::Setting { name: named, .. } if named == name), "{problem:?}");
        assert_eq!(settings.problems().len(), 1, "{name}");
    }
}

#[test]
fn nothing_of_a_record_or_of_the_settings_is_shown() {
    let topic: Arc<str> = TOPIC.into();
    let outgoing = Outgoing { topic, key: Some(Bytes::from_static(b"hunter2")), ..numbered(4711) };
    let shown = format!("{outgoing:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("4711") && shown.contains(TOPIC), "{shown}");
}
