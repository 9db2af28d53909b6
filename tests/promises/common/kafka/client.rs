//! Topics, records and offsets, as a test asks for them.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

use super::super::{await_until, unique};

/// How long one answer of the broker may take on a busy machine.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// How long a broker that has started may take to answer everything.
const READY_DEADLINE: Duration = Duration::from_secs(120);

/// How long a whole batch of records may take.
const BATCH_DEADLINE: Duration = Duration::from_secs(180);

/// A way to a cluster. Cheap to clone; each question has a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    bootstrap: String,
    brokers: usize,
}

/// A record to be produced.
#[derive(Clone, Debug, Default)]
pub struct Message {
    partition: Option<i32>,
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Message {
    /// One with neither key nor payload nor headers, for any partition.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes to this partition, not to the one that its key decides.
    pub fn partition(self, partition: i32) -> Self {
        Self { partition: Some(partition), ..self }
    }

    /// Has this key.
    pub fn key(self, key: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// Has this payload.
    pub fn payload(self, payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: Some(payload.into()), ..self }
    }

    /// Has this header, behind those it has.
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), Some(value.into())));
        self
    }

    /// Has this header without a value.
    pub fn null_header(mut self, name: &str) -> Self {
        self.headers.push((name.to_owned(), None));
        self
    }
}

/// Where a record came to lie: its partition and offset.
type Delivery = Result<(i32, i64), KafkaError>;

/// The delivery of each record, by its number, once it is known.
struct Deliveries(Mutex<Vec<Option<Delivery>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let delivered = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        self.0.lock()[number] = Some(delivered);
    }
}

impl Client {
    /// A way to the cluster with this address.
    pub fn new(bootstrap: impl Into<String>) -> Self {
        Self::of_many(bootstrap, 1)
    }

    /// The way to a cluster of so many brokers; topics have a copy on each.
    pub fn of_many(bootstrap: impl Into<String>, brokers: usize) -> Self {
        Self { bootstrap: bootstrap.into(), brokers }
    }

    /// The address, as `bootstrap.servers` takes it.
    pub fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    /// A configuration with the address, to which a test adds what it needs.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// Creates a topic; when this returns every partition has its leader.
    pub async fn create_topic(&self, name: &str, partitions: i32) {
        self.create_topic_with(name, partitions, &[]).await;
    }

    /// Creates a topic with settings of its own (`[("retention.ms", "1000")]`).
    pub async fn create_topic_with(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        let new = NewTopic::new(name, partitions, TopicReplication::Fixed(self.brokers as i32));
        let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_DEADLINE));
        let results = admin.create_topics(&[new], &options).await.expect("an answer to the topic's creation");
        assert!(results.iter().all(Result::is_ok), "topic {name} was not created: {results:?}");
        self.wait_led(name, partitions).await;
    }

    /// Gives a topic more partitions, so that it has this many; when this returns every one has its leader.
    pub async fn add_partitions(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        let more = NewPartitions::new(name, partitions as usize);
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_DEADLINE));
        let results = admin.create_partitions(&[more], &options).await.expect("an answer to more partitions");
        assert!(results.iter().all(Result::is_ok), "topic {name} did not get {partitions} partitions: {results:?}");
        self.wait_led(name, partitions).await;
    }

    async fn wait_led(&self, name: &str, partitions: i32) {
        let name = name.to_owned();
        let what = format!("every partition of {name} has a leader");
        await_until(&what, ANSWER_DEADLINE, async || {
            let name = name.clone();
            self.ask("", move |consumer| {
                let found = consumer.fetch_metadata(Some(&name), ANSWER_DEADLINE)?;
                let led = |topic: &rdkafka::metadata::MetadataTopic| {
                    topic.partitions().len() == partitions as usize
                        && topic.partitions().iter().all(|partition| partition.leader() >= 0)
                };
                Ok(found.topics().iter().all(led))
            })
            .await
        })
        .await;
    }

    /// Deletes a topic.
    pub async fn delete_topic(&self, name: &str) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("an admin client");
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_DEADLINE));
        let results = admin.delete_topics(&[name], &options).await.expect("an answer to the topic's deletion");
        assert!(results.iter().all(Result::is_ok), "topic {name} was not deleted: {results:?}");
    }

    /// Produces records (`acks=all`, idempotent, in order per partition) and answers the partition and offset of each.
    /// When this returns all are delivered; panics where one is not.
    pub async fn produce<M>(&self, topic: &str, messages: M) -> Vec<(i32, i64)>
    where
        M: IntoIterator<Item = Message>,
    {
        let (topic, messages) = (topic.to_owned(), messages.into_iter().collect::<Vec<_>>());
        let mut config = self.config();
        config.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "5");
        config.set("compression.type", "lz4").set("message.max.bytes", "16000000");
        blocking(move || send_all(&producer(&config, messages.len()), &topic, &messages)).await
    }

    /// Produces records in one transaction, which is then committed or aborted; answers as [`produce`](Self::produce).
    pub async fn transact<M>(&self, topic: &str, messages: M, commit: bool) -> Vec<(i32, i64)>
    where
        M: IntoIterator<Item = Message>,
    {
        let (topic, messages) = (topic.to_owned(), messages.into_iter().collect::<Vec<_>>());
        let mut config = self.config();
        config.set("transactional.id", unique("transaction")).set("linger.ms", "5");
        blocking(move || {
            let producer = producer(&config, messages.len());
            producer.init_transactions(ANSWER_DEADLINE).expect("a producer of transactions");
            producer.begin_transaction().expect("a transaction");
            let places = send_all(&producer, &topic, &messages);
            let ended = match commit {
                true => producer.commit_transaction(BATCH_DEADLINE),
                false => producer.abort_transaction(BATCH_DEADLINE),
            };
            ended.expect("the end of a transaction");
            places
        })
        .await
    }

    /// Sets a group's next offsets by hand, as an operator does while no member runs.
    pub async fn set_offsets(&self, group: &str, topic: &str, offsets: BTreeMap<i32, i64>) {
        let topic = topic.to_owned();
        self.ask(group, move |consumer| {
            let mut list = TopicPartitionList::new();
            for (partition, offset) in offsets {
                list.add_partition_offset(&topic, partition, Offset::Offset(offset))?;
            }
            consumer.commit(&list, CommitMode::Sync)
        })
        .await;
    }

    /// The offset behind the last record of each partition, uncommitted transactions left aside.
    pub async fn end_offsets(&self, topic: &str) -> BTreeMap<i32, i64> {
        self.watermarks(topic).await.into_iter().map(|(partition, (_, end))| (partition, end)).collect()
    }

    /// The offset of the first record of each partition, and the one behind its last.
    pub async fn watermarks(&self, topic: &str) -> BTreeMap<i32, (i64, i64)> {
        let topic = topic.to_owned();
        self.ask("", move |consumer| {
            let partitions = partitions(consumer, &topic)?;
            let watermark = |partition| Ok((partition, consumer.fetch_watermarks(&topic, partition, ANSWER_DEADLINE)?));
            partitions.into_iter().map(watermark).collect()
        })
        .await
    }

    /// The next offset that a group committed for each partition; only those for which it committed any.
    pub async fn committed_offsets(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let topic = topic.to_owned();
        self.ask(group, move |consumer| {
            let mut asked = TopicPartitionList::new();
            for partition in partitions(consumer, &topic)? {
                asked.add_partition(&topic, partition);
            }
            let committed = consumer.committed_offsets(asked, ANSWER_DEADLINE)?;
            let offset = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
                Offset::Offset(offset) => Some((element.partition(), offset)),
                _ => None,
            };
            Ok(committed.elements().iter().filter_map(offset).collect())
        })
        .await
    }

    /// Every record that stands in a topic now, by partition and offset; of transactions only the committed ones.
    pub async fn records(&self, topic: &str) -> Vec<OwnedMessage> {
        let ends = self.watermarks(topic).await;
        let topic = topic.to_owned();
        // Reading by hand takes a group too, though it neither joins it nor commits.
        self.ask(&unique("reader"), move |consumer| {
            let mut assignment = TopicPartitionList::new();
            for (partition, (first, _)) in &ends {
                assignment.add_partition_offset(&topic, *partition, Offset::Offset(*first))?;
            }
            consumer.assign(&assignment)?;
            let mut records = Vec::new();
            let open = |partition: i32, (first, end): (i64, i64)| -> Result<bool, KafkaError> {
                let position = consumer.position()?.find_partition(&topic, partition).map(|found| found.offset());
                Ok(first < end && !matches!(position, Some(Offset::Offset(position)) if position >= end))
            };
            loop {
                let mut any = false;
                for (partition, range) in &ends {
                    any = any || open(*partition, *range)?;
                }
                if !any {
                    records.sort_by_key(|record: &OwnedMessage| (record.partition(), record.offset()));
                    return Ok(records);
                }
                match consumer.poll(ANSWER_DEADLINE) {
                    Some(Ok(record)) => records.push(record.detach()),
                    // The end of a partition: its position may have passed the marker of a transaction.
                    Some(Err(KafkaError::PartitionEOF(_))) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)),
                }
            }
        })
        .await
    }

    /// Waits until the broker answers, and has made and loaded what it remembers of groups: until then it tells a group
    /// that it is not its coordinator.
    pub(super) async fn wait_ready(&self) {
        let what = format!("the Kafka broker at {} answers", self.bootstrap);
        await_until(&what, READY_DEADLINE, async || {
            let found = self.try_ask("", |consumer| consumer.fetch_metadata(None, Duration::from_secs(5))).await;
            found.is_ok_and(|found| found.brokers().len() == self.brokers)
        })
        .await;
        // Groups of these names lie on all of the four partitions in which the broker remembers.
        for group in ["a", "b", "c", "d"] {
            let what = format!("the Kafka broker at {} coordinates groups", self.bootstrap);
            await_until(&what, READY_DEADLINE, async || {
                let mut asked = TopicPartitionList::new();
                asked.add_partition("none", 0);
                let question = move |consumer: &BaseConsumer| consumer.committed_offsets(asked, ANSWER_DEADLINE);
                self.try_ask(group, question).await.is_ok()
            })
            .await;
        }
    }

    /// Asks; panics where there is no answer.
    async fn ask<T: Send + 'static>(
        &self,
        group: &str,
        question: impl FnOnce(&BaseConsumer) -> Result<T, KafkaError> + Send + 'static,
    ) -> T {
        let answer = self.try_ask(group, question).await;
        answer.unwrap_or_else(|error| panic!("Kafka at {} answers: {error}", self.bootstrap))
    }

    /// Asks through a consumer that joins no group, on a thread where blocking is allowed.
    async fn try_ask<T: Send + 'static>(
        &self,
        group: &str,
        question: impl FnOnce(&BaseConsumer) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, KafkaError> {
        let mut config = self.config();
        config.set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        if !group.is_empty() {
            config.set("group.id", group);
        }
        blocking(move || {
            let consumer: BaseConsumer = config.create()?;
            question(&consumer)
        })
        .await
    }
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i32>, KafkaError> {
    let found = consumer.fetch_metadata(Some(topic), ANSWER_DEADLINE)?;
    let partitions: Vec<_> = found.topics().iter().flat_map(|topic| topic.partitions()).map(|p| p.id()).collect();
    if partitions.is_empty() {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
    }
    Ok(partitions)
}

fn producer(config: &ClientConfig, messages: usize) -> BaseProducer<Deliveries> {
    let deliveries = Deliveries(Mutex::new(vec![None; messages]));
    config.create_with_context(deliveries).expect("a producer")
}

/// Sends records and waits until all are delivered.
fn send_all(producer: &BaseProducer<Deliveries>, topic: &str, messages: &[Message]) -> Vec<(i32, i64)> {
    for (number, message) in messages.iter().enumerate() {
        let mut record: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(topic, number);
        record.partition = message.partition;
        record.key = message.key.as_deref();
        record.payload = message.payload.as_deref();
        if !message.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(message.headers.len());
            let insert = |headers: OwnedHeaders, (key, value): &(String, Option<Vec<u8>>)| {
                headers.insert(Header { key, value: value.as_ref() })
            };
            record.headers = Some(message.headers.iter().fold(headers, insert));
        }
        // A full queue is not a failure: it empties while it is polled.
        while let Err((error, refused)) = producer.send(record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            assert!(full, "record {number} for {topic} was refused: {error}");
            producer.poll(Duration::from_millis(100));
            record = refused;
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(BATCH_DEADLINE).unwrap_or_else(|error| panic!("records for {topic} are under way: {error}"));
    let deliveries = producer.context().0.lock();
    let delivered = |(number, delivery): (usize, &Option<Delivery>)| match delivery {
        Some(Ok(place)) => *place,
        other => panic!("record {number} for {topic} was not delivered: {other:?}"),
    };
    deliveries.iter().enumerate().map(delivered).collect()
}

async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(call).await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("the runtime ended before the answer: {error}"),
        },
    }
}
