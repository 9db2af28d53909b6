//! The paths of the pull API.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use super::state::PullState;
use super::{claim, complete, openapi, release, renew};

/// The pull API. Put it behind [`guarded`](crate::sidecar::listen::guarded), which limits bodies and refuses strangers.
pub fn router(state: Arc<PullState>) -> Router {
    Router::new()
        .route("/v1/claim", post(claim::claim))
        .route("/v1/complete", post(complete::complete))
        .route("/v1/release", post(release::release))
        .route("/v1/renew", post(renew::renew))
        .route("/openapi.json", get(openapi::document))
        // The listener has read the body already, within the limit that was set.
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}
