//! Partitions, as they are told.

use std::time::Duration;

use serde::Serialize;

use super::clock::span;
use crate::engine::{PartitionPhase, PartitionState};
use crate::observe::{PartitionStop, StopCause, WaitsFor};
use crate::record::TopicPartition;

/// What one partition is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionView {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Which assignment of it this is.
    pub epoch: u64,
    /// `active`, `draining` or `stopped`.
    pub phase: &'static str,
    /// Where it is stopped, why, and the way out.
    pub stopped: Option<StoppedView>,
    /// The next offset to commit.
    pub watermark: Option<i64>,
    /// The last offset that was committed in this assignment.
    pub committed: Option<i64>,
    /// Records delivered and not settled.
    pub in_flight: usize,
    /// How many of them are with a handler.
    pub running: usize,
    /// Records settled in this assignment.
    pub settled: u64,
    /// Whether the source is told to deliver nothing of it for now.
    pub held_back: bool,
    /// The first record that is not settled, and what it waits for.
    pub waiting: Option<WaitingView>,
}

/// Where a partition is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoppedView {
    /// The record that cannot be handled.
    pub offset: i64,
    /// Why, and the way out.
    pub reason: String,
    /// The kind of reason: `handler_failed`, `too_many_dead_letters`, `process_ended`, `no_id`, `conflict` or `log`.
    pub cause: &'static str,
    /// What the application answered to the last attempt: its status and the first line of its body.
    pub answered: Option<String>,
    /// How often the record was tried again since the partition stopped.
    pub tries: u32,
    /// Whether it is being tried now.
    pub trying: bool,
    /// In how many milliseconds it is tried again by itself; `null` where it waits for an operator, and during a try.
    pub next_try_ms: Option<u64>,
    /// For how many milliseconds it has been stopped.
    pub since_ms: u64,
    /// What follows, and what an operator can do, for people.
    pub follows: String,
}

impl StoppedView {
    /// What follows, and what an operator can do.
    fn what_follows(&self, topic: &str, partition: i32) -> String {
        let by_itself = match self.next_try_ms {
            Some(millis) => format!("It is tried again by itself in {}.", span(Duration::from_millis(millis))),
            None if self.trying => "It is being tried again.".to_owned(),
            None if self.cause == StopCause::Log.name() => return "Start the process again.".to_owned(),
            None => "It waits for an operator.".to_owned(),
        };
        let offset = self.offset;
        format!(
            "{by_itself} To try it at once: hapax retry. To settle it without handling it: hapax skip --record \
             {topic}/{partition}/{offset} --reason TEXT."
        )
    }

    pub(super) fn of(partition: &TopicPartition, stop: &PartitionStop) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut view = Self {
            offset: stop.offset,
            reason: stop.reason.to_string(),
            cause: stop.cause.name(),
            answered: stop.answered.as_deref().map(str::to_owned),
            tries: stop.tries,
            trying: stop.trying,
            next_try_ms: stop.next_try.map(millis),
            since_ms: millis(stop.since),
            follows: String::new(),
        };
        view.follows = view.what_follows(partition.topic(), partition.partition());
        view
    }
}

/// A record that holds back the commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitingView {
    /// Its offset.
    pub offset: i64,
    /// `claim`, `elsewhere`, `twin`, `turn`, `handler`, `backoff`, `completion`, `delivery` or `stopped`, as in
    /// `hapax_stalls_total`.
    pub waits_for: &'static str,
    /// The same for people.
    pub says: String,
    /// How long ago it arrived, in milliseconds.
    pub since_ms: u64,
}

impl PartitionView {
    /// The name of the partition: `orders-3`.
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.topic, self.partition)
    }
}

impl From<PartitionState> for PartitionView {
    fn from(state: PartitionState) -> Self {
        let (phase, stopped) = match state.phase {
            PartitionPhase::Active => ("active", None),
            PartitionPhase::Draining => ("draining", None),
            PartitionPhase::Stopped(stop) => ("stopped", Some(StoppedView::of(&state.partition, &stop))),
        };
        let waiting = state.waiting.map(|waiting| WaitingView {
            offset: waiting.offset,
            waits_for: waiting.waits_for.name(),
            says: says(&waiting.waits_for),
            since_ms: u64::try_from(waiting.since.as_millis()).unwrap_or(u64::MAX),
        });
        Self {
            topic: state.partition.topic().to_owned(),
            partition: state.partition.partition(),
            epoch: state.epoch.0,
            phase,
            stopped,
            watermark: state.watermark,
            committed: state.committed,
            in_flight: state.in_flight,
            running: state.running,
            settled: state.settled,
            held_back: state.held_back,
            waiting,
        }
    }
}

fn says(waits_for: &WaitsFor) -> String {
    match waits_for {
        WaitsFor::Claim => "the store, which has not answered its claim".to_owned(),
        WaitsFor::Elsewhere => "another process, which has its ID in flight".to_owned(),
        WaitsFor::Twin => "another record of this process with its ID".to_owned(),
        WaitsFor::Turn => "its turn".to_owned(),
        WaitsFor::Handler(time) => format!("its handler, which has been running for {}", span(*time)),
        WaitsFor::Backoff(attempts) => format!("its next attempt, after {attempts} counted"),
        WaitsFor::Completion => "the store, which has not recorded it as done".to_owned(),
        WaitsFor::Delivery => "the dead-letter topic or a retry topic, which has not taken its copy".to_owned(),
        WaitsFor::Stopped => "its next try or an operator: the partition is stopped".to_owned(),
    }
}
