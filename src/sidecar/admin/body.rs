//! Bodies of requests.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use crate::sidecar::listen::Problem;

/// A body in JSON, of a request that says so. Nothing at all is read as `{}`.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send the header Content-Type: application/json; without it a web page could make this call",
            ));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Problem::new(rejection.status(), "the body could not be read to its end"))?;
        let text = if bytes.is_empty() { &b"{}"[..] } else { &bytes[..] };
        serde_json::from_slice(text).map(Self).map_err(|problem| {
            // Only where, and of what kind: the text around it may hold an ID.
            let kind = match problem.classify() {
                serde_json::error::Category::Data => "is not what this call takes",
                _ => "is not JSON",
            };
            let (line, column) = (problem.line(), problem.column());
            let says =
                format!("the body {kind}, at line {line} column {column}; see the table of calls for its fields");
            Problem::new(StatusCode::BAD_REQUEST, says)
        })
    }
}

fn is_json(request: &Request) -> bool {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next()).map(str::trim);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}
