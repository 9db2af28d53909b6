//! What each partition is doing, for people to look at.

use std::collections::HashMap;
use std::time::Duration;

use crate::observe::{PartitionStop, WaitsFor};
use crate::record::{Epoch, Offset, TopicPartition};

use super::Engine;
use super::partition::{Part, Phase};
use super::work::{Stage, Work};

/// One assignment of one partition, as it is at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Which partition.
    pub partition: TopicPartition,
    /// Which assignment of it.
    pub epoch: Epoch,
    /// What it may still do.
    pub phase: PartitionPhase,
    /// The next offset to commit: the first delivered record that is not settled, or the one after the last. `None` until
    /// a record was delivered.
    pub watermark: Option<Offset>,
    /// The last offset that the source has taken as committed in this assignment.
    pub committed: Option<Offset>,
    /// Records delivered and not settled.
    pub in_flight: usize,
    /// How many of them are with a handler.
    pub running: usize,
    /// Records settled in this assignment.
    pub settled: u64,
    /// Whether the source is told to deliver nothing of it, for too much is in flight or because it is stopped.
    pub held_back: bool,
    /// The first record that is not settled, or the one that a stopped partition tries. `None` if all are settled, if it
    /// is stopped and tries none, and if that record came from a retry topic and is not due.
    pub waiting: Option<Waiting>,
}

/// What an assignment may still do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionPhase {
    /// Everything.
    Active,
    /// It is being given up: what runs may end.
    Draining,
    /// Nothing but tries of one record, until that is settled.
    Stopped(PartitionStop),
}

/// A record that holds back the commit, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its offset.
    pub offset: Offset,
    /// What it waits for.
    pub waits_for: WaitsFor,
    /// How long ago it arrived from the source.
    pub since: Duration,
}

impl Engine {
    /// Every partition that is assigned, in their order. `now` is the time as [`step`](Self::step) takes it.
    ///
    /// Looks at every record in flight: meant for people, not for the hot path.
    pub fn states(&self, now: Duration) -> Vec<PartitionState> {
        let mut first: HashMap<usize, &Work> = HashMap::new();
        for (_, work) in &self.works {
            let entry = first.entry(work.part).or_insert(work);
            if work.record.offset() < entry.record.offset() {
                *entry = work;
            }
        }
        let parts = self.current.values().filter_map(|index| Some((index, self.parts.get(*index)?)));
        parts.map(|(index, part)| self.state(part, first.get(index).copied(), now)).collect()
    }

    fn state(&self, part: &Part, first: Option<&Work>, now: Duration) -> PartitionState {
        let phase = match (&part.phase, &part.stop) {
            (Phase::Active, _) => PartitionPhase::Active,
            (Phase::Stopped, Some(stop)) => PartitionPhase::Stopped(stop.report(now)),
            (Phase::Draining | Phase::Closed | Phase::Stopped, _) => PartitionPhase::Draining,
        };
        let tried = part.stop.as_ref().filter(|stop| stop.trying).and_then(|stop| self.work(stop.work?));
        let first = if part.phase == Phase::Stopped { tried } else { first };
        let due = first.filter(|work| !matches!(work.stage, Stage::NotDue(at) if at > now));
        let waiting = due.map(|work| Waiting {
            offset: work.record.offset(),
            waits_for: work.waits_for(now),
            since: now.saturating_sub(work.arrived_at),
        });
        PartitionState {
            partition: part.assignment.partition.clone(),
            epoch: part.assignment.epoch,
            phase,
            watermark: part.tracker.watermark(),
            committed: part.committed,
            in_flight: part.in_flight,
            running: part.running,
            settled: part.settled_in_all,
            held_back: part.paused,
            waiting,
        }
    }
}
