//! Where IDs come from, as one text.

use std::sync::Arc;

use super::problem::{Complaint, Parsed};
use super::values::list;
use crate::id::{CloudEvents, ContentHash, Coordinates, Extract, FirstOf, HeaderId, JsonPointer, RecordKey, ScopeRule};

const WAYS: &str = "choose cloudevents, header:<name>, key, json:<pointer>, content or coordinates";

/// One extractor, or the first of several. `scope` is for those that have none of their own.
pub(super) fn extractor(text: &str, scope: &ScopeRule) -> Parsed<Arc<dyn Extract>> {
    let parts = list(text)?;
    if parts.iter().rev().skip(1).any(|part| *part == "coordinates") {
        return Err(Complaint::with("has coordinates before another way, which is never reached", "write it last"));
    }
    let mut extractors = parts.into_iter().map(|part| one(part, scope.clone()));
    let first = extractors.next().ok_or(Complaint::new("is empty"))??;
    let Some(second) = extractors.next() else { return Ok(first) };
    let mut several = FirstOf::new(first).or(second?);
    for next in extractors {
        several = several.or(next?);
    }
    Ok(Arc::new(several))
}

/// Whether a scope means something beside it.
pub(super) fn takes_a_scope(text: &str) -> bool {
    text.split(',').any(|part| !matches!(part.trim(), "cloudevents" | "coordinates"))
}

fn one(part: &str, scope: ScopeRule) -> Parsed<Arc<dyn Extract>> {
    let (kind, rest) = part.split_once(':').map_or((part, None), |(kind, rest)| (kind, Some(rest)));
    Ok(match (kind, rest) {
        ("cloudevents", None) => Arc::new(CloudEvents::new()),
        ("key", None) => Arc::new(RecordKey::new().scope(scope)),
        ("content", None) => Arc::new(ContentHash::new().scope(scope)),
        ("coordinates", None) => Arc::new(Coordinates),
        ("header", Some(name)) if !name.is_empty() => Arc::new(HeaderId::new(name).scope(scope)),
        ("header", _) => return Err(Complaint::with("names no header", "write header:<name>, such as header:x-id")),
        ("json", Some(pointer)) => {
            let pointer = JsonPointer::new(pointer);
            let wrong = |error: crate::id::InvalidPointer| {
                Complaint::with("holds a JSON pointer that is none", error.to_string())
            };
            Arc::new(pointer.map_err(wrong)?.scope(scope))
        }
        ("json", None) => {
            return Err(Complaint::with("names no place", "write json:<pointer>, such as json:/order/id"));
        }
        _ => return Err(Complaint::with("names a way to find IDs that is not known", WAYS)),
    })
}

/// What IDs are unique in.
pub(super) fn scope(text: &str) -> Parsed<ScopeRule> {
    match text.split_once(':') {
        None if text == "topic" => Ok(ScopeRule::Topic),
        Some(("header", name)) if !name.is_empty() => Ok(ScopeRule::Header(name.into())),
        Some(("name", name)) if !name.is_empty() => Ok(ScopeRule::Name(name.into())),
        _ => Err(Complaint::with("is not a scope", "write topic, header:<name> or name:<text>")),
    }
}
