//! Copies of records for the dead-letter topic: what they keep, and which headers they get.
//!
//! The names and the forms of the headers are those of Spring Kafka, which tools for dead letters read: numbers are
//! big-endian, the partition in 4 bytes, offset and timestamp in 8. A record that was a dead letter before keeps the headers
//! about its origin, and gets a second set behind them, as there: of several with one name the first tells of the first
//! time and the last of the last. What describes the failure, [`EXCEPTION_MESSAGE`] and [`ATTEMPTS`], is replaced.

use std::sync::Arc;

use bytes::Bytes;

use super::retry;
use crate::kafka::Outgoing;
use crate::record::{Header, Record};

pub(crate) const ORIGINAL_TOPIC: &str = "kafka_dlt-original-topic";
pub(crate) const ORIGINAL_PARTITION: &str = "kafka_dlt-original-partition";
pub(super) const ORIGINAL_OFFSET: &str = "kafka_dlt-original-offset";
pub(super) const ORIGINAL_TIMESTAMP: &str = "kafka_dlt-original-timestamp";
pub(crate) const ORIGINAL_GROUP: &str = "kafka_dlt-original-consumer-group";
pub(crate) const EXCEPTION_MESSAGE: &str = "kafka_dlt-exception-message";
/// How often the handler was started, in decimal.
pub(super) const ATTEMPTS: &str = "hapax-attempts";

/// The longest message about a failure, in bytes: headers count against the topic's limit on a record's size.
const LONGEST_MESSAGE: usize = 1024;

/// The copy of a record for a dead-letter topic. It keeps key, payload and headers.
///
/// `original` is the record as it first arrived: of one that came from a retry topic, the record before that.
pub(super) fn dead_letter(topic: Arc<str>, original: &Record, group: &str, message: &str, attempts: u32) -> Outgoing {
    let replaced = |header: &&Header| &*header.name != EXCEPTION_MESSAGE && &*header.name != ATTEMPTS;
    let mut headers: Vec<Header> = original.headers().iter().filter(replaced).cloned().collect();
    let mut add = |name: &str, value: Bytes| headers.push(Header { name: name.into(), value: Some(value) });
    add(ORIGINAL_TOPIC, Bytes::copy_from_slice(original.topic().as_bytes()));
    add(ORIGINAL_PARTITION, Bytes::copy_from_slice(&original.partition().partition().to_be_bytes()));
    add(ORIGINAL_OFFSET, Bytes::copy_from_slice(&original.offset().to_be_bytes()));
    if let Some(timestamp) = original.timestamp() {
        add(ORIGINAL_TIMESTAMP, Bytes::copy_from_slice(&timestamp.to_be_bytes()));
    }
    add(ORIGINAL_GROUP, Bytes::copy_from_slice(group.as_bytes()));
    add(EXCEPTION_MESSAGE, printable(message).into());
    add(ATTEMPTS, attempts.to_string().into());
    copy(topic, original, headers)
}

/// The copy of a record for a retry topic, due at that time.
pub(super) fn retry(topic: Arc<str>, original: &Record, step: u32, due: i64) -> Outgoing {
    copy(topic, original, retry::headers(original, step, due))
}

fn copy(topic: Arc<str>, record: &Record, headers: Vec<Header>) -> Outgoing {
    Outgoing {
        topic,
        // The key decides; partitions of the two topics need not be as many.
        partition: None,
        key: record.key().cloned(),
        payload: record.payload().cloned(),
        headers,
        // The time of writing. The retention of the topic counts from it: with its own, an old record would be deleted at
        // once. What it was stands in the headers.
        timestamp: None,
    }
}

/// What a handler said, of bounded length and in one line.
fn printable(message: &str) -> String {
    let mut printable = String::with_capacity(message.len().min(LONGEST_MESSAGE));
    for char in message.chars().map(|char| if char.is_control() { ' ' } else { char }) {
        if printable.len() + char.len_utf8() > LONGEST_MESSAGE {
            break;
        }
        printable.push(char);
    }
    printable
}
