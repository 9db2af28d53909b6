//! From librdkafka's messages to records that own what they hold, in memory that a chunk of them shares.

use std::collections::HashSet;
use std::sync::Arc;

use rdkafka::Message;
use rdkafka::message::BorrowedMessage;

use crate::record::ChunkBuilder;

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

/// Copies a message behind the others of its chunk; returns how many bytes it has.
pub(super) fn copy(message: &BorrowedMessage<'_>, chunk: &mut ChunkBuilder, names: &mut Names) -> usize {
    let headers = RawHeaders::of(message).map(|(name, value)| (names.share(name), value));
    chunk.add(message.offset(), message.timestamp().to_millis(), message.key(), message.payload(), headers)
}
