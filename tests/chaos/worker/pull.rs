//! A loop of the user's own, which asks the pull API what to handle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::{Headers, Message as _, OwnedMessage};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_rustls::rustls::{ClientConfig as Tls, RootCertStore, crypto};

use super::Job;
use super::behaviour::{Payload, act};
use crate::common::{Client, Message};
use crate::history::{Attempt, Journal, Life, Outcome, Process, Reported, What};
use crate::mode::{LEASE, MAX_ATTEMPTS, POLL, SESSION};

const BATCH: usize = 50;

/// Notes that the assignment changed: what was polled before is another's now.
struct Changes {
    changed: Arc<AtomicBool>,
    journal: Arc<Journal>,
    job: Job,
}

impl ClientContext for Changes {}

impl ConsumerContext for Changes {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, change: &Rebalance<'_>) {
        self.changed.store(true, SeqCst);
        let (what, partitions) = match change {
            Rebalance::Assign(partitions) => (What::Assigned, partitions),
            Rebalance::Revoke(partitions) => (What::Drained, partitions),
            Rebalance::Error(_) => return,
        };
        for element in partitions.elements() {
            report_of(&self.journal, &self.job, what, element.topic(), element.partition(), None);
        }
    }
}

fn report_of(journal: &Journal, job: &Job, what: What, topic: &str, partition: i32, offset: Option<i64>) {
    let mut reported = Reported::new(&job.worker, job.incarnation, what);
    reported.topic = Some(topic.to_owned());
    (reported.partition, reported.offset) = (Some(partition), offset);
    journal.write(reported).expect("the history is writable");
}

struct Loop {
    job: Job,
    journal: Arc<Journal>,
    client: reqwest::Client,
    kafka: Client,
    calls: u64,
}

pub async fn run(job: &Job) {
    let mut terminated = signal(SignalKind::terminate()).expect("SIGTERM");
    let ends = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&ends);
    tokio::spawn(async move {
        terminated.recv().await;
        asked.store(true, SeqCst);
    });
    let journal = Journal::open(&job.out, &format!("{}-{}", job.worker, job.incarnation)).expect("a history");
    let tls = Tls::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocols")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().expect("a client");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &job.brokers);
    let kafka = Client::new(job.brokers.as_str());
    let mut this = Loop { job: job.clone(), journal: Arc::new(journal), client, kafka, calls: 0 };

    let changed = Arc::new(AtomicBool::new(false));
    let changes = Changes { changed: Arc::clone(&changed), journal: Arc::clone(&this.journal), job: job.clone() };
    config
        .set("group.id", &job.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        // All is taken back before anything is given anew: so a change means that what was polled is of no use.
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", SESSION.as_millis().to_string())
        .set("max.poll.interval.ms", (3 * POLL).as_millis().to_string());
    let consumer: BaseConsumer<Changes> = config.create_with_context(changes).expect("a consumer");
    consumer.subscribe(&[&job.topic]).expect("a subscription");
    let mut ready = false;
    while !ends.load(SeqCst) {
        let records = tokio::task::block_in_place(|| poll(&consumer, &changed));
        if records.is_empty() {
            continue;
        }
        if !std::mem::replace(&mut ready, true) {
            let (worker, incarnation) = (job.worker.clone(), job.incarnation);
            let ready = Process { worker, incarnation, state: Life::Ready, code: None, signal: None };
            this.journal.write(ready).expect("the history is writable");
        }
        if !this.handle_all(&records, &ends).await {
            break;
        }
        let mut next = TopicPartitionList::new();
        let ends: BTreeMap<i32, i64> = records.iter().map(|it| (it.partition(), it.offset() + 1)).collect();
        for (partition, end) in ends {
            next.add_partition_offset(&job.topic, partition, Offset::Offset(end)).expect("an offset");
        }
        // Where it is refused another member has the partition, and finds these records done.
        match tokio::task::block_in_place(|| consumer.commit(&next, CommitMode::Sync)) {
            Ok(()) => next.elements().iter().for_each(|element| {
                let Offset::Offset(offset) = element.offset() else { return };
                let (topic, partition) = (element.topic(), element.partition());
                report_of(&this.journal, job, What::Committed, topic, partition, Some(offset));
            }),
            Err(error) => println!("not committed: {error}"),
        }
    }
    tokio::task::block_in_place(|| drop(consumer));
}

/// Some records, none of which lies before a change of the assignment.
fn poll(consumer: &BaseConsumer<Changes>, changed: &AtomicBool) -> Vec<OwnedMessage> {
    let (mut records, until) = (Vec::new(), Instant::now() + Duration::from_millis(200));
    while records.len() < BATCH && Instant::now() < until {
        let polled = consumer.poll(Duration::from_millis(50));
        if changed.swap(false, SeqCst) {
            records.clear();
        }
        match polled {
            Some(Ok(record)) => records.push(record.detach()),
            Some(Err(error)) => println!("poll: {error}"),
            None if !records.is_empty() => break,
            None => {}
        }
    }
    records
}

impl Loop {
    /// Returns true when each record needs nothing more, false when the loop is to end before.
    async fn handle_all(&mut self, records: &[OwnedMessage], ends: &AtomicBool) -> bool {
        let mut waiting: BTreeMap<String, &OwnedMessage> = BTreeMap::new();
        for record in records {
            match payload(record).id {
                // Of one ID the first; the others are its duplicates.
                Some(id) => drop(waiting.entry(id).or_insert(record)),
                None => self.dead_letter(record, "no ID", 0).await,
            }
        }
        while !waiting.is_empty() {
            if ends.load(SeqCst) {
                return false;
            }
            let begun = Instant::now();
            let ids: Vec<Value> = waiting.keys().map(|id| json!({"id": id})).collect();
            let Some(answers) = self.call("claim", json!({"ids": ids, "wait_ms": 500}), ends).await else {
                return false;
            };
            let (mut done, mut failed) = (Vec::new(), Vec::new());
            for answer in answers {
                let id = answer["id"].as_str().expect("an ID").to_owned();
                match answer["status"].as_str() {
                    Some("duplicate") => {
                        let record = waiting.remove(&id).expect("it was asked for");
                        self.report(What::DuplicateByStore, record);
                    }
                    // The leases run: what is not begun in time is given back.
                    Some("claimed") if begun.elapsed() > LEASE / 4 => {
                        failed.push(json!({"id": id, "token": answer["token"], "outcome": "unstarted"}));
                    }
                    Some("claimed") => {
                        let attempt = answer["attempt"].as_u64().expect("an attempt") as u32;
                        let item = json!({"id": id, "token": answer["token"]});
                        let record = waiting[&id];
                        if answer["suspect"] == Value::Bool(true) {
                            self.report(What::Suspect, record);
                        }
                        let outcome = self.one(record, attempt).await;
                        match outcome {
                            Outcome::Ok => done.push(item),
                            Outcome::Retryable | Outcome::Dropped if attempt < MAX_ATTEMPTS => {
                                failed.push(json!({"id": id, "token": answer["token"], "outcome": "failed", "attempt": attempt}));
                            }
                            _ => {
                                self.dead_letter(record, "given up", attempt).await;
                                done.push(item);
                            }
                        }
                    }
                    _ => {}
                }
            }
            if !done.is_empty() {
                // What happened has to be recorded, also when the loop is to end.
                let Some(answers) = self.call("complete", json!({"items": done}), &AtomicBool::new(false)).await else {
                    return false;
                };
                for answer in answers {
                    let id = answer["id"].as_str().expect("an ID");
                    let what = match (answer["status"].as_str(), &answer["overrun"], &answer["possible_overrun"]) {
                        (Some("completed"), Value::Bool(true), _) => What::CompletedOverrun,
                        (Some("completed"), _, Value::Bool(true)) => What::CompletedPossibleOverrun,
                        (Some("completed"), ..) => What::CompletedFirst,
                        // The lease ran out before: it is asked for again, and may turn out to be done.
                        _ => {
                            println!("not completed: {answer}");
                            continue;
                        }
                    };
                    let record = waiting.remove(id).expect("it was asked for");
                    self.report(what, record);
                }
            }
            if !failed.is_empty() {
                self.call("release", json!({"items": failed}), ends).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        true
    }

    async fn one(&mut self, record: &OwnedMessage, attempt: u32) -> Outcome {
        let payload = payload(record);
        self.calls += 1;
        let attempt = Attempt {
            worker: self.job.worker.clone(),
            incarnation: self.job.incarnation,
            topic: record.topic().to_owned(),
            partition: record.partition(),
            offset: record.offset(),
            id: payload.id,
            attempt,
            call: self.calls,
        };
        let acting = act(&self.journal, &attempt, &payload.nature);
        match tokio::time::timeout(LEASE / 2, acting).await.unwrap_or(Outcome::Dropped) {
            Outcome::Panicked => Outcome::Retryable,
            outcome => outcome,
        }
    }

    /// Asks until there is an answer, or the loop is to end.
    async fn call(&self, what: &str, body: Value, ends: &AtomicBool) -> Option<Vec<Value>> {
        loop {
            let call =
                self.client.post(format!("{}/v1/{what}", self.job.pull)).header("content-type", "application/json");
            let answer = async {
                let answer = call.body(body.to_string()).timeout(Duration::from_secs(60)).send().await?;
                let status = answer.status().as_u16();
                Ok::<_, reqwest::Error>((status, answer.text().await?))
            };
            match answer.await {
                Ok((200 | 409, text)) => {
                    let answer: Value = serde_json::from_str(&text).expect("JSON");
                    match answer["results"].as_array() {
                        Some(results) => return Some(results.clone()),
                        None => println!("{what}: {text}"),
                    }
                }
                Ok((status, text)) => println!("{what}: {status} {text}"),
                Err(error) => println!("{what}: {error}"),
            }
            if ends.load(SeqCst) {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn dead_letter(&self, record: &OwnedMessage, reason: &str, attempts: u32) {
        let mut copy = Message::new()
            .key(record.key().unwrap_or_default())
            .payload(record.payload().unwrap_or_default())
            .header("kafka_dlt-original-topic", record.topic())
            .header("kafka_dlt-original-partition", record.partition().to_be_bytes())
            .header("kafka_dlt-original-offset", record.offset().to_be_bytes())
            .header("kafka_dlt-exception-message", reason)
            .header("hapax-attempts", attempts.to_string());
        for header in record.headers().iter().flat_map(|headers| headers.iter()) {
            copy = copy.header(header.key, header.value.unwrap_or_default());
        }
        self.kafka.produce(&self.job.dead, [copy]).await;
        self.report(What::DeadLettered, record);
    }

    fn report(&self, what: What, record: &OwnedMessage) {
        let mut reported = Reported::new(&self.job.worker, self.job.incarnation, what);
        reported.topic = Some(record.topic().to_owned());
        (reported.partition, reported.offset) = (Some(record.partition()), Some(record.offset()));
        reported.id = payload(record).id;
        self.journal.write(reported).expect("the history is writable");
    }
}

fn payload(record: &OwnedMessage) -> Payload {
    serde_json::from_slice(record.payload().expect("a payload")).expect("our payload")
}
