//! The calls about partitions that stand stopped: try the record again, or skip it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::api::{control, readable_reason};
use super::body::Body;
use super::clock::span;
use super::state::{AdminState, Target, TargetCondition};
use super::views::PartitionView;
use crate::consumer::Control;
use crate::engine::Skippable;
use crate::observe::Outcome;
use crate::record::{Offset, TopicPartition};
use crate::sidecar::listen::Problem;
use crate::sidecar::naming::Place;

/// How long a call waits for the consumer, and for the store that has to record a skip.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    topic: Option<String>,
    partition: Option<i32>,
}

/// Tries the records again at which partitions stand stopped.
pub(super) async fn retry(
    State(state): State<Arc<AdminState>>,
    Body(body): Body<Retry>,
) -> Result<Json<Value>, Problem> {
    let control = control(&state)?;
    let partition = match (body.topic, body.partition) {
        (Some(topic), Some(partition)) => Some(TopicPartition::new(topic, partition)),
        (None, None) => None,
        _ => return Err(Problem::bad_request("name topic and partition, or neither to try all that are stopped")),
    };
    let reopened = partition.is_none() && state.target.as_ref().is_some_and(|target| reopen(target, control));
    let stopped = timeout(PATIENCE, control.retry(partition.clone())).await.map_err(|_| no_answer())?;
    if let (Some(partition), true) = (partition, stopped.is_empty()) {
        let says =
            format!("{partition} does not stand stopped at a record in this process, so there is nothing to try");
        return Err(Problem::new(StatusCode::CONFLICT, says));
    }
    let retried = stopped.into_iter().map(PartitionView::from).filter_map(|part| {
        let stop = part.stopped?;
        tracing::warn!(
            topic = part.topic,
            partition = part.partition,
            offset = stop.offset,
            reason = stop.reason,
            "an operator has the record tried again at which its partition stands stopped"
        );
        Some(json!({ "topic": part.topic, "partition": part.partition, "offset": stop.offset, "reason": stop.reason }))
    });
    let retried: Vec<Value> = retried.collect();
    Ok(Json(json!({ "retried": retried, "reopened": reopened, "paused": control.paused() })))
}

/// Delivers again to an application that asked for an end of delivery; returns whether it had.
fn reopen(target: &Target, control: &Control) -> bool {
    let gone = target.state().condition == TargetCondition::Gone;
    if gone && target.reopen() {
        tracing::warn!("an operator has messages delivered again to the application, which had asked for an end (410)");
        control.resume();
        return true;
    }
    false
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Skip {
    record: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    confirm: bool,
}

/// Settles a record that cannot be handled, or shows what that would do.
pub(super) async fn skip(State(state): State<Arc<AdminState>>, Body(body): Body<Skip>) -> Result<Json<Value>, Problem> {
    let control = control(&state)?;
    let reason = readable_reason(&body.reason)?;
    let Some(reason) = reason else {
        return Err(Problem::bad_request("give a reason: it stands in the log beside the record that is not handled"));
    };
    let Place { partition, offset } = body
        .record
        .parse()
        .map_err(|error: crate::sidecar::naming::NamingError| Problem::bad_request(error.to_string()))?;
    let found = timeout(PATIENCE, control.skippable(partition.clone(), offset)).await.map_err(|_| no_answer())?;
    let found = found.map_err(|refused| Problem::new(StatusCode::CONFLICT, refused.to_string()))?;
    let mut answer = json!({ "record": record(&found), "says": says(&found), "skipped": false });
    if body.confirm {
        answer["outcome"] = outcome(settle(control, partition, offset, &found, reason).await?).into();
        answer["skipped"] = true.into();
    }
    Ok(Json(answer))
}

async fn settle(
    control: &Control,
    partition: TopicPartition,
    offset: Offset,
    found: &Skippable,
    reason: &str,
) -> Result<Outcome, Problem> {
    let fingerprint = found.fingerprint.map(|fingerprint| fingerprint.to_string());
    let stopped_for = found.stop.as_ref().map(|stop| stop.reason.to_string());
    let asked = timeout(PATIENCE, control.skip(partition.clone(), offset)).await;
    tracing::warn!(
        %partition, offset, fingerprint, reason, stopped_for,
        outcome = match &asked {
            Ok(Ok(settled)) => outcome(*settled),
            Ok(Err(_)) => "refused",
            Err(_) => "under way",
        },
        "an operator skips a record, which is not handled"
    );
    let settled = asked.map_err(|_| {
        let says = "the skip is under way: it is done once the store has recorded it, or another process that has the \
                    message in hand has ended; see the status";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, says)
    })?;
    settled.map_err(|refused| Problem::new(StatusCode::CONFLICT, refused.to_string()))
}

fn no_answer() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the consumer does not answer: see the log")
}

/// What a record is: where it lies, and its sizes, but neither its key nor its payload.
fn record(found: &Skippable) -> Value {
    let record = &found.record;
    json!({
        "topic": record.topic(),
        "partition": record.partition().partition(),
        "offset": record.offset(),
        "timestamp": record.timestamp(),
        "key_bytes": record.key().map(|key| key.len()),
        "payload_bytes": record.payload().map(|payload| payload.len()),
        "headers": record.headers().len(),
        "fingerprint": found.fingerprint.map(|fingerprint| fingerprint.to_string()),
        "attempts": found.attempts,
        "stopped": found.stop.as_ref().map(|stop| json!({
            "cause": stop.cause.name(), "reason": &*stop.reason, "answered": stop.answered.as_deref(),
        })),
    })
}

/// What a skip would do, for people.
fn says(found: &Skippable) -> String {
    let mut says = match (&found.stop, found.next_attempt) {
        (Some(stop), _) => format!("Its partition has stood stopped at it for {}: {}. ", span(stop.since), stop.reason),
        (None, Some(wait)) => format!("It waits {} for its next attempt. ", span(wait)),
        (None, None) => String::new(),
    };
    says.push_str("A skip settles this record alone, without handling it, and its partition goes on behind it. ");
    let recorded = match found.fingerprint {
        Some(_) => {
            "Its ID is recorded as done, so its duplicates are dropped, too; hapax forget undoes that for copies that \
                    come later."
        }
        None => "It has no ID, so nothing is recorded of it; a duplicate of it would be handled.",
    };
    says + recorded
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        // It was handled elsewhere while the skip waited.
        Outcome::Duplicate => "duplicate",
        _ => "skipped_by_operator",
    }
}
