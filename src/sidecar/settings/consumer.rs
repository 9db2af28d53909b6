//! What is read from Kafka, and how.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{ConflictPolicy, Order};
use crate::id::{Extract, IdKey, IdPolicy};
use crate::kafka::KafkaSettings;

/// What is read from Kafka, how its messages are told apart, and what becomes of those that cannot be handled. Each is
/// explained at the setting of the same name of a [`ConsumerBuilder`](crate::consumer::ConsumerBuilder).
#[derive(Clone, Debug)]
pub struct ConsumerSettings {
    /// Brokers, group, topics, properties.
    pub kafka: KafkaSettings,
    /// Where IDs come from.
    pub extractor: Arc<dyn Extract>,
    /// The secret that keys the fingerprints.
    pub id_key: IdKey,
    /// What happens to a record without a usable ID; `None` for the default.
    pub id_policy: Option<IdPolicy>,
    /// What happens to a record whose ID was handled before with another payload.
    pub conflict_policy: ConflictPolicy,
    /// Where records go that cannot be handled.
    pub dead_letters: DeadLetters,
    /// Which share of the last outcomes may be dead letters.
    pub dead_letter_share: f64,
    /// Retry topics and their delays, in order.
    pub retry_topics: Vec<(String, Duration)>,
    /// The greatest age of a record that is handled.
    pub max_age: Option<Duration>,
    /// Whether the header `expires` counts.
    pub expires_header: bool,
    /// Whether expired records go to the dead-letter topic.
    pub expired_to_dead_letter: bool,
    /// Which records come one after the other.
    pub order: Order,
    /// Requests under way at once, where the order allows.
    pub concurrency: usize,
    /// The same for each partition.
    pub partition_concurrency: Option<usize>,
    /// Records in one request at most; 1 sends each by itself.
    pub batch: usize,
    /// What one crash can repeat.
    pub max_exposed: usize,
    /// Records and bytes in flight.
    pub max_in_flight: (usize, usize),
    /// How far a partition runs ahead of its first record that is not settled.
    pub max_span: usize,
    /// How often offsets are committed, and after how many records.
    pub commit_every: (Duration, usize),
    /// Attempts until a record is given up.
    pub max_attempts: u32,
    /// The first and the longest delay between attempts.
    pub backoff: (Duration, Duration),
    /// How long one request may take.
    pub handler_time_limit: Duration,
    /// Whether leases are renewed while requests run.
    pub renewal: bool,
    /// After which time without progress a partition is reported.
    pub stall_after: Duration,
}

/// Where records go that cannot be handled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeadLetters {
    /// Nowhere: their partitions stop.
    #[default]
    None,
    /// To `<topic>-dlt`, each topic's to its own.
    Auto,
    /// To this topic.
    Topic(String),
}
