//! What is posted is a CloudEvent, by the reading of CloudEvents' own library, whatever a producer wrote.

use std::sync::Arc;

use cloudevents::binding::http::to_event;
use cloudevents::{AttributesReader, Data, Event};
use hapax::consumer::{Attempt, BatchHandler, Handler};
use hapax::id::Fingerprint;
use hapax::record::{Record, TopicPartition};
use hapax::sidecar::push::{Push, PushFormat, PushSettings};
use percent_encoding::percent_decode_str;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

use crate::app::{App, Reply, Request};

/// What a producer may write; half of it what it should.
fn records() -> impl Strategy<Value = Record> {
    let name = prop_oneof![
        "ce_(id|source|type|subject|time|dataschema|specversion|tenant|partition|offset|partitionkey|data)",
        "ce_[a-z0-9]{0,12}",
        "(Host|host|content-length|idempotency-key|hapax-attempt|transfer-encoding|ce-id|traceparent)",
        ".{0,8}",
    ];
    let value = prop_oneof![".{0,20}".prop_map(String::into_bytes), vec(any::<u8>(), 0..20)];
    let content_type = option::of(prop_oneof![
        Just("application/json".to_owned()),
        Just("text/plain; charset=utf-8".to_owned()),
        "[a-z]{1,6}/[a-z+]{1,6}",
        ".{0,12}",
    ]);
    let payload = option::of(prop_oneof![
        Just(br#"{"a":[1,2.50,"x"]}"#.to_vec()),
        ".{0,40}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..40),
    ]);
    let key = option::of(vec(any::<u8>(), 0..8));
    let rest = (0..i64::MAX, any::<i64>());
    (vec((name, value), 0..10), content_type, payload, key, rest).prop_map(|(headers, kind, payload, key, rest)| {
        let mut record = Record::builder(TopicPartition::new("orders", 3), rest.0).timestamp(rest.1);
        for (name, value) in headers {
            record = record.header(name, value);
        }
        if let Some(kind) = kind {
            record = record.header("content-type", kind);
        }
        if let Some(payload) = payload {
            record = record.payload(payload);
        }
        if let Some(key) = key {
            record = record.key(key);
        }
        record.build()
    })
}

/// An application, and a way to it.
struct Pair {
    runtime: Runtime,
    app: App,
    push: Push,
}

impl Pair {
    fn new(change: impl FnOnce(&mut PushSettings)) -> Self {
        let runtime = Runtime::new().unwrap();
        let app = runtime.block_on(App::start(|_| Reply::status(200)));
        let mut settings = PushSettings::new(app.url());
        change(&mut settings);
        let push = Push::new(&settings, Arc::new(|_| ())).unwrap();
        Self { runtime, app, push }
    }

    /// Sends it by itself and returns what came.
    fn post(&self, record: &Record) -> Request {
        let attempt = Attempt::new(2, Some(fingerprint()));
        self.runtime.block_on(Handler::handle(&self.push, record.clone(), attempt)).unwrap();
        self.app.requests().pop().unwrap()
    }
}

fn fingerprint() -> Fingerprint {
    Fingerprint::from_bytes([0xab; 16])
}

/// The value that counts of a header of records, where it can be an attribute.
fn said(record: &Record, name: &str) -> Option<String> {
    let values = record.headers().iter().filter(|header| *header.name == *name);
    let text = |value: &bytes::Bytes| String::from_utf8(value.to_vec()).ok().filter(|text| !text.is_empty());
    values.filter_map(|header| header.value.as_ref().and_then(text)).last()
}

fn extension(event: &Event, name: &str) -> Option<String> {
    event.extension(name).map(ToString::to_string)
}

/// Whatever stands in its headers, the event says what it must, and where it comes from.
fn is_true_to(record: &Record, event: &Event, decode: impl Fn(&str) -> String) {
    let or = |name: &str, default: &str| said(record, name).unwrap_or_else(|| default.to_owned());
    assert_eq!(decode(event.id()), or("ce_id", &fingerprint().to_string()));
    assert_eq!(decode(event.source()), or("ce_source", "/kafka/orders"));
    assert_eq!(decode(event.ty()), or("ce_type", "hapax.record"));
    assert_eq!(event.subject().map(&decode), said(record, "ce_subject"));
    assert_eq!(extension(event, "tenant").map(|value| decode(&value)), said(record, "ce_tenant"));
    assert_eq!(extension(event, "topic").as_deref(), Some("orders"));
    assert_eq!(extension(event, "partition").as_deref(), Some("3"));
    assert_eq!(extension(event, "offset"), Some(record.offset().to_string()));
    let bytes = match event.data() {
        None => None,
        Some(Data::Binary(bytes)) => Some(bytes.clone()),
        Some(Data::String(text)) => Some(text.clone().into_bytes()),
        Some(Data::Json(json)) => {
            let sent: serde_json::Value = serde_json::from_slice(record.payload().unwrap()).unwrap();
            return assert_eq!(*json, sent);
        }
    };
    let sent = record.payload().map(|payload| payload.to_vec());
    assert_eq!(bytes.filter(|bytes| !bytes.is_empty()), sent.filter(|bytes| !bytes.is_empty()));
}

fn decoded(value: &str) -> String {
    percent_decode_str(value).decode_utf8().unwrap().into_owned()
}

/// The headers that are ours and no producer's.
fn is_ours(request: &Request) {
    assert!(request.header("host").starts_with("127.0.0.1:"));
    assert_eq!(request.header("idempotency-key"), format!("\"{}\"", fingerprint()));
    assert_eq!(request.header("hapax-attempt"), "2");
    assert_eq!(request.header("content-length"), request.body.len().to_string());
    assert_eq!(request.header("transfer-encoding"), "");
}

/// What failed is printed, and not kept in a file beside the tests.
fn runner() -> TestRunner {
    TestRunner::new(Config { failure_persistence: None, ..Config::default() })
}

fn each_record(check: impl Fn(&Record)) {
    runner()
        .run(&records(), |record| {
            check(&record);
            Ok(())
        })
        .unwrap();
}

#[test]
fn in_binary_mode() {
    let pair = Pair::new(|_| ());
    each_record(|record| {
        let request = pair.post(record);
        is_ours(&request);
        assert_eq!(request.body, record.payload().map(|payload| payload.to_vec()).unwrap_or_default());
        assert_eq!(request.headers.contains_key("content-type"), record.payload().is_some());
        is_true_to(record, &to_event(&request.headers, request.body).unwrap(), decoded);
    });
}

#[test]
fn in_structured_mode() {
    let pair = Pair::new(|settings| settings.format = PushFormat::Structured);
    each_record(|record| {
        let request = pair.post(record);
        is_ours(&request);
        is_true_to(record, &to_event(&request.headers, request.body).unwrap(), str::to_owned);
    });
}

#[test]
fn in_batches() {
    let pair = Pair::new(|settings| settings.batched = true);
    runner()
        .run(&vec(records(), 1..8), |records| {
            let attempted = |record: &Record| (record.clone(), Attempt::new(2, Some(fingerprint())));
            let sent = records.iter().map(attempted).collect();
            let answers = pair.runtime.block_on(BatchHandler::handle(&pair.push, sent));
            assert!(answers.len() == records.len() && answers.iter().all(Result::is_ok));
            let request = pair.app.requests().pop().unwrap();
            assert_eq!(request.header("content-type"), "application/cloudevents-batch+json; charset=utf-8");
            let events: Vec<Event> = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(events.len(), records.len());
            for (record, event) in records.iter().zip(&events) {
                is_true_to(record, event, str::to_owned);
                assert_eq!(extension(event, "idempotencykey"), Some(fingerprint().to_string()));
                assert_eq!(extension(event, "attempt").as_deref(), Some("2"));
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_is_an_event_already_stays_as_it_is() {
    let event = r#"{"specversion":"1.0","id":"7","source":"/shop","type":"order.placed","data":1.0}"#;
    let record = Record::builder(TopicPartition::new("orders", 3), 42)
        .header("content-type", "application/cloudevents+json")
        .header("ce_id", "another")
        .payload(event)
        .build();
    for format in [PushFormat::Binary, PushFormat::Structured] {
        let request = Pair::new(|settings| settings.format = format).post(&record);
        is_ours(&request);
        assert_eq!(request.body, event.as_bytes());
        assert_eq!(request.header("ce-id"), "");
        assert_eq!(to_event(&request.headers, request.body).unwrap().id(), "7");
    }
}
