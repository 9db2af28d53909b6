//! One member: the wrapper as a user would run it, with a handler that writes each effect down.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use hapax::consumer::{Attempt, Consumer, ConsumerBuilder, Failure, Handler};
use hapax::observe::{DuplicateBy, Observer, PartitionStop};
use hapax::record::{Epoch, Offset, Origin, Record, TopicPartition};
use hapax::store::{LeaseTerms, RedisStore, Verdict};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::ledger::{Kind, Writer};
use super::terms::{Hold, Terms, Work};
use crate::consuming::place;

/// What a process prints once it listens for SIGTERM.
pub const LISTENS: &str = "listens for SIGTERM";

/// What a member is to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    pub brokers: String,
    pub redis: String,
    pub topic: String,
    pub group: String,
    pub file: String,
    pub terms: Terms,
}

/// Runs a member to its end in a worker process: until SIGTERM, or an error, which it panics with.
pub async fn run() {
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    println!("{LISTENS}");
    let job = env::var("JOB").expect("a variable of the test");
    let (consumer, handler) = put_together(&serde_json::from_str(&job).expect("a job"));
    let ended = consumer.build().unwrap().run(handler, async move { terminated.recv().await.unwrap_or(()) }).await;
    println!("ended: {ended:?}");
    ended.unwrap();
}

pub fn put_together(job: &Job) -> (ConsumerBuilder, impl Handler) {
    let Terms { lease, session, poll, drain, commit, exposed, strategy, static_member, work } = job.terms.clone();
    let terms = LeaseTerms { lease, grace: Duration::from_secs(120), window: Duration::from_secs(3600) };
    let store = RedisStore::builder(job.redis.clone(), job.group.parse().unwrap()).terms(terms);
    let store = store.connect_limit(Duration::from_secs(2)).response_limit(Duration::from_millis(500)).build().unwrap();
    let writer = Arc::new(Writer::open(&job.file));
    let mut builder = Consumer::builder()
        .brokers(&job.brokers)
        .group(&job.group)
        .topic(&job.topic)
        .property("session.timeout.ms", session.as_millis().to_string())
        .property("heartbeat.interval.ms", (session / 5).as_millis().to_string())
        .property("max.poll.interval.ms", poll.as_millis().to_string())
        .property("partition.assignment.strategy", strategy)
        .property("topic.metadata.refresh.interval.ms", "1000")
        .store(Arc::new(store))
        .drain_limit(drain)
        .commit_every(commit, 10_000)
        .max_exposed(exposed)
        // Starts that ended in a kill count as attempts, and a storm kills one after the other.
        .max_attempts(50)
        .observer(Arc::new(Told(Arc::clone(&writer))));
    if let Some(id) = static_member {
        builder = builder.static_member(id);
    }
    (builder, Hand { writer, work, begun: AtomicUsize::new(0) })
}

fn id(record: &Record) -> &str {
    record.payload().and_then(|payload| std::str::from_utf8(payload).ok()).expect("a payload")
}

struct Hand {
    writer: Arc<Writer>,
    work: Work,
    begun: AtomicUsize,
}

impl Handler for Hand {
    async fn handle(&self, record: Record, attempt: Attempt) -> Result<(), Failure> {
        let number = self.begun.fetch_add(1, SeqCst) + 1;
        let hold = self.work.hold.filter(|(from, hold)| match hold {
            Hold::Thread(_) => number == *from,
            _ => number >= *from,
        });
        let hold = hold.map(|(_, hold)| hold);
        let write = |kind| self.writer.write(kind, place(&record), id(&record));
        write(Kind::Began);
        match hold {
            Some(Hold::BeforeEffect) => std::future::pending().await,
            Some(Hold::UntilLeaseLost) => {
                attempt.lease_lost().cancelled().await;
                write(Kind::Heeded);
                return Err(Failure::retryable("the lease is lost"));
            }
            Some(Hold::Thread(time)) => std::thread::sleep(time),
            Some(Hold::AfterEffect) | None => sleep(self.work.before).await,
        }
        write(Kind::Effect);
        if hold == Some(Hold::AfterEffect) {
            std::future::pending().await
        }
        sleep(self.work.after).await;
        Ok(())
    }
}

/// Writes down what it is told.
#[derive(Debug)]
struct Told(Arc<Writer>);

impl Told {
    fn of_partition(&self, kind: Kind, partition: &TopicPartition, offset: Offset) {
        self.0.write(kind, (partition.partition(), offset), "");
    }
}

impl Observer for Told {
    fn on_complete(&self, record: &Record, verdict: Verdict) {
        let kind = match verdict {
            Verdict::First => Kind::First,
            Verdict::Overrun => Kind::Overrun,
            _ => Kind::PossibleOverrun,
        };
        self.0.write(kind, place(record), id(record));
    }

    fn on_duplicate(&self, record: &Record, _: DuplicateBy, _: Option<&Origin>) {
        self.0.write(Kind::Duplicate, place(record), id(record));
    }

    fn on_commit(&self, partition: &TopicPartition, offset: Offset, _: Duration) {
        self.of_partition(Kind::Committed, partition, offset);
    }

    fn on_assign(&self, partition: &TopicPartition, epoch: Epoch) {
        self.of_partition(Kind::Assigned, partition, epoch.0.try_into().unwrap_or(Offset::MAX));
    }

    fn on_revoke(&self, partition: &TopicPartition, epoch: Epoch, _: bool) {
        self.of_partition(Kind::Revoked, partition, epoch.0.try_into().unwrap_or(Offset::MAX));
    }

    fn on_lost(&self, partition: &TopicPartition, epoch: Epoch) {
        self.of_partition(Kind::Lost, partition, epoch.0.try_into().unwrap_or(Offset::MAX));
    }

    fn on_stop(&self, partition: &TopicPartition, stop: &PartitionStop) {
        println!("stopped {partition} at {}: {}", stop.offset, stop.reason);
        self.of_partition(Kind::Stopped, partition, stop.offset);
    }
}
