//! An ID is being claimed.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio::time::{Duration, Instant};

use super::core::Handle;
use super::desk::{Desk, Tag};
use super::entry::{Entry, Fate, Phase, Subject};
use super::error::BeginError;
use super::guard::{Attempt, Guard};
use super::hold::renewed_after;
use super::holding::Holding;
use super::releasing::Releasing;
use crate::observe::DuplicateBy;
use crate::record::Origin;
use crate::store::{Cause, ClaimOutcome, GivenBack, StoreError};

/// The caller that waits for a claim, and what its guard will hold.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) reply: oneshot::Sender<Answer>,
    pub(super) handle: Arc<Handle>,
}

/// What an asker is told.
#[derive(Debug)]
pub(super) enum Answer {
    Claimed(Guard),
    Duplicate,
    /// Handled before with another payload, by that one.
    Conflict(Origin),
    /// Another process has it.
    Elsewhere(Duration),
    /// This process has it; the signal tells its end.
    Here(Duration, watch::Receiver<bool>),
    Failed(BeginError),
}

impl Asker {
    /// Answers; whether anybody still listens does not matter.
    pub(super) fn answer(self, answer: Answer) {
        drop(self.reply.send(answer));
    }
}

#[derive(Debug)]
pub(super) struct Claiming {
    /// `None` once it was answered.
    asker: Option<Asker>,
    /// Until when it is answered at the latest.
    limit: Instant,
    tries: u32,
    under_way: bool,
    retry_at: Instant,
    /// Whether a sending without an answer may have taken the lease.
    unsure: bool,
    last_error: Option<StoreError>,
    /// When a lease that was taken unseen has run out.
    forgotten_at: Instant,
}

impl Claiming {
    /// Sends the first claim.
    pub(super) fn start(asker: Asker, subject: &Subject, now: Instant, desk: &mut Desk) -> Self {
        desk.claim(subject, now);
        let limit = now + desk.claim_limit;
        Self {
            asker: Some(asker),
            limit,
            tries: 1,
            under_way: true,
            retry_at: now,
            unsure: false,
            last_error: None,
            forgotten_at: limit + super::hold::surely_ended(desk.lease),
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        match (&self.asker, self.under_way) {
            (Some(_), true) => Some(self.limit),
            (Some(_), false) => Some(self.retry_at.min(self.limit)),
            (None, true) => None,
            (None, false) => Some(self.retry_at.min(self.forgotten_at)),
        }
    }

    /// Tells the asker that nothing will come of it.
    pub(super) fn fail(&mut self, error: BeginError) {
        if let Some(asker) = self.asker.take() {
            asker.answer(Answer::Failed(error));
        }
    }

    /// Without an asker, a claim that may have taken the lease is sent on until it is answered: a release that comes
    /// before a claim still on its way would leave the lease to nobody.
    pub(super) fn tick(&mut self, subject: &Subject, now: Instant, desk: &mut Desk) -> Fate {
        if self.asker.as_ref().is_some_and(|asker| asker.reply.is_closed()) {
            self.asker = None;
        }
        if now >= self.limit {
            let error = self.last_error.clone().unwrap_or_else(|| StoreError::Unknown(Cause::new("no answer in time")));
            self.fail(BeginError::Store(error));
        }
        let forgotten = self.asker.is_none() && (!self.unsure || now >= self.forgotten_at);
        match self.under_way {
            true => return Fate::Lives,
            false if forgotten => return Fate::Ends { done: false },
            false if now >= self.retry_at => self.send(subject, now, desk),
            false => {}
        }
        Fate::Lives
    }

    /// Claims again, with the same token: if an earlier sending took the lease, it is answered as ours.
    fn send(&mut self, subject: &Subject, now: Instant, desk: &mut Desk) {
        self.tries = self.tries.saturating_add(1);
        self.under_way = true;
        desk.claim(subject, now);
    }
}

impl Entry {
    /// Takes the answer to a claim.
    pub(super) fn claimed(
        &mut self,
        tag: Tag,
        result: Result<ClaimOutcome, StoreError>,
        now: Instant,
        desk: &mut Desk,
    ) -> Fate {
        let Phase::Claiming(claiming) = &mut self.phase else { return Fate::Lives };
        claiming.under_way = false;
        match result {
            Ok(ClaimOutcome::Claimed { attempts, suspect }) => {
                self.take(Attempt::of_claim(attempts, suspect), tag.sent_at, now, desk)
            }
            Ok(ClaimOutcome::Done { cached, first }) => {
                if let Some(asker) = claiming.asker.take() {
                    let by = if cached { DuplicateBy::Cache } else { DuplicateBy::Store };
                    desk.observer.on_duplicate(&self.subject.record, by, first.as_ref());
                    asker.answer(Answer::Duplicate);
                }
                Fate::Ends { done: true }
            }
            Ok(ClaimOutcome::Conflict { first }) => {
                if let Some(asker) = claiming.asker.take() {
                    desk.observer.on_conflict(&self.subject.record, &first);
                    tracing::warn!(
                        origin = %self.subject.record.origin(), %first, id = %self.subject.lease.fingerprint,
                        "a conflict: this ID was handled before with another payload"
                    );
                    asker.answer(Answer::Conflict(first));
                }
                // Whoever waits for it asks the store itself: what is true of this payload need not be of theirs.
                Fate::Ends { done: false }
            }
            // A copy of it is still to be sent, by a consumer of this namespace: that one's affair.
            Ok(ClaimOutcome::GivenUp { .. }) => {
                if let Some(asker) = claiming.asker.take() {
                    desk.observer.on_park(&self.subject.record, Some(desk.lease));
                    asker.answer(Answer::Elsewhere(desk.lease));
                }
                self.give_back(now, desk)
            }
            Ok(ClaimOutcome::InFlight { remaining }) => {
                if let Some(asker) = claiming.asker.take() {
                    desk.observer.on_park(&self.subject.record, Some(remaining));
                    asker.answer(Answer::Elsewhere(remaining));
                }
                Fate::Ends { done: false }
            }
            // Every claim here takes over, so no store has a reason to answer this; asking again is sound.
            Ok(ClaimOutcome::Suspect { .. }) => {
                claiming.retry_at = now + desk.pause(claiming.tries);
                claiming.tick(&self.subject, now, desk)
            }
            Err(error) => {
                desk.failed("claim", &error);
                claiming.unsure |= error.may_have_executed();
                claiming.retry_at = now + desk.pause(claiming.tries);
                if !error.is_retryable() {
                    claiming.fail(BeginError::Store(error.clone()));
                }
                claiming.last_error = Some(error);
                claiming.tick(&self.subject, now, desk)
            }
        }
    }

    /// The lease is ours: hands the guard over, unless it is too late for that.
    fn take(&mut self, attempt: Attempt, sent_at: Instant, now: Instant, desk: &mut Desk) -> Fate {
        let Phase::Claiming(claiming) = &mut self.phase else { return Fate::Lives };
        let Some(asker) = claiming.asker.take().filter(|asker| !asker.reply.is_closed()) else {
            return self.give_back(now, desk);
        };
        if now >= sent_at + renewed_after(desk.lease) {
            // A handler starts with two thirds of its lease left, or not at all.
            claiming.unsure = true;
            if now < claiming.limit {
                claiming.asker = Some(asker);
                claiming.send(&self.subject, now, desk);
                return Fate::Lives;
            }
            let late = Cause::new("the store takes longer to answer than a third of the lease");
            asker.answer(Answer::Failed(BeginError::Store(StoreError::Unknown(late))));
            return self.give_back(now, desk);
        }
        let (holding, guard) = Holding::start(self.subject.lease, attempt, asker.handle, sent_at, now, desk);
        self.phase = Phase::Holding(holding);
        match asker.reply.send(Answer::Claimed(guard)) {
            Ok(()) => desk.observer.on_claim(&self.subject.record, attempt.found, attempt.suspect),
            // The asker has just gone. Dropped as it is, the guard would wait for the lock that is held here.
            Err(answer) => {
                if let Answer::Claimed(guard) = answer {
                    guard.disarm();
                }
                return self.give_back(now, desk);
            }
        }
        Fate::Lives
    }

    /// Releases what no handler was started for; the store restores what the claim found.
    fn give_back(&mut self, now: Instant, desk: &mut Desk) -> Fate {
        self.phase = Phase::Releasing(Releasing::start(self.subject.lease, GivenBack::Unstarted, None, now, desk));
        Fate::Lives
    }
}
