//! The published test vectors: a change of one is a change of the store's format.

use serde::Deserialize;

use super::encoding;
use crate::id::content::content_hash;
use crate::id::identity::Kind;
use crate::id::{Coordinates, IdKey, Identity, MessageId, Scope};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "about")]
    _about: String,
    keys: Vec<Key>,
    fingerprints: Vec<Row>,
    contents: Vec<Content>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    secret_hex: String,
    key_hex: String,
    check_value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    secret_hex: String,
    scope_kind: String,
    scope_hex: String,
    replay: u64,
    id_kind: String,
    id_hex: String,
    encoding_hex: String,
    fingerprint: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    key_hex: Option<String>,
    payload_hex: Option<String>,
    id_hex: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../vectors.json")).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2));
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn identity(row: &Row) -> Identity {
    let scope = bytes(&row.scope_hex);
    let text = || String::from_utf8(scope.clone()).unwrap().into();
    let scope = match &*row.scope_kind {
        "topic" => Scope::Topic(text()),
        "header" => Scope::Header(scope.into()),
        "name" => Scope::Name(text()),
        other => panic!("{other}"),
    };
    let id = bytes(&row.id_hex);
    let id = match &*row.id_kind {
        "bytes" => MessageId::new(id).unwrap(),
        "number" => MessageId::of_kind(Kind::Number, id),
        "content" => MessageId::of_kind(Kind::Content, id),
        "coordinates" => MessageId::of_kind(Kind::Coordinates, id),
        "fallback key" => MessageId::of_kind(Kind::FallbackKey, id),
        other => panic!("{other}"),
    };
    Identity { replay: row.replay, ..Identity::new(scope, id) }
}

#[test]
fn fingerprints() {
    let rows = vectors().fingerprints;
    for row in &rows {
        let identity = identity(row);
        assert_eq!(hex(&encoding(&identity)), row.encoding_hex, "{}", row.name);
        let fingerprint = IdKey::new(&bytes(&row.secret_hex)).fingerprint(&identity);
        assert_eq!(fingerprint.to_string(), row.fingerprint, "{}", row.name);
    }
    for kind in ["topic", "header", "name"] {
        assert!(rows.iter().any(|row| row.scope_kind == kind), "{kind}");
    }
    for kind in ["bytes", "number", "content", "coordinates", "fallback key"] {
        assert!(rows.iter().any(|row| row.id_kind == kind), "{kind}");
    }
}

#[test]
fn keys() {
    for row in vectors().keys {
        let secret = bytes(&row.secret_hex);
        assert_eq!(IdKey::new(&secret).check_value(), row.check_value);
        assert_eq!(hex(&blake3::derive_key("hapax 1 fingerprint key", &secret)), row.key_hex);
    }
    assert_eq!(IdKey::default().check_value(), IdKey::new(b"").check_value());
}

#[test]
fn contents() {
    for row in vectors().contents {
        let part = |hex: &Option<String>| hex.as_deref().map(|hex| bytes::Bytes::from(bytes(hex)));
        let id = content_hash(part(&row.key_hex).as_ref(), part(&row.payload_hex).as_ref());
        assert_eq!(hex(&id), row.id_hex);
    }
}

#[test]
fn coordinates() {
    assert_eq!(hex(Coordinates::id(3, 17).as_bytes()), "030000001100000000000000");
    assert_eq!(hex(Coordinates::id(258, 1_099_511_627_777).as_bytes()), "020100000100000000010000");
}
