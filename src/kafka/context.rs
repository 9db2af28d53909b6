//! What librdkafka tells while it is polled. Nothing is decided here: every callback notes what happened and returns
//! at once, and the poll thread acts on the notes after the poll that brought them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext, Offset as KafkaOffset, TopicPartitionList};

use crate::observe::{CommitRefused, KafkaHealth, KafkaState};
use crate::record::{Offset, TopicPartition};
use crate::telemetry::Limiter;
use tracing::Level;

use super::contact::Contact;
use super::{native, refusal};

/// How often one kind of message is logged at most.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What a poll brought besides records.
pub(super) enum Note {
    /// The group assigned these; librdkafka waits for the assign call.
    Assign(TopicPartitionList),
    /// The group wants these back; librdkafka waits for the unassign call. `lost`: they are gone already.
    Revoke { partitions: TopicPartitionList, lost: bool },
    /// The offset to read next was not there, and librdkafka went elsewhere as it was told to.
    Reset(TopicPartition),
    /// A commit was answered.
    Committed(Vec<(TopicPartition, Offset, Result<(), CommitRefused>)>),
}

/// The context of a consumer, which librdkafka calls only from within a poll of the poll thread; and of a producer, whose
/// logs come from librdkafka's own threads.
pub(super) struct Context {
    /// How many events were served that are no records: a poll that serves one looks like a poll of an empty queue.
    served: AtomicU64,
    notes: Mutex<VecDeque<Note>>,
    last_error: Mutex<Option<(RDKafkaErrorCode, String)>>,
    limiter: Limiter,
    /// Which client it is, for people.
    client: &'static str,
    contact: Mutex<Contact>,
}

impl Context {
    /// The context of a client that is called `client`, with these properties in force.
    pub(super) fn new(client: &'static str, config: &ClientConfig) -> Self {
        let millis = |name: &str, default: u64| {
            Duration::from_millis(config.get(name).and_then(|value| value.parse().ok()).unwrap_or(default))
        };
        let (interval, heartbeat) = (millis("statistics.interval.ms", 0), millis("heartbeat.interval.ms", 0));
        Self {
            served: AtomicU64::new(0),
            notes: Mutex::default(),
            last_error: Mutex::default(),
            limiter: Limiter::new(LOG_INTERVAL),
            client,
            contact: Mutex::new(Contact::new(interval, heartbeat, wall_clock())),
        }
    }

    /// The way to Kafka, as it was last seen.
    pub(super) fn health(&self) -> KafkaHealth {
        self.contact.lock().health()
    }

    /// Asks the brokers something, without waiting for the answer, where nothing was heard of them.
    pub(super) fn keep_contact<C: ClientContext>(&self, client: &Client<C>) {
        if self.contact.lock().take_ask() {
            native::ask_brokers(client);
        }
    }

    fn changed(&self, before: KafkaState, health: &KafkaHealth) {
        let (client, problem) = (self.client, health.problem.as_deref().unwrap_or("no answer"));
        match health.state {
            KafkaState::Reachable => tracing::info!(client, was = before.name(), "Kafka is reached again"),
            KafkaState::NoCoordinator => {
                tracing::warn!(client, problem, "the group has no coordinator; nothing is committed until it has one")
            }
            KafkaState::Unreachable => {
                tracing::error!(client, problem, "Kafka is not reached; it is tried again until it answers")
            }
            KafkaState::Denied => {
                tracing::error!(
                    client,
                    problem,
                    "Kafka does not let this process in; check the login and the certificates"
                )
            }
        }
    }

    /// The oldest note that was not yet taken.
    pub(super) fn take_note(&self) -> Option<Note> {
        self.notes.lock().pop_front()
    }

    /// Changes whenever a poll brought something that is no record.
    pub(super) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// The last error that librdkafka reported, with its own words. The error that a poll returns has lost them.
    pub(super) fn take_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.last_error.lock().take()
    }

    /// How many messages of a kind were left out since the last one, where one may be logged now.
    pub(super) fn may_log(&self, level: tracing::Level, kind: &str) -> Option<u64> {
        self.limiter.admit(level, "librdkafka", kind)
    }

    /// Logs how many messages were left out at the end of a burst: for threads without a runtime.
    pub(super) fn settle_log(&self) {
        self.limiter.settle();
    }

    fn note(&self, note: Note) {
        self.served.fetch_add(1, Ordering::Relaxed);
        self.notes.lock().push_back(note);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Debug, Emerg, Error, Info, Notice, Warning};
        self.served.fetch_add(1, Ordering::Relaxed);
        if matches!(level, Debug) {
            tracing::debug!(target: "librdkafka", facility, "{message}");
            return;
        }
        if let Some(partition) = reset_of(facility, message) {
            self.note(Note::Reset(partition));
        }
        let ours = match level {
            Emerg | Alert | Critical => Level::ERROR,
            // By consequence: librdkafka says "error" of a connection that it then opens again by itself.
            Error | Warning => Level::WARN,
            Notice | Info | Debug => Level::INFO,
        };
        let Some(suppressed) = self.may_log(ours, facility) else { return };
        match ours {
            Level::ERROR => tracing::error!(target: "librdkafka", facility, suppressed, "{message}"),
            Level::WARN => tracing::warn!(target: "librdkafka", facility, suppressed, "{message}"),
            _ => tracing::info!(target: "librdkafka", facility, suppressed, "{message}"),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.served.fetch_add(1, Ordering::Relaxed);
        tracing::trace!(target: "librdkafka", "{}", String::from_utf8_lossy(statistics));
        let read = match serde_json::from_slice(statistics) {
            Ok(read) => read,
            Err(error) => return tracing::debug!(%error, "librdkafka's statistics cannot be read"),
        };
        let mut contact = self.contact.lock();
        if let Some(before) = contact.heard(&read, wall_clock()) {
            let health = contact.health();
            drop(contact);
            self.changed(before, &health);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.contact.lock().failed(code, reason);
            *self.last_error.lock() = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Context {
    /// Replaces the default, which assigns and unassigns at once and ignores the errors of both.
    fn rebalance(&self, base_consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, tpl: &mut TopicPartitionList) {
        self.note(match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Note::Assign(tpl.clone()),
            // To be read inside the callback: any (un)assign resets it.
            _ => Note::Revoke { partitions: tpl.clone(), lost: base_consumer.assignment_lost() },
        });
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let answers = offsets
            .elements()
            .iter()
            .filter_map(|element| {
                let KafkaOffset::Offset(offset) = element.offset() else { return None };
                let each = element.error().and_then(|()| result.clone()).map_err(|error| refusal::of(&error));
                Some((TopicPartition::new(element.topic(), element.partition()), offset, each))
            })
            .collect();
        self.note(Note::Committed(answers));
    }
}

/// The partition whose position librdkafka says it has reset: it tells nobody but the log.
fn reset_of(facility: &str, message: &str) -> Option<TopicPartition> {
    let (before, _) = message.split_once(": offset reset (at ").filter(|_| facility == "OFFSET")?;
    let (topic, number) = before.rsplit_once(" [")?;
    let topic = topic.rsplit(' ').next()?;
    Some(TopicPartition::new(topic, number.strip_suffix(']')?.parse().ok()?))
}

/// librdkafka's words for an error, without rust-rdkafka's prefix.
pub(super) fn reason_of(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string())
}

/// Milliseconds since the Unix epoch.
fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
