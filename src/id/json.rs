//! IDs within JSON payloads.
//!
//! The document is read along the pointer's path. All other values are checked and skipped.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::record::Record;

use super::extract::quoted;
use super::identity::Kind;
use super::pointer::{self, Step};
use super::{Extract, IdProblem, Identity, InvalidPointer, MessageId, ScopeRule, document};

/// The ID is a string or an integer in a JSON payload, at a JSON pointer (RFC 6901).
///
/// The whole payload must be one valid JSON document in UTF-8. A path that ends early, in a scalar or a null on the way
/// or an array that is too short, is [`IdProblem::Missing`]; a null at its end is [`IdProblem::Null`]; a null payload is
/// [`IdProblem::Null`] too, and an empty payload is [`IdProblem::Unread`]. The rules for numbers and repeated keys are
/// [the room's](super).
///
/// The JSON may stand behind the five bytes that the serializers of a schema registry write: a zero and a four-byte
/// schema ID. Avro and Protobuf behind them are not read.
///
/// The ID shares the record's buffer, unless it is a string with escapes: whoever keeps it keeps the payload in memory.
///
/// # Examples
///
/// ```
/// use hapax::id::{Extract, JsonPointer};
/// use hapax::record::{Record, TopicPartition};
///
/// let extractor = JsonPointer::new("/order/id")?;
/// let record =
///     Record::builder(TopicPartition::new("orders", 0), 7).payload(r#"{"order": {"id": "a7", "sum": 12.5}}"#).build();
/// assert_eq!(extractor.extract(&record)?.id.as_bytes(), b"a7");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct JsonPointer {
    pointer: Arc<str>,
    part: Arc<str>,
    steps: Arc<[Step]>,
    scope: ScopeRule,
}

impl JsonPointer {
    /// The value at `pointer`, such as `/order/id`, with the topic as its scope. The empty pointer is the whole payload.
    ///
    /// # Errors
    ///
    /// [`InvalidPointer`] says what is wrong with the pointer.
    pub fn new(pointer: &str) -> Result<Self, InvalidPointer> {
        let steps = pointer::parse(pointer)?.into();
        let part = format!("payload at JSON pointer {}", quoted(pointer)).into();
        Ok(Self { pointer: pointer.into(), part, steps, scope: ScopeRule::Topic })
    }

    /// Chooses what the ID is unique in.
    #[must_use]
    pub fn scope(mut self, scope: ScopeRule) -> Self {
        self.scope = scope;
        self
    }

    fn invalid(&self, problem: impl Into<String>) -> IdProblem {
        IdProblem::Invalid { part: Arc::clone(&self.part), problem: problem.into() }
    }

    /// Makes an ID of a value as it is written in `payload`.
    fn read(&self, value: &str, payload: &Bytes) -> Result<MessageId, IdProblem> {
        match value.as_bytes().first() {
            Some(b'"') => match document::string(value, payload) {
                Some(text) => MessageId::new(text),
                None => Err(self.invalid(document::BAD_ESCAPE)),
            },
            Some(b'n') => Err(IdProblem::Null { part: Arc::clone(&self.part) }),
            Some(b't' | b'f') => Err(self.invalid("is a boolean; an ID is a string or an integer")),
            Some(b'[') => Err(self.invalid("is an array; an ID is a string or an integer")),
            Some(b'{') => Err(self.invalid("is an object; an ID is a string or an integer")),
            // JSON knows neither leading zeros nor a plus sign, so `-0` is the only second spelling of an integer.
            _ if value != "-0" && (value.parse::<u64>().is_ok() || value.parse::<i64>().is_ok()) => {
                Ok(MessageId::of_kind(Kind::Number, payload.slice_ref(value.as_bytes())))
            }
            _ => Err(self.invalid(
                "is a number that has several spellings or loses digits; only integers from -2^63 to 2^64-1, in plain \
                 digits, are IDs: send greater ones as strings",
            )),
        }
    }
}

impl Extract for JsonPointer {
    fn extract(&self, record: &Record) -> Result<Identity, IdProblem> {
        let (found, payload) = document::read(record, Path(&self.steps))?;
        let id = match found {
            Found::Value(value) => self.read(value, payload)?,
            Found::Nothing => return Err(IdProblem::Missing { part: Arc::clone(&self.part) }),
            Found::Repeated => return Err(IdProblem::Repeated { part: Arc::clone(&self.part) }),
        };
        Ok(Identity::new(self.scope.scope_of(record)?, id))
    }

    fn rule(&self) -> String {
        format!("json {} ({})", quoted(&self.pointer), self.scope)
    }
}

/// What lies at the end of a path.
enum Found<'de> {
    /// The value, as it is written.
    Value(&'de str),
    /// The path ends early.
    Nothing,
    /// A key on the path occurs twice in its object.
    Repeated,
}

/// Follows a path through the next value of a document, and reads that value to its end.
struct Path<'p>(&'p [Step]);

impl<'de> DeserializeSeed<'de> for Path<'_> {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Found<'de>, D::Error> {
        match self.0.split_first() {
            None => <&RawValue>::deserialize(value).map(|raw| Found::Value(raw.get())),
            Some((step, rest)) => value.deserialize_any(Enter { step, rest: Path(rest) }),
        }
    }
}

/// Takes one step into the next value.
struct Enter<'p> {
    step: &'p Step,
    rest: Path<'p>,
}

impl<'de> Visitor<'de> for Enter<'_> {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Found<'de>, A::Error> {
        let mut found = None;
        while let Some(here) = object.next_key_seed(Is(&self.step.name))? {
            if !here {
                object.next_value::<IgnoredAny>()?;
            } else if found.is_none() {
                found = Some(object.next_value_seed(Path(self.rest.0))?);
            } else {
                object.next_value::<IgnoredAny>()?;
                found = Some(Found::Repeated);
            }
        }
        Ok(found.unwrap_or(Found::Nothing))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Found<'de>, A::Error> {
        let mut found = Found::Nothing;
        for index in 0.. {
            if Some(index) == self.step.index {
                match array.next_element_seed(Path(self.rest.0))? {
                    Some(value) => found = value,
                    None => break,
                }
            } else if array.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    // A path does not lead through scalars.

    fn visit_unit<E>(self) -> Result<Found<'de>, E> {
        Ok(Found::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found<'de>, E> {
        Ok(Found::Nothing)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found<'de>, E> {
        Ok(Found::Nothing)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Found<'de>, E> {
        Ok(Found::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found<'de>, E> {
        Ok(Found::Nothing)
    }

    fn visit_str<E>(self, _: &str) -> Result<Found<'de>, E> {
        Ok(Found::Nothing)
    }
}

/// Reads an object's key and tells whether it is this one, its escapes resolved.
struct Is<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<bool, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}
