//! What really happened, by the effects themselves; and how often the rare things were reached.

use std::collections::{HashMap, HashSet};
use std::ops::AddAssign;
use std::time::Duration;

use super::store::Id;
use crate::store::Token;

/// Things that must be reached often, or the simulation would prove nothing about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sometimes {
    TakeoverAfterExpiry,
    UnknownClaimResolved,
    StaleCompletionAfterRevoke,
    CrossWorkerDeadlock,
    InProcessDeadlock,
    SuspectRanAlone,
    GhostLease,
    RepeatedEffect,
    Overrun,
    CrashWhileExposed,
    FencedCommit,
    SettledByTwin,
    /// An engine took several events in one turn.
    Grouped,
    /// A record settled because its ID was known to be done.
    SettledByCache,
    LateAfterRevoke,
    Condemned,
    TakeoverGivenBack,
    ShutDown,
    /// Two handlers of one ID at the same time; the lease of one had run out.
    Overlap,
    /// An ID was written to a further generation of its slice.
    SecondGeneration,
    /// The slices changed while a claim was under way.
    LookedUpAgain,
    FoundWhenLookedUpAgain,
    RarePathFoundDone,
    DeadLettered,
    /// A copy was not delivered, or nobody knows.
    DeliveryFailed,
    /// A call of a handler took several records of one lane.
    LaneInOneCall,
    /// An operator paused a worker whose handlers ran, and that had claimed ahead.
    Paused,
    /// A claim found its record given up by another owner.
    FoundGivenUp,
    /// A record was to be given up and its lease was lost.
    NoteNotHeld,
    /// A record that was given up would be handled well now.
    LeftThoughMended,
    /// An attempt had its effect and did not say so, and another had the ID afterwards.
    Doubted,
    /// The time of a drain was over while something was held that does not run.
    LetGo,
    /// A stopped partition tried its record by itself.
    TriedByItself,
    /// The same because an operator asked.
    TriedByOperator,
    /// A stopped partition went on.
    WentOn,
    /// A record settled that an operator skipped.
    Skipped,
}

pub(super) const SOMETIMES: [Sometimes; 36] = {
    use Sometimes::*;
    [
        TakeoverAfterExpiry,
        UnknownClaimResolved,
        StaleCompletionAfterRevoke,
        CrossWorkerDeadlock,
        InProcessDeadlock,
        SuspectRanAlone,
        GhostLease,
        RepeatedEffect,
        Overrun,
        CrashWhileExposed,
        FencedCommit,
        SettledByTwin,
        SettledByCache,
        Grouped,
        LateAfterRevoke,
        Condemned,
        TakeoverGivenBack,
        ShutDown,
        Overlap,
        SecondGeneration,
        LookedUpAgain,
        FoundWhenLookedUpAgain,
        RarePathFoundDone,
        DeadLettered,
        DeliveryFailed,
        LaneInOneCall,
        Paused,
        FoundGivenUp,
        NoteNotHeld,
        LeftThoughMended,
        Doubted,
        LetGo,
        TriedByItself,
        TriedByOperator,
        WentOn,
        Skipped,
    ]
};

/// How often each was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts([u64; SOMETIMES.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; SOMETIMES.len()])
    }
}

impl Counts {
    pub(super) fn reached(&mut self, what: Sometimes) {
        self.0[what as usize] += 1;
    }

    pub(super) fn of(&self, what: Sometimes) -> u64 {
        self.0[what as usize]
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(count, other)| *count += other);
    }
}

/// What happened to one ID.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate {
    pub(super) effects: usize,
    /// Copies delivered to the dead-letter topic.
    pub(super) copies: usize,
    /// What may have made a copy come twice: a delivery nobody knows of, the end of a process that sent one, a lease
    /// taken over from one that may send one.
    pub(super) copied_again: usize,
    /// Processes that ended by it.
    pub(super) deaths: u32,
    /// Crashes after an effect and before its completion was acknowledged.
    pub(super) crashes: usize,
    /// Effects of handlers whose lease was taken over while they ran.
    pub(super) overruns: usize,
    /// Effects of attempts that did not say so, as those that are too slow.
    pub(super) unsaid: usize,
    /// Losses of the store while it knew the ID.
    pub(super) losses: usize,
    /// Whether it was ever recorded as done.
    pub(super) done: bool,
    /// Whether a completion was executed long after it was sent: whoever completes then may not look where it wrote.
    pub(super) late: bool,
    /// How often an operator had a record of it tried again.
    pub(super) tried_by_operator: u32,
    /// Whether an operator was answered that it is skipped.
    pub(super) skipped: bool,
    /// Who recorded it.
    pub(super) completed_by: Vec<Token>,
}

impl Fate {
    /// Whether every effect beyond the first has a fault that explains it. A dead letter counts as one, since its replay
    /// would have the effect.
    pub(super) fn is_explained(&self) -> bool {
        self.effects + usize::from(self.copies > 0) <= 1 + self.crashes + self.overruns + self.unsaid + self.losses
    }

    /// The same of its copies.
    pub(super) fn are_copies_explained(&self) -> bool {
        self.copies <= 1 + self.copied_again + self.losses
    }
}

/// What is known of a token outside of the engine that drew it.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenFact {
    pub(super) worker: usize,
    /// When a claim under it was first sent, by its worker's clock.
    pub(super) claimed_at: Duration,
    pub(super) started: bool,
    /// Attempts under it that failed, and count.
    pub(super) failures: u32,
    /// Until when its lease holds by the store's clock, whatever else was done to the lease.
    pub(super) valid_until: u64,
    /// Its owner gave it up, by a release or by dying.
    pub(super) given_up: bool,
    /// When a claim or a renewal under it last met trouble.
    pub(super) trouble_at: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Facts {
    /// By ID.
    fates: Vec<Fate>,
    /// Effects and copies of records without an ID, by partition and index.
    pub(super) plain: HashMap<(usize, usize), usize>,
    pub(super) tokens: HashMap<Token, TokenFact>,
    /// Records that an operator asked to skip, by partition and index.
    pub(super) skips: HashSet<(usize, usize)>,
    /// Who was refused a claim because of whom: from, to, for which ID, when.
    pub(super) refusals: Vec<(usize, usize, Id, u64)>,
    /// By partition, up to which index every record is known to need nothing more; that never changes again.
    pub(super) over: Vec<usize>,
}

impl Facts {
    pub(super) fn new(partitions: usize, ids: usize) -> Self {
        Self {
            fates: vec![Fate::default(); ids],
            plain: HashMap::new(),
            tokens: HashMap::new(),
            skips: HashSet::new(),
            refusals: Vec::new(),
            over: vec![0; partitions],
        }
    }

    pub(super) fn of(&self, id: Id) -> &Fate {
        &self.fates[usize::from(id)]
    }

    pub(super) fn fate(&mut self, id: Id) -> &mut Fate {
        &mut self.fates[usize::from(id)]
    }

    pub(super) fn fates(&self) -> impl Iterator<Item = &Fate> {
        self.fates.iter()
    }
}
