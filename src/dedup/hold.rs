//! The arithmetic of one held lease, on the clock of this process.

use tokio::time::{Duration, Instant};

use crate::store::RenewOutcome;

/// How long a lease of that length may be relied on, from before its request was sent: a tenth less, because the
/// clocks of two machines do not run alike.
pub(super) fn relied_on(lease: Duration) -> Duration {
    lease / 10 * 9
}

/// How long after its last request a lease of that length may still exist in the store.
pub(super) fn surely_ended(lease: Duration) -> Duration {
    lease + lease / 10
}

/// When a lease is renewed: at a third, which leaves room for two failed renewals.
pub(super) fn renewed_after(lease: Duration) -> Duration {
    lease / 3
}

/// What is known of a lease that was answered as held.
#[derive(Debug)]
pub(super) struct Hold {
    lease: Duration,
    /// Until when nobody else can have taken the ID.
    until: Instant,
    renew_at: Option<Instant>,
    under_way: bool,
    failures: u32,
    /// Whether the end of `until` was told.
    announced: bool,
    /// Somebody tried before, who may be alive and complete at any time.
    tried_before: bool,
}

impl Hold {
    /// A lease whose claim was handed over at `sent_at`.
    pub(super) fn new(sent_at: Instant, lease: Duration) -> Self {
        Self {
            lease,
            until: sent_at + relied_on(lease),
            renew_at: Some(sent_at + renewed_after(lease)),
            under_way: false,
            failures: 0,
            announced: false,
            tried_before: false,
        }
    }

    /// The same lease, of an ID that somebody tried before or not: an owner whose lease ran out, or one that failed,
    /// who may have taken it over.
    pub(super) fn tried_before(self, tried_before: bool) -> Self {
        Self { tried_before, ..self }
    }

    /// Until when nobody else can have completed the ID; `None` where somebody could at any time.
    pub(super) fn alone_until(&self) -> Option<Instant> {
        (!self.tried_before).then_some(self.until)
    }

    /// Until when nobody else can have taken the ID.
    pub(super) fn relied_on_until(&self) -> Instant {
        self.until
    }

    /// How long the lease may hold without renewal.
    pub(super) fn remaining(&self, now: Instant) -> Duration {
        (self.until + (self.lease - relied_on(self.lease))).saturating_duration_since(now)
    }

    /// Whether the lease can be relied on no longer; true once.
    pub(super) fn lost(&mut self, now: Instant) -> bool {
        let lost = !self.announced && now >= self.until;
        self.announced |= lost;
        lost
    }

    /// Whether a renewal is to be sent now; renewals end at `limit`.
    pub(super) fn renews(&mut self, now: Instant, limit: Option<Instant>) -> bool {
        let renews = self.next_renewal(limit).is_some_and(|at| at <= now);
        self.under_way |= renews;
        renews
    }

    /// Takes the answer to a renewal that was handed over at `sent_at`.
    pub(super) fn renewed(&mut self, sent_at: Instant, outcome: RenewOutcome) {
        self.under_way = false;
        self.failures = 0;
        match outcome {
            // If it ran out before, a late copy of the claim may have taken it anew, after another owner.
            RenewOutcome::Renewed => {
                self.tried_before |= self.until <= sent_at;
                self.until = self.until.max(sent_at + relied_on(self.lease));
                self.renew_at = Some(sent_at + renewed_after(self.lease));
            }
            RenewOutcome::NotHeld => self.renew_at = None,
        }
    }

    /// Takes note that somebody else holds the lease, or may.
    pub(super) fn taken(&mut self, now: Instant) {
        self.until = self.until.min(now);
    }

    /// Takes a failed renewal; answers how many have failed in a row.
    pub(super) fn failed(&mut self) -> u32 {
        self.under_way = false;
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// Puts the next renewal off.
    pub(super) fn renew_at(&mut self, at: Instant) {
        self.renew_at = Some(at);
    }

    /// When this lease wants attention next.
    pub(super) fn due(&self, limit: Option<Instant>) -> Option<Instant> {
        let loss = (!self.announced).then_some(self.until);
        loss.into_iter().chain(self.next_renewal(limit)).min()
    }

    fn next_renewal(&self, limit: Option<Instant>) -> Option<Instant> {
        self.renew_at.filter(|at| !self.under_way && limit.is_none_or(|limit| *at < limit))
    }
}
