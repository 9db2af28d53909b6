//! The description of the API.

use axum::response::{IntoResponse, Response};
use http::header;

/// OpenAPI 3.1. A test validates real answers against it.
const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
