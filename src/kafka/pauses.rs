//! Which partitions deliver nothing for now: those that the driver wants paused, and all while nobody takes records.

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use crate::engine::Assignment;

use super::poller::Poller;
use super::thread::STALL;

impl Poller {
    pub(super) fn want_pause(&mut self, assignment: &Assignment, wanted: bool) {
        if let Some(owned) = self.owned.get_mut(&assignment.partition).filter(|owned| owned.epoch == assignment.epoch) {
            owned.wanted = wanted;
        }
    }

    pub(super) fn advance_stall(&mut self) {
        if self.pending.is_empty() {
            self.pending_since = None;
            if std::mem::take(&mut self.stalled) {
                tracing::debug!("records are taken again: the partitions are resumed");
            }
        } else if !self.stalled && self.pending_since.is_some_and(|since| since.elapsed() >= STALL) {
            tracing::debug!("nobody takes the records: all partitions are paused");
            self.stalled = true;
        }
    }

    /// Brings what is paused in line with what should be: one call per transition.
    pub(super) fn settle_pauses(&mut self) {
        let (mut pause, mut resume) = (TopicPartitionList::new(), TopicPartitionList::new());
        for (partition, owned) in self.owned.iter_mut().filter(|(_, owned)| !owned.revoking) {
            let should = owned.delivered && (owned.wanted || self.stalled);
            if should != owned.paused {
                owned.paused = should;
                let list = if should { &mut pause } else { &mut resume };
                list.add_partition(partition.topic(), partition.partition());
            }
        }
        if pause.count() > 0 {
            self.check_paused("pausing", self.consumer.pause(&pause));
        }
        if resume.count() > 0 {
            self.check_paused("resuming", self.consumer.resume(&resume));
        }
    }

    pub(super) fn check_paused(&self, what: &'static str, result: Result<(), KafkaError>) {
        if let Err(error) = result {
            tracing::warn!(%error, "{what} partitions failed");
        }
    }
}
