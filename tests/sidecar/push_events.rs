//! What is posted is a CloudEvent, by the reading of CloudEvents' own library, whatever a producer wrote.

use std::sync::Arc;

use cloudevents::binding::http::to_event;
use cloudevents::{AttributesReader, Data, Event};
use hapax::consumer::{Attempt, BatchHandler, Handler};
use hapax::id::Fingerprint;
use hapax::record::{Record, TopicPartition};
use hapax::sidecar::push::{Push, PushFormat, PushProtocol, PushSettings};
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

/// A structured event, and in its record, whatever a producer may forge.
fn forged(event: &str) -> Record {
    let mut record = Record::builder(TopicPartition::new("orders", 3), 42)
        .key("customer 7")
        .header("content-type", "application/cloudevents+json")
        .payload(event.to_owned());
    for (name, value) in FORGED {
        record = record.header(*name, *value);
    }
    record.build()
}

const FORGED: &[(&str, &str)] = &[
    ("ce_id", "another"),
    ("ce_idempotencykey", "forged"),
    ("ce_attempt", "77"),
    ("ce_topic", "forged"),
    ("ce_IdempotencyKey", "forged"),
    ("Idempotency-Key", "forged"),
    ("idempotency-key", "forged"),
    ("idempotency_key", "forged"),
    ("hapax-attempt", "77"),
    ("ce-id", "forged"),
];
const EVENT: &str = r#"{"specversion":"1.0","id":"7","source":"/shop","type":"order.placed","data":1.0}"#;
const FORGED_EVENT: &str = r#"{"specversion":"1.0","id":"7","source":"/shop","idempotencykey":"forged","IdempotencyKey":"forged",
    "Attempt":"77","attempt":77,"type":"order.placed","Topic":"forged","offset":"forged","data":1.0}"#;
/// What is sent for both.
const SENT: &str = r#"{"specversion":"1.0","id":"7","source":"/shop","type":"order.placed","data":1.0,"topic":"orders","partition":"3","offset":"42","partitionkey":"customer 7","idempotencykey":"abababababababababababababababab","attempt":"2"}"#;

#[test]
fn event_already_structured_carries_our_key() {
    for (event, format) in [
        (EVENT, PushFormat::Binary),
        (EVENT, PushFormat::Structured),
        (FORGED_EVENT, PushFormat::Binary),
        (FORGED_EVENT, PushFormat::Structured),
    ] {
        let pair = Pair::new(|settings| settings.format = format);
        let request = pair.post(&forged(event));
        is_ours(&request);
        assert_eq!(std::str::from_utf8(&request.body).unwrap(), SENT);
        assert_eq!(request.header("content-type"), "application/cloudevents+json");
        assert_eq!(request.header("ce-id"), "");
        assert_eq!(to_event(&request.headers, request.body).unwrap().id(), "7");
    }
}

#[test]
fn event_already_structured_carries_our_key_with_dapr() {
    let pair = Pair::new(|settings| settings.protocol = PushProtocol::Dapr);
    let request = pair.post(&forged(FORGED_EVENT));
    is_ours(&request);
    assert_eq!(std::str::from_utf8(&request.body).unwrap(), SENT);
}

/// What is sent for records that travel together.
fn together(protocol: PushProtocol, records: &[Record]) -> serde_json::Value {
    let pair = Pair::new(|settings| (settings.batched, settings.protocol) = (true, protocol));
    let attempted = |record: &Record| (record.clone(), Attempt::new(2, Some(fingerprint())));
    pair.runtime.block_on(BatchHandler::handle(&pair.push, records.iter().map(attempted).collect()));
    serde_json::from_slice(&pair.app.requests().pop().unwrap().body).unwrap()
}

#[test]
fn batched_events_carry_our_key() {
    let plain = FORGED.iter().fold(Record::builder(TopicPartition::new("orders", 3), 42), |record, (name, value)| {
        record.header(*name, *value)
    });
    let records = [forged(EVENT), forged(FORGED_EVENT), plain.payload("x").build()];
    let sent: serde_json::Value = serde_json::from_str(SENT).unwrap();
    let array = together(PushProtocol::Http, &records);
    let entries = together(PushProtocol::Dapr, &records);
    let events: Vec<_> = (0..3).map(|at| entries["entries"][at]["event"].clone()).collect();
    for events in [array.as_array().unwrap(), &events] {
        assert_eq!(events[..2], [sent.clone(), sent.clone()]);
        let ours = fingerprint().to_string();
        assert_eq!((&events[2]["idempotencykey"], &events[2]["attempt"]), (&ours.into(), &"2".into()));
        assert!(!events[2].to_string().contains("forged") && !events[2].to_string().contains("77"), "{}", events[2]);
    }
}

#[test]
fn forged_headers_do_not_reach_the_application() {
    let record = FORGED.iter().fold(Record::builder(TopicPartition::new("orders", 3), 42), |record, (name, value)| {
        record.header(*name, *value)
    });
    let record = record.payload("x").build();
    for (format, protocol) in [
        (PushFormat::Binary, PushProtocol::Http),
        (PushFormat::Structured, PushProtocol::Http),
        (PushFormat::Structured, PushProtocol::Dapr),
    ] {
        let pair = Pair::new(|settings| (settings.format, settings.protocol) = (format, protocol));
        let request = pair.post(&record);
        is_ours(&request);
        let sent = format!("{:?} {}", request.headers, String::from_utf8_lossy(&request.body));
        // Without the port of the receiver, which may be any number.
        let sent = sent.replace(&*request.header("host"), "");
        assert!(!sent.contains("forged") && !sent.contains("77"), "{sent}");
        let is_structured = format == PushFormat::Structured;
        assert_eq!(sent.contains(r#""idempotencykey":"abab"#), is_structured, "{sent}");
        assert_eq!(sent.contains(r#""attempt":"2""#), is_structured, "{sent}");
    }
}

#[test]
fn array_of_events_in_a_record_carries_a_key_for_each() {
    let record = Record::builder(TopicPartition::new("orders", 3), 42)
        .header("content-type", "application/cloudevents-batch+json")
        .payload(r#"[{"id":"1","idempotencykey":"forged"},{"id":"2"}]"#)
        .build();
    let request = Pair::new(|_| ()).post(&record);
    is_ours(&request);
    let events: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    for at in 0..2 {
        assert_eq!(events[at]["id"], (at + 1).to_string());
        assert_eq!(events[at]["idempotencykey"], format!("{}-{at}", fingerprint()));
        assert_eq!(events[at]["attempt"], "2");
    }
}

/// However its type is written, and whatever stands before it: an event that IDs are read from is one that is copied.
#[test]
fn event_in_any_disguise_carries_our_key() {
    let json = "application/cloudevents+json";
    let utf8 = "application/cloudevents+json; charset=utf-8";
    for (media_type, before, sent_as) in [
        ("application/cloudevents", b"".as_slice(), utf8),
        ("application/cloudevents; charset=utf-8", b"", utf8),
        ("application/cloudevents+json", b"\0\0\0\0\x0c", json),
        (" application/cloudevents+json", b"", json),
        ("\tApplication/CloudEvents+JSON ;a=b\r\n", b"", "Application/CloudEvents+JSON ;a=b"),
        ("application/cloudevents+json", b"\xef\xbb\xbf", json),
        ("application/cloudevents", b"\0\0\0\0\x0c\xef\xbb\xbf", utf8),
        ("application/cloudevents+unknown", b"", "application/cloudevents+unknown"),
    ] {
        let payload = [before, FORGED_EVENT.as_bytes()].concat();
        let record = FORGED.iter().fold(
            Record::builder(TopicPartition::new("orders", 3), 42).key("customer 7").header("content-type", media_type),
            |record, (name, value)| record.header(*name, *value),
        );
        let record = record.payload(payload).build();
        let request = Pair::new(|_| ()).post(&record);
        is_ours(&request);
        assert_eq!(std::str::from_utf8(&request.body).unwrap(), SENT, "{media_type:?} {before:?}");
        assert_eq!(request.header("content-type"), sent_as, "{media_type:?}");
        let sent: serde_json::Value = serde_json::from_str(SENT).unwrap();
        assert_eq!(together(PushProtocol::Http, std::slice::from_ref(&record)), serde_json::json!([sent]));
        assert_eq!(together(PushProtocol::Dapr, &[record])["entries"][0]["event"], sent);
    }
    // The type that the settings give to records without one.
    let record = Record::builder(TopicPartition::new("orders", 3), 42).key("customer 7").payload(FORGED_EVENT).build();
    let request = Pair::new(|settings| settings.content_type = json.to_owned()).post(&record);
    assert_eq!(std::str::from_utf8(&request.body).unwrap(), SENT);
}

#[test]
fn event_in_another_format_is_passed_on() {
    for (media_type, payload) in [
        ("application/cloudevents+avro", b"\0\xffavro".as_slice()),
        ("application/cloudevents+json", b"{broken"),
        ("application/cloudevents-batch+json", b"{}"),
    ] {
        let record = Record::builder(TopicPartition::new("orders", 3), 42)
            .header("content-type", media_type)
            .payload(payload)
            .build();
        let request = Pair::new(|_| ()).post(&record);
        is_ours(&request);
        assert_eq!((request.header("content-type").as_str(), &*request.body), (media_type, payload));
    }
}
