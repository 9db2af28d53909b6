//! What is sent: fresh messages, copies of them, and such as cannot be handled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use tokio::time::Instant;

use crate::history::{Journal, Nature, Order, Produced, Unacknowledged};
use crate::mode::{Kinds, Mode, PARTITIONS};
use crate::worker::{NUMBER, Payload};

const SOURCE: &str = "/chaos";
/// How often records are sent.
const BEAT: Duration = Duration::from_millis(20);
/// How long what was sent may take to be acknowledged after the last one.
const FLUSH: Duration = Duration::from_secs(60);

/// One record that is sent.
#[derive(Clone, Debug)]
pub struct Sending {
    pub n: u64,
    pub id: Option<String>,
    pub key: String,
    pub nature: Nature,
    pub copy: u32,
    partition: i32,
}

/// All records of a run that were sent, by the number that each carries.
pub type Sendings = BTreeMap<u64, Sending>;

/// Partition and offset of a record.
pub type Place = (i32, i64);

/// Writes down what becomes of each.
struct Acknowledgements {
    journal: Journal,
    topic: String,
    sent: Arc<Mutex<Sendings>>,
    written: Arc<Mutex<BTreeSet<Place>>>,
    count: Arc<AtomicU64>,
}

impl ClientContext for Acknowledgements {}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, n: usize) {
        let n = n as u64;
        let Some(Sending { id, key, nature, copy, .. }) = self.sent.lock().get(&n).cloned() else { return };
        let (topic, key) = (self.topic.clone(), Some(key));
        let written = match result {
            // It was sent twice and acknowledged as known, so its offset is not: the log is read at the end.
            Ok(record) if record.offset() < 0 => self.journal.write(Unacknowledged { topic, id, key, nature, copy }),
            Ok(record) => {
                let (partition, offset) = (record.partition(), record.offset());
                self.written.lock().insert((partition, offset));
                self.count.fetch_add(1, SeqCst);
                let produced = Produced { topic, partition, offset, id, key, nature, copy, acknowledged: true };
                self.journal.write(produced)
            }
            Err(_) => self.journal.write(Unacknowledged { topic, id, key, nature, copy }),
        };
        written.expect("the history is writable");
    }
}

/// A thread that sends.
pub struct Producer {
    ends: Arc<AtomicBool>,
    sent: Arc<Mutex<Sendings>>,
    written: Arc<Mutex<BTreeSet<Place>>>,
    pub acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Producer {
    /// Sends so many records a second.
    pub fn start(
        bootstrap: &str,
        topic: &str,
        mode: &Mode,
        seed: u64,
        rate: u64,
        slow: bool,
        journal: Journal,
    ) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let (sent, written) = (Arc::new(Mutex::new(Sendings::new())), Arc::new(Mutex::new(BTreeSet::new())));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let context = Acknowledgements {
            journal,
            topic: topic.to_owned(),
            sent: Arc::clone(&sent),
            written: Arc::clone(&written),
            count: Arc::clone(&acknowledged),
        };
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("enable.idempotence", "true").set("acks", "all");
        config.set("linger.ms", "5").set("message.timeout.ms", "120000");
        let producer: BaseProducer<Acknowledgements> = config.create_with_context(context).expect("a producer");
        let mut messages = Messages::new(seed, mode, rate, slow);
        let (asked, noted, topic) = (Arc::clone(&ends), Arc::clone(&sent), topic.to_owned());
        let thread = std::thread::spawn(move || {
            let begun = Instant::now();
            while !asked.load(SeqCst) {
                for sending in messages.due(begun.elapsed()) {
                    noted.lock().insert(sending.n, sending.clone());
                    send(&producer, &topic, &sending, &asked);
                }
                producer.poll(BEAT);
            }
            // What is not acknowledged then is in the log or not; the log tells.
            drop(producer.flush(FLUSH));
        });
        Self { ends, sent, written, acknowledged, thread }
    }

    /// Sends no more; returns all that was sent, and the places of what was acknowledged.
    pub async fn end(self) -> (Sendings, BTreeSet<Place>) {
        self.ends.store(true, SeqCst);
        let thread = self.thread;
        tokio::task::spawn_blocking(move || thread.join()).await.expect("a thread").expect("a producer that ended");
        (std::mem::take(&mut *self.sent.lock()), std::mem::take(&mut *self.written.lock()))
    }
}

fn send(producer: &BaseProducer<Acknowledgements>, topic: &str, sending: &Sending, ends: &AtomicBool) {
    let payload = Payload { id: sending.id.clone(), nature: sending.nature.clone() };
    let payload = serde_json::to_vec(&payload).expect("JSON");
    let number = sending.n.to_string();
    let mut headers = OwnedHeaders::new().insert(Header { key: NUMBER, value: Some(&number) });
    if let Some(id) = &sending.id {
        headers = headers.insert(Header { key: "ce_source", value: Some(SOURCE) });
        headers = headers.insert(Header { key: "ce_id", value: Some(id) });
    }
    let mut record = BaseRecord::with_opaque_to(topic, sending.n as usize).partition(sending.partition);
    record = record.key(&sending.key).payload(&payload).headers(headers);
    while let Err((error, refused)) = producer.send(record) {
        assert!(error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "a record was refused: {error}");
        if ends.load(SeqCst) {
            return;
        }
        producer.poll(Duration::from_millis(50));
        record = refused;
    }
}

/// The messages of a run, in the order of a seed.
struct Messages {
    rng: StdRng,
    rate: u64,
    by_key: bool,
    /// No handler may take long: what shares its call, or its loop, would wait with it.
    quick: bool,
    /// Handlers run for long, and their messages come in several partitions at once: for a bug that shows only so.
    slow: bool,
    /// Fresh ones so far.
    fresh: u64,
    n: u64,
    /// Copies that are due later.
    later: BTreeMap<(Duration, u64), Sending>,
}

impl Messages {
    fn new(seed: u64, mode: &Mode, rate: u64, slow: bool) -> Self {
        let rng = StdRng::seed_from_u64(seed ^ 0x7072_6f64);
        let (by_key, quick) = (mode.order == Order::Key, mode.kinds == Kinds::Pull || mode.batch > 1);
        Self { rng, rate, by_key, quick, slow, fresh: 0, n: 0, later: BTreeMap::new() }
    }

    /// What is due at this time after the start.
    fn due(&mut self, now: Duration) -> Vec<Sending> {
        let mut due = Vec::new();
        // A tenth of all are copies.
        let wanted = (now.as_secs_f64() * self.rate as f64 * 0.9) as u64;
        while self.fresh < wanted {
            let fresh = self.fresh();
            self.plan_copies(&fresh, now);
            due.push(fresh);
        }
        let rest = self.later.split_off(&(now, u64::MAX));
        for (_, copy) in std::mem::replace(&mut self.later, rest) {
            due.push(Sending { n: self.number(), ..copy });
        }
        due
    }

    fn number(&mut self) -> u64 {
        self.n += 1;
        self.n
    }

    fn fresh(&mut self) -> Sending {
        self.fresh += 1;
        let nature = match self.rng.random_range(0..10_000) {
            0..20 => Nature::Poison,
            20..80 => Nature::FailsTwice,
            80..100 => Nature::PanicsOnce,
            100..110 => Nature::Fatal,
            110 if !self.quick => Nature::TimesOutOnce,
            112..115 if !self.quick => Nature::Slow,
            115..120 => Nature::NoId,
            // With copies, more than the workers could take at once must not be slow.
            120..720 if self.slow => Nature::Slow,
            _ => Nature::Plain,
        };
        let key = self.rng.random_range(0..200);
        let partition = if self.by_key { key % PARTITIONS } else { self.rng.random_range(0..PARTITIONS) };
        let id = (nature != Nature::NoId).then(|| format!("m{}", self.fresh));
        Sending { n: self.number(), id, key: format!("k{key}"), nature, copy: 0, partition }
    }

    fn plan_copies(&mut self, fresh: &Sending, now: Duration) {
        if self.slow && fresh.nature == Nature::Slow {
            for copy in 1..4 {
                let partition = (fresh.partition + copy) % PARTITIONS;
                let copy = Sending { copy: copy.unsigned_abs(), partition, ..fresh.clone() };
                self.later.insert((now + Duration::from_millis(50), fresh.n + u64::from(copy.copy)), copy);
            }
            return;
        }
        if fresh.id.is_none() || !self.rng.random_bool(0.1) {
            return;
        }
        let (delay, same) = match self.rng.random_range(0..10) {
            0..4 => (0..300, true),
            4..7 => (0..300, false),
            7 | 8 => (5_000..40_000, true),
            _ => (5_000..40_000, false),
        };
        let mut copy = Sending { copy: 1, ..fresh.clone() };
        if !same {
            copy.partition = (fresh.partition + self.rng.random_range(1..PARTITIONS)) % PARTITIONS;
        }
        let at = now + Duration::from_millis(self.rng.random_range(delay));
        self.later.insert((at, fresh.n), copy);
    }
}
