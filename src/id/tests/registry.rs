//! Payloads behind the five bytes of a schema registry.

use proptest::prelude::*;

use super::{outcome, record};
use crate::id::{CloudEvents, Extract, FirstOf, JsonPointer, RecordKey};
use crate::record::Record;

const SCHEMA_12: &[u8] = &[0, 0, 0, 0, 12];

fn json(pointer: &str) -> JsonPointer {
    JsonPointer::new(pointer).unwrap()
}

fn registered(payload: impl AsRef<[u8]>) -> Vec<u8> {
    [SCHEMA_12, payload.as_ref()].concat()
}

fn with(payload: impl Into<bytes::Bytes>) -> Record {
    record().key("key").payload(payload).build()
}

#[test]
fn json_behind_a_registry_prefix_is_read() {
    let plain = json("/id").extract(&with(r#"{"id":"a1"}"#));
    assert!(plain.is_ok());
    assert_eq!(json("/id").extract(&with(registered(r#"{"id":"a1"}"#))), plain);
    assert_eq!(json("/id").extract(&with([&[0, 0xff, 0xff, 0xff, 0xff][..], br#" {"id":"a1"}"#].concat())), plain);
    assert_eq!(outcome(&json(""), &with(registered("7"))), Ok(b"7".to_vec()));
    assert_eq!(outcome(&json("/id"), &with(registered("{}"))), Err("missing"));
    assert_eq!(outcome(&json("/id"), &with(registered(r#"{"id":null}"#))), Err("null"));
}

/// Newer serializers write the schema ID into a header, and nothing before the payload.
#[test]
fn json_with_a_schema_id_header_is_read() {
    let id = [&[1][..], &[7; 16]].concat();
    let record = record().header("__value_schema_id", id).payload(r#"{"id":"a1"}"#).build();
    assert_eq!(outcome(&json("/id"), &record), Ok(b"a1".to_vec()));
}

#[test]
fn structured_event_behind_a_registry_prefix_is_read() {
    let event =
        |payload: Vec<u8>| record().header("content-type", "application/cloudevents+json").payload(payload).build();
    let written = r#"{"id":"1","source":"/a"}"#;
    let plain = CloudEvents::new().extract(&event(written.into()));
    assert!(plain.is_ok());
    assert_eq!(CloudEvents::new().extract(&event(registered(written))), plain);
}

#[test]
fn avro_and_protobuf_are_named_with_a_way_out() {
    let typed = |media_type: &str, payload: Vec<u8>| {
        record().key("key").header("content-type", media_type.to_owned()).payload(payload).build()
    };
    for (record, name) in [
        (with(registered(b"\x04a1\x02")), "is Avro or Protobuf of a schema registry"),
        (with(registered(b"\x00\x0a\x02a1")), "is Avro or Protobuf of a schema registry"),
        (with(registered(b"\x04\xff\xfe")), "is Avro or Protobuf of a schema registry"),
        (with(registered(b"")), "is Avro or Protobuf of a schema registry"),
        (typed("application/vnd.apache.avro+binary", registered(b"\x04a1")), "is Avro,"),
        (typed("avro/binary", b"\x04a1".to_vec()), "is Avro,"),
        (typed("application/x-protobuf", registered(b"\x00\x0a\x02a1")), "is Protobuf,"),
        (with(&b"\xc3\x01\x00\x01\x02\x03\x04\x05\x06\x07\x04a1"[..]), "is Avro,"),
        (with(&b"Obj\x01\x02"[..]), "is Avro,"),
    ] {
        let problem = json("/id").extract(&record).unwrap_err().to_string();
        for words in [name, "a header or the record key", "hash of the content"] {
            assert!(problem.contains(words), "{problem}");
        }
        // What is there but cannot be read is no absence.
        assert_eq!(outcome(&FirstOf::new(json("/id")).or(RecordKey::new()), &record), Err("invalid"));
    }
}

#[test]
fn broken_json_behind_a_registry_prefix_is_named_as_json() {
    let problem = |payload: Vec<u8>| json("/id").extract(&with(payload)).unwrap_err().to_string();
    let behind = "payload is not valid JSON (line 1, column 8), behind the five bytes of a schema registry";
    assert_eq!(problem(registered(r#"{"id":}"#)), behind.replace('8', "7"));
    assert!(problem(registered(b"{\"id\":\"\xff\"}")).starts_with("payload is not UTF-8"));
    // Four bytes are no prefix.
    assert_eq!(problem(vec![0, 0, 0, 0]), "payload is not valid JSON (line 1, column 1)");
    assert_eq!(problem(b"\x01\0\0\0\x0c{}".to_vec()), "payload is not valid JSON (line 1, column 1)");
}

proptest! {
    #[test]
    fn registry_prefix_changes_no_answer(schema in any::<u32>(), text in "[\\[\\]{}:,\"a-z0-9\\\\ ]{1,48}") {
        let prefixed = [&[0][..], &schema.to_be_bytes(), text.as_bytes()].concat();
        let whole = |payload: Vec<u8>| outcome(&json("/a"), &with(payload));
        prop_assert_eq!(whole(prefixed), whole(text.into_bytes()));
    }

    #[test]
    fn registry_reader_is_total(schema in any::<u32>(), rest in prop::collection::vec(any::<u8>(), 0..48)) {
        let record = with([&[0][..], &schema.to_be_bytes(), &rest].concat());
        for extractor in [json(""), json("/a/0")] {
            prop_assert_eq!(extractor.extract(&record), extractor.extract(&record));
        }
    }
}
