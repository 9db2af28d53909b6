//! The effect happened and is being recorded: tried again without limit, and never released.

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::desk::Desk;
use super::entry::{Entry, Fate, Phase, Subject};
use super::hold::Hold;
use crate::store::{CompletionOutcome, StoreError, Verdict};

#[derive(Debug)]
pub(super) struct Completing {
    pub(super) hold: Hold,
    reply: Option<oneshot::Sender<Verdict>>,
    tries: u32,
    /// Sendings without an answer that may have been executed.
    unsure: u32,
    under_way: bool,
    retry_at: Instant,
}

impl Completing {
    pub(super) fn start(
        subject: &Subject,
        hold: Hold,
        reply: oneshot::Sender<Verdict>,
        now: Instant,
        desk: &mut Desk,
    ) -> Self {
        desk.complete(subject, now);
        Self { hold, reply: Some(reply), tries: 1, unsure: 0, under_way: true, retry_at: now }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let retry = (!self.under_way).then_some(self.retry_at);
        retry.into_iter().chain(self.hold.due(None)).min()
    }

    pub(super) fn tick(&mut self, subject: &Subject, now: Instant, desk: &mut Desk) -> Fate {
        if self.hold.lost(now) {
            desk.observer.on_lease_lost(&subject.record);
        }
        if self.hold.renews(now, None) {
            desk.renew(subject.lease, now);
        }
        if !self.under_way && now >= self.retry_at {
            self.tries = self.tries.saturating_add(1);
            self.under_way = true;
            desk.complete(subject, now);
        }
        Fate::Lives
    }
}

impl Entry {
    /// Takes the answer to a completion.
    pub(super) fn completed(
        &mut self,
        result: Result<CompletionOutcome, StoreError>,
        now: Instant,
        desk: &mut Desk,
    ) -> Fate {
        let Phase::Completing(completing) = &mut self.phase else { return Fate::Lives };
        completing.under_way = false;
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => {
                desk.failed("complete", &error);
                completing.unsure = completing.unsure.saturating_add(u32::from(error.may_have_executed()));
                completing.retry_at = now + desk.pause(completing.tries);
                return completing.tick(&self.subject, now, desk);
            }
        };
        let verdict = desk.verdict(outcome, completing.unsure, now, completing.hold.alone_until());
        desk.observer.on_complete(&self.subject.record, verdict);
        if verdict != Verdict::First {
            tracing::warn!(
                origin = %self.subject.record.origin(), id = %self.subject.lease.fingerprint, ?verdict,
                "another attempt finished meanwhile, or may have: the effect happened twice"
            );
        }
        if let Some(reply) = completing.reply.take() {
            // Whether anybody still listens does not matter: it is recorded.
            reply.send(verdict).ok();
        }
        Fate::Ends { done: true }
    }
}
