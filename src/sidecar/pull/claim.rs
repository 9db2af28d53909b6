//! `POST /v1/claim`.
//!
//! The claims of a call run apart from the request. So what was claimed for a caller that has gone meanwhile is
//! given back, after its claim was answered: a release that overtakes its claim would leave the lease to nobody. Where
//! the caller brought the token, it is not: the caller may ask again with it, and then finds the same claim.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::call::{self, ASKING};
use super::items::{self, Answer, ClaimCall, Item, Wanted};
use super::memory::Held;
use super::state::{PullState, millis};
use super::token;
use crate::failpoint::{self, Point};
use crate::observe::DuplicateBy;
use crate::record::Offset;
use crate::sidecar::listen::Problem;
use crate::store::{Cause, Claim, ClaimOutcome, GivenBack, Lease, MessageDetails, Release, StoreError};

type Found = Result<ClaimOutcome, StoreError>;

pub(super) async fn claim(State(state): State<Arc<PullState>>, body: Bytes) -> Result<Response, Problem> {
    let call: ClaimCall = items::read(&body)?;
    let longest = state.settings.max_wait;
    let wait = Duration::from_millis(call.wait_ms);
    if wait > longest {
        return Err(Problem::bad_request(format!("wait_ms is more than the {} allowed", longest.as_millis())));
    }
    let own = call.token.is_some();
    let token = call.token.unwrap_or_else(token::draw);
    let leases = items::leases(&call.ids, Some(&token), &state.settings)?;
    if leases.iter().any(|lease| state.memory.is_released(lease)) {
        let detail = "this token was released for one of these IDs, and never claims again; draw a new one";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let (reply, answer) = oneshot::channel();
    let claiming = Claiming::new(&state, &call.ids, leases, own);
    state.tasks.spawn(claiming.run(wait, reply));
    let (found, sent_at) = answer.await.map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this process ends; ask again with the same token")
    })?;
    let left = state.relied_on().saturating_sub(sent_at.elapsed());
    let results: Vec<_> = call.ids.iter().zip(&found).map(|(id, found)| answer_of(id, found, &token, left)).collect();
    // What was claimed must not be lost behind an error.
    let status = match found.iter().all(Result::is_err) {
        true => StatusCode::SERVICE_UNAVAILABLE,
        false => StatusCode::OK,
    };
    Ok(call::respond(status, results))
}

fn answer_of<'a>(id: &'a Wanted, found: &Found, token: &'a str, left: Duration) -> Answer<'a> {
    let answer = Answer { name: id.name(), ..Answer::default() };
    match found {
        Ok(ClaimOutcome::Claimed { attempts, suspect }) => Answer {
            status: "claimed",
            token: Some(token),
            attempt: Some(attempt(*attempts, *suspect)),
            suspect: Some(*suspect),
            lease_ms: Some(millis(left)),
            ..answer
        },
        Ok(ClaimOutcome::Done { first, .. }) => {
            Answer { status: "duplicate", first: first.as_ref().map(ToString::to_string), ..answer }
        }
        Ok(ClaimOutcome::Conflict { first }) => Answer { status: "conflict", first: Some(first.to_string()), ..answer },
        Ok(ClaimOutcome::InFlight { remaining }) => {
            Answer { status: "in_flight", remaining_ms: Some(millis(*remaining)), ..answer }
        }
        // Every claim here takes over, so no store has a reason to answer the first; asking again is sound. What is given
        // up is for a consumer of this namespace to send on.
        Ok(ClaimOutcome::Suspect { .. } | ClaimOutcome::GivenUp { .. }) => {
            Answer { status: "in_flight", remaining_ms: Some(0), ..answer }
        }
        Err(error) => Answer { status: "error", token: Some(token), reason: Some(call::reason(error)), ..answer },
    }
}

/// Which attempt a claim starts, from one. A takeover of a lease that ran out has counted this start already.
fn attempt(found: u32, suspect: bool) -> u32 {
    if suspect { found.max(1) } else { found.saturating_add(1) }
}

/// The claims of one call.
struct Claiming {
    state: Arc<PullState>,
    leases: Vec<Lease>,
    details: Vec<Option<Arc<MessageDetails>>>,
    /// Of each, the number under which the observer knows it.
    numbers: Vec<Offset>,
    own_token: bool,
    /// Before the first sending.
    started: Instant,
}

impl Claiming {
    fn new(state: &Arc<PullState>, ids: &[Wanted], leases: Vec<Lease>, own_token: bool) -> Self {
        let keeps = state.store.keeps_details();
        let details = |id: &Wanted| {
            let identity = id.name().identity().ok().filter(|_| keeps)?;
            Some(Arc::new(MessageDetails { identity: Some(identity), payload_hash: None }))
        };
        let details = ids.iter().map(details).collect();
        let numbers = ids.iter().map(|_| state.number()).collect();
        Self { state: Arc::clone(state), leases, details, numbers, own_token, started: Instant::now() }
    }

    async fn run(self, wait: Duration, mut reply: oneshot::Sender<(Vec<Found>, Instant)>) {
        let (found, sent_at) = self.ask(wait, &mut reply).await;
        self.tell(&found);
        // A token that the caller brought may be asked for again, so it is never released for the caller.
        let given_up = |found: &Found| matches!(found, Ok(ClaimOutcome::GivenUp { .. })) && !self.own_token;
        let given_up: Vec<Lease> = self.select(&found, given_up);
        let unheard = reply.send((found, sent_at)).err().map(|(found, _)| found).filter(|_| !self.own_token);
        let unheard = unheard.map(|found| {
            self.select(&found, |found| match found {
                Ok(ClaimOutcome::Claimed { .. }) => true,
                Ok(_) => false,
                Err(error) => error.may_have_executed(),
            })
        });
        self.give_back(given_up.into_iter().chain(unheard.unwrap_or_default()).collect()).await;
    }

    fn select(&self, found: &[Found], which: impl Fn(&Found) -> bool) -> Vec<Lease> {
        self.leases.iter().zip(found).filter(|(_, found)| which(found)).map(|(lease, _)| *lease).collect()
    }

    /// Asks until something is claimed, or everything is answered and none is worth waiting for, or nobody listens.
    ///
    /// What is claimed is not kept waiting for the rest: its lease runs, and two callers that each hold what the other
    /// waits for would both wait in vain.
    async fn ask(&self, wait: Duration, reply: &mut oneshot::Sender<(Vec<Found>, Instant)>) -> (Vec<Found>, Instant) {
        let started = self.started;
        let mut found: Vec<Option<Found>> = self.leases.iter().map(|_| None).collect();
        let mut open: Vec<usize> = (0..self.leases.len()).collect();
        let mut tries = 0;
        loop {
            failpoint::pass(Point::BeforeClaim);
            let sent_at = Instant::now();
            let answers = self.state.store.claim(open.iter().map(|n| self.claim(*n)).collect()).await;
            for (n, answer) in open.iter().zip(answers) {
                if let Err(error) = &answer {
                    self.state.failed("claim", error);
                }
                found[*n] = Some(answer);
            }
            tries += 1;
            let claimed = found.iter().any(|found| matches!(found, Some(Ok(ClaimOutcome::Claimed { .. }))));
            if claimed {
                failpoint::pass(Point::AfterClaim);
            }
            let mut next = call::pause(tries);
            open.retain(|n| match &found[*n] {
                Some(Ok(ClaimOutcome::InFlight { remaining })) => {
                    next = next.min((*remaining).max(Duration::from_millis(1)));
                    started.elapsed() < wait
                }
                Some(Ok(ClaimOutcome::Suspect { .. })) => started.elapsed() < wait,
                Some(Err(error)) => error.is_retryable() && started.elapsed() < ASKING,
                _ => false,
            });
            // The caller may have released its token in another call: it claims nothing any more.
            let released = open.iter().any(|n| self.state.memory.is_released(&self.leases[*n]));
            let ends = claimed || open.is_empty() || released;
            if !ends {
                tokio::select! {
                    () = sleep(next) => continue,
                    () = reply.closed() => {}
                }
            }
            let unasked = || Err(StoreError::Unknown(Cause::new("no answer")));
            return (found.into_iter().map(|found| found.unwrap_or_else(unasked)).collect(), sent_at);
        }
    }

    /// The claim counts as the start of the handler, so it may take over a lease that ran out.
    fn claim(&self, n: usize) -> Claim {
        let origin = self.state.record(self.numbers[n]).origin();
        Claim { lease: self.leases[n], takes_over: true, origin, message: self.details[n].clone() }
    }

    /// Tells the observer, and remembers what is held.
    fn tell(&self, found: &[Found]) {
        let Self { state, numbers, leases, .. } = self;
        let claimed_at = self.started;
        for ((found, number), lease) in found.iter().zip(numbers).zip(leases) {
            let record = state.record(*number);
            match found {
                Ok(ClaimOutcome::Claimed { attempts, suspect }) => {
                    let attempt = Some(attempt(*attempts, *suspect));
                    let sent = AtomicU32::new(0);
                    state.memory.hold(*lease, Held { claimed_at, attempt, offset: *number, sent });
                    state.observer.on_claim(&record, *attempts, *suspect);
                }
                Ok(ClaimOutcome::Done { cached, first }) => {
                    let by = if *cached { DuplicateBy::Cache } else { DuplicateBy::Store };
                    state.observer.on_duplicate(&record, by, first.as_ref());
                }
                Ok(ClaimOutcome::Conflict { first }) => state.observer.on_conflict(&record, first),
                Ok(ClaimOutcome::InFlight { remaining }) => state.observer.on_park(&record, Some(*remaining)),
                Ok(ClaimOutcome::Suspect { .. } | ClaimOutcome::GivenUp { .. }) | Err(_) => {}
            }
        }
    }

    /// Releases what nobody will handle, as if it had never been claimed.
    async fn give_back(&self, held: Vec<Lease>) {
        if held.is_empty() {
            return;
        }
        for lease in &held {
            self.state.memory.release(*lease);
        }
        let limit = Instant::now() + self.state.store.terms().lease;
        let release = |leases: &[&Lease]| {
            let unstarted = |lease: &&Lease| Release { lease: **lease, given_back: GivenBack::Unstarted };
            self.state.store.release(leases.iter().map(unstarted).collect())
        };
        let asked = call::ask_each(&self.state, "release", &held, limit, release).await;
        let left = asked.iter().filter(|asked| asked.answer.is_err()).count();
        tracing::debug!(ids = held.len(), left, "gave back what was claimed for a caller that had gone");
    }
}
