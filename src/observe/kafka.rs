//! The way to Kafka, as its clients last saw it.

use serde::Serialize;

/// The state of one Kafka client. Asking for it costs nothing: it is what was last seen, a few seconds ago at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KafkaHealth {
    /// Whether the brokers answer.
    pub state: KafkaState,
    /// When this state began, in milliseconds since the Unix epoch.
    pub since: i64,
    /// When a broker last answered, in milliseconds since the Unix epoch.
    pub last_answer: i64,
    /// The last error of a connection, in librdkafka's own words; `None` while the state is
    /// [`Reachable`](KafkaState::Reachable).
    pub problem: Option<String>,
    /// What the consumer's group is doing; `None` for a producer.
    pub group: Option<GroupState>,
}

/// Whether the brokers answer one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KafkaState {
    /// At least one broker answers.
    #[default]
    Reachable,
    /// Brokers answer, and the coordinator of the group has not for ten seconds or more: nothing is committed, and no
    /// partition can be assigned.
    NoCoordinator,
    /// No broker has answered for ten seconds, although each known one was asked.
    Unreachable,
    /// No broker lets this client in: the login or the TLS handshake fails.
    Denied,
}

impl KafkaState {
    /// A short name that stays the same: for labels and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reachable => "reachable",
            Self::NoCoordinator => "no_coordinator",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
        }
    }
}

/// What a member of a consumer group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GroupState {
    /// It looks for the coordinator of the group.
    LooksForCoordinator,
    /// It asked to join, and waits for the other members.
    Joining,
    /// It takes partitions, or gives some back.
    Rebalancing,
    /// It is a member, with or without partitions.
    Joined,
}

/// The Kafka clients of a consumer, as they were last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KafkaClients {
    /// The client that reads.
    pub consumer: KafkaHealth,
    /// The client that writes copies to dead-letter and retry topics; `None` where there are no such topics.
    pub producer: Option<KafkaHealth>,
}

impl KafkaClients {
    /// Puts the states of both clients together.
    pub fn new(consumer: KafkaHealth, producer: Option<KafkaHealth>) -> Self {
        Self { consumer, producer }
    }
}
