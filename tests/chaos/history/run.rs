//! The settings and the stages of a run.

use serde::{Deserialize, Serialize};

/// The settings that the checker needs to judge a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    pub seed: u64,
    /// The name of the mode, as given on the command line.
    pub mode: String,
    /// The consumer group; also the namespace, unless that is given.
    pub group: String,
    pub topics: Vec<Topic>,
    pub order: Order,
    /// Records per call of a handler; 1 where the handler takes single records.
    pub batch: usize,
    pub concurrency: usize,
    pub max_exposed: usize,
    pub max_attempts: u32,
    pub lease_ms: u64,
    pub grace_ms: u64,
    pub window_ms: u64,
    /// The handler time limit.
    pub handler_limit_ms: u64,
    /// The drain limit.
    pub drain_ms: u64,
    pub commit_interval_ms: u64,
    /// Kafka's `session.timeout.ms`.
    pub session_ms: u64,
    /// How the store persists and replicates, for people. What a fault can have lost is in its `lost_from`.
    #[serde(default)]
    pub store: String,
    /// How long after the heal the lag may take to reach zero.
    pub heal_limit_ms: u64,
    /// How long a partition may commit nothing, without a fault under way, although it lags.
    pub stall_limit_ms: u64,
    /// What the resident memory of a worker may be.
    pub memory_limit_bytes: u64,
    /// The machine's wall clock less its monotonic clock, in microseconds, when the run began.
    pub wall_offset_us: i64,
    /// Names and versions: hapax, Kafka, Redis, librdkafka.
    #[serde(default)]
    pub versions: Vec<(String, String)>,
}

/// A topic of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
    pub role: Role,
}

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Producers write to it.
    Source,
    /// hapax writes records to it, and reads them again later.
    Retry,
    /// hapax writes what it gave up to it.
    DeadLetter,
}

/// The order that the consumer was set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    Partition,
    Key,
    Unordered,
}

/// The run enters its next stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    pub stage: Stage,
}

/// The stages of a run, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Producers produce and the nemesis breaks things.
    Faults,
    /// Every fault is over, and producers have ended.
    Healed,
    /// The lag was seen at zero, or the harness waited for long enough.
    End,
}
