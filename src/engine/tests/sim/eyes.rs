//! What an engine reported in one turn.

use parking_lot::Mutex;

use super::super::super::*;
use crate::observe::{DuplicateBy, Outcome, PartitionStop};
use crate::record::{Offset, Origin, Record};
use crate::store::Verdict;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) enum Seen {
    Delivered(usize),
    Duplicate(i32, Offset, DuplicateBy),
    Park(i32, Offset),
    Complete(i32, Offset, Verdict),
    PossibleRepeat(i32, Offset),
    Settle(i32, Offset, Outcome),
    Stop(i32, Offset, String),
    Try(i32, Offset, bool),
    StopOver(i32),
}

#[derive(Debug, Default)]
pub(super) struct Eyes(Mutex<Vec<Seen>>);

impl Eyes {
    pub(super) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock())
    }

    fn see(&self, seen: Seen) {
        self.0.lock().push(seen);
    }
}

impl Observer for Eyes {
    fn on_delivered(&self, _: &TopicPartition, records: usize) {
        self.see(Seen::Delivered(records));
    }
    fn on_duplicate(&self, record: &Record, by: DuplicateBy, _: Option<&Origin>) {
        self.see(Seen::Duplicate(record.partition().partition(), record.offset(), by));
    }
    fn on_park(&self, record: &Record, _: Option<Duration>) {
        self.see(Seen::Park(record.partition().partition(), record.offset()));
    }
    fn on_complete(&self, record: &Record, verdict: Verdict) {
        self.see(Seen::Complete(record.partition().partition(), record.offset(), verdict));
    }
    fn on_possible_repeat(&self, record: &Record, _: Option<&Origin>) {
        self.see(Seen::PossibleRepeat(record.partition().partition(), record.offset()));
    }
    fn on_settle(&self, record: &Record, outcome: Outcome, _: Duration) {
        self.see(Seen::Settle(record.partition().partition(), record.offset(), outcome));
    }
    fn on_stop(&self, partition: &TopicPartition, stop: &PartitionStop) {
        self.see(Seen::Stop(partition.partition(), stop.offset, stop.reason.to_string()));
    }
    fn on_try(&self, partition: &TopicPartition, offset: Offset, _: u32, by_operator: bool) {
        self.see(Seen::Try(partition.partition(), offset, by_operator));
    }
    fn on_stop_over(&self, partition: &TopicPartition) {
        self.see(Seen::StopOver(partition.partition()));
    }
}
