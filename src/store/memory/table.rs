//! The states of IDs and the arrows between them, as plain as they can be said.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::expiring::Expiring;
use crate::id::Fingerprint;
use crate::store::{
    Claim, ClaimOutcome, CompletionOutcome, DoneRecord, GivenBack, Lease, LeaseTerms, Release, ReleaseOutcome,
    RenewOutcome, State, Token,
};

/// What is known of an ID that is not done. Leaves when its deadline, lease and grace, has passed.
#[derive(Clone, Copy, Debug)]
struct Held {
    holder: Holder,
    attempts: u32,
}

#[derive(Clone, Copy, Debug)]
enum Holder {
    /// In flight under a token, until a time; then claimable as a suspect.
    Token { token: Token, suspect: bool, until: Instant },
    /// Nobody: given back after a failed attempt, and only the count is kept.
    Nobody,
    /// Nobody: a takeover was given back unstarted, so the lease of the owner before is still the last one, run out.
    RunOut,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    leases: Expiring<Held>,
    done: Expiring<Option<Arc<DoneRecord>>>,
}

impl Table {
    /// Lets go of what is over, in proportion to the `items` that a call brings.
    pub(super) fn purge(&mut self, now: Instant, items: usize) {
        let most = 2 * items + 16;
        self.leases.purge(now, most);
        self.done.purge(now, most);
    }

    pub(super) fn claim(&mut self, claim: &Claim, terms: LeaseTerms, now: Instant) -> ClaimOutcome {
        let Lease { fingerprint, token } = claim.lease;
        if let Some((first, _)) = self.done.get(&fingerprint, now) {
            return match (first, &claim.message) {
                (Some(first), Some(message)) if first.contradicts(message) => {
                    ClaimOutcome::Conflict { first: first.origin.clone() }
                }
                (first, _) => {
                    let first = first.as_ref().map(|first| first.origin.clone());
                    ClaimOutcome::Done { cached: false, first }
                }
            };
        }
        let (attempts, suspect) = match self.leases.get(&fingerprint, now).map(|(held, _)| *held) {
            // absent → in flight
            None => (0, false),
            // idle → in flight: the failure is counted already
            Some(Held { holder: Holder::Nobody, attempts }) => (attempts, false),
            // mine: the answer was lost, so the same answer again
            Some(Held { holder: Holder::Token { token: holder, suspect, .. }, attempts }) if holder == token => {
                (attempts, suspect)
            }
            Some(Held { holder: Holder::Token { until, .. }, .. }) if now < until => {
                return ClaimOutcome::InFlight { remaining: until - now };
            }
            // run out → in flight as a suspect: the claim counts as an attempt
            Some(Held { attempts, .. }) if claim.takes_over => (attempts.saturating_add(1), true),
            Some(Held { attempts, .. }) => return ClaimOutcome::Suspect { attempts },
        };
        self.hold(fingerprint, token, suspect, attempts, terms, now);
        ClaimOutcome::Claimed { attempts, suspect }
    }

    pub(super) fn complete(
        &mut self,
        fingerprint: Fingerprint,
        record: impl FnOnce() -> Option<Arc<DoneRecord>>,
        terms: LeaseTerms,
        now: Instant,
    ) -> CompletionOutcome {
        self.leases.remove(&fingerprint, now);
        if self.done.get(&fingerprint, now).is_some() {
            return CompletionOutcome::AlreadyDone;
        }
        self.done.insert(fingerprint, record(), now + terms.window);
        CompletionOutcome::Recorded
    }

    pub(super) fn renew(&mut self, lease: Lease, terms: LeaseTerms, now: Instant) -> RenewOutcome {
        match self.held_by(lease, now) {
            Some((suspect, attempts)) => {
                self.hold(lease.fingerprint, lease.token, suspect, attempts, terms, now);
                RenewOutcome::Renewed
            }
            None => RenewOutcome::NotHeld,
        }
    }

    pub(super) fn release(&mut self, release: &Release, terms: LeaseTerms, now: Instant) -> ReleaseOutcome {
        let fingerprint = release.lease.fingerprint;
        let Some((suspect, attempts)) = self.held_by(release.lease, now) else { return ReleaseOutcome::NotHeld };
        // What the claim found. It is never lowered: an old release may find a lease that a late copy of its claim took
        // anew, from somebody who counted further.
        let found = attempts.saturating_sub(u32::from(suspect));
        let left = match release.given_back {
            // in flight as a suspect → run out: the takeover counted a start that did not happen
            GivenBack::Unstarted if suspect => Some(Held { holder: Holder::RunOut, attempts: found }),
            // in flight → absent
            GivenBack::Unstarted if found == 0 => None,
            GivenBack::Failed { attempts: 0 } if found == 0 => None,
            // in flight → idle
            GivenBack::Unstarted => Some(Held { holder: Holder::Nobody, attempts: found }),
            GivenBack::Failed { attempts } => Some(Held { holder: Holder::Nobody, attempts: attempts.max(found) }),
        };
        match left {
            Some(left) => self.leases.insert(fingerprint, left, now + terms.grace),
            None => drop(self.leases.remove(&fingerprint, now)),
        }
        ReleaseOutcome::Released
    }

    pub(super) fn inspect(&self, fingerprint: &Fingerprint, now: Instant) -> State {
        if let Some((record, deadline)) = self.done.get(fingerprint, now) {
            return State::Done { remaining: deadline - now, record: record.clone() };
        }
        match self.leases.get(fingerprint, now).map(|(held, _)| *held) {
            None => State::Absent,
            Some(Held { holder: Holder::Nobody, attempts }) => State::Idle { attempts },
            Some(Held { holder: Holder::RunOut, attempts }) => State::Expired { attempts },
            Some(Held { holder: Holder::Token { until, .. }, attempts }) => match until.duration_since(now) {
                Duration::ZERO => State::Expired { attempts },
                remaining => State::InFlight { attempts, remaining },
            },
        }
    }

    /// done → absent
    pub(super) fn forget(&mut self, fingerprint: &Fingerprint, now: Instant) -> bool {
        self.done.remove(fingerprint, now)
    }

    /// Whether the holder is a suspect, and the count, where the token holds the lease.
    fn held_by(&self, lease: Lease, now: Instant) -> Option<(bool, u32)> {
        match self.leases.get(&lease.fingerprint, now)?.0 {
            Held { holder: Holder::Token { token, suspect, .. }, attempts } if *token == lease.token => {
                Some((*suspect, *attempts))
            }
            _ => None,
        }
    }

    fn hold(
        &mut self,
        fingerprint: Fingerprint,
        token: Token,
        suspect: bool,
        attempts: u32,
        terms: LeaseTerms,
        now: Instant,
    ) {
        let until = now + terms.lease;
        let held = Held { holder: Holder::Token { token, suspect, until }, attempts };
        self.leases.insert(fingerprint, held, until + terms.grace);
    }

    /// How many entries are held, over or not.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.leases.len() + self.done.len()
    }
}
