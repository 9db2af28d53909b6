//! What a source can fail with.

use std::time::Duration;

use crate::record::{Offset, TopicPartition};

/// Why a source could not start, or why it cannot go on.
///
/// The text is for people and may change; decide by the variants and by [`is_configuration`](Self::is_configuration).
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceError {
    /// A setting is missing, contradicts another one, or may not be set. Not retryable.
    #[error("`{name}`: {problem}")]
    Setting {
        /// The setting's or the librdkafka property's name.
        name: String,
        /// What is wrong with it; never holds its value.
        problem: String,
    },
    /// librdkafka refused the settings as a whole. Not retryable.
    #[error("librdkafka refuses the settings: {reason}")]
    Refused {
        /// librdkafka's own words.
        reason: String,
    },
    /// No broker answered at the start. Retryable.
    #[error("no broker of {brokers} answered within {} s{}", limit.as_secs_f64(), because(last))]
    Unreachable {
        /// The brokers that were asked.
        brokers: String,
        /// How long they were asked.
        limit: Duration,
        /// What librdkafka reported last.
        last: Option<String>,
    },
    /// A topic does not exist, or no longer. Retryable once it was created.
    #[error("topic `{topic}` does not exist: create it, or correct the list of topics")]
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// A broker refused the credentials or the access. Not retryable before somebody grants it.
    #[error("{what} was refused: {reason}: check the credentials and the access rights of this consumer")]
    Denied {
        /// What was refused.
        what: String,
        /// The reason given.
        reason: String,
    },
    /// The offset to go on from is no longer, or not yet, in the partition. To go on elsewhere would lose records or
    /// repeat records older than the window, so somebody has to decide. Not retryable.
    #[error(
        "{}: {reason}: set the group's offset by hand (kafka-consumer-groups --reset-offsets) and start again; \
         nothing was skipped",
        lost_at(partition, next)
    )]
    OffsetLost {
        /// The partition, where it could be found out.
        partition: Option<TopicPartition>,
        /// The offset that was to be read next.
        next: Option<Offset>,
        /// What the broker holds instead, or librdkafka's own words.
        reason: String,
    },
    /// Partitions could not be taken or given back. Retryable with a new source.
    #[error("{operation} failed: {reason}")]
    Rebalance {
        /// Which step failed.
        operation: &'static str,
        /// librdkafka's own words.
        reason: String,
    },
    /// The consumer cannot be used any more, as when another one took its static member ID. Retryable with a new
    /// source, unless two consumers share the ID.
    #[error("the consumer was stopped by a fatal error: {reason}")]
    Fatal {
        /// librdkafka's own words.
        reason: String,
    },
    /// The operating system refused the thread that owns the consumer. Retryable.
    #[error("the thread of the Kafka consumer cannot run: {reason}")]
    Thread {
        /// The system's own words.
        reason: String,
    },
}

impl SourceError {
    /// Whether the settings are at fault: no repetition helps before they are changed.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Setting { .. } | Self::Refused { .. })
    }

    pub(super) fn setting(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Setting { name: name.into(), problem: problem.into() }
    }
}

fn because(last: &Option<String>) -> String {
    last.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default()
}

fn lost_at(partition: &Option<TopicPartition>, next: &Option<Offset>) -> String {
    match (partition, next) {
        (Some(partition), Some(next)) => format!("offset {next} of {partition} does not exist"),
        (Some(partition), None) => format!("the offset to read next of {partition} does not exist"),
        _ => "an offset to read next does not exist".to_owned(),
    }
}
