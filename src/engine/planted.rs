//! Bugs for the simulation to find: what cannot fail proves nothing.
//!
//! Each is a mistake that this engine could have, or once had, behind a condition of one line where it would be made.
//! `planted` is a constant outside of tests, so that a shipped engine has neither the field nor the branches. The feature
//! `failpoints` plants some of them in whole processes, for the chaos harness.

use super::{Action, Engine, WorkId};
#[cfg(not(test))]
use crate::failpoint::{Planted, planted};
use crate::store::{GivenBack, Release};

/// A mistake in the engine. Those that a client of the store can make are the simulation's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    /// A record whose handler failed settles.
    PastFailed,
    /// The watermark is the last success, whatever lies before it.
    ByLastSuccess,
    /// A record settles while another of this process has its ID in flight.
    TwinSettledEarly,
    /// A record settles while another process has its ID in flight.
    InFlightSettled,
    /// An assignment that was given up is committed.
    CommitAfterRevoke,
    /// A claim made ahead takes over, and counts as an attempt.
    CountedAhead,
    /// The count of failures is not given back with the claim.
    CountForgotten,
    /// Claims made ahead are kept behind a parked head: two workers wait for each other.
    KeptBehindParked,
    /// Claims given back behind a parked head are made again at once: two workers give and take for ever.
    TakenAgainAtOnce,
    /// A claim is given back although its completion is under way.
    ReleaseAfterComplete,
    /// A partition goes back while claims of it are under way.
    UnassignEarly,
    /// A completion without an answer is given up when the lease may have run out.
    CompletionGivenUp,
    /// A head that got its turn and did not start keeps it from those behind it in line.
    TurnLost,
    /// Claims are made ahead although the consumer is paused.
    ClaimedWhilePaused,
    /// Claims made ahead are kept over a pause.
    KeptWhilePaused,
    /// A record that an owner before gave up is handled.
    NoteIgnored,
    /// A claim is given back without the note that its record is given up, though a copy may have been sent.
    NoteDropped,
    /// The copy is sent together with the note that its record is given up.
    NotedWithCopy,
    /// It is forgotten that an attempt may have had its effect.
    DoubtForgotten,
    /// What does not run keeps its claim at the end of a drain.
    KeptAtTheEnd,
    /// A stopped partition never tries its record again by itself.
    NeverTriedAgain,
    /// A try of a stopped partition's record forgets how often it failed.
    TryForgetsTheCount,
    /// What lies behind a stopped record starts when that is tried again.
    OthersStartDuringATry,
    /// A skip settles the record behind the one that an operator named.
    NeighbourSkipped,
    /// The known table forgets which record has an ID.
    InFlightForgotten,
    /// Memory that records share counts as free when the first of them leaves.
    MemoryFreedEarly,
}

impl Engine {
    /// Whether a bug is planted: never, but for those that the chaos harness asks for.
    #[cfg(not(test))]
    #[inline(always)]
    pub(super) fn planted(&self, bug: Bug) -> bool {
        match bug {
            Bug::PastFailed => planted(Planted::PastFailed),
            Bug::ByLastSuccess => planted(Planted::ByLastSuccess),
            _ => false,
        }
    }

    /// Whether a bug is planted.
    #[cfg(test)]
    pub(super) fn planted(&self, bug: Bug) -> bool {
        self.planted == Some(bug)
    }

    /// What [`Bug::ReleaseAfterComplete`] does.
    pub(super) fn release_anyhow(&mut self, id: WorkId) {
        let lease = self.work(id).and_then(|work| work.lease(work.hold?.token));
        self.out.extend(lease.map(|lease| Action::Release(Release { lease, given_back: GivenBack::Unstarted })));
    }
}
