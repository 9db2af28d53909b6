//! `POST /v1/renew`, and the renewal that every completion begins with.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use tokio::time::Instant;

use super::call::{self, ASKING};
use super::items::{self, Answer, Held, Item, ItemsCall};
use super::state::{PullState, millis};
use crate::sidecar::listen::Problem;
use crate::store::{Lease, RenewOutcome, StoreError};

pub(super) async fn renew(State(state): State<Arc<PullState>>, body: Bytes) -> Result<Response, Problem> {
    let call: ItemsCall<Held> = items::read(&body)?;
    let leases = items::leases(&call.items, None, &state.settings)?;
    let sent_at = Instant::now();
    let answers = renewed(&state, &leases).await;
    let stale = leases.iter().zip(&answers).filter(|(_, answer)| matches!(answer, Ok(RenewOutcome::NotHeld)));
    let stale: Vec<Lease> = stale.map(|(lease, _)| *lease).collect();
    let mut states = call::states(&state, &stale).await.into_iter();
    let left = state.relied_on().saturating_sub(sent_at.elapsed());
    let results = call.items.iter().zip(answers).map(|(item, answer)| {
        let result = Answer { name: item.name(), ..Answer::default() };
        match answer {
            Ok(RenewOutcome::Renewed) => Answer { status: "renewed", lease_ms: Some(millis(left)), ..result },
            Ok(_) => {
                Answer { status: "stale", state: Some(call::in_words(states.next().flatten().as_ref())), ..result }
            }
            Err(error) => Answer { status: "unknown", reason: Some(call::reason(&error)), ..result },
        }
    });
    let results: Vec<_> = results.collect();
    Ok(call::respond(call::status(&results), results))
}

/// Renews leases, asking again for a while.
pub(super) async fn renewed(state: &PullState, leases: &[Lease]) -> Vec<Result<RenewOutcome, StoreError>> {
    let renew = |leases: &[&Lease]| state.store.renew(leases.iter().map(|lease| **lease).collect());
    let asked = call::ask_each(state, "renew", leases, Instant::now() + ASKING, renew).await;
    asked.into_iter().map(|asked| asked.answer).collect()
}
