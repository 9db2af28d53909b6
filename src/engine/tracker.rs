//! Which delivered offsets are not settled yet: the source of the commit watermark.

use std::collections::VecDeque;

use crate::record::Offset;

/// The incomplete offsets of one assignment.
///
/// Tracks what was *delivered*, never a range: offsets have gaps (compaction, transaction markers), so "all up to here"
/// is only ever said of offsets that were seen. Sixteen bytes per record between the watermark and the newest offset.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// Delivered offsets from the first unsettled one on, ascending, each with "is settled".
    slots: VecDeque<(Offset, bool)>,
    /// One more than the last delivered offset; `None` until a record was delivered in this assignment.
    next: Option<Offset>,
}

/// An offset that is not greater than the one before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Regression {
    /// What was expected at least.
    pub(super) expected: Offset,
}

impl Tracker {
    /// Notes a delivered offset, which must be greater than all before.
    pub(super) fn deliver(&mut self, offset: Offset) -> Result<(), Regression> {
        match self.next {
            Some(expected) if offset < expected => Err(Regression { expected }),
            _ => {
                self.slots.push_back((offset, false));
                self.next = Some(offset + 1);
                Ok(())
            }
        }
    }

    /// Marks a delivered offset as settled; says whether that was news.
    pub(super) fn settle(&mut self, offset: Offset) -> bool {
        let Some(index) = self.find(offset) else { return false };
        let Some((_, settled)) = self.slots.get_mut(index) else { return false };
        let news = !std::mem::replace(settled, true);
        while self.slots.front().is_some_and(|(_, settled)| *settled) {
            self.slots.pop_front();
        }
        news
    }

    fn find(&self, offset: Offset) -> Option<usize> {
        // Mostly there are no gaps.
        let first = self.slots.front()?.0;
        let guess = usize::try_from(offset.checked_sub(first)?).ok()?;
        match self.slots.get(guess) {
            Some((found, _)) if *found == offset => Some(guess),
            _ => self.slots.binary_search_by_key(&offset, |(offset, _)| *offset).ok(),
        }
    }

    /// How many delivered offsets are remembered: those from the watermark on.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The next offset to commit: the first delivered one that is not settled, or the one after the last delivered.
    /// `None` until a record was delivered: nothing is ever committed before that.
    pub(super) fn watermark(&self) -> Option<Offset> {
        self.slots.front().map(|(offset, _)| *offset).or(self.next)
    }
}
