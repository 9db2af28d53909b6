//! Events in CloudEvents' JSON format.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::event::{Attributes, Content, starts_with};

/// The media type of one event.
pub(super) const MEDIA_TYPE: &str = "application/cloudevents+json; charset=utf-8";
/// The media type of an array of events.
pub(super) const BATCH_MEDIA_TYPE: &str = "application/cloudevents-batch+json; charset=utf-8";

/// Writes one event.
///
/// A payload that is JSON by its type and by what it holds stands in `data` as it was written; text stands there as a
/// string; everything else in `data_base64`. A record that is such an event already is copied.
pub(super) fn write(into: &mut Vec<u8>, attributes: &Attributes<'_>, content: Content<'_>) {
    if let Content::Event(media_type, event) = content
        && starts_with(media_type, "application/cloudevents+json")
        && is_object(event)
    {
        return into.extend_from_slice(event);
    }
    let mut separator = b'{';
    for (name, value) in attributes {
        into.push(separator);
        separator = b',';
        string(into, name);
        into.push(b':');
        string(into, value);
    }
    if let Content::Data(media_type, data) | Content::Event(media_type, data) = content {
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

fn is_object(bytes: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(bytes).is_ok_and(|value| value.get().starts_with('{'))
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
    starts_with(media_type, "text/") && utf8
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

    #[test]
    fn an_event_is_copied_and_what_only_says_it_is_one_is_not() {
        let given = |media_type, bytes: &'static [u8]| event(Content::Event(media_type, &Bytes::from_static(bytes)));
        let own = r#"{"id":"1","data":7}"#;
        assert_eq!(given("application/cloudevents+json", own.as_bytes()), own);
        for (media_type, bytes) in [
            ("application/cloudevents+json", b"{},{}".as_slice()),
            ("application/cloudevents+json", b"[]"),
            ("application/cloudevents+avro", b"{}"),
            ("application/cloudevents-batch+json", b"[]"),
        ] {
            assert!(given(media_type, bytes).starts_with(r#"{"id":"a\"7","#), "{media_type} {bytes:?}");
        }
    }
}
