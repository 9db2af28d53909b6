//! What a record's header `content-type` states.

use crate::record::Record;

use super::IdProblem;

/// What the content types of all CloudEvents in structured mode begin with.
const CLOUD_EVENTS: &str = "application/cloudevents";

/// The format of a CloudEvent in structured mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventFormat {
    /// One event in JSON.
    Json,
    /// Several events in one payload.
    Batch,
    /// One event in Avro.
    Avro,
    /// One event in Protobuf.
    Protobuf,
    /// One event in any other format.
    Other,
}

/// The format of the CloudEvent that a record holds in structured mode; `None` where it holds none.
///
/// # Errors
///
/// [`IdProblem::Repeated`] where the record has several content types and they disagree.
pub(super) fn event_format(record: &Record) -> Result<Option<EventFormat>, IdProblem> {
    let mut types = content_types(record).map(event_format_of);
    let Some(first) = types.next() else { return Ok(None) };
    match types.all(|other| other == first) {
        true => Ok(first),
        false => Err(IdProblem::Repeated { part: "header content-type".into() }),
    }
}

/// The values of the header, however its name is written; those that are no text are left out.
fn content_types(record: &Record) -> impl Iterator<Item = &str> {
    let named = record.headers().iter().filter(|header| header.name.eq_ignore_ascii_case("content-type"));
    named.filter_map(|header| std::str::from_utf8(header.value.as_ref()?).ok())
}

/// The format that a media type names, with or without parameters and spaces around it; `None` where it is none of a
/// CloudEvent in structured mode.
pub(crate) fn event_format_of(text: &str) -> Option<EventFormat> {
    // Parameters such as the charset follow a semicolon.
    let essence = text.split(';').next().unwrap_or_default().trim();
    let (start, format) = essence.split_at_checked(CLOUD_EVENTS.len())?;
    if !start.eq_ignore_ascii_case(CLOUD_EVENTS) {
        return None;
    }
    let is = |name: &str| format.eq_ignore_ascii_case(name);
    let batch = format.get(.."-batch".len()).is_some_and(|start| start.eq_ignore_ascii_case("-batch"));
    Some(match () {
        // JSON is the format that every implementation has, so it is meant where none is named.
        () if format.is_empty() || is("+json") => EventFormat::Json,
        () if batch => EventFormat::Batch,
        () if is("+avro") => EventFormat::Avro,
        () if is("+protobuf") => EventFormat::Protobuf,
        () => EventFormat::Other,
    })
}

/// The format with a schema that a content type names, for payloads that are not JSON.
pub(super) fn schema_format(record: &Record) -> Option<&'static str> {
    content_types(record).find_map(|text| {
        let text = text.to_ascii_lowercase();
        match () {
            () if text.contains("avro") => Some("Avro"),
            () if text.contains("protobuf") => Some("Protobuf"),
            () => None,
        }
    })
}
