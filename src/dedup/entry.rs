//! One ID that this process has in flight.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use super::claiming::Claiming;
use super::completing::Completing;
use super::desk::Desk;
use super::holding::Holding;
use super::releasing::Releasing;
use crate::record::Record;
use crate::store::{Lease, MessageDetails};

/// One ID in flight here: while it exists, this process asks the store for that ID under no other token.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) subject: Subject,
    pub(super) phase: Phase,
    /// Under which time it stands in the schedule.
    pub(super) due: Option<Instant>,
    /// Tells who waits for its end: `true` for done; closed without a word for given back.
    ended: Option<watch::Sender<bool>>,
}

/// What an entry is about; it stays the same in all phases.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) lease: Lease,
    pub(super) record: Record,
    /// What the message says of itself, for a store that keeps it.
    pub(super) message: Option<Arc<MessageDetails>>,
    /// When the claim was first sent.
    pub(super) claimed_at: Instant,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// ## Claiming => (Holding | Releasing | end)
    /// Holding: claimed, and the asker took the guard. Releasing: claimed, but the asker has gone or the answer came
    /// too late. End: done, in flight elsewhere, or given up.
    Claiming(Claiming),
    /// ## Holding => (Completing | Releasing)
    /// Completing: the effect happened. Releasing: it did not, or the guard was dropped.
    Holding(Holding),
    /// ## Completing => end
    /// When the store has answered, and by nothing else: the effect happened.
    Completing(Completing),
    /// ## Releasing => end
    /// When the store has answered, or the lease has surely run out.
    Releasing(Releasing),
}

/// Whether an entry goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Lives,
    Ends { done: bool },
}

impl Entry {
    pub(super) fn new(subject: Subject, claiming: Claiming) -> Self {
        Self { subject, phase: Phase::Claiming(claiming), due: None, ended: None }
    }

    /// A signal of this entry's end.
    pub(super) fn watch(&mut self) -> watch::Receiver<bool> {
        self.ended.get_or_insert_with(|| watch::Sender::new(false)).subscribe()
    }

    /// Tells who waits; dropping the entry without it tells them that the ID may be free.
    pub(super) fn announce_done(&self) {
        if let Some(ended) = &self.ended {
            ended.send_replace(true);
        }
    }

    /// How long the ID may stay in flight unless something happens to it.
    pub(super) fn remaining(&self, now: Instant, lease: Duration) -> Duration {
        match &self.phase {
            Phase::Claiming(_) => lease,
            Phase::Holding(holding) => holding.hold.remaining(now),
            Phase::Completing(completing) => completing.hold.remaining(now),
            Phase::Releasing(releasing) => releasing.remaining(now),
        }
    }

    /// When it wants [`tick`](Self::tick) next.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Claiming(claiming) => claiming.due(),
            Phase::Holding(holding) => holding.due(),
            Phase::Completing(completing) => completing.due(),
            Phase::Releasing(releasing) => releasing.due(),
        }
    }

    /// Does what has become due.
    pub(super) fn tick(&mut self, now: Instant, desk: &mut Desk) -> Fate {
        match &mut self.phase {
            Phase::Claiming(claiming) => claiming.tick(&self.subject, now, desk),
            Phase::Holding(holding) => holding.tick(&self.subject, now, desk),
            Phase::Completing(completing) => completing.tick(&self.subject, now, desk),
            Phase::Releasing(releasing) => releasing.tick(self.subject.lease, now, desk),
        }
    }
}
