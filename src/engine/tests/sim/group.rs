//! The group: who has which partition, in which epoch; commits are fenced by both.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::SliceRandom;

use super::super::super::*;
use super::facts::Sometimes;
use super::plan::{MS, Plan};
use super::world::{Ev, World};
use crate::observe::CommitRefused;
use crate::record::{Epoch, Offset};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Slot {
    Free,
    Owned { by: usize, assignment: Assignment },
    Revoking { by: usize, assignment: Assignment },
}

#[derive(Debug)]
pub(super) struct Group {
    slots: Vec<Slot>,
    target: Vec<Option<usize>>,
    pub(super) committed: Vec<Offset>,
    epochs: u64,
}

impl Group {
    pub(super) fn new(plan: &Plan) -> Self {
        let count = plan.log.len();
        Self {
            slots: vec![Slot::Free; count],
            target: vec![None; count],
            committed: plan.log.iter().map(|log| log.first().map_or(0, |entry| entry.offset)).collect(),
            epochs: 0,
        }
    }
}

impl World {
    pub(super) fn join(&mut self, who: usize) {
        if self.workers[who].alive && self.workers[who].shutting_down.is_none() && !self.workers[who].member {
            self.workers[who].member = true;
            self.rebalance();
        }
    }

    /// Takes a member out of the group, with all that it has; returns what that was.
    pub(super) fn leave(&mut self, who: usize) -> Vec<Assignment> {
        self.workers[who].member = false;
        let mut had = Vec::new();
        for slot in &mut self.group.slots {
            if let Slot::Owned { by, assignment } | Slot::Revoking { by, assignment } = slot
                && *by == who
            {
                had.push(assignment.clone());
                *slot = Slot::Free;
            }
        }
        self.rebalance();
        had
    }

    /// Draws new owners; what changes hands is revoked first.
    pub(super) fn rebalance(&mut self) {
        let mut members: Vec<usize> =
            (0..self.workers.len()).filter(|who| self.workers[*who].alive && self.workers[*who].member).collect();
        members.shuffle(&mut self.rng);
        let mut revoked: BTreeMap<usize, Vec<Assignment>> = BTreeMap::new();
        for partition in 0..self.group.slots.len() {
            let target = (!members.is_empty()).then(|| match self.plan.together || self.rng.random_ratio(1, 4) {
                true => members[0],
                false => members[partition % members.len()],
            });
            self.group.target[partition] = target;
            if let Slot::Owned { by, assignment } = self.group.slots[partition].clone()
                && target != Some(by)
            {
                revoked.entry(by).or_default().push(assignment.clone());
                self.group.slots[partition] = Slot::Revoking { by, assignment };
            }
        }
        for (who, assignments) in revoked {
            let delay = self.within(5 * MS);
            self.control(who, delay, Ev::Revoke { to: who, assignments });
        }
        self.assign_free();
    }

    fn assign_free(&mut self) {
        let mut assigned: BTreeMap<usize, Vec<(usize, Assignment, usize)>> = BTreeMap::new();
        for partition in 0..self.group.slots.len() {
            let Some(to) = self.group.target[partition] else { continue };
            if self.group.slots[partition] != Slot::Free || !self.workers[to].alive || !self.workers[to].member {
                continue;
            }
            self.group.epochs += 1;
            let assignment =
                Assignment { partition: TopicPartition::new("t", partition as i32), epoch: Epoch(self.group.epochs) };
            self.group.slots[partition] = Slot::Owned { by: to, assignment: assignment.clone() };
            let committed = self.group.committed[partition];
            let position = self.plan.log[partition].partition_point(|entry| entry.offset < committed);
            assigned.entry(to).or_default().push((partition, assignment, position));
        }
        for (to, assigned) in assigned {
            let delay = self.within(5 * MS);
            self.control(to, delay, Ev::Assign { to, assigned });
        }
    }

    pub(super) fn revoke_done_arrives(&mut self, from: usize, assignments: &[Assignment]) {
        for slot in &mut self.group.slots {
            if let Slot::Revoking { by, assignment } = slot
                && *by == from
                && assignments.contains(assignment)
            {
                *slot = Slot::Free;
            }
        }
        self.assign_free();
    }

    pub(super) fn commit_arrives(&mut self, from: usize, assignment: Assignment, offset: Offset) {
        let partition = assignment.partition.partition() as usize;
        let owns = match &self.group.slots[partition] {
            Slot::Owned { by, assignment: current } | Slot::Revoking { by, assignment: current } => {
                *by == from && *current == assignment
            }
            Slot::Free => false,
        };
        let refused = !self.healed() && self.rng.random_range(0..1000) < self.plan.refusals;
        let result = if !owns {
            self.counts.reached(Sometimes::FencedCommit);
            Err(CommitRefused::by_rebalance("not the owner"))
        } else if refused {
            Err(CommitRefused::failed("the coordinator moves"))
        } else {
            if offset < self.group.committed[partition] {
                self.fail(format!("I2: the commit of {partition} goes back to {offset}"));
            }
            self.group.committed[partition] = offset;
            self.say(|_| format!("COMMITTED {partition} up to {offset}"));
            Ok(())
        };
        if result.is_err()
            && let Some(commit) = self.workers[from].commits.get_mut(&assignment)
            && commit.0 == offset
        {
            commit.1 = true;
        }
        let delay = self.within(3 * MS);
        self.after(delay, Ev::Deliver { to: from, event: Event::Committed { assignment, offset, result } });
    }
}
