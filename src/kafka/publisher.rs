//! Writing records: each is answered once the brokers have it, or once it is known that they may not.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header as KafkaHeader, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use tokio::sync::oneshot;

use crate::observe::KafkaHealth;
use crate::record::Header;

use super::context::{Context, reason_of};
use super::{KafkaSettings, SourceError, start};

/// How long the thread of a producer waits for answers before it looks whether anybody still needs it.
const TURN: Duration = Duration::from_millis(100);
/// How long a producer that nobody holds any more goes on with what it was given.
const LAST_RECORDS: Duration = Duration::from_secs(10);

/// A record to be written.
#[derive(Clone)]
pub struct Outgoing {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition; without one the key decides, and without a key chance.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Bytes>,
    /// The payload; `None` is a null payload, which deletes the key in a compacted topic.
    pub payload: Option<Bytes>,
    /// All headers, in this order.
    pub headers: Vec<Header>,
    /// Milliseconds since the Unix epoch; without it the time of writing.
    pub timestamp: Option<i64>,
}

impl fmt::Debug for Outgoing {
    /// Names where the record goes and its sizes; never prints what it holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("key_bytes", &self.key.as_ref().map(Bytes::len))
            .field("payload_bytes", &self.payload.as_ref().map(Bytes::len))
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}

/// Why a record was not written, as far as is known. [`is_retryable`](Self::is_retryable) tells whether to try again.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// Too many records wait for the brokers already. Retryable, after a while.
    #[error("the queue of records to be written is full: topic `{topic}` has to wait until the brokers catch up")]
    QueueFull {
        /// The topic it was for.
        topic: Arc<str>,
    },
    /// The brokers did not acknowledge it in time (`delivery.timeout.ms`, 30 s by default), or could not. Retryable; it
    /// may have been written all the same, so a second try may write it twice.
    #[error("topic `{topic}` did not acknowledge a record: {reason}")]
    NotAcknowledged {
        /// The topic it was for.
        topic: Arc<str>,
        /// librdkafka's own words.
        reason: String,
    },
    /// It will not be taken as it is: too large, the topic or its partition does not exist, access is denied. Not
    /// retryable before somebody changes something.
    #[error(
        "topic `{topic}` does not take a record: {reason}: check that the topic exists, its limit on the size of \
         records and the access rights"
    )]
    Refused {
        /// The topic it was for.
        topic: Arc<str>,
        /// librdkafka's own words.
        reason: String,
    },
    /// The producer failed for good, and another one could not be made. Retryable.
    #[error("the producer cannot be made anew")]
    Unavailable(#[source] SourceError),
}

impl PublishError {
    /// Whether the same record can be taken when it is tried again, without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::QueueFull { .. } | Self::NotAcknowledged { .. } | Self::Unavailable(_) => true,
            Self::Refused { .. } => false,
        }
    }

    fn of(topic: Arc<str>, error: &KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        let reason = reason_of(error);
        match error.rdkafka_error_code() {
            Some(Code::QueueFull) => Self::QueueFull { topic },
            Some(
                Code::MessageSizeTooLarge
                | Code::InvalidMessage
                | Code::InvalidMessageSize
                | Code::InvalidRecord
                | Code::InvalidTimestamp
                | Code::InvalidTopic
                | Code::InvalidArgument
                | Code::PolicyViolation
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::UnknownTopicOrPartition
                | Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::UnsupportedForMessageFormat,
            )
            // A name that cannot be passed on.
            | None => Self::Refused { topic, reason },
            // What is not known is tried again: no answer is no reason to give a record up.
            Some(_) => Self::NotAcknowledged { topic, reason },
        }
    }
}

/// Writes records to Kafka, idempotently and acknowledged by every replica in sync. Cheap to clone; all clones share one
/// connection, and a queue of bounded size.
///
/// When the last clone is dropped, what was given to it is still written, for up to 10 s, on a thread of its own.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

struct Shared {
    config: ClientConfig,
    current: Mutex<Arc<BaseProducer<Context>>>,
}

/// Where the answer to a record goes.
type Delivered = Box<oneshot::Sender<Result<(), KafkaError>>>;

impl ProducerContext for Context {
    type DeliveryOpaque = Delivered;

    fn delivery(&self, result: &DeliveryResult<'_>, delivered: Delivered) {
        // The message itself is not touched: the bindings panic over names that are not UTF-8. Whether anybody still
        // waits is no concern of the record.
        let result = result.as_ref().map(|_message| ()).map_err(|(error, _message)| error.clone());
        delivered.send(result).ok();
    }
}

impl Publisher {
    /// Connects with the brokers, security and network of a consumer's settings, and waits until a broker has confirmed
    /// that every topic exists, for at most [`KafkaSettings::start_limit`].
    ///
    /// Properties that only a consumer knows are left out. `enable.idempotence`, `acks` and `transactional.id` cannot be
    /// changed.
    ///
    /// # Errors
    /// [`SourceError::Setting`] and [`Refused`](SourceError::Refused) for settings that cannot work,
    /// [`Unreachable`](SourceError::Unreachable) (retryable), [`UnknownTopic`](SourceError::UnknownTopic),
    /// [`Denied`](SourceError::Denied), [`Thread`](SourceError::Thread) (retryable).
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn start(settings: &KafkaSettings, topics: &[Arc<str>]) -> Result<Self, SourceError> {
        let config = settings.producer_config()?;
        let (started, answer) = oneshot::channel();
        let (own_config, settings, topics) = (config.clone(), settings.clone(), topics.to_vec());
        let opening = move || {
            // Asked by a consumer, which joins no group: a producer's question makes brokers create what is missing.
            let asking = match start::create(&settings) {
                Ok(consumer) => consumer,
                Err(error) => return drop(started.send(Err(error))),
            };
            let poll = || drop(asking.poll(Duration::ZERO));
            let topics = topics.iter().map(|topic| &**topic);
            let checked = start::check(asking.client(), poll, &settings, topics, "writing to", || started.is_closed());
            started.send(checked.and_then(|()| open(&own_config))).ok();
        };
        let thread = std::thread::Builder::new().name("hapax-publisher".to_owned()).spawn(opening);
        thread.map(drop).map_err(|error| SourceError::Thread { reason: error.to_string() })?;
        let opened = answer.await;
        let producer =
            opened.map_err(|_| SourceError::Thread { reason: "it ended before it had started".to_owned() })??;
        Ok(Self { shared: Arc::new(Shared { config, current: Mutex::new(producer) }) })
    }

    /// Writes a record; `Ok` once every replica in sync has it. Records of one partition that are handed over one after
    /// the other are written in that order.
    ///
    /// Takes at most the delivery timeout (`delivery.timeout.ms`, 30 s by default), and never waits for room in the queue.
    ///
    /// # Errors
    /// See [`PublishError`]. After a fatal error of the producer the next call makes a new one.
    ///
    /// # Cancel safety
    /// Once polled, the record is written whether or not the future lives on; only the answer is lost.
    pub async fn publish(&self, outgoing: Outgoing) -> Result<(), PublishError> {
        let topic = Arc::clone(&outgoing.topic);
        let (delivered, answer) = oneshot::channel();
        // Held until the answer: its thread serves it for as long as anybody else does.
        let producer = self.current()?;
        hand_over(&producer, outgoing, Box::new(delivered))?;
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(PublishError::of(topic, &error)),
            Err(_) => Err(PublishError::NotAcknowledged { topic, reason: "the producer has ended".to_owned() }),
        }
    }

    /// The way to Kafka, as this producer last saw it.
    pub fn health(&self) -> KafkaHealth {
        self.shared.current.lock().client().context().health()
    }

    /// The producer in use: another one after a fatal error, which no producer survives.
    fn current(&self) -> Result<Arc<BaseProducer<Context>>, PublishError> {
        let mut current = self.shared.current.lock();
        if let Some((_, reason)) = current.client().fatal_error() {
            tracing::warn!(reason, "the producer was stopped by a fatal error; a new one takes its place");
            *current = open(&self.shared.config).map_err(PublishError::Unavailable)?;
        }
        Ok(Arc::clone(&current))
    }

    #[cfg(test)]
    pub(super) fn native_ptr(&self) -> *mut rdkafka::types::RDKafka {
        self.shared.current.lock().client().native_ptr()
    }
}

fn hand_over(producer: &BaseProducer<Context>, outgoing: Outgoing, delivered: Delivered) -> Result<(), PublishError> {
    let topic = Arc::clone(&outgoing.topic);
    let mut record = BaseRecord::<'_, [u8], [u8], _>::with_opaque_to(&topic, delivered);
    record.partition = outgoing.partition;
    record.key = outgoing.key.as_deref();
    record.payload = outgoing.payload.as_deref();
    record.timestamp = outgoing.timestamp;
    if !outgoing.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(outgoing.headers.len());
        record.headers = Some(outgoing.headers.iter().fold(headers, |headers, Header { name, value }| {
            headers.insert(KafkaHeader { key: name, value: value.as_deref() })
        }));
    }
    producer.send(record).map_err(|(error, _)| PublishError::of(Arc::clone(&topic), &error))
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration may hold secrets.
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

/// Makes a producer, connecting in the background, and the thread that serves it.
fn open(config: &ClientConfig) -> Result<Arc<BaseProducer<Context>>, SourceError> {
    let producer: BaseProducer<Context> = start::created(config.create_with_context(Context::new("producer", config)))?;
    let producer = Arc::new(producer);
    let served = Arc::clone(&producer);
    let thread = std::thread::Builder::new().name("hapax-publisher".to_owned()).spawn(move || serve(&served));
    thread.map(drop).map_err(|error| SourceError::Thread { reason: error.to_string() })?;
    Ok(producer)
}

/// Brings the answers, until nobody else holds the producer. Its end, which may take long, is this thread's alone.
fn serve(producer: &Arc<BaseProducer<Context>>) {
    while Arc::strong_count(producer) > 1 {
        producer.poll(TURN);
        let client = producer.client();
        client.context().settle_log();
        client.context().keep_contact(client);
    }
    if let Err(error) = producer.flush(LAST_RECORDS) {
        tracing::warn!(%error, "records that nobody waits for any more were not acknowledged");
    }
}
