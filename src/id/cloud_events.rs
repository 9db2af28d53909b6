//! IDs of CloudEvents.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::record::Record;

use super::media_type::{EventFormat, event_format};
use super::{Extract, HeaderId, IdProblem, Identity, MAX_ID_BYTES, MessageId, Scope, document};

/// The ID is the `id` of a CloudEvent within its `source`, in both of Kafka's modes. The default extractor.
///
/// * *Binary mode*: the headers `ce_id` and `ce_source`, as [`HeaderId::cloud_events`] reads them.
/// * *Structured mode*: where the record has no `ce_id` and its header `content-type` begins with
///   `application/cloudevents`, the attributes `id` and `source` of the JSON in the payload.
///
/// An event has the same identity in both modes, so a producer may change its mode. An event in another format than JSON
/// (Avro, Protobuf), and a batch of events in one record, is [`IdProblem::Unread`].
///
/// # Examples
///
/// ```
/// use hapax::id::{CloudEvents, Extract};
/// use hapax::record::{Record, TopicPartition};
///
/// let record = || Record::builder(TopicPartition::new("orders", 0), 7);
/// let binary = record().header("ce_id", "1").header("ce_source", "/shop").build();
/// let structured = record()
///     .header("content-type", "application/cloudevents+json; charset=UTF-8")
///     .payload(r#"{"specversion": "1.0", "id": "1", "source": "/shop", "type": "placed"}"#)
///     .build();
/// assert_eq!(CloudEvents::new().extract(&binary)?, CloudEvents::new().extract(&structured)?);
/// # Ok::<(), hapax::id::IdProblem>(())
/// ```
#[derive(Clone, Debug)]
pub struct CloudEvents {
    binary: HeaderId,
}

impl CloudEvents {
    /// Events in both modes.
    pub fn new() -> Self {
        Self { binary: HeaderId::cloud_events() }
    }
}

impl Default for CloudEvents {
    fn default() -> Self {
        Self::new()
    }
}

impl Extract for CloudEvents {
    fn extract(&self, record: &Record) -> Result<Identity, IdProblem> {
        match self.binary.extract(record) {
            Err(absent) if absent.is_absent() => match event_format(record)? {
                Some(format) => structured(record, format),
                None => Err(absent),
            },
            found => found,
        }
    }

    /// The rule of [`HeaderId::cloud_events`]: what that finds is found here, too, and is the same.
    fn rule(&self) -> String {
        self.binary.rule()
    }
}

/// Whether an identity is the ID of a CloudEvent without its source: events of two sources with one ID are then one.
#[cfg(any(feature = "kafka", test))]
pub(crate) fn leaves_source_out(record: &Record, identity: &Identity) -> bool {
    let of_source = matches!(identity.scope, Scope::Header(_));
    !of_source && CloudEvents::new().extract(record).is_ok_and(|event| event.id == identity.id)
}

/// Whether a record looks like a CloudEvent in either mode.
#[cfg(feature = "kafka")]
pub(crate) fn is_event(record: &Record) -> bool {
    record.header_values("ce_id").next().is_some() || !matches!(event_format(record), Ok(None))
}

fn structured(record: &Record, format: EventFormat) -> Result<Identity, IdProblem> {
    let problem = match format {
        EventFormat::Json => return of_json(record),
        EventFormat::Batch => {
            "is a batch of CloudEvents, which cannot be handled once each: let the producer write one event per record, \
             or take the record key or a hash of the content for the whole batch"
        }
        EventFormat::Avro => {
            "is a CloudEvent in Avro, which is not read: let the producer use JSON or binary mode, or take the ID from a \
             header or the record key, or take a hash of the content"
        }
        EventFormat::Protobuf => {
            "is a CloudEvent in Protobuf, which is not read: let the producer use JSON or binary mode, or take the ID \
             from a header or the record key, or take a hash of the content"
        }
        EventFormat::Other => {
            "is a CloudEvent in a format that is not read: let the producer use JSON or binary mode, or take the ID from \
             a header or the record key, or take a hash of the content"
        }
    };
    Err(IdProblem::Unread { part: "payload".into(), problem })
}

const ID: &str = "id of the structured CloudEvent";
const SOURCE: &str = "source of the structured CloudEvent";

fn of_json(record: &Record) -> Result<Identity, IdProblem> {
    let invalid = |part: &str, problem: &str| IdProblem::Invalid { part: part.into(), problem: problem.to_owned() };
    let (event, payload) = document::read(record, Event)?;
    let Some(Attributes { id, source }) = event else { return Err(invalid("payload", "is not one CloudEvent")) };
    let id = match id {
        Attribute::Missing => return Err(IdProblem::Missing { part: ID.into() }),
        Attribute::Repeated => return Err(IdProblem::Repeated { part: ID.into() }),
        Attribute::Value("null") => return Err(IdProblem::Null { part: ID.into() }),
        Attribute::Value(value) if value.starts_with('"') => document::string(value, payload),
        Attribute::Value(_) => return Err(invalid(ID, "is not a string")),
    };
    let id = MessageId::new(id.ok_or_else(|| invalid(ID, document::BAD_ESCAPE))?)?;
    let scope = scope(source, payload).map_err(|problem| IdProblem::NoScope { part: SOURCE.into(), problem })?;
    Ok(Identity::new(Scope::Header(scope), id))
}

/// The same bytes as in the header `ce_source`, with the same bounds.
fn scope(source: Attribute<'_>, payload: &Bytes) -> Result<Bytes, &'static str> {
    let source = match source {
        Attribute::Missing => return Err("is missing"),
        Attribute::Repeated => return Err("occurs more than once"),
        Attribute::Value("null") => return Err("is null"),
        Attribute::Value(value) if value.starts_with('"') => {
            document::string(value, payload).ok_or(document::BAD_ESCAPE)?
        }
        Attribute::Value(_) => return Err("is not a string"),
    };
    match source.len() {
        0 => Err("is empty"),
        length if length > MAX_ID_BYTES => Err("is longer than an ID may be"),
        _ => Ok(source),
    }
}

/// An attribute, as it is written.
#[derive(Clone, Copy)]
enum Attribute<'de> {
    Missing,
    Value(&'de str),
    Repeated,
}

/// What identifies an event.
struct Attributes<'de> {
    id: Attribute<'de>,
    source: Attribute<'de>,
}

/// Reads one event; `None` where the document is no object.
struct Event;

impl<'de> DeserializeSeed<'de> for Event {
    type Value = Option<Attributes<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<Self::Value, D::Error> {
        document.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Event {
    type Value = Option<Attributes<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut event = Attributes { id: Attribute::Missing, source: Attribute::Missing };
        while let Some(name) = object.next_key_seed(Name)? {
            let attribute = match name {
                Some(Known::Id) => &mut event.id,
                Some(Known::Source) => &mut event.source,
                None => {
                    object.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let value = object.next_value::<&RawValue>()?.get();
            *attribute = match attribute {
                Attribute::Missing => Attribute::Value(value),
                Attribute::Value(_) | Attribute::Repeated => Attribute::Repeated,
            };
        }
        Ok(Some(event))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

enum Known {
    Id,
    Source,
}

/// Reads the name of an attribute, its escapes resolved.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<Known>;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Self::Value, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<Known>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(match name {
            "id" => Some(Known::Id),
            "source" => Some(Known::Source),
            _ => None,
        })
    }
}
