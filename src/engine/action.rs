//! What the engine wants done.

use crate::id::Fingerprint;
use crate::observe::Outcome;
use crate::record::{Offset, Record};
pub use crate::store::Destination;
use crate::store::{Claim, Completion, GiveUp, Lease, Release};

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
    /// Send this note, that a record is given up; answered by `GaveUp`.
    GiveUp {
        /// For which work.
        work: WorkId,
        /// What to note.
        note: GiveUp,
    },
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
    /// Report that the effect of this record may have happened twice ([`Observer::on_possible_repeat`]). The record is not
    /// here any more, so nothing else tells where the first attempt came from: look that up before, if the store keeps it.
    ///
    /// [`Observer::on_possible_repeat`]: crate::observe::Observer::on_possible_repeat
    ReportDoubt {
        /// The record of the attempt in doubt.
        record: Record,
        /// The fingerprint of its ID.
        fingerprint: Fingerprint,
    },
    /// A record that an operator skips has settled, or its partition was given up before.
    SkipEnded {
        /// Which record.
        work: WorkId,
        /// What became of it; `None` if its partition was given up before it settled.
        outcome: Option<Outcome>,
    },
    /// Partitions may be given back to the source; nothing of these assignments will be committed any more.
    RevokeDone(Vec<Assignment>),
    /// Everything has ended after a `Shutdown`; no event is awaited any more.
    Finished,
}
