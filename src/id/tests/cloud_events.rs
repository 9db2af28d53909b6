//! CloudEvents, which are the same in both modes.

use proptest::prelude::*;
use serde_json::json;

use super::{outcome, record, variant};
use crate::id::{
    CloudEvents, Extract, FirstOf, HeaderId, IdKey, IdProblem, Identity, JsonPointer, MAX_ID_BYTES, RecordKey,
    ScopeRule, leaves_source_out,
};
use crate::record::{Record, RecordBuilder};

const JSON: &str = "application/cloudevents+json";

fn event(media_type: &str, payload: impl Into<bytes::Bytes>) -> Record {
    record().header("content-type", media_type.to_owned()).payload(payload).build()
}

fn structured(payload: impl Into<bytes::Bytes>) -> Record {
    event(JSON, payload)
}

fn binary(id: &str, source: &str) -> Record {
    record().header("ce_id", id.to_owned()).header("ce_source", source.to_owned()).payload("x").build()
}

fn found(record: &Record) -> Result<Identity, &'static str> {
    CloudEvents::new().extract(record).map_err(|problem| variant(&problem))
}

#[test]
fn structured_event_has_the_identity_of_a_binary_one() {
    for (id, source) in [
        ("1", "/a"),
        ("a\"b\\c/", "https://shop.example/é?x=\"1\""),
        ("\u{1f600}\n\0", "urn:größe"),
        (" ", " "),
        ("null", "null"),
    ] {
        let expected = found(&binary(id, source));
        assert!(expected.is_ok());
        let written = json!({ "specversion": "1.0", "id": id, "source": source, "type": "t", "data": { "id": "x" } });
        assert_eq!(found(&structured(written.to_string())), expected, "{id}");
        let escaped = |text: &str| text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
        let escaped = format!(r#"{{"\u0069d":"{}","source":"{}"}}"#, escaped(id), escaped(source));
        assert_eq!(found(&structured(escaped.clone())), expected, "{escaped}");
        let fingerprint = |record| IdKey::default().fingerprint(&CloudEvents::new().extract(record).unwrap());
        assert_eq!(fingerprint(&structured(written.to_string())), fingerprint(&binary(id, source)));
    }
}

#[test]
fn structured_events_of_two_sources_differ() {
    let of = |source: &str| found(&structured(json!({ "id": "1", "source": source }).to_string())).unwrap();
    assert_ne!(of("/a"), of("/b"));
    assert_eq!(of("/a"), of("/a"));
}

#[test]
fn structured_mode_is_named_by_the_content_type() {
    let payload = r#"{"id":"1","source":"/a"}"#;
    let expected = found(&binary("1", "/a"));
    for media_type in [
        JSON,
        "application/cloudevents+json; charset=utf-8",
        "application/cloudevents+json;charset=UTF-8",
        " Application/CloudEvents+JSON ; x=y",
        "application/cloudevents",
        "application/cloudevents; charset=utf-8",
    ] {
        assert_eq!(found(&event(media_type, payload)), expected, "{media_type}");
    }
    for media_type in
        ["application/json", "", "application/cloudevent", "text/application/cloudevents+json", "application/é"]
    {
        assert_eq!(found(&event(media_type, payload)), Err("missing"), "{media_type}");
    }
    let named = |name: &'static str| record().header(name, JSON).payload(payload).build();
    assert_eq!(found(&named("Content-Type")), expected);
    assert_eq!(found(&named("ce_datacontenttype")), Err("missing"));
    assert_eq!(found(&record().payload(payload).build()), Err("missing"));
    assert_eq!(found(&record().null_header("content-type").payload(payload).build()), Err("missing"));
    let two = |other: &'static str| {
        found(&record().header("content-type", JSON).header("content-type", other).payload(payload).build())
    };
    assert_eq!(two("application/cloudevents+json; charset=utf-8"), expected, "they agree");
    assert_eq!(two("application/json"), Err("repeated"));
}

#[test]
fn binary_headers_of_a_structured_event_count_first() {
    let both = |builder: RecordBuilder| {
        found(&builder.header("content-type", JSON).payload(r#"{"id":"1","source":"/a"}"#).build())
    };
    let headers = || record().header("ce_id", "2").header("ce_source", "/b");
    assert_eq!(both(headers()), found(&binary("2", "/b")));
    assert_eq!(both(record().null_header("ce_id")), found(&binary("1", "/a")));
    assert_eq!(both(record().header("ce_id", "2")), Err("no scope"));
    assert_eq!(both(record().header("ce_id", "")), Err("empty"));
}

#[test]
fn structured_event_without_a_usable_id_is_refused() {
    let long = "x".repeat(MAX_ID_BYTES + 1);
    let table: Vec<(String, &str)> = [
        (r#"{"source":"/a"}"#, "missing"),
        (r#"{"id":null,"source":"/a"}"#, "null"),
        (r#"{"id":"","source":"/a"}"#, "empty"),
        (r#"{"id":1,"source":"/a"}"#, "invalid"),
        (r#"{"id":true,"source":"/a"}"#, "invalid"),
        (r#"{"id":["1"],"source":"/a"}"#, "invalid"),
        (r#"{"id":{},"source":"/a"}"#, "invalid"),
        (r#"{"id":"\ud800","source":"/a"}"#, "invalid"),
        (r#"{"id":"1","id":"1","source":"/a"}"#, "repeated"),
        (r#"{"id":"1","\u0069d":"2","source":"/a"}"#, "repeated"),
        (r#"{"id":"1"}"#, "no scope"),
        (r#"{"id":"1","source":null}"#, "no scope"),
        (r#"{"id":"1","source":""}"#, "no scope"),
        (r#"{"id":"1","source":7}"#, "no scope"),
        (r#"{"id":"1","source":"\ud800"}"#, "no scope"),
        (r#"{"id":"1","source":"/a","source":"/a"}"#, "no scope"),
        (r#"{"data":{"id":"1","source":"/a"}}"#, "missing"),
        (r#"{"ID":"1","Source":"/a"}"#, "missing"),
        (r#"[{"id":"1","source":"/a"}]"#, "invalid"),
        (r#""1""#, "invalid"),
        ("null", "invalid"),
        ("7", "invalid"),
        ("", "unread"),
        ("{", "invalid"),
        (r#"{"id":"1","source":"/a"} x"#, "invalid"),
    ]
    .map(|(payload, problem)| (payload.to_owned(), problem))
    .into_iter()
    .chain([
        (json!({ "id": long, "source": "/a" }).to_string(), "too long"),
        (json!({ "id": "1", "source": long }).to_string(), "no scope"),
    ])
    .collect();
    for (payload, problem) in table {
        assert_eq!(found(&structured(payload.clone())), Err(problem), "{payload}");
    }
    assert_eq!(found(&structured(&b"{\"id\":\"1\",\"source\":\"\xff\"}"[..])), Err("invalid"));
    assert_eq!(found(&record().header("content-type", JSON).build()), Err("null"), "a tombstone");
}

#[test]
fn event_format_that_is_not_read_is_named_with_a_way_out() {
    for (media_type, name) in [
        ("application/cloudevents+avro", "CloudEvent in Avro"),
        ("application/cloudevents+protobuf; x=y", "CloudEvent in Protobuf"),
        ("application/cloudevents+xml", "CloudEvent in a format that is not read"),
        ("application/cloudevents2", "CloudEvent in a format that is not read"),
        ("application/cloudevents-batch+json", "batch of CloudEvents"),
        ("APPLICATION/CLOUDEVENTS-BATCH+JSON", "batch of CloudEvents"),
        ("application/cloudevents-batch+avro", "batch of CloudEvents"),
    ] {
        let record = event(media_type, r#"[{"id":"1","source":"/a"}]"#);
        let problem = CloudEvents::new().extract(&record).unwrap_err();
        assert!(matches!(problem, IdProblem::Unread { .. }), "{media_type}: {problem:?}");
        let text = problem.to_string();
        for words in [name, "record key", "hash of the content"] {
            assert!(text.contains(words), "{media_type}: {text}");
        }
        // The way out is open: what cannot be read holds up no other rule.
        let list = FirstOf::new(CloudEvents::new()).or(HeaderId::new("content-type"));
        assert_eq!(outcome(&list, &record), Ok(media_type.as_bytes().to_vec()));
    }
}

#[test]
fn id_without_its_source_is_noticed() {
    let noticed =
        |extractor: &dyn Extract, record: &Record| leaves_source_out(record, &extractor.extract(record).unwrap());
    let pointer = |pointer| JsonPointer::new(pointer).unwrap();
    let event = structured(r#"{"id":"1","source":"/a","data":{"order":"7"}}"#);
    assert!(noticed(&pointer("/id"), &event));
    assert!(noticed(&pointer("/id").scope(ScopeRule::Name("all".into())), &event));
    assert!(!noticed(&pointer("/data/order"), &event), "another ID");
    assert!(!noticed(&CloudEvents::new(), &event));
    let headers = binary("1", "/a");
    assert!(noticed(&HeaderId::new("ce_id"), &headers));
    assert!(!noticed(&HeaderId::new("ce_id").scope(ScopeRule::Header("ce_source".into())), &headers));
    assert!(!noticed(&RecordKey::new(), &record().key("1").payload(r#"{"id":"1","source":"/a"}"#).build()), "no event");
}

proptest! {
    #[test]
    fn structured_reader_agrees_with_binary_headers(id in "\\PC{1,40}|[\\x00-\\x7f]{1,40}", source in "\\PC{1,40}", before in any::<bool>()) {
        let data = json!({ "id": id, "source": [source], "x": { "id": 1 } });
        let (id_json, source_json) = (json!(id), json!(source));
        let written = match before {
            true => format!(r#"{{"data":{data},"id":{id_json},"source":{source_json}}}"#),
            false => format!(r#"{{ "source" :{source_json},"id":{id_json} ,"data":{data}}}"#),
        };
        prop_assert_eq!(found(&structured(written)), found(&binary(&id, &source)));
    }

    /// Whatever a payload holds, the answer is the same twice, and nothing panics.
    #[test]
    fn structured_reader_is_total(payload in prop::collection::vec(any::<u8>(), 0..64), text in "[\\[\\]{}:,\"a-z0-9\\\\ ]{0,64}") {
        for payload in [payload, text.into_bytes()] {
            let record = structured(payload);
            prop_assert_eq!(found(&record), found(&record));
        }
    }
}
