//! What all calls do alike: ask the store again for a while, tell why a token is stale, and choose a status.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use http::{HeaderValue, StatusCode, header};
use rand::Rng;
use tokio::time::{Instant, sleep};

use super::items::{Answer, Answers};
use super::state::PullState;
use crate::sidecar::listen::Problem;
use crate::store::{Cause, Lease, State, StoreError};

/// How long the store is asked again before a caller is told that the outcome is unknown: longer than a fail-over takes
/// to be noticed, shorter than most callers wait.
pub(super) const ASKING: Duration = Duration::from_secs(5);

const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pause after the `tries`-th try (from 1): doubling, of which the upper half is drawn, so that callers that wait for
/// the same ID do not ask in step.
pub(super) fn pause(tries: u32) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    whole.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// Runs to its end also where the caller goes away meanwhile.
pub(super) async fn to_its_end<T: Send + 'static>(
    state: &PullState,
    running: impl Future<Output = T> + Send + 'static,
) -> Result<T, Problem> {
    state
        .tasks
        .spawn(running)
        .await
        .map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this process ends; send the same call again"))
}

/// The last answer for an item.
#[derive(Debug)]
pub(super) struct Asked<R> {
    pub(super) answer: Result<R, StoreError>,
    /// Sendings before it that may have been executed.
    pub(super) unsure: u32,
}

/// Asks for every item, and again for those whose error may pass, until `limit`.
pub(super) async fn ask_each<T, R>(
    state: &PullState,
    operation: &'static str,
    items: &[T],
    limit: Instant,
    mut ask: impl FnMut(&[&T]) -> BoxFuture<'static, Vec<Result<R, StoreError>>>,
) -> Vec<Asked<R>> {
    let unasked = |_| Asked { answer: Err(StoreError::Unknown(Cause::new("no answer"))), unsure: 0 };
    let mut answers: Vec<Asked<R>> = items.iter().map(unasked).collect();
    let mut open: Vec<usize> = (0..items.len()).collect();
    let mut tries = 0;
    while !open.is_empty() {
        let asked: Vec<&T> = open.iter().map(|n| &items[*n]).collect();
        for (n, answer) in open.iter().zip(ask(&asked).await) {
            if let Err(error) = &answer {
                state.failed(operation, error);
            }
            answers[*n].answer = answer;
        }
        open.retain(|n| matches!(&answers[*n].answer, Err(error) if error.is_retryable()));
        tries += 1;
        let pause = pause(tries);
        if open.is_empty() || Instant::now() + pause >= limit {
            break;
        }
        for n in &open {
            let Asked { answer, unsure } = &mut answers[*n];
            *unsure += u32::from(answer.as_ref().is_err_and(StoreError::may_have_executed));
        }
        sleep(pause).await;
    }
    answers
}

/// In which state the IDs are whose tokens hold them no more; `None` where the store does not say.
pub(super) async fn states(state: &PullState, leases: &[Lease]) -> Vec<Option<State>> {
    if leases.is_empty() {
        return Vec::new();
    }
    let answers = state.store.inspect(leases.iter().map(|lease| lease.fingerprint).collect()).await;
    let told = |answer: Result<State, StoreError>| answer.inspect_err(|error| state.failed("inspect", error)).ok();
    answers.into_iter().map(told).collect()
}

/// A state as answers name it.
pub(super) fn in_words(state: Option<&State>) -> &'static str {
    match state {
        Some(State::Absent) => "absent",
        Some(State::InFlight { .. } | State::GivenUp { .. } | State::Unreadable) => "in_flight",
        Some(State::Expired { .. }) => "run_out",
        Some(State::Idle { .. }) => "released",
        Some(State::Done { .. }) => "done",
        None => "unknown",
    }
}

/// Why the store gave no answer; where an operator has to change a setting, the whole cause and the remedy.
pub(super) fn reason(error: &StoreError) -> Cow<'static, str> {
    Cow::Borrowed(match error {
        StoreError::Unavailable(cause) => {
            return format!("the store is not available; nothing was done ({cause})").into();
        }
        StoreError::Full(_) => "the store is full; nothing was done",
        StoreError::Refused(cause) => {
            return format!("the store refuses it; a setting has to be changed ({cause})").into();
        }
        StoreError::Unknown(_) => "the store did not answer in time; it may have been done",
    })
}

/// The status of a call: the worst of its items.
pub(super) fn status(results: &[Answer<'_>]) -> StatusCode {
    let any = |status| results.iter().any(|result| result.status == status);
    match () {
        () if any("unknown") => StatusCode::SERVICE_UNAVAILABLE,
        () if any("stale") => StatusCode::CONFLICT,
        () => StatusCode::OK,
    }
}

/// The answer to a call.
pub(super) fn respond(status: StatusCode, results: Vec<Answer<'_>>) -> Response {
    let mut response = (status, Json(Answers { results })).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_that_of_the_worst_item() {
        let of = |statuses: &[&'static str]| {
            let results: Vec<_> = statuses.iter().map(|status| Answer { status, ..Answer::default() }).collect();
            status(&results).as_u16()
        };
        assert_eq!(of(&["completed", "completed"]), 200);
        assert_eq!(of(&["completed", "stale"]), 409);
        assert_eq!(of(&["stale", "unknown", "completed"]), 503);
        assert_eq!(of(&[]), 200);
    }

    #[test]
    fn pauses_grow_to_a_second() {
        assert!((12_500..=25_000).contains(&pause(1).as_micros()));
        for tries in [7, 20, u32::MAX] {
            assert!((500..=1000).contains(&pause(tries).as_millis()));
        }
    }
}
