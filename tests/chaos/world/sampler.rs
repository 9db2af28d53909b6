//! What is read from Kafka beside the workers: committed offsets while they run, and what lies there at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::{Offset, TopicPartitionList};

use super::{Names, Place, Sendings};
use crate::common::Client;
use crate::history::{Committed, Copy, Journal, Produced, now};
use crate::mode::{PARTITIONS, RETRY_PARTITIONS};
use crate::worker::{NUMBER, Payload};

const EVERY: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(3);

/// A thread that samples the group's offsets and the ends of the logs.
pub struct Sampler {
    ends: Arc<AtomicBool>,
    /// How many records are not committed, by the last sample; none before the first.
    lag: Arc<Mutex<Option<(u64, i64)>>>,
    thread: JoinHandle<()>,
}

impl Sampler {
    pub fn start(bootstrap: &str, names: &Names, journal: Journal) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let lag = Arc::new(Mutex::new(None));
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("group.id", &names.group).set("enable.auto.commit", "false");
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&names.topic, 0, PARTITIONS - 1);
        for retry in &names.retries {
            asked.add_partition_range(retry, 0, RETRY_PARTITIONS - 1);
        }
        let (stop, found, group) = (Arc::clone(&ends), Arc::clone(&lag), names.group.clone());
        let thread = std::thread::spawn(move || {
            let connect = || -> BaseConsumer { config.create().expect("a consumer") };
            let mut consumer = connect();
            while !stop.load(SeqCst) {
                let sample = sample(&consumer, &asked, &group);
                if sample.is_none() {
                    // One that nobody polls may look for a coordinator that is gone for ever.
                    let old = std::mem::replace(&mut consumer, connect());
                    std::thread::spawn(move || drop(old));
                }
                if let Some(sample) = sample {
                    let behind = |it: &Committed| it.end - it.offset.unwrap_or(0);
                    *found.lock() = Some((now(), sample.iter().map(behind).sum()));
                    for committed in sample {
                        journal.write(committed).expect("the history is writable");
                    }
                }
                std::thread::sleep(EVERY);
            }
        });
        Self { ends, lag, thread }
    }

    /// How many records are not committed, where that is known of a moment after `since`.
    pub fn lag(&self, since: u64) -> Option<i64> {
        self.lag.lock().filter(|(at, _)| *at > since).map(|(_, lag)| lag)
    }

    pub async fn end(self) {
        self.ends.store(true, SeqCst);
        let thread = self.thread;
        drop(tokio::task::spawn_blocking(move || thread.join()).await);
    }
}

fn sample(consumer: &BaseConsumer, asked: &TopicPartitionList, group: &str) -> Option<Vec<Committed>> {
    // The ends after the offsets: a lag is never negative then.
    let committed = consumer.committed_offsets(asked.clone(), PATIENCE).ok()?;
    let mut sample = Vec::new();
    for element in committed.elements() {
        let (topic, partition) = (element.topic().to_owned(), element.partition());
        let offset = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        let (first, end) = consumer.fetch_watermarks(&topic, partition, PATIENCE).ok()?;
        let _ = first;
        sample.push(Committed { group: group.to_owned(), topic, partition, offset, end });
    }
    Some(sample)
}

/// Reads what lies in a topic of copies, and writes it down.
pub async fn copies(kafka: &Client, topic: &str, journal: &Journal) -> usize {
    let records = kafka.records(topic).await;
    let count = records.len();
    for record in records {
        let number = |name: &str| -> i64 {
            let bytes = header(&record, name).unwrap_or_default();
            match (bytes.len(), name.starts_with("kafka_dlt")) {
                (4, true) => i64::from(i32::from_be_bytes(bytes.try_into().expect("four"))),
                (8, true) => i64::from_be_bytes(bytes.try_into().expect("eight")),
                _ => String::from_utf8_lossy(&bytes).parse().unwrap_or(-1),
            }
        };
        let text = |name: &str| header(&record, name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let dead = header(&record, "kafka_dlt-original-topic").is_some();
        let prefix = if dead { "kafka_dlt" } else { "hapax" };
        let id = record.payload().and_then(|payload| serde_json::from_slice::<Payload>(payload).ok()?.id);
        let copy = Copy {
            topic: topic.to_owned(),
            partition: record.partition(),
            offset: record.offset(),
            origin_topic: text(&format!("{prefix}-original-topic")).unwrap_or_default(),
            origin_partition: number(&format!("{prefix}-original-partition")) as i32,
            origin_offset: number(&format!("{prefix}-original-offset")),
            id,
            reason: text("kafka_dlt-exception-message").unwrap_or_default(),
            attempts: text("hapax-attempts").and_then(|attempts| attempts.parse().ok()),
            timestamp_ms: record.timestamp().to_millis().unwrap_or_default(),
        };
        journal.write(copy).expect("the history is writable");
    }
    count
}

/// Writes down the records of the log that no producer knew to be there; returns how many.
pub async fn unwritten(
    kafka: &Client,
    topic: &str,
    sent: &Sendings,
    known: &BTreeSet<Place>,
    journal: &Journal,
) -> usize {
    // One that was sent twice may lie at two places, of which its acknowledgement names one at most.
    let mut found: BTreeMap<Place, u64> = BTreeMap::new();
    for record in kafka.records(topic).await {
        let place = (record.partition(), record.offset());
        let n = header(&record, NUMBER).and_then(|n| String::from_utf8(n).ok()?.parse::<u64>().ok());
        found.extend(n.filter(|_| !known.contains(&place)).map(|n| (place, n)));
    }
    for ((partition, offset), n) in &found {
        let sending = &sent[n];
        let produced = Produced {
            topic: topic.to_owned(),
            partition: *partition,
            offset: *offset,
            id: sending.id.clone(),
            key: Some(sending.key.clone()),
            nature: sending.nature.clone(),
            copy: sending.copy,
            acknowledged: false,
        };
        journal.write(produced).expect("the history is writable");
    }
    found.len()
}

fn header(record: &OwnedMessage, name: &str) -> Option<Vec<u8>> {
    let headers = record.headers()?;
    headers.iter().filter(|header| header.key == name).last().and_then(|header| header.value.map(<[u8]>::to_vec))
}
