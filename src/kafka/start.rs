//! The way to a consumer that is known to work: created, answered by a broker, its topics found.

use std::time::Duration;

use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaRespErr;
use tokio::time::Instant;

use super::context::{Context, reason_of};
use super::{KafkaSettings, SourceError};

/// How long a missing topic is looked for: another broker may have heard of a new one already.
const TOPIC_LIMIT: Duration = Duration::from_secs(2);
/// How long one question to the brokers may take, before it is looked what went wrong.
const ASK: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(100);
/// How many of librdkafka's reports are looked at between two questions.
const REPORTS: usize = 32;

/// Creates the consumer; connects in the background.
pub(super) fn create(settings: &KafkaSettings) -> Result<BaseConsumer<Context>, SourceError> {
    let config = settings.client_config()?;
    let context = Context::new("consumer", &config);
    created(config.create_with_context(context))
}

pub(super) fn created<T>(created: KafkaResult<T>) -> Result<T, SourceError> {
    created.map_err(|error| match error {
        KafkaError::ClientCreation(reason) => SourceError::Refused { reason },
        other => SourceError::Refused { reason: other.to_string() },
    })
}

/// What the brokers say of a topic.
enum Answer {
    Exists,
    Missing,
    Denied(String),
    /// No answer, or one that will change, as while a leader is elected.
    Later(String),
}

/// Waits until a broker has confirmed every topic. `poll` brings reports, `access` is what for, `cancelled` tells that
/// nobody waits any more.
pub(super) fn check<'t>(
    client: &Client<Context>,
    poll: impl Fn(),
    settings: &KafkaSettings,
    topics: impl Iterator<Item = &'t str>,
    access: &str,
    cancelled: impl Fn() -> bool,
) -> Result<(), SourceError> {
    let deadline = Instant::now() + settings.start_limit;
    for topic in topics {
        let mut missing_since = None;
        let mut last = None;
        loop {
            match ask(client, topic) {
                Answer::Exists => break,
                Answer::Denied(reason) => {
                    return Err(SourceError::Denied { what: format!("{access} topic `{topic}`"), reason });
                }
                Answer::Missing => {
                    let since = *missing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= TOPIC_LIMIT.min(settings.start_limit) {
                        return Err(SourceError::UnknownTopic { topic: topic.to_owned() });
                    }
                }
                Answer::Later(reason) => last = last_failure(client.context(), &poll)?.or(last).or(Some(reason)),
            }
            if cancelled() || Instant::now() >= deadline {
                let (brokers, limit) = (settings.brokers.clone(), settings.start_limit);
                return Err(SourceError::Unreachable { brokers, limit, last });
            }
            // The thread has nothing else to do yet, and librdkafka has no way to be woken by.
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// Waits until any broker answers.
pub(super) fn reach(client: &Client<Context>, poll: impl Fn(), settings: &KafkaSettings) -> Result<(), SourceError> {
    let deadline = Instant::now() + settings.start_limit;
    let mut last = None;
    loop {
        match client.fetch_metadata(None, ASK) {
            Ok(_) => return Ok(()),
            Err(error) => last = last_failure(client.context(), &poll)?.or(last).or(Some(reason_of(&error))),
        }
        if Instant::now() >= deadline {
            let (brokers, limit) = (settings.brokers.clone(), settings.start_limit);
            return Err(SourceError::Unreachable { brokers, limit, last });
        }
        std::thread::sleep(PAUSE);
    }
}

fn ask(client: &Client<Context>, topic: &str) -> Answer {
    match client.fetch_metadata(Some(topic), ASK) {
        Ok(metadata) => read(&metadata, topic),
        Err(error) => Answer::Later(reason_of(&error)),
    }
}

fn read(metadata: &Metadata, topic: &str) -> Answer {
    use RDKafkaRespErr as Code;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Answer::Later("the answer does not mention the topic".to_owned());
    };
    match found.error() {
        None if found.partitions().is_empty() => Answer::Later("the topic has no partitions yet".to_owned()),
        None => Answer::Exists,
        Some(
            Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | Code::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
            | Code::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
        ) => Answer::Missing,
        Some(code @ Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) => {
            Answer::Denied(RDKafkaErrorCode::from(code).to_string())
        }
        Some(code) => Answer::Later(RDKafkaErrorCode::from(code).to_string()),
    }
}

/// Whether a broker says that a topic is missing (or that it is there); `None` where no broker says either.
pub(super) fn is_missing(consumer: &BaseConsumer<Context>, topic: &str) -> Option<bool> {
    match ask(consumer.client(), topic) {
        Answer::Missing => Some(true),
        Answer::Exists => Some(false),
        Answer::Denied(reason) | Answer::Later(reason) => {
            tracing::debug!(topic, reason, "no answer about a topic");
            None
        }
    }
}

/// What librdkafka reported meanwhile, in its own words. An error where trying again is no use.
fn last_failure(context: &Context, poll: impl Fn()) -> Result<Option<String>, SourceError> {
    let mut last = None;
    // Not yet subscribed: a poll brings reports only. Those that are logged look like an empty queue, so an empty poll
    // does not end this. "All brokers are down" says less than what came before it.
    for _ in 0..REPORTS {
        poll();
        match context.take_error() {
            Some((RDKafkaErrorCode::Authentication, reason)) => {
                return Err(SourceError::Denied { what: "the login".to_owned(), reason });
            }
            Some((RDKafkaErrorCode::AllBrokersDown, _)) | None => {}
            Some((_, reason)) => last = Some(reason),
        }
    }
    Ok(last)
}
