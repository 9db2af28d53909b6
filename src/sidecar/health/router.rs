//! What probes and scrapes ask for.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderValue, StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;

use super::Health;
use crate::telemetry::scrape;

/// Prometheus' text format.
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// `/health`, `/ready` and, where metrics are kept, `/metrics`.
pub fn router(health: Arc<Health>, metrics: Option<PrometheusHandle>) -> Router {
    let router =
        Router::new().route("/health", get(|| async { "alive\n" })).route("/ready", get(ready)).with_state(health);
    match metrics {
        Some(metrics) => router.merge(Router::new().route("/metrics", get(render)).with_state(metrics)),
        None => router,
    }
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    let report = health.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(report)).into_response()
}

async fn render(State(metrics): State<PrometheusHandle>) -> Response {
    // Rendering waits for counts under way and takes a millisecond or so: not on a thread that others need.
    match tokio::task::spawn_blocking(move || scrape(|| metrics.render())).await {
        Ok(text) => ([(header::CONTENT_TYPE, PROMETHEUS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
