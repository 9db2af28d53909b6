//! The embedded cluster and what is produced into it.

use std::time::Duration;

use indicatif::ProgressBar;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Result;

pub(super) const TOPIC: &str = "payments";
pub(super) const GROUP: &str = "demo";

/// The embedded cluster keeps 5 MiB of each partition and drops older records without a word (rdkafka_mock.c), so the
/// records are spread over enough partitions to stay far below.
const RECORDS_PER_PARTITION: u64 = 10_000;

/// What is produced, drawn from a seed.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) records: u64,
    pub(super) seed: u64,
    /// The message and the partition of each record, in the order in which they are produced.
    sendings: Vec<(u64, i32)>,
    partitions: i32,
}

impl Plan {
    pub(super) fn new(records: u64, duplicates: u64, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let total = records + records * duplicates / 100;
        let partitions = i32::try_from(total.div_ceil(RECORDS_PER_PARTITION)).unwrap_or(i32::MAX).max(6);
        let mut sendings: Vec<(u64, i32)> =
            (0..records).map(|message| (message, rng.random_range(0..partitions))).collect();
        let mut again: Vec<(u64, i32)> = sendings.clone();
        again.shuffle(&mut rng);
        again.truncate(usize::try_from(total - records).unwrap_or(usize::MAX));
        for (message, partition) in again {
            let elsewhere = if rng.random() { partition } else { rng.random_range(0..partitions) };
            // Anywhere behind the first sending: what comes right after it meets it in flight, what comes late meets it done.
            let first = usize::try_from(message).unwrap_or(0);
            let behind = rng.random_range(first + 1..=sendings.len());
            sendings.push((message, elsewhere));
            let last = sendings.len() - 1;
            sendings.swap(behind.min(last), last);
        }
        Self { records, seed, sendings, partitions }
    }

    /// How many records are produced, and so delivered at least once.
    pub(super) fn deliveries(&self) -> u64 {
        self.sendings.len() as u64
    }
}

/// librdkafka's cluster within this process.
pub(super) struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
    watcher: BaseConsumer,
    partitions: i32,
}

impl Cluster {
    pub(super) fn start(plan: &Plan) -> Result<Self> {
        let mock = MockCluster::new(1)?;
        mock.create_topic(TOPIC, plan.partitions, 1)?;
        let watcher =
            ClientConfig::new().set("bootstrap.servers", mock.bootstrap_servers()).set("group.id", GROUP).create()?;
        Ok(Self { mock, watcher, partitions: plan.partitions })
    }

    pub(super) fn brokers(&self) -> String {
        self.mock.bootstrap_servers()
    }

    /// Produces everything and waits until the cluster has it.
    pub(super) fn produce(&self, plan: &Plan, bar: &ProgressBar) -> Result<()> {
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", self.brokers())
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("queue.buffering.max.messages", "1000000")
            .create()?;
        for (message, partition) in &plan.sendings {
            let id = format!("{:016x}", message ^ plan.seed.rotate_left(32));
            let headers = OwnedHeaders::new()
                .insert(Header { key: "ce_id", value: Some(&id) })
                .insert(Header { key: "ce_source", value: Some("/demo") });
            let payload = message.to_string();
            let record: BaseRecord<'_, (), String> =
                BaseRecord::to(TOPIC).partition(*partition).payload(&payload).headers(headers);
            producer.send(record).map_err(|(error, _)| error)?;
            bar.inc(1);
        }
        producer.flush(Duration::from_secs(30))?;
        for partition in 0..self.partitions {
            let (start, _) = self.watcher.fetch_watermarks(TOPIC, partition, Duration::from_secs(5))?;
            if start != 0 {
                return Err("the embedded cluster dropped records; ask for fewer --records".into());
            }
        }
        Ok(())
    }

    /// How many records are behind the committed offset of their partition.
    pub(super) fn committed(&self) -> Result<u64> {
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(TOPIC, 0, self.partitions - 1);
        let committed = self.watcher.committed_offsets(partitions, Duration::from_secs(5))?;
        let offsets = committed.elements().into_iter().filter_map(|partition| match partition.offset() {
            Offset::Offset(offset) => u64::try_from(offset).ok(),
            _ => None,
        });
        Ok(offsets.sum())
    }
}
