//! What is read, how messages are told apart, and what becomes of those that cannot be handled.

use std::time::Duration;

use super::super::problem::Complaint;
use super::super::reader::Reader;
use super::super::values::{at_least_one, boolean, duration, list, number, share, size, some_time, text};
use super::super::{ids, lists, table};
use crate::engine::{ConflictPolicy, Order};
use crate::id::{IdKey, IdPolicy, ScopeRule};
use crate::kafka::{GroupProtocol, KafkaSettings, OffsetLost, StartAt};
use crate::sidecar::settings::{ConsumerSettings, DeadLetters};

/// The request's own limit comes first: it knows more of what happened.
const BEYOND_THE_REQUEST: Duration = Duration::from_secs(1);

/// Brokers, group, topics.
pub(super) fn source(reader: &mut Reader<'_>) -> KafkaSettings {
    let brokers = reader.get(&table::BROKERS, |text| list(text).map(|_| text.to_owned())).unwrap_or_default();
    let group = reader.get(&table::GROUP, text).unwrap_or_default();
    let topics = reader.get(&table::TOPICS, lists::topics).unwrap_or_default();
    let mut kafka = KafkaSettings::new(brokers, group, topics);
    kafka.static_member = reader.get(&table::STATIC_MEMBER, text);
    let protocols = [("classic", GroupProtocol::Classic), ("consumer", GroupProtocol::Consumer)];
    kafka.group_protocol = reader.choose(&table::GROUP_PROTOCOL, &protocols).unwrap_or_default();
    let starts = [("earliest", StartAt::Earliest), ("latest", StartAt::Latest)];
    kafka.start_at = reader.choose(&table::START_AT, &starts).unwrap_or_default();
    let lost = [("stop", OffsetLost::Stop), ("earliest", OffsetLost::Earliest), ("latest", OffsetLost::Latest)];
    kafka.offset_lost = reader.choose(&table::OFFSET_LOST, &lost).unwrap_or_default();
    kafka.start_limit = reader.get(&table::START_LIMIT, some_time).unwrap_or(kafka.start_limit);
    kafka.drain_limit = reader.get(&table::DRAIN_LIMIT, duration).unwrap_or(kafka.drain_limit);
    kafka
}

pub(super) fn settings(reader: &mut Reader<'_>, kafka: KafkaSettings) -> ConsumerSettings {
    let scope = reader.get(&table::ID_SCOPE, ids::scope).unwrap_or(ScopeRule::Topic);
    let (extractor, takes_a_scope) = reader
        .get(&table::ID, |text| Ok((ids::extractor(text, &scope)?, ids::takes_a_scope(text))))
        .unwrap_or_else(|| (std::sync::Arc::new(crate::id::Coordinates), true));
    if reader.is_set(&table::ID_SCOPE) && !takes_a_scope {
        let way_out = "unset it, or choose another HAPAX_ID";
        reader.wrong(
            table::ID_SCOPE.name,
            "means nothing with the ways of HAPAX_ID, which have their own scope",
            way_out,
        );
    }
    let policies = [
        ("stop", IdPolicy::Stop),
        ("dead-letter", IdPolicy::DeadLetter),
        ("process", IdPolicy::Process),
        ("coordinates", IdPolicy::Coordinates),
    ];
    let conflicts = [
        ("stop", ConflictPolicy::Stop),
        ("duplicate", ConflictPolicy::Duplicate),
        ("dead-letter", ConflictPolicy::DeadLetter),
    ];
    let orders = [("partition", Order::Partition), ("key", Order::Key), ("unordered", Order::Unordered)];
    let dead_letters = reader.get(&table::DEAD_LETTER_TOPIC, |topic| match topic {
        "auto" => Ok(DeadLetters::Auto),
        topic => text(topic).map(|topic| DeadLetters::Topic(topic.into())),
    });
    ConsumerSettings {
        kafka,
        extractor,
        id_key: id_key(reader),
        id_policy: reader.choose(&table::ID_POLICY, &policies),
        conflict_policy: reader.choose(&table::CONFLICT_POLICY, &conflicts).unwrap_or_default(),
        dead_letters: dead_letters.unwrap_or_default(),
        dead_letter_share: reader.get(&table::DEAD_LETTER_SHARE, share).unwrap_or_default(),
        retry_topics: reader.get(&table::RETRY_TOPICS, lists::retry_topics).unwrap_or_default(),
        max_age: reader.get(&table::MESSAGE_MAX_AGE, some_time),
        expires_header: reader.get(&table::EXPIRES_HEADER, boolean).unwrap_or_default(),
        expired_to_dead_letter: reader.get(&table::EXPIRED_TO_DEAD_LETTER, boolean).unwrap_or_default(),
        order: reader.choose(&table::ORDER, &orders).unwrap_or_default(),
        concurrency: reader.get(&table::CONCURRENCY, at_least_one).unwrap_or(1),
        partition_concurrency: reader.get(&table::PARTITION_CONCURRENCY, at_least_one),
        batch: reader.get(&table::BATCH, at_least_one).unwrap_or(1),
        max_exposed: reader.get(&table::MAX_EXPOSED, at_least_one).unwrap_or(1),
        max_in_flight: (
            reader.get(&table::MAX_IN_FLIGHT_RECORDS, at_least_one).unwrap_or(1),
            reader.get(&table::MAX_IN_FLIGHT_BYTES, size).unwrap_or(1),
        ),
        max_span: reader.get(&table::MAX_SPAN, at_least_one).unwrap_or(1),
        commit_every: (
            reader.get(&table::COMMIT_INTERVAL, some_time).unwrap_or_default(),
            reader.get(&table::COMMIT_RECORDS, at_least_one).unwrap_or(1),
        ),
        max_attempts: reader.get(&table::MAX_ATTEMPTS, number).unwrap_or(2),
        backoff: (
            reader.get(&table::BACKOFF_FIRST, some_time).unwrap_or_default(),
            reader.get(&table::BACKOFF_CAP, some_time).unwrap_or_default(),
        ),
        handler_time_limit: reader.get(&table::HANDLER_TIME_LIMIT, some_time).unwrap_or_default() + BEYOND_THE_REQUEST,
        renewal: reader.get(&table::RENEWAL, boolean).unwrap_or(true),
        stall_after: reader.get(&table::STALL_AFTER, some_time).unwrap_or_default(),
    }
}

/// The limit of one request, out of that of the whole attempt.
pub(super) fn request_limit(consumer: &ConsumerSettings) -> Duration {
    consumer.handler_time_limit.saturating_sub(BEYOND_THE_REQUEST)
}

/// The secret that keys the fingerprints.
pub(super) fn id_key(reader: &mut Reader<'_>) -> IdKey {
    let key = reader.get(&table::ID_KEY, |secret| match secret.len() {
        0..16 => Err(Complaint::with("is so short that it can be guessed", "use 16 random characters or more")),
        _ => Ok(IdKey::new(secret.as_bytes())),
    });
    key.unwrap_or_default()
}
