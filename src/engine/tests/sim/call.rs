//! One request of a worker to the store, as it goes back and forth.

use super::super::super::{Event, WorkId};
use super::slices::Sets;
use super::store::Id;
use crate::store::{Cause, ClaimOutcome, GivenBack, StoreError, Token};
use std::time::Duration;

/// A mistake in a client of the store, or in the store's scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreBug {
    /// The release does not compare the token.
    StaleRelease,
    /// Done IDs are looked up before the lease is taken, and not after.
    DoneBeforeLease,
    /// A look-up does not ask the slice that follows, in which a worker may write whose clock is ahead.
    NextSliceMissed,
    /// The script of the rare path looks at the lease alone.
    RareDoesNotLookUp,
    /// The lease is deleted together with the sending of the done mark.
    DeletedEarly,
    /// A generation is written to as soon as it is announced.
    NoNotice,
}

/// What the engine asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask {
    Claim { work: WorkId, takes_over: bool, sent_at: Duration },
    Complete { work: WorkId, held_for: Duration },
    Renew { work: WorkId, sent_at: Duration },
    GiveUp { work: WorkId, attempts: u32, sent_at: Duration },
    Release(GivenBack),
}

/// What goes to the store and back at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leg {
    /// Look-ups in front of all else.
    Before,
    /// Take the lease, then look up.
    Lease,
    /// The script of the rare path.
    Rare,
    /// Look up again.
    Again,
    /// Ask where others wrote since the claim, then add to the set.
    Add,
    /// Add by the script that a full store executes, too.
    AddByScript,
    /// Ask where others wrote since the claim, after the script.
    Beside,
    /// Renewals, notes and releases.
    Script,
}

/// One request of a worker, as it goes back and forth.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) from: usize,
    pub(super) id: Id,
    pub(super) token: Token,
    pub(super) ask: Ask,
    pub(super) leg: Leg,
    /// How long the answer of this leg takes to come back; nobody awaits it if `None`.
    pub(super) back: Option<u64>,
    /// Whether it was under way for so long that nobody looks any more where it writes.
    pub(super) late: bool,
    /// Whether others' commands come in between those of this leg.
    pub(super) apart: bool,
    /// Whether any command of this leg was executed.
    pub(super) begun: bool,
    /// The sets that this leg has yet to ask.
    pub(super) sets: Sets,
    /// The sets that were asked since the lease was taken.
    pub(super) asked: Sets,
    /// The set that is written to.
    pub(super) written: usize,
    /// When its claim was sent, at the earliest.
    pub(super) since: u64,
    pub(super) legs: u8,
    pub(super) taken: Option<bool>,
    pub(super) found: bool,
    /// The store has no memory left for a plain command.
    pub(super) refused: bool,
    /// What the last script said of a claim.
    pub(super) told: Option<ClaimOutcome>,
    /// What is told to the engine when the answer comes.
    pub(super) event: Option<Answer>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Added(bool),
    Renewed(crate::store::RenewOutcome),
    Released(crate::store::ReleaseOutcome),
    GaveUp(crate::store::GiveUpOutcome),
}

impl Call {
    pub(super) fn new(from: usize, id: Id, token: Token, ask: Ask, leg: Leg) -> Self {
        Self {
            from,
            id,
            token,
            ask,
            leg,
            back: None,
            late: false,
            apart: false,
            begun: false,
            sets: Sets::default(),
            asked: Sets::default(),
            written: 0,
            since: 0,
            legs: 0,
            taken: None,
            found: false,
            refused: false,
            told: None,
            event: None,
        }
    }

    pub(super) fn is_claim(&self) -> bool {
        matches!(self.ask, Ask::Claim { .. })
    }

    /// What the engine is told where there is no answer.
    pub(super) fn failed(&self, error: StoreError) -> Event {
        let token = self.token;
        match self.ask {
            Ask::Claim { work, sent_at, .. } => Event::Claimed { work, token, sent_at, result: Err(error) },
            Ask::Complete { work, .. } => Event::Completed { work, result: Err(error) },
            Ask::Renew { work, sent_at } => Event::Renewed { work, token, sent_at, result: Err(error) },
            Ask::GiveUp { work, sent_at, .. } => Event::GaveUp { work, token, sent_at, result: Err(error) },
            Ask::Release(_) => Event::Released { token, result: Err(error) },
        }
    }
}

pub(super) fn unknown() -> StoreError {
    StoreError::Unknown(Cause::new("timed out"))
}
