//! Histories written by hand: a healthy one, to which a test adds what it is about.
//!
//! Times are milliseconds since the faults began. The background is two workers that handle records of partitions 0 and
//! 1; partitions 2 and 3 are the test's.

use std::collections::BTreeMap;

use crate::checker::{Judgement, Past, State, judge};
use crate::history::*;

pub const TOPIC: &str = "orders";
pub const LETTERS: &str = "orders.dead";
pub const RETRIES: &str = "orders.retry";
pub const HEALED: u64 = 30_000;
pub const END: u64 = 34_000;
const BACKGROUND: i64 = 100;

/// A record of the story.
#[derive(Clone, Debug)]
pub struct Told {
    pub topic: &'static str,
    pub partition: i32,
    pub offset: i64,
    pub id: String,
}

pub struct Story {
    pub run: Run,
    entries: Vec<Entry>,
    /// From when on the committed offset may pass each record.
    pub settled: BTreeMap<(&'static str, i32, i64), u64>,
    produced: BTreeMap<(&'static str, i32), Vec<u64>>,
    /// The times of the samples, and those that a test sets.
    pub sampled_until: u64,
    lives: BTreeMap<&'static str, u32>,
    exited: Vec<(&'static str, u32)>,
    faults: u64,
    call: u64,
}

impl Story {
    /// A run in which nothing happens but what should.
    pub fn healthy() -> Self {
        let topic = |name: &str, role| Topic { name: name.to_owned(), partitions: 4, role };
        let run = Run {
            seed: 7,
            mode: "test".to_owned(),
            group: "g".to_owned(),
            topics: vec![topic(TOPIC, Role::Source), topic(LETTERS, Role::DeadLetter), topic(RETRIES, Role::Retry)],
            order: Order::Partition,
            batch: 1,
            concurrency: 4,
            max_exposed: 3,
            max_attempts: 3,
            lease_ms: 3_000,
            grace_ms: 8_000,
            window_ms: 10_000,
            handler_limit_ms: 1_000,
            drain_ms: 1_000,
            commit_interval_ms: 100,
            session_ms: 2_000,
            store: "appendonly".to_owned(),
            heal_limit_ms: 2_000,
            stall_limit_ms: 3_000,
            memory_limit_bytes: 200 << 20,
            wall_offset_us: 1_000_000_000,
            versions: Vec::new(),
        };
        let mut story = Self {
            run,
            entries: Vec::new(),
            settled: BTreeMap::new(),
            produced: BTreeMap::new(),
            sampled_until: END,
            lives: BTreeMap::from([("w0", 0), ("w1", 0)]),
            exited: Vec::new(),
            faults: 0,
            call: 0,
        };
        for stage in [(0, Stage::Faults), (HEALED, Stage::Healed), (END, Stage::End)] {
            story.tell(stage.0, Phase { stage: stage.1 });
        }
        for (worker, partition) in [("w0", 0), ("w1", 1)] {
            story.process(0, worker, 0, Life::Started, None, None);
            story.tell(5, Memory { worker: worker.to_owned(), incarnation: 0, rss_bytes: 50 << 20 });
            story.report(5, worker, What::Assigned, Some((TOPIC, partition, None)), None);
            for index in 0..BACKGROUND {
                let at = 10 + index.unsigned_abs() * 250;
                let record = story.produce(at, partition, &format!("{worker}-{index}"), Nature::Plain);
                story.handle(at + 5, worker, &record);
            }
            story.report(9_000, worker, What::Committed, Some((TOPIC, partition, Some(10))), None);
            story.counts(10_000, worker, 40, &[("handled", 30), ("duplicate", 4)], 2, 4);
            story.counts(20_000, worker, 80, &[("handled", 70), ("duplicate", 5)], 2, 3);
        }
        story
    }

    pub fn tell(&mut self, at: u64, event: impl Into<Event>) {
        self.entries.push(Entry { at: micros(at), event: event.into() });
    }

    /// A record is produced, and is the next of its partition.
    pub fn produce(&mut self, at: u64, partition: i32, id: &str, nature: Nature) -> Told {
        let times = self.produced.entry((TOPIC, partition)).or_default();
        let offset = times.len() as i64;
        times.push(at);
        let id = id.to_owned();
        let (topic, named) = (TOPIC.to_owned(), (nature != Nature::NoId).then(|| id.clone()));
        self.tell(at, Produced { topic, partition, offset, id: named, key: None, nature, copy: 0, acknowledged: true });
        Told { topic: TOPIC, partition, offset, id }
    }

    pub fn attempt(&self, worker: &str, incarnation: u32, record: &Told, attempt: u32) -> Attempt {
        Attempt {
            worker: worker.to_owned(),
            incarnation,
            topic: record.topic.to_owned(),
            partition: record.partition,
            offset: record.offset,
            id: Some(record.id.clone()),
            attempt,
            call: self.call,
        }
    }

    /// A handler starts, and perhaps has its effect 1 ms later.
    pub fn start(&mut self, at: u64, worker: &'static str, record: &Told, effect: bool) -> Attempt {
        self.call += 1;
        let attempt = self.attempt(worker, self.lives[worker], record, 1);
        self.tell(at, Event::Started(attempt.clone()));
        if effect {
            self.tell(at + 1, Event::Effect(attempt.clone()));
        }
        attempt
    }

    pub fn end(&mut self, at: u64, attempt: &Attempt, outcome: Outcome) {
        self.tell(at, Ended { of: attempt.clone(), outcome });
    }

    /// A handler has its effect and returns success 2 ms after its start; a report of its recording is to follow.
    pub fn succeed(&mut self, at: u64, worker: &'static str, record: &Told) -> Attempt {
        let attempt = self.start(at, worker, record, true);
        self.end(at + 2, &attempt, Outcome::Ok);
        attempt
    }

    /// A record is handled and recorded 3 ms after the start, and settled.
    pub fn handle(&mut self, at: u64, worker: &'static str, record: &Told) {
        self.succeed(at, worker, record);
        self.of(at + 3, worker, What::CompletedFirst, record);
        self.settle(at + 3, record);
    }

    pub fn fail(&mut self, at: u64, worker: &'static str, record: &Told, outcome: Outcome) {
        let attempt = self.start(at, worker, record, false);
        self.end(at + 2, &attempt, outcome);
        self.of(at + 2, worker, What::Failed, record);
    }

    /// From now on the committed offset may pass the record.
    pub fn settle(&mut self, at: u64, record: &Told) {
        self.settled.entry((record.topic, record.partition, record.offset)).or_insert(at);
    }

    /// A report about a record by the present life of a worker.
    pub fn of(&mut self, at: u64, worker: &'static str, what: What, record: &Told) {
        let place = (record.topic, record.partition, Some(record.offset));
        self.report(at, worker, what, Some(place), Some(record.id.clone()));
    }

    pub fn report(
        &mut self,
        at: u64,
        worker: &'static str,
        what: What,
        place: Option<(&str, i32, Option<i64>)>,
        id: Option<String>,
    ) {
        let mut reported = Reported::new(worker, self.lives[worker], what);
        if let Some((topic, partition, offset)) = place {
            (reported.topic, reported.partition, reported.offset) = (Some(topic.to_owned()), Some(partition), offset);
        }
        reported.id = id;
        self.tell(at, reported);
    }

    pub fn counts(&mut self, at: u64, worker: &str, delivered: u64, settled: &[(&str, u64)], back: u64, flying: u64) {
        let settled = settled.iter().map(|(outcome, count)| ((*outcome).to_owned(), *count)).collect();
        let (worker, topic) = (worker.to_owned(), TOPIC.to_owned());
        let (completions, duplicates) = (BTreeMap::new(), 0);
        self.tell(
            at,
            Counts {
                worker,
                incarnation: 0,
                topic,
                delivered,
                settled,
                given_back: back,
                in_flight: flying,
                completions,
                duplicates,
            },
        );
    }

    fn process(
        &mut self,
        at: u64,
        worker: &'static str,
        incarnation: u32,
        state: Life,
        code: Option<i32>,
        signal: Option<i32>,
    ) {
        if state == Life::Exited {
            self.exited.push((worker, incarnation));
        }
        self.tell(at, Process { worker: worker.to_owned(), incarnation, state, code, signal });
    }

    pub fn exit(&mut self, at: u64, worker: &'static str, code: Option<i32>, signal: Option<i32>) {
        self.process(at, worker, self.lives[worker], Life::Exited, code, signal);
    }

    pub fn fault(&mut self, what: FaultKind, target: Target, begin: u64, end: u64) -> Fault {
        self.faults += 1;
        let graceful = matches!(what, FaultKind::WorkerTerm | FaultKind::WorkerJoin | FaultKind::BrokerTerm);
        Fault {
            number: self.faults,
            what,
            target,
            begin: micros(begin),
            end: Some(micros(end)),
            graceful,
            failpoint: None,
            lost_from: None,
            clock_ms: None,
            text: None,
        }
    }

    pub fn on(&self, worker: &str) -> Target {
        Target::Worker { worker: worker.to_owned(), incarnation: self.lives[worker] }
    }

    /// A worker is killed; its next life begins 300 ms later.
    pub fn kill(&mut self, at: u64, worker: &'static str) {
        let fault = self.fault(FaultKind::WorkerKill, self.on(worker), at, at + 300);
        self.tell(at, fault);
        self.exit(at + 20, worker, None, Some(9));
        self.reborn(at + 300, worker);
    }

    pub fn reborn(&mut self, at: u64, worker: &'static str) {
        let life = self.lives[worker] + 1;
        self.lives.insert(worker, life);
        self.process(at, worker, life, Life::Started, None, None);
    }

    pub fn term(&mut self, at: u64, worker: &'static str, exits_at: u64) {
        let fault = self.fault(FaultKind::WorkerTerm, self.on(worker), at, exits_at);
        self.tell(at, fault);
        self.exit(exits_at, worker, Some(0), None);
        self.reborn(exits_at, worker);
    }

    pub fn freeze(&mut self, at: u64, worker: &'static str, until: u64) {
        let fault = self.fault(FaultKind::WorkerFreeze, self.on(worker), at, until);
        self.tell(at, fault);
    }

    /// The store loses what it acknowledged since `from`.
    pub fn lose(&mut self, from: u64, begin: u64, end: u64) {
        let fault = self.fault(FaultKind::StoreFailover, Target::Store("redis".to_owned()), begin, end);
        self.tell(begin, Fault { lost_from: Some(micros(from)), ..fault });
        self.report(end, "w1", What::RecordsLost, None, None);
    }

    /// A copy of a record in another topic.
    pub fn copy(&mut self, at: u64, topic: &'static str, record: &Told, reason: &str) -> Told {
        let times = self.produced.entry((topic, 0)).or_default();
        let offset = times.len() as i64;
        times.push(at);
        self.tell(
            END + 500,
            Copy {
                topic: topic.to_owned(),
                partition: 0,
                offset,
                origin_topic: TOPIC.to_owned(),
                origin_partition: record.partition,
                origin_offset: record.offset,
                id: Some(record.id.clone()),
                reason: reason.to_owned(),
                attempts: None,
                timestamp_ms: i64::try_from(micros(at) / 1_000).expect("a time") + self.run.wall_offset_us / 1_000,
            },
        );
        Told { topic, partition: 0, offset, id: record.id.clone() }
    }

    /// A record becomes a dead letter and settles.
    pub fn bury(&mut self, at: u64, worker: &'static str, record: &Told) {
        self.copy(at, LETTERS, record, "it failed");
        self.of(at + 2, worker, What::DeadLettered, record);
        self.settle(at + 2, record);
    }

    pub fn sample(&mut self, at: u64, partition: i32, offset: Option<i64>, end: i64) {
        self.tell(at, Committed { group: "g".to_owned(), topic: TOPIC.to_owned(), partition, offset, end });
    }

    /// Writes the samples of committed offsets: the first record of each partition that is not settled.
    fn sample_all(&mut self) {
        for topic in [TOPIC, RETRIES] {
            for partition in 0..4 {
                let times = self.produced.get(&(topic, partition)).cloned().unwrap_or_default();
                for at in (200..=self.sampled_until).step_by(200) {
                    let end = times.iter().filter(|produced| **produced <= at).count() as i64;
                    let is_settled = |offset: &i64| {
                        self.settled.get(&(topic, partition, *offset)).is_some_and(|settled| *settled <= at)
                    };
                    let offset = (0..end).take_while(is_settled).count() as i64;
                    let offset = (offset > 0).then_some(offset);
                    self.tell(at, Committed { group: "g".to_owned(), topic: topic.to_owned(), partition, offset, end });
                }
            }
        }
    }

    pub fn past(mut self) -> Past {
        self.sample_all();
        for worker in ["w0", "w1"] {
            let life = self.lives[worker];
            if !self.exited.contains(&(worker, life)) {
                self.exit(END + 1_000, worker, Some(0), None);
            }
        }
        self.tell(0, self.run.clone());
        self.entries.sort_by_key(|entry| entry.at);
        let directory = tempfile::tempdir().expect("a directory");
        let journal = Journal::open(directory.path(), "all").expect("a journal");
        for Entry { at, event } in self.entries {
            journal.write_at(at, event).expect("a line");
        }
        Past::load(directory.path()).expect("a history")
    }

    pub fn judge(self) -> Judgement {
        judge(&self.past())
    }

    /// Asserts that the run passes.
    #[track_caller]
    pub fn passes(self) -> Judgement {
        let judgement = self.judge();
        let broken: Vec<_> = judgement.verdicts.iter().filter(|verdict| !verdict.passed()).collect();
        assert!(broken.is_empty(), "{broken:#?}");
        judgement
    }

    /// Asserts that exactly this invariant is violated, once, for a reason with these words.
    #[track_caller]
    pub fn violates(self, invariant: &str, words: &str) {
        self.violates_all(&[(invariant, words)]);
    }

    #[track_caller]
    pub fn violates_all(self, expected: &[(&str, &str)]) {
        let judgement = self.judge();
        let broken: Vec<_> = judgement.verdicts.iter().filter(|verdict| !verdict.passed()).collect();
        let invariants: Vec<_> = broken.iter().map(|verdict| verdict.invariant).collect();
        assert_eq!(invariants, expected.iter().map(|(invariant, _)| *invariant).collect::<Vec<_>>(), "{broken:#?}");
        for (verdict, (_, words)) in broken.iter().zip(expected) {
            assert_eq!(verdict.state, State::Violated, "{verdict:#?}");
            assert_eq!(verdict.violations, 1, "{verdict:#?}");
            assert!(verdict.findings[0].text.contains(words), "{words:?} is not in {:?}", verdict.findings[0].text);
        }
    }
}

pub fn micros(ms: u64) -> u64 {
    1_000_000 + ms * 1_000
}
