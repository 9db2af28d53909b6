//! One message of a source, without any broker's types.
//!
//! A [`Record`] is owned and cheap to clone: its bytes live in one shared buffer, so a clone costs one
//! reference count and the payload is never copied again.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

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
#[derive(Clone)]
pub struct Record {
    inner: Arc<Inner>,
}

struct Inner {
    partition: TopicPartition,
    offset: Offset,
    timestamp: Option<i64>,
    key: Option<Bytes>,
    payload: Option<Bytes>,
    headers: Vec<Header>,
    size: usize,
}

impl Record {
    /// Starts a record at a position; see [`RecordBuilder`].
    pub fn builder(partition: TopicPartition, offset: Offset) -> RecordBuilder {
        RecordBuilder {
            inner: Inner { partition, offset, timestamp: None, key: None, payload: None, headers: Vec::new(), size: 0 },
        }
    }

    /// The topic the record was read from.
    pub fn topic(&self) -> &str {
        self.inner.partition.topic()
    }

    /// The partition the record was read from.
    pub fn partition(&self) -> &TopicPartition {
        &self.inner.partition
    }

    /// The record's offset within its partition.
    pub fn offset(&self) -> Offset {
        self.inner.offset
    }

    /// Partition and offset together.
    pub fn origin(&self) -> Origin {
        Origin { partition: self.inner.partition.clone(), offset: self.inner.offset }
    }

    /// Milliseconds since the Unix epoch, where the record carries a time.
    pub fn timestamp(&self) -> Option<i64> {
        self.inner.timestamp
    }

    /// The record's key; `None` where the producer sent none.
    pub fn key(&self) -> Option<&Bytes> {
        self.inner.key.as_ref()
    }

    /// The record's payload; `None` for a null payload (a tombstone of a compacted topic).
    pub fn payload(&self) -> Option<&Bytes> {
        self.inner.payload.as_ref()
    }

    /// All headers, in the order in which the producer wrote them.
    pub fn headers(&self) -> &[Header] {
        &self.inner.headers
    }

    /// All values of one header; names are compared byte for byte.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Option<&'a Bytes>> {
        self.inner.headers.iter().filter(move |h| &*h.name == name).map(|h| h.value.as_ref())
    }

    /// The bytes the record holds in memory: key, payload and header values. The bound on bytes in flight counts these.
    pub fn size(&self) -> usize {
        self.inner.size
    }
}

impl fmt::Debug for Record {
    /// Names the record by its position and sizes; never prints what it holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("origin", &self.origin())
            .field("key_bytes", &self.key().map(Bytes::len))
            .field("payload_bytes", &self.payload().map(Bytes::len))
            .field("headers", &self.inner.headers.len())
            .finish()
    }
}

/// Builds a [`Record`] from bytes that are already shared.
#[must_use]
pub struct RecordBuilder {
    inner: Inner,
}

impl RecordBuilder {
    /// Sets the key.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.inner.key = Some(key.into());
        self
    }

    /// Sets the payload; without it the payload is null.
    pub fn payload(mut self, payload: impl Into<Bytes>) -> Self {
        self.inner.payload = Some(payload.into());
        self
    }

    /// Sets the time, in milliseconds since the Unix epoch.
    pub fn timestamp(mut self, millis: i64) -> Self {
        self.inner.timestamp = Some(millis);
        self
    }

    /// Appends a header.
    pub fn header(mut self, name: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        self.inner.headers.push(Header { name: name.into(), value: Some(value.into()) });
        self
    }

    /// Appends a header whose value is null.
    pub fn null_header(mut self, name: impl Into<Arc<str>>) -> Self {
        self.inner.headers.push(Header { name: name.into(), value: None });
        self
    }

    /// Finishes the record.
    pub fn build(mut self) -> Record {
        let held = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
        let headers = self.inner.headers.iter().map(|header| header.name.len() + held(&header.value));
        self.inner.size = held(&self.inner.key) + held(&self.inner.payload) + headers.sum::<usize>();
        Record { inner: Arc::new(self.inner) }
    }
}

impl fmt::Debug for RecordBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordBuilder").field("partition", &self.inner.partition).finish_non_exhaustive()
    }
}
