//! Members of one group that come and go, as processes or within the test's, and the ledger of what they did.
//!
//! What a member did is counted from the lines its handlers wrote, and from nothing else; what its observer was told
//! stands beside them in the same file, for the tests on what is told.

mod ledger;
mod terms;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use hapax::id::{HeaderId, Identification, Identifier};
use hapax::record::{Offset, Record, TopicPartition};
use hapax::store::{State, Store};
use tempfile::TempDir;

use super::common::{Client, Message, Worker, await_until, unique};
use super::consuming::{Running, redis_store};

pub use ledger::{Deaths, Kind, Ledger, Line, now};
pub use terms::{Hold, Terms, Work};
pub use worker::{LISTENS, run as work};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A group on one topic, and the directory with the files of its members.
#[derive(Debug)]
pub struct Crowd {
    /// The test that a worker process runs again.
    test: &'static str,
    pub topic: String,
    pub group: String,
    directory: TempDir,
}

impl Crowd {
    /// A new group for a new topic, which is yet to be created.
    pub fn new(test: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the members' files");
        Self { test, topic: unique("orders"), group: unique("billing"), directory }
    }

    /// Starts a member as a process, called `name` in the ledger.
    pub fn process(&self, name: &str, brokers: String, redis: String, terms: &Terms) -> Worker {
        let job = self.job(name, brokers, redis, terms);
        Worker::spawn(self.test, name, [("JOB", serde_json::to_string(&job).expect("a job"))])
    }

    /// Starts a member within this process.
    pub fn member(&self, name: &str, brokers: String, redis: String, terms: &Terms) -> Running {
        let (builder, handler) = worker::put_together(&self.job(name, brokers, redis, terms));
        Running::start(builder, handler)
    }

    fn job(&self, name: &str, brokers: String, redis: String, terms: &Terms) -> worker::Job {
        let file = self.directory.path().join(name).to_string_lossy().into_owned();
        let (topic, group, terms) = (self.topic.clone(), self.group.clone(), terms.clone());
        worker::Job { brokers, redis, topic, group, file, terms }
    }

    /// What all members wrote so far.
    pub fn ledger(&self) -> Ledger {
        Ledger::read(self.directory.path())
    }

    /// Waits until the ledger is as wanted, and answers it.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Ledger) -> bool) -> Ledger {
        await_until(what, PATIENCE, async || wanted(&self.ledger())).await;
        self.ledger()
    }

    /// Waits until so many effects were had by all members.
    pub async fn until_effects(&self, count: usize) -> Ledger {
        self.until(&format!("{count} effects"), |ledger| ledger.effects().count() >= count).await
    }

    /// Waits until everything is committed.
    pub async fn until_all_committed(&self, kafka: &Client) {
        let ends = kafka.end_offsets(&self.topic).await;
        self.until_committed(kafka, &ends).await;
    }

    /// Waits until these offsets are committed.
    pub async fn until_committed(&self, kafka: &Client, wanted: &BTreeMap<i32, Offset>) {
        let what = format!("{wanted:?} is committed");
        await_until(&what, PATIENCE, async || self.committed(kafka).await == *wanted).await;
    }

    /// The messages of `0..messages` that Redis, which is asked directly, has as done.
    pub async fn done(&self, redis: String, messages: usize) -> BTreeSet<String> {
        let store = redis_store(redis, &self.group).build().expect("a store");
        let identifier = Identifier::new(self.group.parse().expect("a namespace")).extractor(HeaderId::cloud_events());
        let fingerprint = |message: usize| {
            let record = Record::builder(TopicPartition::new(self.topic.as_str(), 0), 0);
            let record = record.header("ce_id", message.to_string()).header("ce_source", "/shop").build();
            let Identification::Id { fingerprint, .. } = identifier.identify(&record) else { panic!("no ID") };
            fingerprint
        };
        let states = store.inspect((0..messages).map(fingerprint).collect()).await;
        let done = states.into_iter().enumerate().filter(|(_, state)| matches!(state, Ok(State::Done { .. })));
        done.map(|(message, _)| message.to_string()).collect()
    }

    /// The next offset of each partition that the group has committed.
    pub async fn committed(&self, kafka: &Client) -> BTreeMap<i32, Offset> {
        kafka.committed_offsets(&self.group, &self.topic).await
    }
}

/// The messages with these numbers, one after the other over so many partitions.
pub fn messages(numbers: Range<usize>, partitions: usize) -> impl Iterator<Item = Message> {
    let message = move |number: usize| {
        let partition = i32::try_from(number % partitions).expect("a partition");
        let message = Message::new().partition(partition).header("ce_id", number.to_string());
        message.header("ce_source", "/shop").payload(number.to_string())
    };
    numbers.map(message)
}
