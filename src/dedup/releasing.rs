//! A lease is being given back: repeated until it is answered or the lease has surely run out.

use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};

use super::desk::Desk;
use super::entry::{Entry, Fate, Phase};
use super::hold::surely_ended;
use crate::store::{GivenBack, Lease, ReleaseOutcome, StoreError};

#[derive(Debug)]
pub(super) struct Releasing {
    given_back: GivenBack,
    reply: Option<oneshot::Sender<()>>,
    /// An attempt of which it is not known whether it had its effect; until when nobody else can have had the ID.
    doubt: Option<Instant>,
    /// Whether a sending without an answer may have been executed.
    unsure: bool,
    tries: u32,
    under_way: bool,
    retry_at: Instant,
    /// When the lease has run out, whatever was renewed before.
    ended_at: Instant,
}

impl Releasing {
    /// Sends the first release.
    pub(super) fn start(
        lease: Lease,
        given_back: GivenBack,
        reply: Option<oneshot::Sender<()>>,
        now: Instant,
        desk: &mut Desk,
    ) -> Self {
        desk.release(lease, given_back, now);
        let ended_at = now + surely_ended(desk.lease);
        Self { given_back, reply, doubt: None, unsure: false, tries: 1, under_way: true, retry_at: now, ended_at }
    }

    /// The same, after an attempt of which it is not known whether it had its effect.
    pub(super) fn in_doubt(self, alone_until: Option<Instant>) -> Self {
        Self { doubt: alone_until, ..self }
    }

    pub(super) fn remaining(&self, now: Instant) -> Duration {
        self.ended_at.saturating_duration_since(now)
    }

    pub(super) fn due(&self) -> Option<Instant> {
        (!self.under_way).then_some(self.retry_at.min(self.ended_at))
    }

    pub(super) fn tick(&mut self, lease: Lease, now: Instant, desk: &mut Desk) -> Fate {
        if self.under_way {
            return Fate::Lives;
        }
        if now >= self.ended_at {
            return self.end();
        }
        if now >= self.retry_at {
            self.tries = self.tries.saturating_add(1);
            self.under_way = true;
            desk.release(lease, self.given_back, now);
        }
        Fate::Lives
    }

    fn end(&mut self) -> Fate {
        if let Some(reply) = self.reply.take() {
            // Whether anybody still listens does not matter.
            reply.send(()).ok();
        }
        Fate::Ends { done: false }
    }
}

impl Entry {
    /// Takes the answer to a release. Released or not held any more, it is no longer ours.
    pub(super) fn released(
        &mut self,
        result: Result<ReleaseOutcome, StoreError>,
        now: Instant,
        desk: &mut Desk,
    ) -> Fate {
        let Phase::Releasing(releasing) = &mut self.phase else { return Fate::Lives };
        releasing.under_way = false;
        match result {
            Ok(outcome) => {
                // Not held any more: another worker has, or had, the ID; or an earlier copy of this release arrived.
                let own = |until: Instant| releasing.unsure && now < until;
                if outcome == ReleaseOutcome::NotHeld && releasing.doubt.is_some_and(|until| !own(until)) {
                    desk.observer.on_possible_repeat(&self.subject.record, None);
                    tracing::warn!(
                        origin = %self.subject.record.origin(), id = %self.subject.lease.fingerprint,
                        "possibly a repeated effect: an attempt ended without it being known whether it had its effect, \
                         and another attempt has the message ID since"
                    );
                }
                releasing.end()
            }
            Err(error) => {
                desk.failed("release", &error);
                releasing.unsure |= error.may_have_executed();
                releasing.retry_at = now + desk.pause(releasing.tries);
                releasing.tick(self.subject.lease, now, desk)
            }
        }
    }
}
