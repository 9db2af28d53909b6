//! What is read from Kafka, and how.

use std::sync::Arc;
use std::time::Duration;

use crate::consumer::{Consumer, ConsumerBuilder, DeadLetters};
use crate::engine::{ConflictPolicy, Order};
use crate::id::{Extract, IdKey, IdPolicy, Namespace};
use crate::kafka::KafkaSettings;
use crate::observe::Observer;
use crate::store::Store;

/// What is read from Kafka, how its messages are told apart, and what becomes of those that cannot be handled. Each is
/// explained at the setting of the same name of a [`ConsumerBuilder`].
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

impl ConsumerSettings {
    /// The dead-letter topics of all topics that are read, each once.
    pub fn dead_letter_topics(&self) -> Vec<String> {
        let topics = self.kafka.topics.iter().filter_map(|topic| self.dead_letters.topic_of(topic));
        let mut topics: Vec<_> = topics.map(|topic| topic.to_string()).collect();
        topics.dedup();
        topics
    }

    /// A consumer with these settings.
    pub fn builder(
        &self,
        namespace: &Namespace,
        store: Arc<dyn Store>,
        cache: (u64, Duration),
        observer: Arc<dyn Observer>,
    ) -> ConsumerBuilder {
        let mut builder = Consumer::builder()
            .kafka(self.kafka.clone())
            .namespace(namespace.clone())
            .store(store)
            .cache(usize::try_from(cache.0).unwrap_or(usize::MAX), cache.1)
            .observer(observer)
            .extractor(Arc::clone(&self.extractor))
            .id_key(self.id_key.clone())
            .conflict_policy(self.conflict_policy)
            .dead_letter_share(self.dead_letter_share)
            .expires_header(self.expires_header)
            .expired_to_dead_letter(self.expired_to_dead_letter)
            .order(self.order)
            .concurrency(self.concurrency)
            .batch(self.batch)
            .max_exposed(self.max_exposed)
            .max_in_flight(self.max_in_flight.0, self.max_in_flight.1)
            .max_span(self.max_span)
            .commit_every(self.commit_every.0, self.commit_every.1)
            .max_attempts(self.max_attempts)
            .backoff(self.backoff.0, self.backoff.1)
            .handler_time_limit(self.handler_time_limit)
            .renewal(self.renewal)
            .stall_after(self.stall_after);
        builder = match &self.dead_letters {
            DeadLetters::None => builder,
            DeadLetters::Auto => builder.dead_letter_auto(),
            DeadLetters::Topic(topic) => builder.dead_letter_topic(&**topic),
        };
        for (topic, delay) in &self.retry_topics {
            builder = builder.retry_topic(topic, *delay);
        }
        if let Some(policy) = self.id_policy {
            builder = builder.id_policy(policy);
        }
        if let Some(age) = self.max_age {
            builder = builder.max_age(age);
        }
        if let Some(calls) = self.partition_concurrency {
            builder = builder.partition_concurrency(calls);
        }
        builder
    }
}
