//! A record as a CloudEvent.

use std::borrow::Cow;
use std::fmt::Write;

use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::headers::{MOST_HEADERS, Unfit};
use crate::id::{EventFormat, Fingerprint, event_format_of};
use crate::record::{Header, Record};

/// What the names of attributes begin with in the headers of records.
const PREFIX: &str = "ce_";
/// Attributes that a record's headers cannot give: they come from elsewhere, or are none.
const NOT_GIVEN: [&str; 8] =
    ["specversion", "data", "datacontenttype", "topic", "partition", "offset", KEY_ATTRIBUTE, ATTEMPT_ATTRIBUTE];
/// What [`key`] is called in an event; as a header, `idempotency-key`.
const KEY_ATTRIBUTE: &str = "idempotencykey";
/// What the number of the attempt is called in an event; as a header, `hapax-attempt`.
const ATTEMPT_ATTRIBUTE: &str = "attempt";

/// What stands for what a record does not say.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    /// `None`: `/kafka/<topic>`.
    pub(super) source: Option<String>,
    pub(super) event_type: String,
    pub(super) content_type: String,
}

/// What a record holds, and of what type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'r> {
    /// A null payload.
    Nothing,
    /// A payload.
    Data(&'r str, &'r Bytes),
    /// An event in structured mode: the record's headers say nothing of it.
    Event(EventFormat, &'r str, &'r Bytes),
}

/// Reads what a record holds.
pub(super) fn content<'r>(record: &'r Record, defaults: &'r Defaults) -> Content<'r> {
    let Some(payload) = record.payload() else { return Content::Nothing };
    let given = last(record, |header| header.name.eq_ignore_ascii_case("content-type")).map(str::trim);
    let media_type = given.filter(|given| is_media_type(given)).unwrap_or(&defaults.content_type);
    // Recognised as for IDs, or what its producer wrote there would pass for ours.
    match event_format_of(media_type) {
        Some(format) => Content::Event(format, media_type, payload),
        None => Content::Data(media_type, payload),
    }
}

/// Whether it can be a content type: nobody reads one that is not ASCII, or only spaces.
pub(super) fn is_media_type(text: &str) -> bool {
    !text.trim().is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn last(record: &Record, matches: impl Fn(&Header) -> bool) -> Option<&str> {
    record.headers().iter().rev().filter(|header| matches(header)).find_map(text)
}

/// A header's value, where it can be an attribute's: text that is not empty.
fn text(header: &Header) -> Option<&str> {
    std::str::from_utf8(header.value.as_ref()?).ok().filter(|text| !text.is_empty())
}

/// The key under which a receiver can handle the message once.
pub(super) fn key(record: &Record, fingerprint: Option<&Fingerprint>) -> String {
    match fingerprint {
        Some(fingerprint) => fingerprint.to_string(),
        None => format!("{}-{}", record.partition(), record.offset()),
    }
}

/// Attributes in the order in which they are written.
pub(super) type Attributes<'r> = Vec<(&'r str, Cow<'r, str>)>;

/// The attributes of a record, without its content type; `id` for the one that has none.
///
/// # Errors
///
/// More than [`MOST_HEADERS`].
pub(super) fn attributes<'r>(record: &'r Record, id: &'r str, defaults: &'r Defaults) -> Result<Attributes<'r>, Unfit> {
    let mut attributes: Attributes<'r> = vec![("specversion", "1.0".into()), ("id", id.into())];
    attributes.push(match &defaults.source {
        Some(source) => ("source", source.into()),
        None => ("source", format!("/kafka/{}", record.topic()).into()),
    });
    attributes.push(("type", defaults.event_type.as_str().into()));
    if let Some(time) = record.timestamp().and_then(written) {
        attributes.push(("time", time.into()));
    }
    for header in record.headers() {
        let Some(name) = header.name.strip_prefix(PREFIX).filter(|name| may_be_given(name)) else { continue };
        let Some(value) = text(header).filter(|value| is_valid(name, value)) else { continue };
        set(&mut attributes, name, value.into());
        if attributes.len() > MOST_HEADERS {
            return Err(Unfit::TooMany);
        }
    }
    for (name, value) in place(record) {
        set(&mut attributes, name, value);
    }
    Ok(attributes)
}

/// The attributes that say where a record lies: always the record's, whatever its headers or its event hold.
fn place(record: &Record) -> Attributes<'_> {
    let mut place: Attributes<'_> = vec![
        ("topic", record.topic().into()),
        ("partition", record.partition().partition().to_string().into()),
        ("offset", record.offset().to_string().into()),
    ];
    let key = record.key().and_then(|key| std::str::from_utf8(key).ok());
    if let Some(key) = key.filter(|key| !key.is_empty() && !key.contains(char::is_control)) {
        place.push(("partitionkey", key.into()));
    }
    place
}

/// The attributes by which a receiver of structured events handles each message once.
pub(super) fn delivery(key: &str, attempt: u32) -> Attributes<'_> {
    vec![(KEY_ATTRIBUTE, key.into()), (ATTEMPT_ATTRIBUTE, attempt.to_string().into())]
}

/// All attributes of a structured event that are never its producer's.
pub(super) fn ours<'r>(record: &'r Record, key: &'r str, attempt: u32) -> Attributes<'r> {
    let mut ours = place(record);
    ours.extend(delivery(key, attempt));
    ours
}

/// The same for one of many events within a record: with a key of its own.
pub(super) fn ours_at<'r>(ours: &Attributes<'r>, key: &str, at: usize) -> Attributes<'r> {
    let mut ours = ours.clone();
    set(&mut ours, KEY_ATTRIBUTE, format!("{key}-{at}").into());
    ours
}

fn set<'r>(attributes: &mut Attributes<'r>, name: &'r str, value: Cow<'r, str>) {
    match attributes.iter_mut().find(|attribute| attribute.0 == name) {
        Some(attribute) => attribute.1 = value,
        None => attributes.push((name, value)),
    }
}

fn may_be_given(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    plain && !name.is_empty() && !NOT_GIVEN.contains(&name)
}

/// Whether receivers, which read these two strictly, can read the value.
fn is_valid(name: &str, value: &str) -> bool {
    match name {
        "time" => OffsetDateTime::parse(value, &Rfc3339).is_ok(),
        "dataschema" => reqwest::Url::parse(value).is_ok(),
        _ => true,
    }
}

/// A time in milliseconds since the Unix epoch, as RFC 3339 writes it.
fn written(millis: i64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok()?;
    // The standard has four digits for a year.
    let year = u16::try_from(time.year()).ok().filter(|year| *year <= 9999)?;
    let mut text = String::with_capacity(24);
    let (month, day) = (u8::from(time.month()), time.day());
    let (hour, minute, second, milli) = (time.hour(), time.minute(), time.second(), time.millisecond());
    write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z").ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{RecordBuilder, TopicPartition};

    fn record() -> RecordBuilder {
        Record::builder(TopicPartition::new("orders", 3), 42)
    }

    fn defaults() -> Defaults {
        let (event_type, content_type) = ("hapax.record".to_owned(), "application/octet-stream".to_owned());
        Defaults { source: None, event_type, content_type }
    }

    fn of(record: RecordBuilder) -> Vec<(String, String)> {
        let (record, defaults) = (record.build(), defaults());
        let attributes = attributes(&record, "fp", &defaults).unwrap();
        attributes.into_iter().map(|(name, value)| (name.to_owned(), value.into_owned())).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_a_record_does_not_say_is_filled_in() {
        let expected = pairs(&[
            ("specversion", "1.0"),
            ("id", "fp"),
            ("source", "/kafka/orders"),
            ("type", "hapax.record"),
            ("time", "2023-11-14T22:13:20.007Z"),
            ("topic", "orders"),
            ("partition", "3"),
            ("offset", "42"),
            ("partitionkey", "customer 7"),
        ]);
        assert_eq!(of(record().timestamp(1_700_000_000_007).key("customer 7")), expected);
    }

    #[test]
    fn what_it_says_counts_and_of_what_is_said_twice_the_last() {
        let said = record()
            .header("ce_id", "first")
            .header("ce_id", "second")
            .header("ce_source", "/shop")
            .header("ce_type", "order.placed")
            .header("ce_time", "2020-01-01T00:00:00+02:00")
            .header("ce_subject", "größe")
            .header("ce_specversion", "0.3");
        let expected = pairs(&[
            ("specversion", "1.0"),
            ("id", "second"),
            ("source", "/shop"),
            ("type", "order.placed"),
            ("time", "2020-01-01T00:00:00+02:00"),
            ("subject", "größe"),
            ("topic", "orders"),
            ("partition", "3"),
            ("offset", "42"),
        ]);
        assert_eq!(of(said), expected);
    }

    #[test]
    fn what_cannot_be_an_attribute_is_left_out() {
        let plain = of(record());
        for (name, value) in [
            ("ce_", b"x".as_slice()),
            ("ce_id", b""),
            ("ce_id", b"\xff"),
            ("ce_Id", b"x"),
            ("ce_my-name", b"x"),
            ("ce_a\r\nhost", b"x"),
            ("ce_topic", b"other"),
            ("ce_offset", b"1"),
            ("ce_idempotencykey", b"forged"),
            ("ce_attempt", b"7"),
            ("ce_data", b"x"),
            ("ce_datacontenttype", b"text/html"),
            ("ce_time", b"yesterday"),
            ("ce_dataschema", b"no url"),
            ("ce-id", b"x"),
            ("host", b"x"),
        ] {
            assert_eq!(of(record().header(name, value)), plain, "{name}");
        }
        assert_eq!(of(record().null_header("ce_id")), plain);
        assert_eq!(of(record().key(b"\xff".as_slice())), plain);
        assert_eq!(of(record().key("a\nb")), plain);
    }

    #[test]
    fn too_many_are_refused_soon() {
        let many = (0..100_000).fold(record(), |record, n| record.header(format!("ce_a{n}"), "x"));
        assert_eq!(attributes(&many.build(), "fp", &defaults()), Err(Unfit::TooMany));
        let same = (0..100_000).fold(record(), |record, _| record.header("ce_a", "x"));
        assert!(attributes(&same.build(), "fp", &defaults()).is_ok());
    }

    #[test]
    fn times_are_written_as_the_standard_has_them() {
        for (millis, expected) in [
            (0, Some("1970-01-01T00:00:00.000Z")),
            (-1, Some("1969-12-31T23:59:59.999Z")),
            (253_402_300_799_999, Some("9999-12-31T23:59:59.999Z")),
            (253_402_300_800_000, None),
            (i64::MAX, None),
            (i64::MIN, None),
        ] {
            assert_eq!(written(millis).as_deref(), expected, "{millis}");
        }
    }

    #[test]
    fn the_content_is_what_its_type_says() {
        let defaults = defaults();
        let kind = |content_type: Option<&str>| {
            let record = record().payload("x");
            let record = match content_type {
                Some(content_type) => record.header("Content-Type", content_type.to_owned()),
                None => record,
            };
            match content(&record.build(), &defaults) {
                Content::Nothing => "nothing".to_owned(),
                Content::Data(content_type, _) => content_type.to_owned(),
                Content::Event(format, content_type, _) => format!("{format:?} event: {content_type}"),
            }
        };
        assert_eq!(kind(None), "application/octet-stream");
        assert_eq!(kind(Some("text/plain")), "text/plain");
        assert_eq!(kind(Some(" text/plain\r\n")), "text/plain");
        for unusable in ["text/plain\r\nhost: x", "text/größe", "a\tb", " "] {
            assert_eq!(kind(Some(unusable)), "application/octet-stream", "{unusable}");
        }
        for (given, expected) in [
            ("Application/CloudEvents+json; x", "Json event: Application/CloudEvents+json; x"),
            (" application/cloudevents+json", "Json event: application/cloudevents+json"),
            ("application/cloudevents", "Json event: application/cloudevents"),
            ("application/cloudevents ; charset=utf-8", "Json event: application/cloudevents ; charset=utf-8"),
            ("application/cloudevents-batch", "Batch event: application/cloudevents-batch"),
            ("application/cloudevents+avro", "Avro event: application/cloudevents+avro"),
            ("application/cloudevents+xml", "Other event: application/cloudevents+xml"),
        ] {
            assert_eq!(kind(Some(given)), expected);
        }
        let events = Defaults { content_type: "application/cloudevents+json".to_owned(), ..defaults.clone() };
        assert!(matches!(content(&record().payload("x").build(), &events), Content::Event(EventFormat::Json, ..)));
        assert!(matches!(content(&record().build(), &defaults), Content::Nothing));
    }

    #[test]
    fn the_key_is_the_fingerprint_or_the_place() {
        let record = record().build();
        assert_eq!(key(&record, Some(&Fingerprint::from_bytes([0xab; 16]))), "ab".repeat(16));
        assert_eq!(key(&record, None), "orders-3-42");
    }
}
