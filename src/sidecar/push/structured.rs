//! Events in CloudEvents' JSON format.

use std::fmt;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::event::{Attributes, Content};
use crate::id::json;

/// The media type of one event.
pub(super) const MEDIA_TYPE: &str = "application/cloudevents+json; charset=utf-8";
/// The media type of an array of events.
pub(super) const BATCH_MEDIA_TYPE: &str = "application/cloudevents-batch+json; charset=utf-8";

/// Writes one event.
///
/// A payload that is JSON by its type and by what it holds stands in `data` as it was written; text stands there as a
/// string; everything else in `data_base64`.
pub(super) fn write(into: &mut Vec<u8>, attributes: &Attributes<'_>, content: Content<'_>) {
    let mut separator = b'{';
    for (name, value) in attributes {
        into.push(separator);
        separator = b',';
        string(into, name);
        into.push(b':');
        string(into, value);
    }
    if let Content::Data(media_type, data) | Content::Event(_, media_type, data) = content {
        into.extend_from_slice(b",\"datacontenttype\":");
        string(into, media_type);
        let text = is_text(media_type).then(|| std::str::from_utf8(data).ok()).flatten();
        if is_json(media_type) && serde_json::from_slice::<&RawValue>(data).is_ok() {
            into.extend_from_slice(b",\"data\":");
            into.extend_from_slice(data);
        } else if let Some(text) = text {
            into.extend_from_slice(b",\"data\":");
            string(into, text);
        } else {
            into.extend_from_slice(b",\"data_base64\":\"");
            base64(into, data);
            into.push(b'"');
        }
    }
    into.push(b'}');
}

/// Writes a JSON string.
pub(super) fn string(into: &mut Vec<u8>, text: &str) {
    // Neither can a string fail to be JSON nor a `Vec` to be written to.
    let _written: Result<(), _> = serde_json::to_writer(into.by_ref(), text);
}

/// Copies an event that its producer wrote, with these attributes in place of any that have their names in any letter
/// case. `None` where it is no JSON object.
pub(super) fn copied(event: &[u8], ours: &Attributes<'_>) -> Option<Vec<u8>> {
    let mut into = Vec::with_capacity(event.len() + 256);
    copy(&mut into, &serde_json::from_slice(document(event)).ok()?, ours);
    Some(into)
}

/// As [`copied`], for an array of events: `ours` for the one at each place, from 0.
pub(super) fn copied_batch<'o>(events: &[u8], ours: impl Fn(usize) -> Attributes<'o>) -> Option<Vec<u8>> {
    let events: Vec<Members<'_>> = serde_json::from_slice(document(events)).ok()?;
    let mut into = vec![b'['];
    for (at, event) in events.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        copy(&mut into, event, &ours(at));
    }
    into.push(b']');
    Some(into)
}

/// The JSON of a payload: behind the prefix of a schema registry, and behind a byte order mark.
fn document(payload: &[u8]) -> &[u8] {
    let document = json(payload);
    document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document)
}

fn copy(into: &mut Vec<u8>, event: &Members<'_>, ours: &Attributes<'_>) {
    into.push(b'{');
    for (name, value) in &event.0 {
        if !ours.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)) {
            string(into, name);
            into.push(b':');
            into.extend_from_slice(value.get().as_bytes());
            into.push(b',');
        }
    }
    for (at, (name, value)) in ours.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        string(into, name);
        into.push(b':');
        string(into, value);
    }
    into.push(b'}');
}

/// The members of a JSON object in their order, as they are written.
struct Members<'e>(Vec<(String, &'e RawValue)>);

impl<'de: 'e, 'e> Deserialize<'de> for Members<'e> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ReadMembers)
    }
}

struct ReadMembers;

impl<'de> Visitor<'de> for ReadMembers {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// The type and subtype, without parameters.
fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

fn is_json(media_type: &str) -> bool {
    let essence = essence(media_type).to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

fn is_text(media_type: &str) -> bool {
    let utf8 = match media_type.to_ascii_lowercase().split_once("charset=") {
        Some((_, charset)) => matches!(charset.trim_matches(['"', ' ']), "utf-8" | "us-ascii"),
        None => true,
    };
    essence(media_type).to_ascii_lowercase().starts_with("text/") && utf8
}

/// Base64 with padding, written where it belongs: a payload may be long.
fn base64(into: &mut Vec<u8>, data: &[u8]) {
    let start = into.len();
    into.resize(start + data.len().div_ceil(3) * 4, b'=');
    // It fits: there are four digits for each three bytes begun.
    let written = STANDARD.encode_slice(data, &mut into[start..]);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::id::EventFormat;

    fn event(content: Content<'_>) -> String {
        let mut into = Vec::new();
        write(&mut into, &vec![("id", "a\"7".into()), ("subject", "größe\n".into())], content);
        String::from_utf8(into).unwrap()
    }

    fn data(media_type: &str, data: &[u8]) -> Value {
        let mut event: Value =
            serde_json::from_str(&event(Content::Data(media_type, &Bytes::copy_from_slice(data)))).unwrap();
        let object = event.as_object_mut().unwrap();
        assert_eq!(object.remove("id"), Some(json!("a\"7")));
        assert_eq!(object.remove("subject"), Some(json!("größe\n")));
        assert_eq!(object.remove("datacontenttype"), Some(json!(media_type)));
        event
    }

    #[test]
    fn each_kind_of_data_has_its_form() {
        for (media_type, bytes, expected) in [
            ("application/json", b" {\"a\": 1.0} ".as_slice(), json!({"data": {"a": 1.0}})),
            ("application/vnd.x+JSON; a=b", b"null", json!({"data": null})),
            ("application/json", b"{", json!({"data_base64": "ew=="})),
            ("application/json", b"", json!({"data_base64": ""})),
            ("application/json", b"\"\xff\"", json!({"data_base64": "Iv8i"})),
            ("text/plain", "grün".as_bytes(), json!({"data": "grün"})),
            ("text/plain; charset=\"utf-8\"", b"x", json!({"data": "x"})),
            ("text/plain; charset=latin1", b"x", json!({"data_base64": "eA=="})),
            ("text/plain", b"\xff", json!({"data_base64": "/w=="})),
            ("application/octet-stream", b"Man", json!({"data_base64": "TWFu"})),
            ("application/octet-stream", b"\xfb\xff\xbf\x00", json!({"data_base64": "+/+/AA=="})),
            ("application/octet-stream", b"", json!({"data_base64": ""})),
        ] {
            assert_eq!(data(media_type, bytes), expected, "{media_type} {bytes:?}");
        }
    }

    #[test]
    fn json_is_passed_on_as_it_is_written() {
        let written = br#"{"n":12345678901234567890123,"a":1.10,"a":2}"#;
        let event = event(Content::Data("application/json", &Bytes::from_static(written)));
        assert!(event.contains(std::str::from_utf8(written).unwrap()), "{event}");
    }

    #[test]
    fn nothing_has_no_type() {
        assert_eq!(event(Content::Nothing), r#"{"id":"a\"7","subject":"größe\n"}"#);
    }

    fn ours() -> Attributes<'static> {
        vec![("offset", "7".into()), ("idempotencykey", "k".into())]
    }

    #[test]
    fn copied_event_carries_our_attributes_only() {
        for (event, expected) in [
            (r#"{"id":"1","data":7}"#, r#"{"id":"1","data":7,"offset":"7","idempotencykey":"k"}"#),
            ("{}", r#"{"offset":"7","idempotencykey":"k"}"#),
            (
                r#" {"Offset":1,"idempotencykey":"forged","a":{"offset":[1.10]},"IDEMPOTENCYKEY":"x"} "#,
                r#"{"a":{"offset":[1.10]},"offset":"7","idempotencykey":"k"}"#,
            ),
            (
                r#"{"idempotency\u006bey":"forged","q\"":12345678901234567890123}"#,
                r#"{"q\"":12345678901234567890123,"offset":"7","idempotencykey":"k"}"#,
            ),
        ] {
            for before in [b"".as_slice(), b"\0\0\0\0\x0c", b"\xef\xbb\xbf", b"\0\0\0\0\x0c\xef\xbb\xbf"] {
                let copied = copied(&[before, event.as_bytes()].concat(), &ours()).unwrap();
                assert_eq!(String::from_utf8(copied).unwrap(), expected, "{before:?} {event}");
            }
        }
    }

    #[test]
    fn what_only_claims_to_be_an_event_is_not_copied() {
        for bytes in [b"{},{}".as_slice(), b"[]", b"{\"a\":\"\xff\"}", b"\0\0\0\0{}", b""] {
            assert_eq!(copied(bytes, &ours()), None, "{bytes:?}");
            let given = event(Content::Event(EventFormat::Json, MEDIA_TYPE, &Bytes::copy_from_slice(bytes)));
            assert!(given.starts_with(r#"{"id":"a\"7","#), "{bytes:?}");
        }
    }

    #[test]
    fn copied_batch_carries_our_attributes_for_each_place() {
        let ours = |at: usize| -> Attributes<'static> { vec![("idempotencykey", format!("k-{at}").into())] };
        let batch = |text: &str| copied_batch(text.as_bytes(), ours);
        let copied = batch(r#"[{"id":1,"IdempotencyKey":"forged"}, {}]"#).unwrap();
        assert_eq!(copied, br#"[{"id":1,"idempotencykey":"k-0"},{"idempotencykey":"k-1"}]"#);
        assert_eq!(batch("[]"), Some(b"[]".to_vec()));
        assert_eq!(batch("[7]"), None);
        assert_eq!(batch("{}"), None);
    }
}
