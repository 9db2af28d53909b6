//! JSON documents in payloads.
//!
//! A document is read once, from its first byte to its last. Nothing is built of it, so the cost is that of reading, and
//! neither a deep nor a large document can exhaust the stack or the memory.

use bytes::Bytes;
use serde::de::DeserializeSeed;

use crate::record::Record;

use super::{IdProblem, media_type};

/// The bytes that the serializers of a schema registry write before a payload: a zero and a four-byte schema ID.
const REGISTRY_PREFIX: usize = 5;
/// What a string's problem is where [`string`] finds none.
pub(super) const BAD_ESCAPE: &str = "is a string with an escape that stands for no character";

/// Reads the payload as one JSON document; returns what `seed` makes of it, and the payload that it borrows from.
///
/// # Errors
///
/// A null payload is [`IdProblem::Null`], an empty one [`IdProblem::Unread`], all else that is not JSON
/// [`IdProblem::Invalid`].
pub(super) fn read<'r, S: DeserializeSeed<'r>>(
    record: &'r Record,
    seed: S,
) -> Result<(S::Value, &'r Bytes), IdProblem> {
    let payload = record.payload().ok_or_else(|| IdProblem::Null { part: "payload".into() })?;
    if payload.is_empty() {
        return Err(IdProblem::Unread { part: "payload".into(), problem: "is empty, which is not valid JSON" });
    }
    let document = json(payload);
    let registered = document.len() < payload.len();
    let value = parse(document, seed).map_err(|problem| IdProblem::Invalid {
        part: "payload".into(),
        problem: match other_format(record, payload, registered) {
            Some(format) => format!(
                "is {format}, which the rules for IDs do not read: take the ID from a header or the record key, or take \
                 a hash of the content"
            ),
            None if registered => format!("{problem}, behind the five bytes of a schema registry"),
            None => problem,
        },
    })?;
    Ok((value, payload))
}

/// Where the JSON of a payload begins: behind the prefix of a schema registry, where there is one. No JSON document begins
/// with a zero byte, so the prefix cannot be mistaken.
pub(crate) fn json(payload: &[u8]) -> &[u8] {
    match payload.starts_with(&[0]) {
        true => payload.get(REGISTRY_PREFIX..).unwrap_or(payload),
        false => payload,
    }
}

fn parse<'r, S: DeserializeSeed<'r>>(document: &'r [u8], seed: S) -> Result<S::Value, String> {
    // Checked here, because what is skipped is not looked at closely enough to notice.
    let text =
        std::str::from_utf8(document).map_err(|error| format!("is not UTF-8 (after byte {})", error.valid_up_to()))?;
    // The error is dropped but for its place, because its text may quote the payload.
    let place =
        |error: serde_json::Error| format!("is not valid JSON (line {}, column {})", error.line(), error.column());
    let mut document = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut document).map_err(place)?;
    document.end().map_err(place)?;
    Ok(value)
}

/// Which format a payload is of that is not JSON, where it can be known.
fn other_format(record: &Record, payload: &[u8], registered: bool) -> Option<&'static str> {
    let named = media_type::schema_format(record);
    if !registered {
        // The markers of Avro's single-object encoding and of its files.
        let avro = payload.starts_with(b"\xc3\x01") || payload.starts_with(b"Obj\x01");
        return if avro { Some("Avro") } else { named };
    }
    // Neither byte is the first of an Avro string or of Protobuf's list of indexes: both are odd, which stands for a
    // negative number there.
    let json = payload.get(REGISTRY_PREFIX..).is_some_and(|rest| matches!(rest.trim_ascii_start(), [b'{' | b'[', ..]));
    if json { None } else { Some(named.unwrap_or("Avro or Protobuf of a schema registry")) }
}

/// A JSON string as it is written, without quotes and escapes; shares the payload's buffer unless it has escapes. `None`
/// where an escape stands for no character.
pub(super) fn string(written: &str, payload: &Bytes) -> Option<Bytes> {
    match written.contains('\\') {
        true => serde_json::from_str::<String>(written).ok().map(Bytes::from),
        // `slice_ref` wants a part of the same buffer; the value was borrowed from it.
        false => Some(payload.slice_ref(written.trim_matches('"').as_bytes())),
    }
}
