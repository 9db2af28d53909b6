//! The store of the simulation: a server that executes single commands and scripts, as the design page has them. What a
//! worker makes of them is its client's, in `client.rs`. No I/O; the time is passed in, in microseconds.

use super::slices::{Sets, Slices};
use crate::store::{ClaimOutcome, Destination, GiveUpOutcome, GivenBack, Lease, ReleaseOutcome, RenewOutcome, Token};
use std::time::Duration;

pub(super) type Id = u16;
/// More than any log has.
const IDS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    By {
        token: Token,
        attempts: u32,
        suspect: bool,
        note: Option<Note>,
        until: u64,
        gone: u64,
    },
    Idle {
        attempts: u32,
        gone: u64,
    },
    RunOut {
        attempts: u32,
        gone: u64,
    },
    /// Given up, and held by none.
    GivenUp {
        attempts: u32,
        gone: u64,
    },
}

/// A note that a record is given up: made by the holder, or found by its claim. All of them mean dead letters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    Made,
    Found,
}

/// What the server knows.
#[derive(Debug)]
pub(super) struct Server {
    lease: u64,
    grace: u64,
    held: [Option<Held>; IDS],
    pub(super) done: Slices,
    /// Releases do not compare the token.
    pub(super) releases_anyhow: bool,
}

pub(super) fn id_of(lease: &Lease) -> Id {
    let bytes = lease.fingerprint.as_bytes();
    u16::from_be_bytes([bytes[0], bytes[1]])
}

impl Server {
    pub(super) fn new(lease: u64, grace: u64) -> Self {
        Self { lease, grace, held: [None; IDS], done: Slices::new(), releases_anyhow: false }
    }

    /// What stands in a lease, run out or not.
    pub(super) fn held(&self, id: Id, now: u64) -> Option<Held> {
        self.held[usize::from(id)].filter(|held| match held {
            Held::By { gone, .. } | Held::Idle { gone, .. } => now < *gone,
            Held::RunOut { gone, .. } | Held::GivenUp { gone, .. } => now < *gone,
        })
    }

    /// Who holds the lease, run out or not.
    pub(super) fn holder(&self, id: Id, now: u64) -> Option<Token> {
        match self.held(id, now)? {
            Held::By { token, .. } => Some(token),
            Held::Idle { .. } | Held::RunOut { .. } | Held::GivenUp { .. } => None,
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

    fn hold(&mut self, id: Id, token: Token, attempts: u32, suspect: bool, note: Option<Note>, now: u64) {
        let until = now + self.lease;
        let gone = until + self.grace;
        self.held[usize::from(id)] = Some(Held::By { token, attempts, suspect, note, until, gone });
    }

    /// `SET lease NX PX`: says whether it was taken.
    pub(super) fn set(&mut self, id: Id, token: Token, now: u64) -> bool {
        let free = self.held(id, now).is_none();
        if free {
            self.hold(id, token, 0, false, None, now);
        }
        free
    }

    /// `DEL lease`, whoever holds it.
    pub(super) fn delete(&mut self, id: Id) {
        self.held[usize::from(id)] = None;
    }

    /// The script of a claim that neither took the lease nor found its ID done.
    pub(super) fn claim(&mut self, id: Id, token: Token, takes_over: bool, mut sets: Sets, now: u64) -> ClaimOutcome {
        while let Some(set) = sets.next() {
            if self.done.has(set, id) {
                return ClaimOutcome::Done { cached: false, first: None };
            }
        }
        let (attempts, suspect, note) = match self.held(id, now) {
            None => (0, false, None),
            Some(Held::Idle { attempts, .. }) => (attempts, false, None),
            Some(Held::By { token: holder, attempts, suspect, note, .. }) if holder == token => {
                (attempts, suspect, note)
            }
            Some(Held::By { until, .. }) if now < until => {
                return ClaimOutcome::InFlight { remaining: Duration::from_micros(until - now) };
            }
            Some(Held::By { attempts, note: Some(_), .. } | Held::GivenUp { attempts, .. }) => {
                (attempts, false, Some(Note::Found))
            }
            Some(Held::By { attempts, .. } | Held::RunOut { attempts, .. }) if takes_over => (attempts + 1, true, None),
            Some(Held::By { attempts, .. } | Held::RunOut { attempts, .. }) => {
                return ClaimOutcome::Suspect { attempts };
            }
        };
        self.hold(id, token, attempts, suspect, note, now);
        match note {
            Some(_) => {
                let to = Destination::DeadLetter { reason: "it was given up before".into() };
                ClaimOutcome::GivenUp { attempts, to }
            }
            None => ClaimOutcome::Claimed { attempts, suspect },
        }
    }

    pub(super) fn renew(&mut self, id: Id, by: Token, now: u64) -> RenewOutcome {
        match self.held(id, now) {
            Some(Held::By { token, attempts, suspect, note, .. }) if token == by => {
                self.hold(id, token, attempts, suspect, note, now);
                RenewOutcome::Renewed
            }
            _ => RenewOutcome::NotHeld,
        }
    }

    pub(super) fn give_up(&mut self, id: Id, by: Token, told: u32, now: u64) -> GiveUpOutcome {
        match self.held(id, now) {
            Some(Held::By { token, attempts, suspect, note, .. }) if token == by => {
                let attempts = (attempts - u32::from(suspect)).max(told);
                self.hold(id, token, attempts, false, note.or(Some(Note::Made)), now);
                GiveUpOutcome::Noted
            }
            _ => GiveUpOutcome::NotHeld,
        }
    }

    pub(super) fn release(&mut self, id: Id, by: Token, given_back: GivenBack, now: u64) -> ReleaseOutcome {
        let (attempts, suspect, note) = match self.held(id, now) {
            Some(Held::By { token, attempts, suspect, note, .. }) if token == by || self.releases_anyhow => {
                (attempts, suspect, note)
            }
            _ => return ReleaseOutcome::NotHeld,
        };
        let gone = now + self.grace;
        let found = attempts - u32::from(suspect);
        let attempts = match given_back {
            GivenBack::Unstarted => found,
            GivenBack::Failed { attempts } | GivenBack::GivenUp { attempts } => attempts.max(found),
            GivenBack::Retried { attempts, .. } => attempts.max(found),
        };
        let kept = match given_back {
            GivenBack::Failed { .. } => note == Some(Note::Found),
            _ => note.is_some(),
        };
        self.held[usize::from(id)] = match (given_back, attempts) {
            _ if kept => Some(Held::GivenUp { attempts, gone }),
            (GivenBack::Unstarted, attempts) if suspect => Some(Held::RunOut { attempts, gone }),
            (_, 0) => None,
            (_, attempts) => Some(Held::Idle { attempts, gone }),
        };
        ReleaseOutcome::Released
    }

    /// Takes back what a claim took before it found the ID done.
    pub(super) fn give_back(&mut self, id: Id, by: Token, now: u64) {
        if self.holder(id, now) == Some(by) {
            self.delete(id);
        }
    }

    /// Forgets everything, as a store restarted without its data does; returns whose done mark and whose lease were lost:
    /// an ID twice that had both, for each can repeat its effect once.
    pub(super) fn lose(&mut self) -> Vec<Id> {
        let done = self.done.lose();
        let marked = (0..IDS).filter(|id| done & (1 << id) != 0);
        let known = marked.chain((0..IDS).filter(|id| self.held[*id].is_some())).map(|id| id as Id).collect();
        self.held = [None; IDS];
        known
    }
}
