//! A guard is out: its handler runs, and its lease is renewed.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::completing::Completing;
use super::core::Handle;
use super::desk::{Desk, Tag};
use super::entry::{Entry, Fate, Phase, Subject};
use super::guard::{Attempt, Guard, How};
use super::hold::Hold;
use super::releasing::Releasing;
use crate::observe::FailureKind;
use crate::store::{GivenBack, Lease, RenewOutcome, StoreError};

#[derive(Debug)]
pub(super) struct Holding {
    pub(super) hold: Hold,
    attempt: Attempt,
    started_at: Instant,
    /// Until when the lease is renewed: a handler that hangs must not hold its ID for ever.
    renewed_until: Instant,
    cancelled: CancellationToken,
}

impl Holding {
    pub(super) fn start(
        lease: Lease,
        attempt: Attempt,
        handle: Arc<Handle>,
        sent_at: Instant,
        now: Instant,
        desk: &Desk,
    ) -> (Self, Guard) {
        let cancelled = CancellationToken::new();
        let guard = Guard::new(lease, attempt, cancelled.clone(), handle);
        let hold = Hold::new(sent_at, desk.lease).tried_before(attempt.found > 0);
        let renewed_until = now + desk.handler_limit;
        (Self { hold, attempt, started_at: now, renewed_until, cancelled }, guard)
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.hold.due(Some(self.renewed_until))
    }

    pub(super) fn tick(&mut self, subject: &Subject, now: Instant, desk: &mut Desk) -> Fate {
        if self.hold.lost(now) {
            self.cancelled.cancel();
            desk.observer.on_lease_lost(&subject.record);
            tracing::warn!(
                origin = %subject.record.origin(), id = %subject.lease.fingerprint,
                "a lease could not be renewed in time: another worker may handle this message as well"
            );
        }
        if self.hold.renews(now, Some(self.renewed_until)) {
            desk.renew(subject.lease, now);
        }
        Fate::Lives
    }
}

impl Entry {
    /// Takes the answer to a renewal.
    pub(super) fn renewed(
        &mut self,
        tag: Tag,
        result: Result<RenewOutcome, StoreError>,
        now: Instant,
        desk: &mut Desk,
    ) -> Fate {
        let (hold, handler_runs) = match &mut self.phase {
            Phase::Holding(holding) => (&mut holding.hold, true),
            Phase::Completing(completing) => (&mut completing.hold, false),
            Phase::Claiming(_) | Phase::Releasing(_) => return Fate::Lives,
        };
        match result {
            Ok(outcome) => {
                hold.renewed(tag.sent_at, outcome);
                // While completing, the lease can have gone by our own completion whose answer was lost.
                if outcome == RenewOutcome::NotHeld && handler_runs {
                    hold.taken(now);
                }
            }
            Err(error) => {
                desk.failed("renew", &error);
                let failures = hold.failed();
                hold.renew_at(now + desk.pause(failures));
            }
        }
        self.tick(now, desk)
    }

    /// Takes what the guard said at its end.
    pub(super) fn end(&mut self, how: How, now: Instant, desk: &mut Desk) -> Fate {
        let Phase::Holding(holding) = &mut self.phase else { return Fate::Lives };
        let Holding { attempt, started_at, .. } = *holding;
        let releasing = match how {
            How::Completed(reply) => {
                desk.observer.on_handled(
                    &self.subject.record,
                    attempt.number,
                    now.saturating_duration_since(started_at),
                );
                let hold = std::mem::replace(&mut holding.hold, Hold::new(now, desk.lease));
                let completing = Completing::start(&self.subject, hold, reply, now, desk);
                self.phase = Phase::Completing(completing);
                return Fate::Lives;
            }
            How::Failed(reply) => {
                desk.observer.on_failure(&self.subject.record, attempt.number, FailureKind::Retryable);
                let given_back = GivenBack::Failed { attempts: attempt.number };
                // A guard that is dropped says nothing. One that says that it failed is believed, if its lease held.
                let until = holding.hold.relied_on_until();
                let doubt = (reply.is_none() || until <= now).then_some(until);
                Releasing::start(self.subject.lease, given_back, reply, now, desk).in_doubt(doubt)
            }
            How::GivenBack(reply) => Releasing::start(self.subject.lease, GivenBack::Unstarted, reply, now, desk),
        };
        self.phase = Phase::Releasing(releasing);
        Fate::Lives
    }
}
