//! Reading what a topic holds now, from its first record to its last, without a group and without a commit.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset as KafkaOffset, TopicPartitionList};
use tokio::time::Instant;

use super::context::{Context, reason_of};
use super::owned::{self, Names};
use super::{KafkaSettings, SourceError, start};
use crate::record::{ChunkBuilder, Offset, Record, TopicPartition};

/// How long nothing may come before the brokers count as away.
const PATIENCE: Duration = Duration::from_secs(30);
const ASK: Duration = Duration::from_secs(5);
/// How long one poll waits.
const TURN: Duration = Duration::from_millis(100);

/// From where to where a topic is read.
#[derive(Clone, Debug, Default)]
pub struct Range {
    partitions: BTreeMap<i32, (Offset, Offset)>,
}

impl Range {
    /// One record.
    pub fn of(partition: i32, offset: Offset) -> Self {
        Self { partitions: BTreeMap::from([(partition, (offset, offset + 1))]) }
    }

    /// From where to where each partition is read.
    #[cfg(feature = "sidecar")]
    pub(crate) fn of_each(partitions: impl IntoIterator<Item = (i32, (Offset, Offset))>) -> Self {
        Self { partitions: partitions.into_iter().collect() }
    }

    /// How many offsets it covers: at least as many as records, for compaction and transactions leave gaps.
    pub fn len(&self) -> u64 {
        self.partitions.values().map(|(from, to)| u64::try_from(to - from).unwrap_or(0)).sum()
    }

    /// Whether it covers nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl KafkaSettings {
    /// What a topic holds now. Blocks.
    ///
    /// # Errors
    ///
    /// As [`Source::start`](super::Source::start).
    pub fn range(&self, topic: &str) -> Result<Range, SourceError> {
        let consumer = start::create(self)?;
        let poll = || drop(consumer.poll(Duration::ZERO));
        start::check(consumer.client(), poll, self, std::iter::once(topic), "reading", || false)?;
        let metadata = consumer.fetch_metadata(Some(topic), ASK).map_err(|error| self.away(&error))?;
        let found = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id());
        let mut partitions = BTreeMap::new();
        for partition in found {
            let ends = consumer.fetch_watermarks(topic, partition, ASK).map_err(|error| self.away(&error))?;
            partitions.insert(partition, ends);
        }
        Ok(Range { partitions })
    }

    /// Reads a range of a topic, in the order of each partition, until `each` breaks. Blocks. `passed` is told how many
    /// offsets are behind it.
    ///
    /// # Errors
    ///
    /// As [`Source::start`](super::Source::start), and where the brokers go away or the range is not there.
    pub fn read(
        &self,
        topic: &str,
        range: &Range,
        mut each: impl FnMut(Record, u64) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        // Where an offset is gone, that is told; a record is never left out.
        let consumer: BaseConsumer<Context> = {
            let mut config = self.client_config()?;
            config.set("auto.offset.reset", "error").set("enable.partition.eof", "true");
            let context = Context::new("reader", &config);
            start::created(config.create_with_context(context))?
        };
        let mut left: BTreeMap<i32, (Offset, Offset)> =
            range.partitions.iter().filter(|(_, (from, to))| from < to).map(|(id, ends)| (*id, *ends)).collect();
        let mut list = TopicPartitionList::new();
        for (partition, (from, _)) in &left {
            list.add_partition_offset(topic, *partition, KafkaOffset::Offset(*from))
                .map_err(|error| self.away(&error))?;
        }
        consumer.assign(&list).map_err(|error| self.away(&error))?;
        let mut names = Names::default();
        let mut last = Instant::now();
        let all = range.len();
        while !left.is_empty() {
            match consumer.poll(TURN) {
                None if last.elapsed() > PATIENCE => return Err(self.away(&KafkaError::NoMessageReceived)),
                None => {}
                // The end of a partition: what was missing up to it were gaps.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    left.remove(&partition);
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(self.gone(topic, &error)),
                Some(Ok(message)) => {
                    last = Instant::now();
                    let Some((next, to)) = left.get_mut(&message.partition()) else { continue };
                    if message.offset() >= *to {
                        left.remove(&message.partition());
                        continue;
                    }
                    *next = message.offset() + 1;
                    let mut chunk = ChunkBuilder::new(TopicPartition::new(topic, message.partition()));
                    owned::copy(&message, &mut chunk, &mut names);
                    if *next >= *to {
                        left.remove(&message.partition());
                    }
                    let ahead: u64 = left.values().map(|(from, to)| u64::try_from(to - from).unwrap_or(0)).sum();
                    for record in chunk.finish() {
                        if each(record, all.saturating_sub(ahead)).is_break() {
                            return Ok(());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn away(&self, error: &KafkaError) -> SourceError {
        SourceError::Unreachable { brokers: self.brokers.clone(), limit: PATIENCE, last: Some(reason_of(error)) }
    }

    fn gone(&self, topic: &str, error: &KafkaError) -> SourceError {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => SourceError::OffsetLost {
                partition: None,
                next: None,
                reason: format!("{topic}: {}", reason_of(error)),
            },
            _ => self.away(error),
        }
    }
}

/// What librdkafka gets over by itself.
fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut | Code::Resolve)
    )
}
