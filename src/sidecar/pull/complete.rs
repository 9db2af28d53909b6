//! `POST /v1/complete`.
//!
//! The store records a completion whoever holds the lease, since the effect did happen. Here the caller's word for it may
//! be late by any time, so the lease is renewed first, which compares the token: what is not renewed is not recorded.
//!
//! A completion goes on when its caller has gone: the effect happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use tokio::time::Instant;

use super::call::{self, ASKING};
use super::items::{self, Answer, Held as Wire, Item, ItemsCall};
use super::memory::{Held, UNKNOWN_AGE};
use super::renew::renewed;
use super::state::PullState;
use crate::failpoint::{self, Point};
use crate::sidecar::listen::Problem;
use crate::store::{
    self, Cause, Completion, CompletionOutcome, Lease, MessageDetails, RenewOutcome, StoreError, Verdict,
};

pub(super) async fn complete(State(state): State<Arc<PullState>>, body: Bytes) -> Result<Response, Problem> {
    let call: ItemsCall<Wire> = items::read(&body)?;
    let leases = items::leases(&call.items, None, &state.settings)?;
    let keeps = state.store.keeps_details();
    let details = |item: &Wire| {
        let identity = item.name().identity().ok().filter(|_| keeps)?;
        Some(Arc::new(MessageDetails { identity: Some(identity), payload_hash: None }))
    };
    let details = call.items.iter().map(details).collect();
    let completing = Completing { state: Arc::clone(&state), leases, details };
    let ends = call::to_its_end(&state, completing.run()).await?;
    let results: Vec<_> = call.items.iter().zip(ends).map(|(item, end)| end.answer(item)).collect();
    Ok(call::respond(call::status(&results), results))
}

/// How one completion ended.
enum End {
    Completed(Verdict),
    Stale(Option<store::State>),
    Unknown(StoreError),
}

impl End {
    fn answer(self, item: &Wire) -> Answer<'_> {
        let answer = Answer { name: item.name(), ..Answer::default() };
        match self {
            Self::Completed(verdict) => Answer {
                status: "completed",
                overrun: verdict == Verdict::Overrun,
                possible_overrun: verdict == Verdict::PossibleOverrun,
                ..answer
            },
            Self::Stale(state) => Answer { status: "stale", state: Some(call::in_words(state.as_ref())), ..answer },
            Self::Unknown(error) => Answer { status: "unknown", reason: Some(call::reason(&error)), ..answer },
        }
    }
}

/// The completions of one call.
struct Completing {
    state: Arc<PullState>,
    leases: Vec<Lease>,
    details: Vec<Option<Arc<MessageDetails>>>,
}

/// A completion whose lease is held.
struct Due {
    n: usize,
    lease: Lease,
    held: Arc<Held>,
    /// Until when nobody else can complete it.
    alone_until: Instant,
}

impl Completing {
    async fn run(self) -> Vec<End> {
        let mut ends: Vec<Option<End>> =
            self.leases.iter().map(|lease| self.state.memory.completed(lease).map(End::Completed)).collect();
        let asked: Vec<usize> = (0..ends.len()).filter(|n| ends[*n].is_none()).collect();
        let leases: Vec<Lease> = asked.iter().map(|n| self.leases[*n]).collect();
        let sent_at = Instant::now();
        let (mut due, mut stale) = (Vec::new(), Vec::new());
        for (n, renewed) in asked.into_iter().zip(renewed(&self.state, &leases).await) {
            match renewed {
                Ok(RenewOutcome::Renewed) => due.push(self.due(n, sent_at)),
                Ok(_) => stale.push(n),
                Err(error) => ends[n] = Some(End::Unknown(error)),
            }
        }
        self.record(&due, &mut ends).await;
        let leases: Vec<Lease> = stale.iter().map(|n| self.leases[*n]).collect();
        for (n, found) in stale.into_iter().zip(call::states(&self.state, &leases).await) {
            ends[n] = Some(self.late(n, found));
        }
        let unanswered = || End::Unknown(StoreError::Unknown(Cause::new("no answer")));
        ends.into_iter().map(|end| end.unwrap_or_else(unanswered)).collect()
    }

    fn due(&self, n: usize, renewed_at: Instant) -> Due {
        let lease = self.leases[n];
        let unknown = || {
            // Who answered its claim may have sent a completion as well.
            let (claimed_at, offset, sent) = (Instant::now(), self.state.number(), AtomicU32::new(1));
            self.state.memory.hold(lease, Held { claimed_at, attempt: None, offset, sent })
        };
        let held = self.state.memory.held(&lease).unwrap_or_else(unknown);
        Due { n, lease, held, alone_until: renewed_at + self.state.relied_on() }
    }

    /// Records what is held.
    async fn record(&self, due: &[Due], ends: &mut [Option<End>]) {
        let state = &self.state;
        for due in due {
            due.held.sent.fetch_add(1, Ordering::AcqRel);
        }
        let complete = |due: &[&Due]| {
            let completion = |due: &&Due| Completion {
                lease: due.lease,
                origin: state.record(due.held.offset).origin(),
                held_for: due.held_for(),
                message: self.details[due.n].clone(),
            };
            state.store.complete(due.iter().map(completion).collect())
        };
        failpoint::pass(Point::BeforeComplete);
        let asked = call::ask_each(state, "complete", due, Instant::now() + ASKING, complete).await;
        failpoint::pass(Point::AfterComplete);
        for (due, asked) in due.iter().zip(asked) {
            ends[due.n] = Some(match asked.answer {
                Ok(outcome) => End::Completed(self.completed(due, outcome, asked.unsure)),
                Err(error) => {
                    if asked.unsure == 0 && !error.may_have_executed() {
                        due.held.sent.fetch_sub(1, Ordering::AcqRel);
                    }
                    End::Unknown(error)
                }
            });
        }
    }

    /// Judges a completion, tells the observer, and remembers it for one who asks again.
    fn completed(&self, due: &Due, outcome: CompletionOutcome, unsure: u32) -> Verdict {
        let (state, now) = (&self.state, Instant::now());
        let alone = (due.held.attempt == Some(1)).then_some(due.alone_until);
        let alone_until = alone.map(|until| until.saturating_duration_since(now));
        let others = due.held.sent.load(Ordering::Acquire).saturating_sub(1);
        let verdict = Verdict::of(outcome, unsure.saturating_add(others), Duration::ZERO, alone_until);
        let record = state.record(due.held.offset);
        if let Some(attempt) = due.held.attempt {
            state.observer.on_handled(&record, attempt, due.held.claimed_at.elapsed());
        }
        state.observer.on_complete(&record, verdict);
        state.memory.complete(due.lease, verdict);
        verdict
    }

    /// The token does not hold the ID any more. Done may be by its own completion, whose answer was lost, or by somebody
    /// who took the ID over: that is told apart from a stale token, and counted.
    fn late(&self, n: usize, found: Option<store::State>) -> End {
        let (state, lease) = (&self.state, &self.leases[n]);
        if let Some(verdict) = state.memory.completed(lease) {
            return End::Completed(verdict);
        }
        match (found, state.memory.held(lease).filter(|held| held.was_sent())) {
            (Some(store::State::Done { .. }), Some(held)) => {
                state.observer.on_complete(&state.record(held.offset), Verdict::PossibleOverrun);
                state.memory.complete(*lease, Verdict::PossibleOverrun);
                End::Completed(Verdict::PossibleOverrun)
            }
            (found, _) => End::Stale(found),
        }
    }
}

impl Due {
    /// How long ago the claim was sent, or a bound that no claim exceeds.
    fn held_for(&self) -> Duration {
        match self.held.attempt {
            Some(_) => self.held.claimed_at.elapsed().max(Duration::from_millis(1)),
            None => UNKNOWN_AGE,
        }
    }
}
