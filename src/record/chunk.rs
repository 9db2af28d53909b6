//! Records that arrived together, in memory that they share.

#[cfg(any(feature = "kafka", test))]
use std::mem;
use std::ops::Range;
#[cfg(any(feature = "kafka", test))]
use std::sync::Arc;

use bytes::Bytes;

#[cfg(any(feature = "kafka", test))]
use super::Record;
use super::{Header, Offset, TopicPartition};

/// Records of one partition.
pub(super) struct Chunk {
    pub(super) partition: TopicPartition,
    pub(super) entries: Vec<Entry>,
    /// The headers of all of them, one record's behind the other's.
    pub(super) headers: Vec<Header>,
    /// The bytes of all of them.
    pub(super) bytes: usize,
}

/// What one record holds.
pub(super) struct Entry {
    pub(super) offset: Offset,
    pub(super) timestamp: Option<i64>,
    pub(super) key: Option<Bytes>,
    pub(super) payload: Option<Bytes>,
    /// Which of the chunk's headers are its own.
    pub(super) headers: Range<usize>,
    pub(super) size: usize,
}

impl Chunk {
    pub(super) fn new(partition: TopicPartition, entries: Vec<Entry>, headers: Vec<Header>) -> Self {
        let bytes = entries.iter().map(|entry| entry.size).sum();
        Self { partition, entries, headers, bytes }
    }
}

/// How many bytes a chunk holds at most, unless one record has more. A record that is slow keeps the memory of its whole
/// chunk.
#[cfg(any(feature = "kafka", test))]
const MOST_BYTES: usize = 64 * 1024;

/// Gathers records of one partition into chunks.
#[cfg(any(feature = "kafka", test))]
#[derive(Debug)]
pub(crate) struct ChunkBuilder {
    partition: TopicPartition,
    /// Keys, payloads and header values, one behind the other.
    buffer: Vec<u8>,
    drafts: Vec<Draft>,
    headers: Vec<(Arc<str>, Option<Range<usize>>)>,
    finished: Vec<Record>,
}

/// A record whose chunk is not finished: its parts as places in the buffer.
#[cfg(any(feature = "kafka", test))]
#[derive(Debug)]
struct Draft {
    offset: Offset,
    timestamp: Option<i64>,
    key: Option<Range<usize>>,
    payload: Option<Range<usize>>,
    headers: Range<usize>,
}

#[cfg(any(feature = "kafka", test))]
impl ChunkBuilder {
    /// No records yet.
    pub(crate) fn new(partition: TopicPartition) -> Self {
        let (buffer, drafts) = (Vec::new(), Vec::new());
        Self { partition, buffer, drafts, headers: Vec::new(), finished: Vec::new() }
    }

    /// The partition of its records.
    pub(crate) fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Copies a record behind the others; returns how many bytes it has.
    pub(crate) fn add<'a>(
        &mut self,
        offset: Offset,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: impl Iterator<Item = (Arc<str>, Option<&'a [u8]>)>,
    ) -> usize {
        let (begin, first) = (self.buffer.len(), self.headers.len());
        let (key, payload) = (self.copy(key), self.copy(payload));
        for (name, value) in headers {
            let value = self.copy(value);
            self.headers.push((name, value));
        }
        self.drafts.push(Draft { offset, timestamp, key, payload, headers: first..self.headers.len() });
        let size = self.buffer.len() - begin;
        if self.buffer.len() >= MOST_BYTES {
            self.end_chunk();
        }
        size
    }

    fn copy(&mut self, part: Option<&[u8]>) -> Option<Range<usize>> {
        let begin = self.buffer.len();
        self.buffer.extend_from_slice(part?);
        Some(begin..self.buffer.len())
    }

    /// All records, in the order in which they were added.
    pub(crate) fn finish(mut self) -> Vec<Record> {
        self.end_chunk();
        self.finished
    }

    fn end_chunk(&mut self) {
        let bytes = Bytes::from(mem::take(&mut self.buffer));
        let part = |place: Option<Range<usize>>| place.map(|place| bytes.slice(place));
        let headers = mem::take(&mut self.headers).into_iter();
        let headers: Vec<Header> = headers.map(|(name, value)| Header { name, value: part(value) }).collect();
        let entries = mem::take(&mut self.drafts).into_iter().map(|draft| {
            let Draft { offset, timestamp, key, payload, headers: own } = draft;
            let held = |place: &Option<Range<usize>>| place.as_ref().map_or(0, ExactSizeIterator::len);
            let of_headers = headers.get(own.clone()).unwrap_or_default().iter();
            let of_headers = of_headers.map(|it| it.name.len() + it.value.as_ref().map_or(0, Bytes::len));
            let size = held(&key) + held(&payload) + of_headers.sum::<usize>();
            Entry { offset, timestamp, key: part(key), payload: part(payload), headers: own, size }
        });
        let entries: Vec<Entry> = entries.collect();
        let count = entries.len();
        let chunk = Arc::new(Chunk::new(self.partition.clone(), entries, headers));
        self.finished.extend((0..count).map(|index| Record { chunk: Arc::clone(&chunk), index }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> TopicPartition {
        TopicPartition::new("orders", 3)
    }

    #[test]
    fn chunk_record_holds_what_was_added() {
        let mut builder = ChunkBuilder::new(partition());
        let name: Arc<str> = "n".into();
        let headers = || [(Arc::clone(&name), Some(&b"v"[..])), (Arc::clone(&name), None)].into_iter();
        assert_eq!(builder.add(7, Some(5), Some(b"key"), Some(b"payload"), headers()), 11);
        assert_eq!(builder.add(9, None, None, None, std::iter::empty()), 0);
        assert_eq!(builder.add(10, None, Some(b""), Some(b"x"), headers()), 2);
        let records = builder.finish();
        let [first, second, third] = &records[..] else { panic!("{records:?}") };
        assert_eq!((first.offset(), first.timestamp(), first.partition()), (7, Some(5), &partition()));
        assert_eq!((&first.key().unwrap()[..], &first.payload().unwrap()[..]), (&b"key"[..], &b"payload"[..]));
        assert_eq!(first.header_values("n").map(|value| value.is_some()).collect::<Vec<_>>(), [true, false]);
        assert_eq!((second.offset(), second.timestamp(), second.key(), second.payload()), (9, None, None, None));
        assert!(second.headers().is_empty());
        assert_eq!(
            (third.key().unwrap().len(), &third.payload().unwrap()[..], third.headers().len()),
            (0, &b"x"[..], 2)
        );
        assert_eq!([first.size(), second.size(), third.size()], [13, 0, 4]);
    }

    #[test]
    fn chunk_size_is_bounded() {
        let mut builder = ChunkBuilder::new(partition());
        let payload = vec![7; MOST_BYTES / 4];
        for offset in 0..6 {
            builder.add(offset, None, None, Some(&payload), std::iter::empty());
        }
        let records = builder.finish();
        assert_eq!(records.iter().map(Record::offset).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert!(records[0].shares_memory(&records[3]) && !records[3].shares_memory(&records[4]));
        assert_eq!(records[0].shared_bytes(), MOST_BYTES);
    }
}
