//! What happens in the world of the simulation.

use slab::Slab;

use super::super::super::{Assignment, Event, WorkId};
use super::call::Call;
use super::plan::Fault;
use super::store::Id;
use crate::observe::FailureKind;
use crate::record::Offset;
use crate::store::Token;

#[derive(Debug)]
pub(super) enum Ev {
    /// The next commands of a call reach the store.
    Execute {
        call: usize,
    },
    /// The answer of one of its legs reaches the worker.
    Answer {
        call: usize,
    },
    /// The lease of a done ID is deleted.
    Delete {
        id: Id,
    },
    /// What a claim took before it found its ID done is given back.
    GiveBack {
        id: Id,
        token: Token,
    },
    Deliver {
        to: usize,
        event: Event,
    },
    Assign {
        to: usize,
        assigned: Vec<(usize, Assignment, usize)>,
    },
    Revoke {
        to: usize,
        assignments: Vec<Assignment>,
    },
    Lose {
        to: usize,
        assignments: Vec<Assignment>,
    },
    Records {
        to: usize,
        partition: usize,
        assignment: Assignment,
        from: usize,
        count: usize,
    },
    Effect {
        at: usize,
        work: WorkId,
        run: u64,
    },
    End {
        at: usize,
        work: WorkId,
        run: u64,
        result: Result<(), FailureKind>,
    },
    /// A copy of a record reaches its topic; if it `dies`, its process ends before it hears of that.
    Copy {
        from: usize,
        partition: usize,
        index: usize,
        dies: bool,
    },
    Die {
        at: usize,
        work: WorkId,
        run: u64,
    },
    Tick {
        at: usize,
    },
    /// An engine takes the events that were kept for it.
    Turn {
        at: usize,
    },
    Poll {
        at: usize,
    },
    /// An operator lets it go on.
    Resume {
        at: usize,
    },
    Rejoin {
        who: usize,
    },
    Commit {
        from: usize,
        assignment: Assignment,
        offset: Offset,
    },
    RevokeDone {
        from: usize,
        assignments: Vec<Assignment>,
    },
    Missed {
        who: usize,
    },
    Launch {
        slot: usize,
    },
    Fault(Fault),
    StoreUp,
    /// The store has memory again.
    StoreRoom,
    /// A slice fills up.
    Grow,
    /// An operator looks for partitions that wait for one.
    Operator,
}

impl Ev {
    /// The process that this happens in; nothing happens in a dead one, and later in one that stands still.
    pub(super) fn process(&self, calls: &Slab<Call>) -> Option<usize> {
        match self {
            Self::Answer { call } => calls.get(*call).map(|call| call.from),
            Self::Deliver { to, .. }
            | Self::Assign { to, .. }
            | Self::Revoke { to, .. }
            | Self::Lose { to, .. }
            | Self::Records { to, .. } => Some(*to),
            Self::Effect { at, .. }
            | Self::End { at, .. }
            | Self::Die { at, .. }
            | Self::Tick { at }
            | Self::Turn { at }
            | Self::Poll { at }
            | Self::Resume { at }
            | Self::Rejoin { who: at } => Some(*at),
            _ => None,
        }
    }
}
