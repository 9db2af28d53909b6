//! The states of IDs and the arrows between them, as plain as they can be said.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::expiring::Expiring;
use crate::id::Fingerprint;
use crate::store::{
    Claim, ClaimOutcome, CompletionOutcome, Destination, DoneRecord, GiveUp, GiveUpOutcome, GivenBack, Lease,
    LeaseTerms, Release, ReleaseOutcome, RenewOutcome, State, Token,
};

/// What is known of an ID that is not done. Leaves when its deadline, lease and grace, has passed; if it is given up,
/// lease and window.
#[derive(Clone, Debug)]
struct Held {
    holder: Holder,
    attempts: u32,
    given_up: Option<Note>,
}

/// A note that a record is given up.
#[derive(Clone, Debug)]
struct Note {
    to: Destination,
    /// Whether the holder made it. Otherwise its claim found it.
    own: bool,
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
        let mut given_up = None;
        let (attempts, suspect) = match self.leases.get(&fingerprint, now).map(|(held, _)| held.clone()) {
            // absent → in flight
            None => (0, false),
            // mine: the answer was lost, so the same answer again
            Some(Held { holder: Holder::Token { token: holder, suspect, .. }, attempts, given_up: note })
                if holder == token =>
            {
                given_up = note;
                (attempts, suspect)
            }
            Some(Held { holder: Holder::Token { until, .. }, .. }) if now < until => {
                return ClaimOutcome::InFlight { remaining: until - now };
            }
            // given up → in flight, given up: no handler starts, so nothing is counted
            Some(Held { attempts, given_up: Some(note), .. }) => {
                given_up = Some(Note { own: false, ..note });
                (attempts, false)
            }
            // idle → in flight: the failure is counted already
            Some(Held { holder: Holder::Nobody, attempts, .. }) => (attempts, false),
            // run out → in flight as a suspect: the claim counts as an attempt
            Some(Held { attempts, .. }) if claim.takes_over => (attempts.saturating_add(1), true),
            Some(Held { attempts, .. }) => return ClaimOutcome::Suspect { attempts },
        };
        let to = given_up.as_ref().map(|note| note.to.clone());
        self.hold(fingerprint, token, suspect, attempts, given_up, terms, now);
        match to {
            Some(to) => ClaimOutcome::GivenUp { attempts, to },
            None => ClaimOutcome::Claimed { attempts, suspect },
        }
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
            Some((suspect, attempts, note)) => {
                self.hold(lease.fingerprint, lease.token, suspect, attempts, note, terms, now);
                RenewOutcome::Renewed
            }
            None => RenewOutcome::NotHeld,
        }
    }

    pub(super) fn give_up(&mut self, item: &GiveUp, terms: LeaseTerms, now: Instant) -> GiveUpOutcome {
        let GiveUp { lease, attempts: told, to } = item;
        let Some((suspect, attempts, note)) = self.held_by(*lease, now) else { return GiveUpOutcome::NotHeld };
        let (attempts, note) = match note {
            // A note that is there stays as it is, its count too: it is this very one, or the claim found it.
            Some(note) => (attempts, note),
            None => (attempts.saturating_sub(u32::from(suspect)).max(*told), Note { to: to.clone(), own: true }),
        };
        self.hold(lease.fingerprint, lease.token, false, attempts, Some(note), terms, now);
        GiveUpOutcome::Noted
    }

    pub(super) fn release(&mut self, release: &Release, terms: LeaseTerms, now: Instant) -> ReleaseOutcome {
        let fingerprint = release.lease.fingerprint;
        let Some((suspect, attempts, note)) = self.held_by(release.lease, now) else {
            return ReleaseOutcome::NotHeld;
        };
        // What the claim found. It is never lowered: an old release may find a lease that a late copy of its claim took
        // anew, from somebody who counted further.
        let found = attempts.saturating_sub(u32::from(suspect));
        let counted = match release.given_back {
            GivenBack::Unstarted => found,
            GivenBack::Failed { attempts } | GivenBack::GivenUp { attempts } | GivenBack::Retried { attempts, .. } => {
                attempts.max(found)
            }
        };
        let unstarted = release.given_back == GivenBack::Unstarted;
        let given_up = note.filter(|note| match release.given_back {
            GivenBack::Unstarted | GivenBack::GivenUp { .. } => true,
            GivenBack::Failed { .. } => !note.own,
            GivenBack::Retried { step: sent, .. } => !matches!(note.to, Destination::Retry { step } if step <= sent),
        });
        let left = match given_up {
            // in flight, given up → given up
            Some(note) => Some((Holder::Nobody, Some(note), terms.grace.max(terms.window))),
            // in flight as a suspect → run out: the takeover counted a start that did not happen
            None if suspect && unstarted => Some((Holder::RunOut, None, terms.grace)),
            // in flight → absent
            None if counted == 0 => None,
            // in flight → idle
            None => Some((Holder::Nobody, None, terms.grace)),
        };
        match left {
            Some((holder, given_up, kept)) => {
                self.leases.insert(fingerprint, Held { holder, attempts: counted, given_up }, now + kept);
            }
            None => drop(self.leases.remove(&fingerprint, now)),
        }
        ReleaseOutcome::Released
    }

    pub(super) fn inspect(&self, fingerprint: &Fingerprint, now: Instant) -> State {
        if let Some((record, deadline)) = self.done.get(fingerprint, now) {
            return State::Done { remaining: deadline - now, record: record.clone() };
        }
        let Some((Held { holder, attempts, given_up }, _)) = self.leases.get(fingerprint, now) else {
            return State::Absent;
        };
        let attempts = *attempts;
        let remaining = match holder {
            Holder::Token { until, .. } => until.duration_since(now),
            Holder::Nobody | Holder::RunOut => Duration::ZERO,
        };
        match (holder, given_up) {
            _ if !remaining.is_zero() => State::InFlight { attempts, remaining },
            (_, Some(note)) => State::GivenUp { attempts, to: note.to.clone() },
            (Holder::Nobody, None) => State::Idle { attempts },
            (Holder::RunOut | Holder::Token { .. }, None) => State::Expired { attempts },
        }
    }

    /// done → absent
    pub(super) fn forget(&mut self, fingerprint: &Fingerprint, now: Instant) -> bool {
        self.done.remove(fingerprint, now)
    }

    /// Whether the holder is a suspect, the count, and the note, where the token holds the lease.
    fn held_by(&self, lease: Lease, now: Instant) -> Option<(bool, u32, Option<Note>)> {
        match self.leases.get(&lease.fingerprint, now)?.0 {
            Held { holder: Holder::Token { token, suspect, .. }, attempts, given_up } if *token == lease.token => {
                Some((*suspect, *attempts, given_up.clone()))
            }
            _ => None,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "each is a part of one entry")]
    fn hold(
        &mut self,
        fingerprint: Fingerprint,
        token: Token,
        suspect: bool,
        attempts: u32,
        given_up: Option<Note>,
        terms: LeaseTerms,
        now: Instant,
    ) {
        let until = now + terms.lease;
        let kept = if given_up.is_some() { terms.grace.max(terms.window) } else { terms.grace };
        let held = Held { holder: Holder::Token { token, suspect, until }, attempts, given_up };
        self.leases.insert(fingerprint, held, until + kept);
    }

    /// How many entries are held, over or not.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.leases.len() + self.done.len()
    }
}
