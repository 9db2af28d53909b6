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
        Self { given_back, reply, tries: 1, under_way: true, retry_at: now, ended_at }
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
            Ok(ReleaseOutcome::Released | ReleaseOutcome::NotHeld) => releasing.end(),
            Err(error) => {
                desk.failed("release", &error);
                releasing.retry_at = now + desk.pause(releasing.tries);
                releasing.tick(self.subject.lease, now, desk)
            }
        }
    }
}
