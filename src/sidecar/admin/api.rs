//! The calls.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::Body;
use super::explain::{Around, explain, told};
use super::ids::{AskedId, fingerprints};
use super::state::{AdminState, TargetCondition};
use super::{clock, page, stopped};
use crate::consumer::{Control, wall_clock};
use crate::sidecar::listen::Problem;
use crate::store;

/// The longest reason of a pause or a skip, in bytes.
const LONGEST_REASON: usize = 500;

type Shared = State<Arc<AdminState>>;

/// All calls of the administration, and the status page. Asks nobody who they are: wrap it in what does.
pub fn router(state: Arc<AdminState>) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/v1/status", get(status))
        .route("/v1/partitions", get(partitions))
        .route("/v1/pause", post(pause))
        .route("/v1/resume", post(resume))
        .route("/v1/retry", post(stopped::retry))
        .route("/v1/skip", post(stopped::skip))
        .route("/v1/inspect", post(inspect_ids))
        .route("/v1/explain", post(explain_ids))
        .route("/v1/forget", post(forget_ids))
        .with_state(state)
}

async fn status(State(state): Shared) -> impl IntoResponse {
    ([("cache-control", "no-store")], Json(state.status().await))
}

async fn partitions(State(state): Shared) -> impl IntoResponse {
    ([("cache-control", "no-store")], Json(json!({ "partitions": state.partitions().await })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pause {
    reason: Option<String>,
}

async fn pause(State(state): Shared, Body(body): Body<Pause>) -> Result<Json<Value>, Problem> {
    let control = control(&state)?;
    let reason = body.reason.unwrap_or_default();
    let reason = readable_reason(&reason)?.unwrap_or("no reason was given");
    tracing::warn!(reason, "paused by an operator: no handler starts until it is resumed");
    control.pause(reason);
    Ok(Json(json!({ "paused": reason })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resume {}

async fn resume(State(state): Shared, Body(Resume {}): Body<Resume>) -> Result<Json<Value>, Problem> {
    let control = control(&state)?;
    // To say that it goes on would not be true: an application that wanted no more messages is not asked again.
    if state.target.as_ref().is_some_and(|target| target.state().condition == TargetCondition::Gone) {
        let says =
            "the application asked for an end of delivery (410): when it takes messages again, call POST /v1/retry";
        return Err(Problem::new(StatusCode::CONFLICT, says));
    }
    if control.paused().is_some() {
        tracing::warn!("resumed by an operator");
    }
    control.resume();
    Ok(Json(json!({ "paused": null })))
}

/// A reason as it was given, within limits; `None` if there is none.
pub(super) fn readable_reason(reason: &str) -> Result<Option<&str>, Problem> {
    if reason.len() > LONGEST_REASON {
        let says = format!("reason has {} bytes, and may have {LONGEST_REASON}", reason.len());
        return Err(Problem::bad_request(says));
    }
    Ok(Some(reason.trim()).filter(|reason| !reason.is_empty()))
}

pub(super) fn control(state: &AdminState) -> Result<&Control, Problem> {
    state.consumer.as_ref().ok_or_else(|| {
        let says =
            "there is no consumer in this process: the application reads for itself; pause, retry and skip there";
        Problem::new(StatusCode::CONFLICT, says)
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    ids: Vec<AskedId>,
}

async fn inspect_ids(State(state): Shared, Body(body): Body<Ids>) -> Result<Json<Value>, Problem> {
    states(&state, &body.ids, |_, _| {}).await
}

async fn explain_ids(State(state): Shared, Body(body): Body<Ids>) -> Result<Json<Value>, Problem> {
    let around =
        Around { window: state.store.terms().window, compact: state.store.mode() == "compact", now: wall_clock() };
    states(&state, &body.ids, |id, answer| answer["says"] = explain(id, around).into()).await
}

/// Asks for the state of each ID, and lets more be added to each answer.
async fn states(
    state: &AdminState,
    asked: &[AskedId],
    mut add: impl FnMut(&store::State, &mut Value),
) -> Result<Json<Value>, Problem> {
    let ids = read(state, asked)?;
    let answers = state.store.inspect(ids.clone()).await;
    let each = ids.iter().zip(answers).map(|(id, answer)| {
        let mut told = match answer {
            Ok(found) => {
                let mut answer = told(&found);
                add(&found, &mut answer);
                answer
            }
            Err(error) => json!({ "error": error.to_string() }),
        };
        told["fingerprint"] = id.to_string().into();
        told
    });
    Ok(Json(json!({ "ids": each.collect::<Vec<_>>() })))
}

fn read(state: &AdminState, asked: &[AskedId]) -> Result<Vec<crate::id::Fingerprint>, Problem> {
    fingerprints(asked, &state.id_key, state.scope).map_err(Problem::bad_request)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Forget {
    ids: Vec<AskedId>,
    #[serde(default)]
    confirm: bool,
}

async fn forget_ids(State(state): Shared, Body(body): Body<Forget>) -> Result<Json<Value>, Problem> {
    let ids = read(&state, &body.ids)?;
    if !body.confirm {
        let says = "messages with a forgotten ID are handled again when they come again; add \"confirm\": true if that is \
                    what you want";
        return Err(Problem::bad_request(says));
    }
    let answers = state.forget(ids.clone()).await;
    let each = ids.iter().zip(answers).map(|(id, answer)| {
        let fingerprint = id.to_string();
        match answer {
            Ok(forgotten) => {
                tracing::warn!(fingerprint, forgotten, "an operator had an ID forgotten");
                json!({ "fingerprint": fingerprint, "forgotten": forgotten })
            }
            Err(error) => {
                tracing::warn!(fingerprint, %error, "an operator wanted an ID forgotten; the store did not answer");
                json!({ "fingerprint": fingerprint, "error": error.to_string() })
            }
        }
    });
    let ids: Vec<Value> = each.collect();
    let others = format!(
        "other processes of the namespace may remember it in their caches for up to {}",
        clock::span(state.cache_lifetime)
    );
    Ok(Json(json!({ "ids": ids, "note": others })))
}
