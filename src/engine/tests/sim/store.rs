//! The store of the simulation, written from the design page: states, lease and grace, takeover, idle. No I/O; the
//! time is passed in, in microseconds.

use std::collections::HashMap;

use crate::store::{
    Claim, ClaimOutcome, CompletionOutcome, GivenBack, Lease, Release, ReleaseOutcome, RenewOutcome, Token,
};
use std::time::Duration;

pub(super) type Id = u16;

#[derive(Clone, Copy, Debug)]
enum Held {
    By { token: Token, attempts: u32, suspect: bool, until: u64, gone: u64 },
    Idle { attempts: u32, gone: u64 },
    RunOut { attempts: u32, gone: u64 },
}

/// What the store knows.
#[derive(Debug)]
pub(super) struct ModelStore {
    pub(super) lease: u64,
    pub(super) grace: u64,
    held: HashMap<Id, Held>,
    done: HashMap<Id, ()>,
}

pub(super) fn id_of(lease: &Lease) -> Id {
    let bytes = lease.fingerprint.as_bytes();
    u16::from_be_bytes([bytes[0], bytes[1]])
}

impl ModelStore {
    pub(super) fn new(lease: u64, grace: u64) -> Self {
        Self { lease, grace, held: HashMap::new(), done: HashMap::new() }
    }

    fn held(&self, id: Id, now: u64) -> Option<Held> {
        self.held.get(&id).copied().filter(|held| match held {
            Held::By { gone, .. } | Held::Idle { gone, .. } | Held::RunOut { gone, .. } => now < *gone,
        })
    }

    /// Who holds the lease, run out or not.
    pub(super) fn holder(&self, id: Id, now: u64) -> Option<Token> {
        match self.held(id, now)? {
            Held::By { token, .. } => Some(token),
            Held::Idle { .. } | Held::RunOut { .. } => None,
        }
    }

    /// The count that the claim of this token found, and whether it took a lease over, while it holds.
    pub(super) fn found(&self, id: Id, by: Token, now: u64) -> Option<(u32, bool)> {
        match self.held(id, now) {
            Some(Held::By { token, attempts, suspect, .. }) if token == by => {
                Some((attempts - u32::from(suspect), suspect))
            }
            _ => None,
        }
    }

    pub(super) fn is_done(&self, id: Id) -> bool {
        self.done.contains_key(&id)
    }

    fn hold(&mut self, id: Id, token: Token, attempts: u32, suspect: bool, now: u64) {
        let until = now + self.lease;
        self.held.insert(id, Held::By { token, attempts, suspect, until, gone: until + self.grace });
    }

    pub(super) fn claim(&mut self, claim: &Claim, now: u64) -> ClaimOutcome {
        let (id, token) = (id_of(&claim.lease), claim.lease.token);
        if self.is_done(id) {
            return ClaimOutcome::Done { cached: false, first: None };
        }
        let (attempts, suspect) = match self.held(id, now) {
            None => (0, false),
            Some(Held::Idle { attempts, .. }) => (attempts, false),
            Some(Held::By { token: holder, attempts, suspect, .. }) if holder == token => (attempts, suspect),
            Some(Held::By { until, .. }) if now < until => {
                return ClaimOutcome::InFlight { remaining: Duration::from_micros(until - now) };
            }
            Some(Held::By { attempts, .. } | Held::RunOut { attempts, .. }) if claim.takes_over => (attempts + 1, true),
            Some(Held::By { attempts, .. } | Held::RunOut { attempts, .. }) => {
                return ClaimOutcome::Suspect { attempts };
            }
        };
        self.hold(id, token, attempts, suspect, now);
        ClaimOutcome::Claimed { attempts, suspect }
    }

    pub(super) fn complete(&mut self, lease: &Lease) -> CompletionOutcome {
        let id = id_of(lease);
        self.held.remove(&id);
        match self.done.insert(id, ()) {
            Some(()) => CompletionOutcome::AlreadyDone,
            None => CompletionOutcome::Recorded,
        }
    }

    pub(super) fn renew(&mut self, lease: &Lease, now: u64) -> RenewOutcome {
        match self.held(id_of(lease), now) {
            Some(Held::By { token, attempts, suspect, .. }) if token == lease.token => {
                self.hold(id_of(lease), token, attempts, suspect, now);
                RenewOutcome::Renewed
            }
            _ => RenewOutcome::NotHeld,
        }
    }

    pub(super) fn release(&mut self, release: &Release, now: u64) -> ReleaseOutcome {
        let id = id_of(&release.lease);
        let (attempts, suspect) = match self.held(id, now) {
            Some(Held::By { token, attempts, suspect, .. }) if token == release.lease.token => (attempts, suspect),
            _ => return ReleaseOutcome::NotHeld,
        };
        let gone = now + self.grace;
        match (release.given_back, attempts) {
            (GivenBack::Unstarted, attempts) if suspect => {
                self.held.insert(id, Held::RunOut { attempts: attempts - 1, gone })
            }
            (GivenBack::Unstarted, 0) | (GivenBack::Failed { attempts: 0 }, _) => self.held.remove(&id),
            (GivenBack::Unstarted, attempts) | (GivenBack::Failed { attempts }, _) => {
                self.held.insert(id, Held::Idle { attempts, gone })
            }
        };
        ReleaseOutcome::Released
    }

    /// Forgets everything, as a store restarted without its data does; returns whatever was known.
    pub(super) fn lose(&mut self) -> Vec<Id> {
        let mut known: Vec<Id> =
            self.held.drain().map(|(id, _)| id).chain(self.done.drain().map(|(id, ())| id)).collect();
        known.sort_unstable();
        known.dedup();
        known
    }
}
