//! What callers send and get, in JSON.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{PullSettings, base64, token};
use crate::id::{Identity, MAX_ID_BYTES, MessageId, Scope};
use crate::sidecar::listen::Problem;
use crate::store::Lease;

/// The scope of IDs that name none.
const SCOPE: &str = "default";

/// The body of a claim.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimCall {
    pub(super) ids: Vec<Wanted>,
    pub(super) token: Option<String>,
    #[serde(default)]
    pub(super) wait_ms: u64,
}

/// An ID that is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    id: Option<String>,
    id_base64: Option<String>,
    scope: Option<String>,
}

/// The body of every other call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, bound = "T: DeserializeOwned")]
pub(super) struct ItemsCall<T> {
    pub(super) items: Vec<T>,
}

/// An ID that is held.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Held {
    id: Option<String>,
    id_base64: Option<String>,
    scope: Option<String>,
    token: String,
}

/// An ID that is given back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GivenBack {
    id: Option<String>,
    id_base64: Option<String>,
    scope: Option<String>,
    token: String,
    pub(super) outcome: Outcome,
    /// As the claim's answer told it: for a sidecar that was started again since.
    pub(super) attempt: Option<u32>,
}

/// What became of a claim that is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Failed,
    Unstarted,
}

/// What every item has: an ID in its scope, as the caller wrote it.
pub(super) trait Item: DeserializeOwned {
    fn name(&self) -> Name<'_>;
    /// The caller's token, where the item has one of its own.
    fn token(&self) -> Option<&str>;
}

macro_rules! items {
    ($($item:ty: $self:ident => $token:expr;)*) => {
        $(impl Item for $item {
            fn name(&self) -> Name<'_> {
                Name { id: self.id.as_deref(), id_base64: self.id_base64.as_deref(), scope: self.scope.as_deref() }
            }

            fn token(&$self) -> Option<&str> {
                $token
            }
        })*
    };
}

items! {
    Wanted: self => None;
    Held: self => Some(&self.token);
    GivenBack: self => Some(&self.token);
}

/// An ID as the caller wrote it, and as answers repeat it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Name<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_base64: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

impl Name<'_> {
    pub(super) fn identity(&self) -> Result<Identity, String> {
        let id = match (self.id, self.id_base64) {
            (Some(id), None) => MessageId::new(id.to_owned()),
            (None, Some(id)) => {
                let bytes = base64::decode(id).ok_or("id_base64 is not padded base64 of the usual alphabet")?;
                MessageId::new(bytes)
            }
            _ => return Err("write either id or id_base64".to_owned()),
        };
        let scope = self.scope.unwrap_or(SCOPE);
        if scope.is_empty() || scope.len() > MAX_ID_BYTES {
            return Err(format!("a scope has 1 to {MAX_ID_BYTES} bytes; leave it out for the default one"));
        }
        Ok(Identity::new(Scope::Name(Arc::from(scope)), id.map_err(|problem| problem.to_string())?))
    }
}

/// What is answered for one item.
#[derive(Debug, Default, Serialize)]
pub(super) struct Answer<'a> {
    #[serde(flatten)]
    pub(super) name: Name<'a>,
    pub(super) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) suspect: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lease_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remaining_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) overrun: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) possible_overrun: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Cow<'static, str>>,
}

/// The body of every answer.
#[derive(Debug, Serialize)]
pub(super) struct Answers<'a> {
    pub(super) results: Vec<Answer<'a>>,
}

/// Reads a body.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::bad_request(format!("the body cannot be read: {error}; GET /openapi.json describes it"))
    })
}

/// The leases that the items name, in their order; `token` is for those that have none of their own.
///
/// # Errors
///
/// 413 for too many items, 400 for one that names no ID or a wrong token, or the same ID twice.
pub(super) fn leases<T: Item>(
    items: &[T],
    token: Option<&str>,
    settings: &PullSettings,
) -> Result<Vec<Lease>, Problem> {
    if items.len() > settings.max_ids {
        let detail =
            format!("{} IDs in one call, more than the {} allowed; send several calls", items.len(), settings.max_ids);
        return Err(Problem::new(http::StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    if items.is_empty() {
        return Err(Problem::bad_request("the call names no ID"));
    }
    let mut seen = std::collections::HashMap::with_capacity(items.len());
    let mut leases = Vec::with_capacity(items.len());
    for (n, item) in items.iter().enumerate() {
        let wrong = |problem: String| Problem::bad_request(format!("item {n}: {problem}"));
        let identity = item.name().identity().map_err(wrong)?;
        let text = item.token().or(token).unwrap_or_default();
        let token = token::of_text(text).map_err(|problem| wrong(problem.to_owned()))?;
        let fingerprint = settings.id_key.fingerprint(&identity);
        if let Some(before) = seen.insert(fingerprint, n) {
            return Err(wrong(format!("the same ID as item {before}; one call may name each ID once")));
        }
        leases.push(Lease { fingerprint, token });
    }
    Ok(leases)
}
