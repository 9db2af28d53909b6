//! From librdkafka's messages to records that own what they hold.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::BytesMut;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;

use crate::record::{Record, TopicPartition};

use super::native::RawHeaders;

/// How many header names are kept, and how long each may be: names come from producers, so the set has a bound.
const NAMES: usize = 256;
const NAME_LENGTH: usize = 128;

/// Header names seen before: a record shares them instead of holding its own copies.
#[derive(Default)]
pub(super) struct Names {
    seen: HashSet<Arc<str>>,
}

impl Names {
    fn share(&mut self, name: &[u8]) -> Arc<str> {
        // A name that is not UTF-8 stays readable, and equals no name that anybody configured.
        let name = String::from_utf8_lossy(name);
        if let Some(known) = self.seen.get(&*name) {
            return known.clone();
        }
        let new: Arc<str> = Arc::from(&*name);
        if self.seen.len() < NAMES && new.len() <= NAME_LENGTH {
            self.seen.insert(new.clone());
        }
        new
    }
}

/// Copies a message, once, into one buffer that key, payload and header values share.
pub(super) fn record(message: &BorrowedMessage<'_>, partition: TopicPartition, names: &mut Names) -> Record {
    let (key, payload, headers) = (message.key(), message.payload(), RawHeaders::of(message));
    let held = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    let size = held(key) + held(payload) + headers.clone().map(|(_, value)| held(value)).sum::<usize>();

    let mut buffer = BytesMut::with_capacity(size);
    for part in [key, payload].into_iter().flatten().chain(headers.clone().filter_map(|(_, value)| value)) {
        buffer.extend_from_slice(part);
    }
    let mut bytes = buffer.freeze();

    let mut record = Record::builder(partition, message.offset());
    if let Some(key) = key {
        record = record.key(bytes.split_to(key.len()));
    }
    if let Some(payload) = payload {
        record = record.payload(bytes.split_to(payload.len()));
    }
    if let Some(millis) = message.timestamp().to_millis() {
        record = record.timestamp(millis);
    }
    for (name, value) in headers {
        let name = names.share(name);
        record = match value {
            Some(value) => record.header(name, bytes.split_to(value.len())),
            None => record.null_header(name),
        };
    }
    record.build()
}
