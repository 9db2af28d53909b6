//! Partitions given up: revoked with a drain, lost without one, and all of them at the end.

use std::time::Duration;

use super::partition::Phase;
use super::work::Stage;
use super::{Action, Assignment, Bug, Engine, WorkId};

/// Partitions that end together.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) parts: Vec<usize>,
    pub(super) deadline: Duration,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The source waits to be told that it may take these back.
    Revoke(Vec<Assignment>),
    /// The consumer ends: first what runs, then the commits.
    Shutdown,
}

impl Engine {
    /// Starts to give partitions back: nothing new starts, what was claimed and not started is released, what runs
    /// may end until the deadline.
    pub(super) fn revoke(&mut self, assignments: Vec<Assignment>, deadline: Duration) {
        let parts: Vec<usize> = assignments.iter().filter_map(|assignment| self.find(assignment)).collect();
        parts.iter().for_each(|index| self.begin_drain(*index));
        self.drains.push(Drain { parts, deadline, kind: Kind::Revoke(assignments) });
    }

    /// Starts to end the consumer.
    pub(super) fn shut_down(&mut self, deadline: Duration) {
        if self.shutting_down {
            // A second request brings the end forward, never back.
            self.drains.iter_mut().for_each(|drain| drain.deadline = drain.deadline.min(deadline));
            return;
        }
        self.shutting_down = true;
        let parts: Vec<usize> = self.current.values().copied().collect();
        parts.iter().for_each(|index| self.begin_drain(*index));
        self.drains.push(Drain { parts, deadline, kind: Kind::Shutdown });
    }

    fn find(&self, assignment: &Assignment) -> Option<usize> {
        let index = *self.current.get(&assignment.partition)?;
        self.parts.get(index).filter(|part| part.assignment == *assignment).map(|_| index)
    }

    fn begin_drain(&mut self, index: usize) {
        let Some(part) = self.parts.get_mut(index).filter(|part| part.phase != Phase::Closed) else { return };
        part.phase = Phase::Draining;
        self.give_back_all(index);
    }

    /// A partition is gone: nothing of it is committed any more, and nobody waits for what still runs.
    pub(super) fn lost(&mut self, assignment: &Assignment) {
        let Some(index) = self.find(assignment) else { return };
        self.observer.on_lost(&assignment.partition, assignment.epoch);
        self.close(index);
    }

    /// Ends an assignment. What runs may still end and be recorded as done.
    pub(super) fn close(&mut self, index: usize) {
        let Some(part) = self.parts.get_mut(index) else { return };
        part.phase = Phase::Closed;
        let partition = part.assignment.partition.clone();
        if self.current.get(&partition) == Some(&index) {
            self.current.remove(&partition);
        }
        self.give_back_all(index);
        self.drop_part_if_over(index);
    }

    /// Ends every drain that is over: commits what settled, then gives the partitions back.
    pub(super) fn check_drains(&mut self) {
        let mut index = 0;
        while let Some(drain) = self.drains.get(index) {
            let drained = drain.parts.iter().all(|part| self.is_drained(*part));
            if !drained && self.now < drain.deadline {
                index += 1;
                continue;
            }
            let (parts, shutdown) = (drain.parts.clone(), matches!(drain.kind, Kind::Shutdown));
            // A commit goes out before the partition goes back, in the same order through the source's thread.
            parts.iter().for_each(|part| self.commit_part(*part));
            if shutdown && !self.may_finish(index) {
                index += 1;
                continue;
            }
            let drain = self.drains.swap_remove(index);
            self.let_go(if shutdown { None } else { Some(&drain.parts) });
            for part in drain.parts {
                self.end_drain(part);
            }
            match drain.kind {
                Kind::Revoke(assignments) => self.out.push(Action::RevokeDone(assignments)),
                Kind::Shutdown => self.out.push(Action::Finished),
            }
        }
    }

    /// The time of a drain is over: gives back what certainly does not run, of these partitions or of all, although
    /// something of it is under way. Otherwise the next owner would wait for its lease, and take it for a crash.
    ///
    /// What runs, or had its effect, keeps its lease. A claim under way is given back when it is answered; but a process
    /// that ends will not hear of that.
    fn let_go(&mut self, parts: Option<&[usize]>) {
        if self.planted(Bug::KeptAtTheEnd) {
            return;
        }
        let ended = self.works.iter().map(|(_, work)| work);
        let ended = ended.filter(|work| parts.is_none_or(|parts| parts.contains(&work.part)));
        let mut ended: Vec<WorkId> = ended.map(|work| work.id).collect();
        // In the order of their arrival, so that the same events always lead to the same actions.
        ended.sort_unstable();
        for id in ended {
            let Some(work) = self.work(id) else { continue };
            let token = match (&work.stage, work.hold) {
                (Stage::Claiming { .. }, _) if parts.is_none() => work.token,
                (Stage::Held | Stage::BackingOff(_) | Stage::Refreshing, Some(hold)) => Some(hold.token),
                (Stage::GivingUp { .. } | Stage::Delivering, Some(hold)) => Some(hold.token),
                _ => None,
            };
            if let Some(token) = token {
                self.send_first_release(id, token);
            }
            self.drop_if_unwanted(id);
        }
    }

    fn is_drained(&self, index: usize) -> bool {
        let claims_only = || !self.works.iter().any(|(_, work)| work.part == index && work.is_exposed());
        self.parts.get(index).is_none_or(|part| part.phase == Phase::Closed || part.is_drained())
            || (self.planted(Bug::UnassignEarly) && claims_only())
    }

    /// The consumer ends when nothing is under way any more, commits, claims and work of older epochs included, or at the
    /// deadline.
    fn may_finish(&self, index: usize) -> bool {
        let over = self.drains.get(index).is_some_and(|drain| drain.deadline <= self.now);
        let committing = self.parts.iter().any(|(_, part)| part.phase != Phase::Closed && part.committing.is_some());
        over || (self.works.is_empty() && self.releases.is_empty() && !committing)
    }

    fn end_drain(&mut self, index: usize) {
        let Some(part) = self.parts.get(index) else { return };
        if part.phase != Phase::Closed {
            let (assignment, drained) = (part.assignment.clone(), part.is_drained());
            self.observer.on_revoke(&assignment.partition, assignment.epoch, drained);
            self.close(index);
        }
        self.drop_part_if_over(index);
    }
}
