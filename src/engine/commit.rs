//! Offsets: committed from the watermark, only forward, only in the assignment that delivered them.

use std::time::Duration;

use crate::observe::CommitRefused;
use crate::record::Offset;

use super::partition::Phase;
use super::{Action, Assignment, Bug, Engine};

impl Engine {
    /// Commits the watermark of an assignment, where that moves the commit forward. **The one place that commits.**
    pub(super) fn commit_part(&mut self, index: usize) {
        let now = self.now;
        let anyhow = self.planted(Bug::CommitAfterRevoke);
        let Some(part) = self.parts.get_mut(index).filter(|part| part.phase != Phase::Closed || anyhow) else { return };
        let Some(offset) = part.uncommitted() else { return };
        part.sent = Some(offset);
        part.committing = Some(offset);
        part.settled = 0;
        part.covers_since = part.settled_since.take().or(part.covers_since);
        part.last_commit = now;
        let assignment = part.assignment.clone();
        self.out.push(Action::Commit { assignment, offset });
    }

    /// Commits what has waited for a whole interval.
    pub(super) fn commit_due(&mut self) {
        let (now, interval) = (self.now, self.config.commit_interval);
        let due: Vec<usize> = self
            .parts
            .iter()
            .filter(|(_, part)| part.committing.is_none() && part.last_commit + interval <= now)
            .map(|(index, _)| index)
            .collect();
        due.into_iter().for_each(|index| self.commit_part(index));
    }

    /// When the next commit is due.
    pub(super) fn next_commit(&self) -> Option<Duration> {
        self.parts
            .iter()
            .filter(|(_, part)| {
                part.phase != Phase::Closed && part.committing.is_none() && part.uncommitted().is_some()
            })
            .map(|(_, part)| part.last_commit + self.config.commit_interval)
            .min()
    }

    /// A commit was answered. A refused one changes nothing here: it is tried again with the next interval, and if the
    /// partition has gone to somebody else, its new owner sees the records again and drops them as duplicates.
    pub(super) fn committed(&mut self, assignment: &Assignment, offset: Offset, result: Result<(), CommitRefused>) {
        let now = self.now;
        let part = self.parts.iter().find(|(_, part)| part.assignment == *assignment).map(|(_, part)| part);
        let lag = part.and_then(|part| part.covers_since).map_or(Duration::ZERO, |since| now.saturating_sub(since));
        match &result {
            Ok(()) => self.observer.on_commit(&assignment.partition, offset, lag),
            Err(refused) => self.observer.on_commit_failed(&assignment.partition, offset, refused),
        }
        let Some((_, part)) = self.parts.iter_mut().find(|(_, part)| part.assignment == *assignment) else { return };
        if result.is_ok() {
            part.committed = part.committed.max(Some(offset));
        }
        if part.committing != Some(offset) {
            return;
        }
        part.committing = None;
        // After a drain nothing more will settle, and whoever waits for its end should not wait for a source that refuses.
        let last = part.phase == Phase::Draining && part.is_drained();
        if result.is_err() && !last {
            // `sent` only guards against going back; what was refused may be sent again.
            part.sent = part.sent.map(|sent| sent - 1);
            part.settled += 1;
            part.settled_since = part.covers_since;
            part.last_commit = now;
        }
    }
}
