//! `POST /v1/release`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use tokio::time::Instant;

use super::call::{self, ASKING};
use super::items::{self, Answer, GivenBack as Wire, Item, ItemsCall, Outcome};
use super::memory::Released;
use super::state::PullState;
use crate::observe::FailureKind;
use crate::sidecar::listen::Problem;
use crate::store::{self, GivenBack, Lease, Release, ReleaseOutcome, StoreError};

pub(super) async fn release(State(state): State<Arc<PullState>>, body: Bytes) -> Result<Response, Problem> {
    let call: ItemsCall<Wire> = items::read(&body)?;
    let leases = items::leases(&call.items, None, &state.settings)?;
    let releases = call.items.iter().zip(leases).map(|(item, lease)| wish(&state, item, lease)).collect();
    let running = run(Arc::clone(&state), releases);
    let ends = call::to_its_end(&state, running).await?;
    let results: Vec<_> = call.items.iter().zip(ends).map(|(item, end)| end.answer(item)).collect();
    Ok(call::respond(call::status(&results), results))
}

/// How one release ended.
enum End {
    Released,
    Stale(Option<store::State>),
    Unknown(StoreError),
}

impl End {
    fn answer(self, item: &Wire) -> Answer<'_> {
        let answer = Answer { name: item.name(), ..Answer::default() };
        match self {
            Self::Released => Answer { status: "released", ..answer },
            Self::Stale(state) => Answer { status: "stale", state: Some(call::in_words(state.as_ref())), ..answer },
            Self::Unknown(error) => Answer { status: "unknown", reason: Some(call::reason(&error)), ..answer },
        }
    }
}

/// What the store is asked. The count of a failed attempt is that of its claim: as it was answered here, or as the caller
/// remembers it. The store never lowers a count.
fn wish(state: &PullState, item: &Wire, lease: Lease) -> Release {
    let given_back = match item.outcome {
        Outcome::Unstarted => GivenBack::Unstarted,
        Outcome::Failed => {
            let known = state.memory.held(&lease).and_then(|held| held.attempt);
            GivenBack::Failed { attempts: known.or(item.attempt).unwrap_or(1).max(1) }
        }
    };
    Release { lease, given_back }
}

async fn run(state: Arc<PullState>, releases: Vec<Release>) -> Vec<End> {
    // Noted before anything is sent: from now on the tokens claim nothing any more.
    let before: Vec<Option<Released>> = releases.iter().map(|release| state.memory.release(release.lease)).collect();
    let send = |releases: &[&Release]| state.store.release(releases.iter().map(|release| (*release).clone()).collect());
    let answers = call::ask_each(&state, "release", &releases, Instant::now() + ASKING, send).await;
    let mut ends = Vec::with_capacity(releases.len());
    let mut stale = Vec::new();
    for ((release, before), asked) in releases.iter().zip(before).zip(answers) {
        let sent_before = asked.unsure > 0 || matches!(before, Some(Released::Done | Released::Sent));
        ends.push(match asked.answer {
            Ok(ReleaseOutcome::Released) => {
                released(&state, release);
                End::Released
            }
            // The answer to an earlier sending was lost.
            Ok(ReleaseOutcome::NotHeld) if sent_before => {
                state.memory.end_release(release.lease, Released::Done);
                End::Released
            }
            Ok(_) => {
                state.memory.end_release(release.lease, Released::Stale);
                stale.push((ends.len(), release.lease));
                End::Stale(None)
            }
            Err(error) => End::Unknown(error),
        });
    }
    let leases: Vec<Lease> = stale.iter().map(|(_, lease)| *lease).collect();
    for ((n, _), found) in stale.into_iter().zip(call::states(&state, &leases).await) {
        ends[n] = End::Stale(found);
    }
    ends
}

/// Counts a failed attempt, and lets the token go.
fn released(state: &PullState, release: &Release) {
    if let GivenBack::Failed { attempts } = release.given_back {
        let number = state.memory.held(&release.lease).map_or_else(|| state.number(), |held| held.offset);
        state.observer.on_failure(&state.record(number), attempts, FailureKind::Retryable);
    }
    state.memory.end_release(release.lease, Released::Done);
}
