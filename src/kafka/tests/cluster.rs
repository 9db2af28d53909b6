//! librdkafka's in-process cluster, one for each test.
#![allow(unsafe_code, reason = "the safe interface cannot shorten the mock's rebalance delay, nor write a bad header")]

use std::time::Duration;

use rdkafka::bindings::{rd_kafka_handle_mock_cluster, rd_kafka_mock_group_initial_rebalance_delay_ms};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::{ClientConfig, TopicPartitionList};

use super::super::{KafkaSettings, Source, SourceEvent, SourceEvents};
use crate::engine::Assignment;
use crate::observe::CommitRefused;
use crate::record::{Offset, Record};

pub(super) const TOPIC: &str = "orders";
pub(super) const GROUP: &str = "workers";
/// Longer than any step takes on a busy machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster, mostly of one broker, with one topic. The producer owns it.
pub(super) struct Cluster {
    producer: BaseProducer,
}

impl Cluster {
    pub(super) fn new(partitions: i32) -> Self {
        Self::of_brokers(1, partitions)
    }

    pub(super) fn of_brokers(brokers: i32, partitions: i32) -> Self {
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", brokers.to_string());
        let producer: BaseProducer = config.create().expect("the mock cluster starts");
        let cluster = Self { producer };
        cluster.mock().create_topic(TOPIC, partitions, brokers).expect("the topic is created");
        // SAFETY: the handle belongs to the producer, which lives as long as this cluster.
        unsafe {
            let handle = rd_kafka_handle_mock_cluster(cluster.producer.client().native_ptr());
            rd_kafka_mock_group_initial_rebalance_delay_ms(handle, 100);
        }
        cluster
    }

    pub(super) fn mock(&self) -> MockCluster<'_, DefaultProducerContext> {
        self.producer.client().mock_cluster().expect("the producer has a mock cluster")
    }

    /// Settings whose sessions end soon, so that rebalances do.
    pub(super) fn settings(&self) -> KafkaSettings {
        let mut settings = KafkaSettings::new(self.mock().bootstrap_servers(), GROUP, [TOPIC]);
        settings.drain_limit = Duration::from_secs(3);
        settings.max_poll_interval = Duration::from_secs(10);
        for (name, value) in [("session.timeout.ms", "2000"), ("heartbeat.interval.ms", "100")] {
            settings.properties.insert(name.to_owned(), value.to_owned());
        }
        settings
    }

    pub(super) async fn start(&self) -> Member {
        Member::start(self.settings()).await
    }

    /// Writes records whose payloads are their numbers.
    pub(super) fn produce(&self, partition: i32, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let payload = number.to_string();
            let mut record = BaseRecord::<(), _>::to(TOPIC).partition(partition).payload(&payload);
            while let Err((_, back)) = self.producer.send(record) {
                record = back;
                self.producer.poll(Duration::from_millis(10));
            }
        }
        self.flush();
    }

    pub(super) fn send(&self, record: BaseRecord<'_, str, [u8]>) {
        self.producer.send(record).map_err(|(error, _)| error).expect("the record is accepted");
        self.flush();
    }

    fn flush(&self) {
        self.producer.flush(PATIENCE).expect("the records are written");
    }

    /// What the broker holds as committed, by partition; `None` where nothing is.
    pub(super) fn committed(&self, partitions: i32) -> Vec<Option<Offset>> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.mock().bootstrap_servers()).set("group.id", GROUP);
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_range(TOPIC, 0, partitions - 1);
        let found = consumer.committed_offsets(list, PATIENCE).expect("the offsets are read");
        found.elements().iter().map(|element| element.offset().to_raw().filter(|offset| *offset >= 0)).collect()
    }
}

/// Headers of which one has a name that is not UTF-8.
pub(super) fn bad_headers() -> OwnedHeaders {
    let headers = OwnedHeaders::new().insert(Header { key: "bad-x", value: Some("x") });
    let name = headers.as_borrowed().get(0).key.as_ptr().cast_mut();
    // SAFETY: the name lies in librdkafka's heap, nobody else looks at it, and the fifth byte is inside it.
    unsafe { name.add(4).write(0xff) };
    headers
}

/// A source, and what it told.
pub(super) struct Member {
    pub(super) source: Source,
    pub(super) events: SourceEvents,
}

impl Member {
    pub(super) async fn start(settings: KafkaSettings) -> Self {
        let (source, events) = Source::start(settings).await.expect("the source starts");
        Self { source, events }
    }

    pub(super) async fn next(&mut self) -> SourceEvent {
        let next = tokio::time::timeout(PATIENCE, self.events.control.recv()).await;
        next.expect("an event in time").expect("the source runs")
    }

    /// The next assignment that is not empty; sorted.
    pub(super) async fn assigned(&mut self) -> Vec<Assignment> {
        match self.next().await {
            SourceEvent::Assigned(assignments) => sorted(assignments),
            other => panic!("an assignment was expected, not {other:?}"),
        }
    }

    pub(super) async fn revoke_requested(&mut self) -> Vec<Assignment> {
        match self.next().await {
            SourceEvent::RevokeRequested(assignments) => sorted(assignments),
            other => panic!("a revoke was expected, not {other:?}"),
        }
    }

    pub(super) async fn lost(&mut self) -> Vec<Assignment> {
        match self.next().await {
            SourceEvent::Lost(assignments) => sorted(assignments),
            other => panic!("a loss was expected, not {other:?}"),
        }
    }

    /// Commits, and waits for the answer.
    pub(super) async fn commit(&mut self, assignment: &Assignment, offset: Offset) -> Result<(), CommitRefused> {
        self.source.commit(assignment.clone(), offset).await;
        match self.next().await {
            SourceEvent::Committed { assignment: answered, offset: at, result } => {
                assert_eq!((&answered, at), (assignment, offset));
                result
            }
            other => panic!("the answer to a commit was expected, not {other:?}"),
        }
    }

    /// Waits until the poll thread has gone round a few times.
    pub(super) async fn rounds(&self) {
        for _ in 0..3 {
            self.source.inspect().await;
        }
    }

    /// Takes so many records, with the assignments that delivered them.
    pub(super) async fn take(&mut self, count: usize) -> Vec<(Assignment, Record)> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let batch = tokio::time::timeout(PATIENCE, self.events.records.recv()).await;
            let batch = batch.unwrap_or_else(|_| panic!("{} of {count} records came", taken.len()));
            let batch = batch.expect("the source runs");
            taken.extend(batch.records.into_iter().map(|record| (batch.assignment.clone(), record)));
        }
        taken
    }

    pub(super) async fn close(self) {
        assert!(self.source.close(PATIENCE).await, "the source closes in order");
    }
}

pub(super) fn sorted(mut assignments: Vec<Assignment>) -> Vec<Assignment> {
    assignments.sort_by_key(|assignment| assignment.partition.clone());
    assignments
}

pub(super) fn numbers(taken: &[(Assignment, Record)]) -> Vec<u32> {
    let number = |record: &Record| std::str::from_utf8(record.payload()?).ok()?.parse().ok();
    taken.iter().map(|(_, record)| number(record).expect("a number")).collect()
}
