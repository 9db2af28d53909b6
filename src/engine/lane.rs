//! Lanes: records that are handled one after the other.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::record::Record;

use super::{Order, WorkId};

/// The place of a lane; meaningless once the lane is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneIndex(pub(super) usize);

impl LaneIndex {
    /// Of a record whose assignment has ended: it is in no lane any more.
    pub(super) const NONE: Self = Self(usize::MAX);
}

/// What tells the lanes of one partition apart.
///
/// A key is known by its hash: where two keys have the same one they share a lane, which costs concurrency and breaks
/// no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum LaneKey {
    /// The partition's own: of all its records, or of those without a key.
    Partition,
    Key(u64),
    /// A lane of one record, which no other joins.
    Alone,
}

impl LaneKey {
    pub(super) fn of(record: &Record, order: Order) -> Self {
        match (order, record.key()) {
            (Order::Partition, _) | (Order::Key, None) => Self::Partition,
            (Order::Key, Some(key)) => {
                let mut hasher = DefaultHasher::new();
                key.hash(&mut hasher);
                Self::Key(hasher.finish())
            }
            (Order::Unordered, _) => Self::Alone,
        }
    }
}

/// Records that are handled one after the other.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) part: usize,
    pub(super) key: LaneKey,
    /// Records whose handler has not succeeded yet, in order; those that settled meanwhile are skipped at the head.
    pub(super) works: VecDeque<WorkId>,
    /// How many of them, from the head, were claimed or tried.
    pub(super) cursor: usize,
    /// The head was parked: until it is held or settled, only the head is claimed.
    pub(super) head_only: bool,
    /// It stands in its partition's list of lanes with something to claim.
    pub(super) listed: bool,
    /// It stands in its partition's list of lanes whose head waits for its turn.
    pub(super) ready: bool,
    /// It is to be looked at before the step ends.
    pub(super) dirty: bool,
}

impl Lane {
    pub(super) fn new(part: usize, key: LaneKey) -> Self {
        Self {
            part,
            key,
            works: VecDeque::new(),
            cursor: 0,
            head_only: false,
            listed: false,
            ready: false,
            dirty: false,
        }
    }

    pub(super) fn head(&self) -> Option<WorkId> {
        self.works.front().copied()
    }

    pub(super) fn pop_head(&mut self) {
        self.works.pop_front();
        self.cursor = self.cursor.saturating_sub(1);
    }

    /// Whether a record of it could be claimed now, its head for the first time or one behind the head.
    pub(super) fn has_claimable(&self) -> bool {
        self.cursor < self.works.len() && (self.cursor == 0 || !self.head_only)
    }

    /// Whether nobody would miss it.
    pub(super) fn is_over(&self) -> bool {
        self.works.is_empty() && !self.listed && !self.ready && !self.dirty
    }
}
