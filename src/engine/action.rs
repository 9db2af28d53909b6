//! What the engine wants done.

use std::sync::Arc;

use crate::id::Fingerprint;
use crate::record::{Offset, Record};
use crate::store::{Claim, Completion, Lease, Release};

use super::{Assignment, WorkId};

/// A record whose handler is to start.
#[derive(Debug)]
pub struct Start {
    /// For which work.
    pub work: WorkId,
    /// The record to handle.
    pub record: Record,
    /// Which attempt this is, from 1, counted across crashes and processes.
    pub attempt: u32,
    /// The fingerprint of its ID; `None` where it is handled without de-duplication, by policy.
    pub fingerprint: Option<Fingerprint>,
}

/// Where a copy of a record goes.
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

/// What the shell is to do. Each that says so is answered by an [`Event`](super::Event).
#[derive(Debug)]
pub enum Action {
    /// Send this claim; answered by `Claimed`.
    Claim {
        /// For which work.
        work: WorkId,
        /// What to claim.
        claim: Claim,
    },
    /// Start the handler; answered by `Handled`.
    Start(Start),
    /// Call the handler with these records, in this order: at most [`EngineConfig::batch`](super::EngineConfig::batch),
    /// where that allows for more than one. Answered by one `Handled` for each.
    StartBatch(Vec<Start>),
    /// Send a copy of the record to another topic, and wait until it is delivered; answered by `Published`.
    Publish {
        /// For which work.
        work: WorkId,
        /// The record.
        record: Record,
        /// Where the copy goes.
        to: Destination,
        /// How often the handler was started, as far as known across crashes and processes.
        attempts: u32,
    },
    /// Tell the running handler that its lease could not be renewed in time.
    Cancel {
        /// For which work.
        work: WorkId,
    },
    /// Send this completion; answered by `Completed`.
    Complete {
        /// For which work.
        work: WorkId,
        /// What to complete.
        completion: Completion,
    },
    /// Send this renewal; answered by `Renewed`.
    Renew {
        /// For which work.
        work: WorkId,
        /// What to renew.
        lease: Lease,
    },
    /// Send this release; answered by `Released`.
    Release(Release),
    /// Commit `offset` as the next one to read; answered by `Committed`.
    Commit {
        /// For which assignment.
        assignment: Assignment,
        /// The next offset to read.
        offset: Offset,
    },
    /// Stop delivering records of a partition.
    Pause(Assignment),
    /// Deliver records of a partition again.
    Resume(Assignment),
    /// Partitions may be given back to the source; nothing of these assignments will be committed any more.
    RevokeDone(Vec<Assignment>),
    /// Everything has ended after a `Shutdown`; no event is awaited any more.
    Finished,
}
