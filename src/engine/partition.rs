//! The state of one assignment of one partition.

use std::collections::VecDeque;
use std::time::Duration;

use crate::record::Offset;

use super::tracker::Tracker;
use super::{Assignment, WorkId};

/// What an assignment may still do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Everything.
    Active,
    /// Nothing new; what runs may end and is committed.
    Draining,
    /// Nothing new, because a record cannot be handled. What settled before it is still committed.
    Stopped,
    /// It belongs to somebody else now. What runs may end; nothing is committed any more.
    Closed,
}

/// One assignment of one partition: its lane, its tracker, its commits.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) assignment: Assignment,
    pub(super) phase: Phase,
    pub(super) tracker: Tracker,
    /// Records whose handler has not succeeded yet, in order; those that settled meanwhile are skipped at the head.
    pub(super) lane: VecDeque<WorkId>,
    /// How many of the lane, from its head, were claimed or tried.
    pub(super) cursor: usize,
    /// How far the lane claims ahead now.
    pub(super) ahead: usize,
    /// The head was parked: until it is held or settled, only the head is claimed.
    pub(super) head_only: bool,
    /// The head waits for others to end before it may start.
    pub(super) starved: bool,
    /// Records not yet settled or dropped.
    pub(super) in_flight: usize,
    /// Their bytes.
    pub(super) bytes: usize,
    /// Records that a drain waits for.
    pub(super) busy: usize,
    /// Releases not yet answered.
    pub(super) releasing: usize,
    pub(super) paused: bool,
    /// The greatest offset that was sent for commit.
    pub(super) sent: Option<Offset>,
    /// The commit under way.
    pub(super) committing: Option<Offset>,
    /// Records settled since the last commit was sent.
    pub(super) settled: usize,
    pub(super) last_commit: Duration,
    /// When the first of the records settled that the next commit may cover.
    pub(super) settled_since: Option<Duration>,
    /// The same of the commit under way.
    pub(super) covers_since: Option<Duration>,
}

impl Part {
    pub(super) fn new(assignment: Assignment, ahead: usize, now: Duration) -> Self {
        Self {
            assignment,
            phase: Phase::Active,
            tracker: Tracker::default(),
            lane: VecDeque::new(),
            cursor: 0,
            ahead,
            head_only: false,
            starved: false,
            in_flight: 0,
            bytes: 0,
            busy: 0,
            releasing: 0,
            paused: false,
            sent: None,
            committing: None,
            settled: 0,
            last_commit: now,
            settled_since: None,
            covers_since: None,
        }
    }

    /// Removes the head of the lane.
    pub(super) fn pop_head(&mut self) {
        self.lane.pop_front();
        self.cursor = self.cursor.saturating_sub(1);
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
