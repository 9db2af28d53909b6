//! What a store is asked, and what it answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{DoneRecord, MessageDetails};
use crate::id::Fingerprint;
use crate::record::Origin;

/// 128 random bits, new for every claim; every transition compares them.
///
/// A token is never used again once its release was sent: a delayed second release would free a later claim.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token([u8; 16]);

impl Token {
    /// Draws a token from a generator, which must be seeded from the operating system outside of tests.
    pub fn random(rng: &mut impl rand::RngCore) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Takes a token from its bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The token's bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Token {
    /// Prints the first four bytes: enough to tell claims apart, too few to use.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Token({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// A fingerprint and the token that holds, or held, its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Which ID.
    pub fingerprint: Fingerprint,
    /// Which claim.
    pub token: Token,
}

/// A wish to take an ID for one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The ID and the token that is to hold it.
    pub lease: Lease,
    /// Whether the handler starts directly after the claim. Only such a claim may take over a lease that ran out,
    /// for only a started handler counts as an attempt.
    pub takes_over: bool,
    /// Where the record came from; kept beside the lease for reports of overruns.
    pub origin: Origin,
    /// What the message says of itself; always `None` for a store that does not
    /// [keep details](super::Store::keeps_details).
    pub message: Option<Arc<MessageDetails>>,
}

/// What a claim found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimOutcome {
    /// The lease is held by this claim's token.
    Claimed {
        /// Attempts counted so far. Where `suspect`, the one that is about to start is among them.
        attempts: u32,
        /// Whether the lease of the attempt before ran out: its owner may have died of this record.
        suspect: bool,
    },
    /// Handled before: a duplicate. No lease is held.
    Done {
        /// Whether the local cache knew it; otherwise the store said so.
        cached: bool,
        /// Where the first one came from, where the store keeps that.
        first: Option<Origin>,
    },
    /// Handled before under the same ID, but with another payload. Not simply a duplicate: two messages may have been
    /// given one ID, and this one would be lost. Only a store that [keeps details](super::Store::keeps_details) answers
    /// so. No lease is held.
    Conflict {
        /// Where the first one came from.
        first: Origin,
    },
    /// Another token holds the lease: not a duplicate. Ask again when the time is up, or earlier.
    InFlight {
        /// How long the lease holds unless it is renewed, by the store's clock.
        remaining: Duration,
    },
    /// The lease ran out and the claim was not one that takes over: ask again with `takes_over` at the head of the lane.
    Suspect {
        /// Attempts counted so far.
        attempts: u32,
    },
    /// The lease is held by this claim's token, and an owner before [gave the record up](super::Store::give_up). A copy
    /// of it may lie at its destination: send the copy there, and do not call the handler. No attempt is counted, and
    /// any claim may take such a lease over once it ran out. Only a store that keeps the note answers so.
    GivenUp {
        /// Attempts counted so far.
        attempts: u32,
        /// Where the copy goes.
        to: Destination,
    },
}

/// Where a copy of a record goes that is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the dead-letter topic.
    DeadLetter {
        /// Why; never holds what the handler said, which may hold parts of the message.
        reason: Arc<str>,
    },
    /// To a retry topic, from where it is handled later.
    Retry {
        /// The topic's number, from 0.
        step: u32,
    },
}

/// A request to note that a record is given up, before a copy of it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GiveUp {
    /// The ID and the token that holds it.
    pub lease: Lease,
    /// Attempts to be remembered, or what the claim found if that is more.
    pub attempts: u32,
    /// Where the copy goes.
    pub to: Destination,
}

/// Whether a record is noted as given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GiveUpOutcome {
    /// It is noted, and the lease holds for a whole term again: the copy may be sent.
    Noted,
    /// The token does not hold the lease (any more): claim again before the copy is sent.
    NotHeld,
    /// The store keeps no such note.
    Unsupported,
}

/// A wish to record an ID as done, after its effect succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The ID and the token of the claim under which the effect happened.
    pub lease: Lease,
    /// Where the record came from.
    pub origin: Origin,
    /// How long ago the claim under this token was first sent, on the caller's monotonic clock: what was claimed before
    /// some change in the store, and is completed after it, is known by that. Each sending tells it anew. It is never
    /// zero for a real claim: a request and its answer lie in between.
    pub held_for: Duration,
    /// What the message says of itself; always `None` for a store that does not
    /// [keep details](super::Store::keeps_details).
    pub message: Option<Arc<MessageDetails>>,
}

/// What a completion found. The ID is done in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompletionOutcome {
    /// The ID was not done before.
    Recorded,
    /// The ID was done already: by another attempt, or by an earlier sending of this completion.
    /// [`Verdict::of`](super::Verdict::of) tells which.
    AlreadyDone,
    /// The ID was not done before, as far as the store remembers; but it lost its data since the claim. Another attempt may
    /// have been recorded and forgotten.
    RecordedAfterLoss,
    /// The ID was done already, and the store lost data since the claim, or may have: the lease may have been lost too, so
    /// another attempt may have been let in.
    AlreadyDoneAfterLoss,
}

/// Whether a renewal reached the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RenewOutcome {
    /// The lease holds for a whole term again.
    Renewed,
    /// The token does not hold the lease (any more).
    NotHeld,
}

/// A wish to give a lease back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The ID and the token that holds it.
    pub lease: Lease,
    /// What became of the claim.
    pub given_back: GivenBack,
}

/// What became of a claim that is given back, and so what the ID is afterwards.
///
/// If the claim [found the record given up](ClaimOutcome::GivenUp), the note stays, except after
/// [`Retried`](Self::Retried): a late copy of a release must not take away what another owner noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenBack {
    /// Its handler never started, or did not count as started (not available). The store restores what the claim
    /// found, as the lease tells it, so this is right for a claim whose answer never came as well: nothing; an idle
    /// count; or, after a takeover, a lease that ran out, with the count before it. The next owner then knows as well
    /// that an owner before may have died of the record, or may be alive and complete at any time.
    Unstarted,
    /// Its handler failed. A [note](super::Store::give_up) that was made under this token goes: no copy was sent.
    Failed {
        /// Attempts to be remembered until the grace ends, or what the claim found where that is more; zero leaves nothing
        /// behind.
        attempts: u32,
    },
    /// It was given up, and a copy of it may have been sent: the note stays, for the window. Without a note, as after a
    /// failure.
    GivenUp {
        /// As after a failure.
        attempts: u32,
    },
    /// A copy of it lies in a retry topic, and is to be handled: a note about this retry topic or an earlier one goes, any
    /// other note stays. Without a note, as after a failure.
    Retried {
        /// As after a failure.
        attempts: u32,
        /// The topic's number, from 0.
        step: u32,
    },
}

/// Whether a release reached the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReleaseOutcome {
    /// The lease is free.
    Released,
    /// The token did not hold the lease; nothing was changed.
    NotHeld,
}

/// The state of one ID, as [`Store::inspect`](super::Store::inspect) tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Not known: a claim would succeed with a count of zero.
    Absent,
    /// Claimed, and the lease holds.
    InFlight {
        /// Attempts counted so far.
        attempts: u32,
        /// How long the lease still holds.
        remaining: Duration,
    },
    /// The lease ran out, or was taken over after that and given back unstarted: the next claim at the head of a lane
    /// takes over.
    Expired {
        /// Attempts counted so far.
        attempts: u32,
    },
    /// Given back after a failed attempt; the count is remembered until its grace ends.
    Idle {
        /// Attempts counted so far.
        attempts: u32,
    },
    /// [Given up](super::Store::give_up), and not held: the next claim is answered with where the copy goes.
    GivenUp {
        /// Attempts counted so far.
        attempts: u32,
        /// Where the copy goes.
        to: Destination,
    },
    /// Handled.
    Done {
        /// How long the ID is still remembered.
        remaining: Duration,
        /// What the store kept of the first one that was handled; `None` where it keeps no details.
        record: Option<Arc<DoneRecord>>,
    },
    /// Written by a version of hapax that this one cannot read: treated as in flight elsewhere.
    Unreadable,
}
