//! Taking partitions and giving them back. The rules stand above the module.

use std::collections::HashSet;
use std::time::Duration;

use rdkafka::consumer::{Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tokio::time::Instant;

use crate::engine::Assignment;
use crate::record::{Epoch, TopicPartition};

use super::SourceError;
use super::context::reason_of;
use super::poller::{Owned, Poller};
use super::source::SourceEvent;

/// How long one question for the committed offsets may take: it keeps this thread from polling.
const ASK_COMMITTED: Duration = Duration::from_millis(500);
/// How long to wait before asking again.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long a revoke waits for the answers to its last commits.
const LAST_COMMITS: Duration = Duration::from_secs(3);

/// Partitions that the group assigned, while their committed offsets are looked up.
pub(super) struct Assigning {
    partitions: TopicPartitionList,
    ask_at: Instant,
}

/// Partitions that the group wants back, while the driver drains them.
pub(super) struct Revoking {
    partitions: TopicPartitionList,
    assignments: Vec<Assignment>,
    /// Those of which the driver has not said that they are done.
    waiting: HashSet<Assignment>,
    deadline: Instant,
    /// Set once the driver is done: until then the last commits may be answered.
    commits_until: Option<Instant>,
}

/// Whether the consumer has to leave the group and join it anew.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejoin {
    No,
    /// As soon as no rebalance is under way.
    Wanted,
    /// Left; joined again once librdkafka holds no partition.
    Leaving,
}

impl Poller {
    /// librdkafka waits for the assign call, and calls nobody back before. Where to start has to be known first.
    pub(super) fn assign_requested(&mut self, partitions: TopicPartitionList) {
        if self.closing || self.rejoin != Rejoin::No {
            // Taken only to be given back at once; nothing of it is delivered.
            self.take(&partitions);
            return;
        }
        self.assigning = Some(Assigning { partitions, ask_at: Instant::now() });
        self.advance_assignment();
    }

    /// librdkafka waits for the unassign call, and calls nobody back before.
    pub(super) fn revoke_requested(&mut self, partitions: TopicPartitionList, lost: bool) {
        // Revoked before it was assigned: there is nothing to look up any more.
        self.assigning = None;
        let assignments = self.owned_among(&partitions);
        if lost || self.closing || self.rejoin != Rejoin::No {
            self.lose(&assignments);
            self.give_back(&partitions);
            return;
        }
        if assignments.is_empty() {
            self.give_back(&partitions);
            return;
        }
        for assignment in &assignments {
            if let Some(owned) = self.owned.get_mut(&assignment.partition) {
                owned.revoking = true;
            }
        }
        self.drop_pending();
        self.tell(SourceEvent::RevokeRequested(assignments.clone()));
        self.revoking = Some(Revoking {
            partitions,
            waiting: assignments.iter().cloned().collect(),
            assignments,
            deadline: Instant::now() + self.revoke_limit,
            commits_until: None,
        });
    }

    /// The driver is done with partitions.
    pub(super) fn revoke_done(&mut self, assignments: &[Assignment]) {
        if let Some(revoking) = &mut self.revoking {
            for assignment in assignments {
                revoking.waiting.remove(assignment);
            }
        }
        self.advance_assignment();
    }

    /// Does whatever has become possible.
    pub(super) fn advance_assignment(&mut self) {
        self.advance_revoke();
        self.advance_assign();
        self.advance_rejoin();
    }

    /// When the next step is due at the latest.
    pub(super) fn assignment_deadline(&self) -> Option<Instant> {
        let revoke = self.revoking.as_ref().map(|revoking| revoking.commits_until.unwrap_or(revoking.deadline));
        let assign = self.assigning.as_ref().map(|assigning| assigning.ask_at);
        [revoke, assign].into_iter().flatten().min()
    }

    fn advance_revoke(&mut self) {
        let Some(mut revoking) = self.revoking.take() else { return };
        let now = Instant::now();
        if self.consumer.assignment_lost() {
            // The session ended while the driver drained. Nobody is called back a second time.
            self.lose(&revoking.assignments);
            self.give_back(&revoking.partitions);
            return;
        }
        if now < revoking.deadline {
            if !revoking.waiting.is_empty() {
                self.revoking = Some(revoking);
                return;
            }
            let until = *revoking.commits_until.get_or_insert(now + LAST_COMMITS);
            let settled = revoking.assignments.iter().all(|each| self.commits.is_settled(&each.partition));
            if !settled && now < until {
                self.revoking = Some(revoking);
                return;
            }
        } else if !revoking.waiting.is_empty() {
            tracing::warn!(
                partitions = revoking.waiting.len(),
                "partitions were not drained in time and are given back; their next owner reads again what was not \
                 committed"
            );
        }
        for assignment in &revoking.assignments {
            self.forget(&assignment.partition, "the partition was given back before the commit was answered");
        }
        self.give_back(&revoking.partitions);
    }

    fn advance_assign(&mut self) {
        let Some(mut assigning) = self.assigning.take_if(|assigning| assigning.ask_at <= Instant::now()) else {
            return;
        };
        match self.positions(&assigning.partitions) {
            Ok(positions) => self.assign(&positions),
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                self.take(&assigning.partitions);
                self.fail(SourceError::Denied {
                    what: "reading the group's offsets".to_owned(),
                    reason: reason_of(&error),
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the committed offsets cannot be read; asked again");
                assigning.ask_at = Instant::now() + ASK_AGAIN;
                self.assigning = Some(assigning);
            }
        }
    }

    /// Where each partition starts: at its committed offset, or where the settings say where there is none.
    ///
    /// librdkafka's own answer to both "none" and "no longer there" is the same reset, so the two are told apart here:
    /// each has a policy of its own.
    fn positions(&self, partitions: &TopicPartitionList) -> Result<TopicPartitionList, KafkaError> {
        if partitions.count() == 0 {
            return Ok(partitions.clone());
        }
        let committed = self.consumer.committed_offsets(partitions.clone(), ASK_COMMITTED)?;
        for mut element in committed.elements() {
            element.error()?;
            if element.offset() == KafkaOffset::Invalid {
                element.set_offset(self.start_at)?;
            }
        }
        Ok(committed)
    }

    fn assign(&mut self, positions: &TopicPartitionList) {
        if !self.take(positions) {
            return;
        }
        // An eager assignment replaces what was there; the revoke before it should have left nothing.
        let left = self.owned_among(positions);
        self.lose(&left);
        let mut assignments = Vec::with_capacity(positions.count());
        for element in positions.elements() {
            self.last_epoch += 1;
            let (partition, epoch) =
                (TopicPartition::new(element.topic(), element.partition()), Epoch(self.last_epoch));
            let next = match element.offset() {
                KafkaOffset::Offset(offset) => Some(offset),
                _ => None,
            };
            self.owned.insert(partition.clone(), Owned::new(epoch, next));
            assignments.push(Assignment { partition, epoch });
        }
        if !assignments.is_empty() {
            self.tell(SourceEvent::Assigned(assignments));
        }
    }

    /// The assign call, by the protocol in use.
    fn take(&mut self, partitions: &TopicPartitionList) -> bool {
        let result = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(partitions),
            RebalanceProtocol::Eager | RebalanceProtocol::None => self.consumer.assign(partitions),
        };
        self.check_rebalance("taking partitions", result)
    }

    /// The unassign call, by the protocol in use.
    fn give_back(&mut self, partitions: &TopicPartitionList) {
        let result = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_unassign(partitions),
            RebalanceProtocol::Eager | RebalanceProtocol::None => self.consumer.unassign(),
        };
        self.check_rebalance("giving partitions back", result);
    }

    fn check_rebalance(&mut self, operation: &'static str, result: Result<(), KafkaError>) -> bool {
        let Err(error) = result else { return true };
        let reason = match error {
            KafkaError::Subscription(reason) => reason,
            other => other.to_string(),
        };
        self.fail(SourceError::Rebalance { operation, reason });
        false
    }

    fn owned_among(&self, partitions: &TopicPartitionList) -> Vec<Assignment> {
        partitions
            .elements()
            .iter()
            .filter_map(|element| {
                let partition = TopicPartition::new(element.topic(), element.partition());
                let epoch = self.owned.get(&partition)?.epoch;
                Some(Assignment { partition, epoch })
            })
            .collect()
    }

    /// Ends assignments that are gone: nothing of them can be committed.
    fn lose(&mut self, assignments: &[Assignment]) {
        if assignments.is_empty() {
            return;
        }
        for assignment in assignments {
            self.forget(&assignment.partition, "the partition was lost");
        }
        self.drop_pending();
        if !self.closing {
            tracing::warn!(partitions = assignments.len(), "partitions were lost; nothing of them is committed");
            self.tell(SourceEvent::Lost(assignments.to_vec()));
        }
    }

    /// Ends one assignment.
    fn forget(&mut self, partition: &TopicPartition, reason: &str) {
        let answers = self.commits.forget(partition, reason);
        self.tell_answers(answers);
        let Some(owned) = self.owned.remove(partition) else { return };
        if owned.paused {
            // A pause outlives the assignment: whoever gets the partition again would find it silent.
            let mut list = TopicPartitionList::new();
            list.add_partition(partition.topic(), partition.partition());
            self.check_paused("resuming", self.consumer.resume(&list));
        }
    }

    /// This thread did not poll for longer than the group tolerates, as after the whole process was stopped. The
    /// partitions may have other owners, whether librdkafka has noticed or not (it may be too early, and where a
    /// rebalance was under way it never says so): nothing of them is committed, and the group is joined anew.
    pub(super) fn poll_gap(&mut self, gap: Duration) {
        if self.closing || (self.owned.is_empty() && self.assigning.is_none()) {
            return;
        }
        tracing::warn!(?gap, "the consumer was not polled for too long and joins its group anew");
        let all: Vec<_> = self
            .owned
            .iter()
            .map(|(partition, owned)| Assignment { partition: partition.clone(), epoch: owned.epoch })
            .collect();
        self.lose(&all);
        self.rejoin = Rejoin::Wanted;
        self.let_go();
    }

    /// Answers at once what librdkafka waits for.
    pub(super) fn let_go(&mut self) {
        if let Some(assigning) = self.assigning.take() {
            self.take(&assigning.partitions);
        }
        if let Some(revoking) = self.revoking.take() {
            for assignment in &revoking.assignments {
                self.forget(&assignment.partition, "the source ends");
            }
            self.give_back(&revoking.partitions);
        }
    }

    fn advance_rejoin(&mut self) {
        match self.rejoin {
            Rejoin::No => {}
            Rejoin::Wanted => {
                self.consumer.unsubscribe();
                self.rejoin = Rejoin::Leaving;
            }
            Rejoin::Leaving => {
                if self.consumer.assignment().is_ok_and(|left| left.count() > 0) {
                    return;
                }
                let topics: Vec<_> = self.topics.iter().map(String::as_str).collect();
                let joined = self.consumer.subscribe(&topics);
                self.rejoin = Rejoin::No;
                self.check_rebalance("joining the group anew", joined);
            }
        }
    }
}
