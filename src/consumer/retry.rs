//! Retry topics: which record comes from one, what it was before, and when it is due.
//!
//! A record of a retry topic is identified by what it was before, or its ID would be another one and a copy that the
//! producer sent meanwhile would be handled beside it. The headers that say so are believed only in the consumer's own
//! retry topics. Whoever may write there may choose under which ID a message is handled: give nobody else the right to.

use std::str;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::record::{Header, Offset, Record, TopicPartition};

const STEP: &str = "hapax-retry-step";
const DUE: &str = "hapax-retry-at";
const TOPIC: &str = "hapax-original-topic";
const PARTITION: &str = "hapax-original-partition";
const OFFSET: &str = "hapax-original-offset";
const TIMESTAMP: &str = "hapax-original-timestamp";

/// One retry topic, and how long a record lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RetryTopic {
    pub(super) topic: Arc<str>,
    pub(super) delay: Duration,
}

/// A record of a retry topic.
#[derive(Clone, Debug)]
pub(super) struct Retried {
    /// How many retry topics it has been through, this one included.
    pub(super) step: u32,
    /// When it is to be handled, in milliseconds since the Unix epoch: never later than the topic's delay from `now`.
    pub(super) due: Option<i64>,
    /// The record as it first arrived.
    pub(super) original: Record,
}

/// Reads a record of one of these topics; `None` for one of any other.
pub(super) fn read(record: &Record, topics: &[RetryTopic], now: i64) -> Option<Retried> {
    let index = topics.iter().position(|retry| *retry.topic == *record.topic())?;
    let step = u32::try_from(index).ok()?.saturating_add(1);
    // Somebody else may have written it: then it is a record of this topic like any other.
    let Some((partition, offset)) = origin(record) else {
        return Some(Retried { step, due: None, original: record.clone() });
    };
    let latest = now.saturating_add(millis(topics.get(index)?.delay));
    let due = last_text(record, DUE).and_then(|due| due.parse::<i64>().ok()).map(|due| due.min(latest));
    Some(Retried { step, due, original: moved(record, partition, offset) })
}

/// The headers of a copy for the retry topic of that step, from 0.
pub(super) fn headers(original: &Record, step: u32, due: i64) -> Vec<Header> {
    let mut headers: Vec<Header> = original.headers().iter().filter(|header| !is_ours(header)).cloned().collect();
    let mut add = |name: &str, value: String| {
        headers.push(Header { name: name.into(), value: Some(Bytes::from(value)) });
    };
    add(STEP, (u64::from(step) + 1).to_string());
    add(DUE, due.to_string());
    add(TOPIC, original.topic().to_owned());
    add(PARTITION, original.partition().partition().to_string());
    add(OFFSET, original.offset().to_string());
    if let Some(timestamp) = original.timestamp() {
        add(TIMESTAMP, timestamp.to_string());
    }
    headers
}

/// Milliseconds since the Unix epoch, by the wall clock.
pub(crate) fn wall_clock() -> i64 {
    millis(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn is_ours(header: &Header) -> bool {
    [STEP, DUE, TOPIC, PARTITION, OFFSET, TIMESTAMP].contains(&&*header.name)
}

fn origin(record: &Record) -> Option<(TopicPartition, Offset)> {
    let (topic, partition, offset) =
        (last_text(record, TOPIC)?, last_text(record, PARTITION)?, last_text(record, OFFSET)?);
    Some((TopicPartition::new(topic, partition.parse().ok()?), offset.parse().ok()?))
}

/// The text of a header; of several with one name, of the last, which tells of the last time.
pub(crate) fn last_text<'a>(record: &'a Record, name: &'a str) -> Option<&'a str> {
    str::from_utf8(record.header_values(name).last()??).ok()
}

/// The same message at the place where it first lay, with the headers that it had there.
fn moved(record: &Record, partition: TopicPartition, offset: Offset) -> Record {
    let mut original = Record::builder(partition, offset);
    if let Some(key) = record.key() {
        original = original.key(key.clone());
    }
    if let Some(payload) = record.payload() {
        original = original.payload(payload.clone());
    }
    if let Some(timestamp) = last_text(record, TIMESTAMP).and_then(|timestamp| timestamp.parse().ok()) {
        original = original.timestamp(timestamp);
    }
    for Header { name, value } in record.headers().iter().filter(|header| !is_ours(header)) {
        original = match value {
            Some(value) => original.header(Arc::clone(name), value.clone()),
            None => original.null_header(Arc::clone(name)),
        };
    }
    original.build()
}
