//! Which commits are under way.
//!
//! Of one partition there is at most one commit under way. librdkafka repeats a commit that failed on the way, and
//! nothing keeps an explicit commit from going backwards: were a second one sent meanwhile, the repeated first one
//! could arrive after it and rewind the group. What is asked for meanwhile travels together afterwards, as the
//! greatest offset among it.

use std::collections::HashMap;

use crate::engine::Assignment;
use crate::observe::CommitRefused;
use crate::record::{Epoch, Offset, TopicPartition};

/// A commit's answer, to be handed on.
pub(super) type Answer = (Assignment, Offset, Result<(), CommitRefused>);

/// The commits of all partitions that are owned.
#[derive(Default)]
pub(super) struct Commits {
    tracks: HashMap<TopicPartition, Track>,
}

struct Track {
    epoch: Epoch,
    /// Asked for, not sent.
    waiting: Vec<Offset>,
    /// Sent as one, as the greatest of them.
    sent: Vec<Offset>,
    /// Under way from an epoch before: nothing is sent before it was answered.
    stale: Option<Offset>,
    /// The greatest offset that the broker confirmed in this epoch.
    confirmed: Option<Offset>,
}

impl Track {
    fn answer(
        &self,
        partition: &TopicPartition,
        offsets: &[Offset],
        result: &Result<(), CommitRefused>,
    ) -> Vec<Answer> {
        let assignment = Assignment { partition: partition.clone(), epoch: self.epoch };
        offsets.iter().map(|offset| (assignment.clone(), *offset, result.clone())).collect()
    }
}

impl Commits {
    /// Takes a commit. The caller has checked that the assignment is the current one.
    pub(super) fn ask(&mut self, assignment: Assignment, offset: Offset) -> Option<Answer> {
        let track = self.tracks.entry(assignment.partition.clone()).or_insert(Track {
            epoch: assignment.epoch,
            waiting: Vec::new(),
            sent: Vec::new(),
            stale: None,
            confirmed: None,
        });
        let reached = track.waiting.iter().chain(&track.sent).chain(&track.confirmed).max();
        if let Some(reached) = reached.filter(|reached| offset < **reached) {
            let problem = format!("offset {offset} lies before {reached}, which was committed in this epoch");
            return Some((assignment, offset, Err(CommitRefused::failed(problem))));
        }
        track.waiting.push(offset);
        None
    }

    /// What can be sent now: at most one offset of each partition.
    pub(super) fn send(&mut self) -> Vec<(TopicPartition, Offset)> {
        let ready = self.tracks.iter_mut().filter(|(_, track)| track.sent.is_empty() && track.stale.is_none());
        ready
            .filter_map(|(partition, track)| {
                let offset = *track.waiting.iter().max()?;
                track.sent = std::mem::take(&mut track.waiting);
                Some((partition.clone(), offset))
            })
            .collect()
    }

    /// The broker answered, or the commit could not be sent. An answer that belongs to nothing under way is ignored.
    pub(super) fn answered(
        &mut self,
        partition: &TopicPartition,
        offset: Offset,
        result: Result<(), CommitRefused>,
    ) -> Vec<Answer> {
        let Some(track) = self.tracks.get_mut(partition) else { return Vec::new() };
        if track.stale == Some(offset) {
            track.stale = None;
            return Vec::new();
        }
        if track.sent.iter().max() != Some(&offset) {
            return Vec::new();
        }
        let sent = std::mem::take(&mut track.sent);
        if result.is_ok() {
            track.confirmed = Some(offset);
        }
        track.answer(partition, &sent, &result)
    }

    /// Whether nothing of a partition is waiting or under way.
    pub(super) fn is_settled(&self, partition: &TopicPartition) -> bool {
        self.tracks.get(partition).is_none_or(|track| track.waiting.is_empty() && track.sent.is_empty())
    }

    /// Whether nothing at all is waiting or under way.
    pub(super) fn all_settled(&self) -> bool {
        self.tracks.values().all(|track| track.waiting.is_empty() && track.sent.is_empty())
    }

    /// Begins another epoch of a partition that is kept, in which commits may go back; what was under way is answered with
    /// `reason`, and still waited for.
    pub(super) fn begin_anew(&mut self, partition: &TopicPartition, epoch: Epoch, reason: &str) -> Vec<Answer> {
        let Some(track) = self.tracks.get_mut(partition) else { return Vec::new() };
        let failed = Err(CommitRefused::by_rebalance(reason));
        let offsets: Vec<_> = track.sent.iter().chain(&track.waiting).copied().collect();
        let answers = track.answer(partition, &offsets, &failed);
        let stale = track.sent.iter().max().copied().or(track.stale);
        *track = Track { epoch, waiting: Vec::new(), sent: Vec::new(), stale, confirmed: None };
        answers
    }

    /// Forgets a partition that is no longer owned; what was under way is answered with `reason`.
    pub(super) fn forget(&mut self, partition: &TopicPartition, reason: &str) -> Vec<Answer> {
        let Some(track) = self.tracks.remove(partition) else { return Vec::new() };
        let failed = Err(CommitRefused::by_rebalance(reason));
        let mut answers = track.answer(partition, &track.sent, &failed);
        answers.extend(track.answer(partition, &track.waiting, &failed));
        answers
    }
}
