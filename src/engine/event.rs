//! What the engine is told.

use std::sync::Arc;
use std::time::Duration;

use crate::id::{Fingerprint, NoMessageId};
use crate::observe::FailureKind;
use crate::record::{Epoch, Offset, Record, TopicPartition};
use crate::store::{ClaimOutcome, CompletionOutcome, MessageDetails, ReleaseOutcome, RenewOutcome, StoreError, Token};

use super::WorkId;

/// One assignment of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Assignment {
    /// Which partition.
    pub partition: TopicPartition,
    /// Which assignment of it.
    pub epoch: Epoch,
}

/// What was found out about a record's identity before the engine sees it.
#[derive(Clone, Debug)]
pub enum Identified {
    /// It has an ID: claim it before the handler starts.
    Id {
        /// What the store knows it by.
        fingerprint: Fingerprint,
        /// What the message says of itself, for a store that [keeps details](crate::store::Store::keeps_details).
        message: Option<Arc<MessageDetails>>,
    },
    /// The local cache knows that it was handled: it settles as a duplicate.
    Cached(Fingerprint),
    /// It has none, and the policy says: handle it without de-duplication.
    Process,
    /// It has none, and the policy says: stop its partition.
    Stop(Box<NoMessageId>),
}

/// A record as it arrives.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The record.
    pub record: Record,
    /// Its identity.
    pub identified: Identified,
}

/// What happened outside. `now` is passed beside the event: the engine has no clock.
#[derive(Debug)]
pub enum Event {
    /// Partitions were assigned; their records follow.
    Assigned(Vec<Assignment>),
    /// Records of one assignment arrived, in the order of their offsets.
    Records {
        /// Which assignment delivered them.
        assignment: Assignment,
        /// The records.
        arrivals: Vec<Arrival>,
    },
    /// A claim was answered.
    Claimed {
        /// For which work.
        work: WorkId,
        /// With which token.
        token: Token,
        /// When the request was handed over, before it was sent.
        sent_at: Duration,
        /// The answer.
        result: Result<ClaimOutcome, StoreError>,
    },
    /// A handler ended.
    Handled {
        /// For which work.
        work: WorkId,
        /// How.
        result: Result<(), FailureKind>,
    },
    /// A completion was answered.
    Completed {
        /// For which work.
        work: WorkId,
        /// The answer.
        result: Result<CompletionOutcome, StoreError>,
    },
    /// A renewal was answered.
    Renewed {
        /// For which work.
        work: WorkId,
        /// With which token.
        token: Token,
        /// When the request was handed over.
        sent_at: Duration,
        /// The answer.
        result: Result<RenewOutcome, StoreError>,
    },
    /// A release was answered.
    Released {
        /// With which token.
        token: Token,
        /// The answer.
        result: Result<ReleaseOutcome, StoreError>,
    },
    /// A commit was answered.
    Committed {
        /// Which assignment.
        assignment: Assignment,
        /// The offset that was to be committed.
        offset: Offset,
        /// The answer; an error says why the commit was refused.
        result: Result<(), String>,
    },
    /// The source wants partitions back and waits for [`Action::RevokeDone`](super::Action::RevokeDone), until `deadline`.
    RevokeRequested {
        /// Which assignments.
        assignments: Vec<Assignment>,
        /// When the drain ends at the latest.
        deadline: Duration,
    },
    /// Partitions are gone already: no commit is allowed.
    Lost(Vec<Assignment>),
    /// Time has passed; see [`Engine::next_tick`](super::Engine::next_tick).
    Tick,
    /// Give everything back and stop, until `deadline`.
    Shutdown {
        /// When the drain ends at the latest.
        deadline: Duration,
    },
}
