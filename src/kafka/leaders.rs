//! Which leader of a partition wrote which records: the leader epoch goes with each committed offset, and comes back with
//! it. So a log that was cut short while nobody read, after an election that lost records, is noticed although the offset
//! exists again.

use std::collections::VecDeque;

use crate::record::Offset;

/// How many changes of leader are kept between the last commit and the last record. Beyond, a commit far behind carries
/// no epoch, as one of a broker that knows none.
const KEPT: usize = 16;

/// The leader epochs of the records delivered since the last commit.
#[derive(Debug, Default)]
pub(super) struct Leaders {
    /// From which record on, and which epoch; `None` where the record named none.
    changes: VecDeque<(Offset, Option<i32>)>,
}

impl Leaders {
    /// A record was delivered. Offsets only grow within one assignment.
    pub(super) fn delivered(&mut self, offset: Offset, epoch: Option<i32>) {
        if self.changes.back().is_some_and(|(_, last)| *last == epoch) {
            return;
        }
        if self.changes.len() == KEPT {
            self.changes.pop_front();
        }
        self.changes.push_back((offset, epoch));
    }

    /// The epoch to commit with `next` as the next offset to read: that of the last record before it.
    pub(super) fn of_commit(&self, next: Offset) -> Option<i32> {
        self.changes.iter().rev().find(|(from, _)| *from < next).and_then(|(_, epoch)| *epoch)
    }

    /// `next` is committed; commits do not go back.
    pub(super) fn committed(&mut self, next: Offset) {
        while self.changes.get(1).is_some_and(|(from, _)| *from < next) {
            self.changes.pop_front();
        }
    }
}
