//! One message of a source, without any broker's types.
//!
//! A [`Record`] is owned and cheap to clone: its bytes live in one shared buffer, so a clone costs one
//! reference count and the payload is never copied again.

mod chunk;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

#[cfg(any(feature = "kafka", test))]
pub(crate) use chunk::ChunkBuilder;
use chunk::{Chunk, Entry};

/// The position of a record within its partition.
pub type Offset = i64;

/// One partition of one topic.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    topic: Arc<str>,
    partition: i32,
}

impl TopicPartition {
    /// Names a partition of a topic.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The topic's name as it is shared: whoever keeps it clones a reference count, not the text.
    pub fn topic_arc(&self) -> &Arc<str> {
        &self.topic
    }

    /// The partition's number within the topic.
    pub fn partition(&self) -> i32 {
        self.partition
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a record came from: its partition and its offset there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The partition that held the record.
    pub partition: TopicPartition,
    /// Its offset in that partition.
    pub offset: Offset,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which assignment of a partition to this process a piece of work belongs to.
///
/// Each assignment gets a greater epoch than all before it. Work of an older epoch may finish and be recorded as
/// done, but it never commits an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// One header: a name, and a value that some brokers allow to be null.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// The header's name, compared byte for byte.
    pub name: Arc<str>,
    /// The header's value; `None` where the producer sent null.
    pub value: Option<Bytes>,
}

impl fmt::Debug for Header {
    /// Prints the name and the length of the value; never the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").field("name", &self.name).field("bytes", &self.value.as_ref().map(Bytes::len)).finish()
    }
}

/// One message of a source: owned, immutable, cheap to clone.
///
/// Records that arrived together share their memory, a few dozen KiB: a record that is kept keeps its neighbours.
#[derive(Clone)]
pub struct Record {
    chunk: Arc<Chunk>,
    index: usize,
}

impl Record {
    /// Starts a record at a position; see [`RecordBuilder`].
    pub fn builder(partition: TopicPartition, offset: Offset) -> RecordBuilder {
        let entry = Entry { offset, timestamp: None, key: None, payload: None, headers: 0..0, size: 0 };
        RecordBuilder { partition, entry, headers: Vec::new() }
    }

    fn entry(&self) -> &Entry {
        // A record is made with its chunk, for an entry that is there.
        &self.chunk.entries[self.index]
    }

    /// The topic the record was read from.
    pub fn topic(&self) -> &str {
        self.chunk.partition.topic()
    }

    /// The partition the record was read from.
    pub fn partition(&self) -> &TopicPartition {
        &self.chunk.partition
    }

    /// The record's offset within its partition.
    pub fn offset(&self) -> Offset {
        self.entry().offset
    }

    /// Partition and offset together.
    pub fn origin(&self) -> Origin {
        Origin { partition: self.chunk.partition.clone(), offset: self.entry().offset }
    }

    /// Milliseconds since the Unix epoch, where the record carries a time.
    pub fn timestamp(&self) -> Option<i64> {
        self.entry().timestamp
    }

    /// The record's key; `None` where the producer sent none.
    pub fn key(&self) -> Option<&Bytes> {
        self.entry().key.as_ref()
    }

    /// The record's payload; `None` for a null payload (a tombstone of a compacted topic).
    pub fn payload(&self) -> Option<&Bytes> {
        self.entry().payload.as_ref()
    }

    /// All headers, in the order in which the producer wrote them.
    pub fn headers(&self) -> &[Header] {
        self.chunk.headers.get(self.entry().headers.clone()).unwrap_or_default()
    }

    /// All values of one header; names are compared byte for byte.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Option<&'a Bytes>> {
        self.headers().iter().filter(move |h| &*h.name == name).map(|h| h.value.as_ref())
    }

    /// The bytes that the record itself needs in memory: key, payload and headers.
    pub fn size(&self) -> usize {
        self.entry().size
    }

    /// Whether two records share their memory.
    pub(crate) fn shares_memory(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chunk, &other.chunk)
    }

    /// The bytes of all records that share their memory with this one: so much is held as long as one of them is.
    pub(crate) fn shared_bytes(&self) -> usize {
        self.chunk.bytes
    }
}

impl fmt::Debug for Record {
    /// Names the record by its position and sizes; never prints what it holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("origin", &self.origin())
            .field("key_bytes", &self.key().map(Bytes::len))
            .field("payload_bytes", &self.payload().map(Bytes::len))
            .field("headers", &self.headers().len())
            .finish()
    }
}

/// Builds a [`Record`] from bytes that are already shared.
#[must_use]
pub struct RecordBuilder {
    partition: TopicPartition,
    entry: Entry,
    headers: Vec<Header>,
}

impl RecordBuilder {
    /// Sets the key.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.entry.key = Some(key.into());
        self
    }

    /// Sets the payload; without it the payload is null.
    pub fn payload(mut self, payload: impl Into<Bytes>) -> Self {
        self.entry.payload = Some(payload.into());
        self
    }

    /// Sets the time, in milliseconds since the Unix epoch.
    pub fn timestamp(mut self, millis: i64) -> Self {
        self.entry.timestamp = Some(millis);
        self
    }

    /// Appends a header.
    pub fn header(mut self, name: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header { name: name.into(), value: Some(value.into()) });
        self
    }

    /// Appends a header whose value is null.
    pub fn null_header(mut self, name: impl Into<Arc<str>>) -> Self {
        self.headers.push(Header { name: name.into(), value: None });
        self
    }

    /// Finishes the record.
    pub fn build(self) -> Record {
        let Self { partition, mut entry, headers } = self;
        let held = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
        let of_headers = headers.iter().map(|header| header.name.len() + held(&header.value));
        entry.size = held(&entry.key) + held(&entry.payload) + of_headers.sum::<usize>();
        entry.headers = 0..headers.len();
        let chunk = Arc::new(Chunk::new(partition, vec![entry], headers));
        Record { chunk, index: 0 }
    }
}

impl fmt::Debug for RecordBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordBuilder").field("partition", &self.partition).finish_non_exhaustive()
    }
}
