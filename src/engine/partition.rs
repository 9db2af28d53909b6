//! The state of one assignment of one partition.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::record::Offset;

use super::Assignment;
use super::lane::{LaneIndex, LaneKey};
use super::stop::Stop;
use super::tracker::Tracker;

/// What an assignment may still do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Everything.
    Active,
    /// Nothing new; what runs may end and is committed.
    Draining,
    /// Nothing new but tries of one record, which cannot be handled. What settled before it is still committed.
    Stopped,
    /// It belongs to somebody else now. What runs may end; nothing is committed any more.
    Closed,
}

/// One assignment of one partition: its lanes, its tracker, its commits.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) assignment: Assignment,
    pub(super) phase: Phase,
    pub(super) tracker: Tracker,
    /// Its lanes, but for those of one record each.
    pub(super) lanes: HashMap<LaneKey, LaneIndex>,
    /// Lanes whose head was never claimed, first come first served.
    pub(super) heads: VecDeque<LaneIndex>,
    /// Lanes with something to claim behind the head; they take turns.
    pub(super) behind: VecDeque<LaneIndex>,
    /// Lanes whose head waits for its turn to start.
    pub(super) ready: VecDeque<LaneIndex>,
    /// It stands in the list of partitions that have such lanes.
    pub(super) waiting: bool,
    /// It is to be looked at before the step ends.
    pub(super) touched: bool,
    /// How many claims of records that have not started it may have; it grows and shrinks with the pace of handlers.
    pub(super) ahead: usize,
    /// How many it has.
    pub(super) claimed: usize,
    /// Handlers running.
    pub(super) running: usize,
    /// How many may run at once.
    pub(super) turns: usize,
    /// Records not yet settled or dropped.
    pub(super) in_flight: usize,
    /// Their bytes.
    pub(super) bytes: usize,
    /// Records that a drain waits for.
    pub(super) busy: usize,
    /// Releases not yet answered.
    pub(super) releasing: usize,
    pub(super) paused: bool,
    /// Since when records of it wait for room.
    pub(super) refused_since: Option<Duration>,
    /// When it last settled a record, or had none in flight.
    pub(super) moved_at: Duration,
    /// When it was last reported to stand still, in this stall.
    pub(super) stall_told: Option<Duration>,
    /// The greatest offset that was sent for commit.
    pub(super) sent: Option<Offset>,
    /// The commit under way.
    pub(super) committing: Option<Offset>,
    /// The greatest offset that the source has taken as committed.
    pub(super) committed: Option<Offset>,
    /// Where and why it stands stopped.
    pub(super) stop: Option<Stop>,
    /// Records settled.
    pub(super) settled_in_all: u64,
    /// Records settled since the last commit was sent.
    pub(super) settled: usize,
    pub(super) last_commit: Duration,
    /// When the first of the records settled that the next commit may cover.
    pub(super) settled_since: Option<Duration>,
    /// The same of the commit under way.
    pub(super) covers_since: Option<Duration>,
}

impl Part {
    pub(super) fn new(assignment: Assignment, ahead: usize, turns: usize, now: Duration) -> Self {
        Self {
            assignment,
            phase: Phase::Active,
            tracker: Tracker::default(),
            lanes: HashMap::new(),
            heads: VecDeque::new(),
            behind: VecDeque::new(),
            ready: VecDeque::new(),
            waiting: false,
            touched: false,
            ahead,
            claimed: 0,
            running: 0,
            turns,
            in_flight: 0,
            bytes: 0,
            busy: 0,
            releasing: 0,
            paused: false,
            refused_since: None,
            moved_at: now,
            stall_told: None,
            sent: None,
            committing: None,
            committed: None,
            stop: None,
            settled_in_all: 0,
            settled: 0,
            last_commit: now,
            settled_since: None,
            covers_since: None,
        }
    }

    /// The offset to commit now, where that would move the commit forward.
    pub(super) fn uncommitted(&self) -> Option<Offset> {
        let watermark = self.tracker.watermark()?;
        (self.settled > 0 && self.sent.is_none_or(|sent| watermark > sent)).then_some(watermark)
    }

    /// Whether nothing of it is under way any more.
    pub(super) fn is_drained(&self) -> bool {
        self.busy == 0 && self.releasing == 0
    }
}
