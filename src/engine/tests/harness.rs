//! One engine between the hands of a test: records go in by the letter of their ID, outstanding requests are answered
//! by letter too.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::super::*;
use crate::id::{Fingerprint, IdProblem, NoMessageId};
use crate::observe::{CommitRefused, DuplicateBy, FailureKind, Outcome, PartitionStop};
use crate::record::{Epoch, Offset, Origin, Record};
use crate::store::{
    Cause, Claim, ClaimOutcome, Completion, CompletionOutcome, GiveUp, GiveUpOutcome, GivenBack, Lease, Release,
    ReleaseOutcome, RenewOutcome, StoreError, Verdict,
};

pub(super) use crate::store::GivenBack::Unstarted;

pub(super) const LEASE: Duration = Duration::from_secs(60);

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn unknown() -> StoreError {
    StoreError::Unknown(Cause::new("timed out"))
}

pub(super) fn unavailable() -> StoreError {
    StoreError::Unavailable(Cause::new("connection refused"))
}

pub(super) fn refused() -> StoreError {
    StoreError::Refused(Cause::new("no permissions"))
}

pub(super) const FRESH: ClaimOutcome = ClaimOutcome::Claimed { attempts: 0, suspect: false };
pub(super) const DONE: ClaimOutcome = ClaimOutcome::Done { cached: false, first: None };

pub(super) fn elsewhere(remaining: Duration) -> ClaimOutcome {
    ClaimOutcome::InFlight { remaining }
}

/// How a claim is given back after that many attempts.
pub(super) const fn failed(attempts: u32) -> GivenBack {
    GivenBack::Failed { attempts }
}

/// How a claim is given back of a record of which a copy may have been sent.
pub(super) const fn given_up(attempts: u32) -> GivenBack {
    GivenBack::GivenUp { attempts }
}

/// How a claim is given back of a record of which a copy lies in a retry topic.
pub(super) const fn retried(attempts: u32, step: u32) -> GivenBack {
    GivenBack::Retried { attempts, step }
}

pub(super) fn taken_over(attempts: u32) -> ClaimOutcome {
    ClaimOutcome::Claimed { attempts, suspect: true }
}

/// Notes what the engine tells, one line each.
#[derive(Debug, Default)]
struct Notes {
    lines: Mutex<Vec<String>>,
    accounts: Mutex<Accounts>,
}

/// How many records were delivered, had which outcome, and were given back.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts {
    delivered: usize,
    pub(super) outcomes: Vec<(String, Outcome)>,
    pub(super) given_back: usize,
}

impl Notes {
    fn note(&self, line: String) {
        self.lines.lock().push(line);
    }
}

fn letter(record: &Record) -> String {
    record.payload().map(|payload| String::from_utf8_lossy(payload).into_owned()).unwrap_or_default()
}

impl Observer for Notes {
    fn on_delivered(&self, partition: &TopicPartition, records: usize) {
        self.accounts.lock().delivered += records;
        self.note(format!("delivered {partition} {records}"));
    }
    fn on_duplicate(&self, record: &Record, by: DuplicateBy, _first: Option<&Origin>) {
        self.note(format!("duplicate {} {by:?}", letter(record)));
    }
    fn on_conflict(&self, record: &Record, first: &Origin) {
        self.note(format!("conflict {} {first}", letter(record)));
    }
    fn on_park(&self, record: &Record, remaining: Option<Duration>) {
        self.note(format!("park {} {}", letter(record), if remaining.is_some() { "elsewhere" } else { "here" }));
    }
    fn on_failure(&self, record: &Record, attempt: u32, kind: FailureKind) {
        self.note(format!("failure {} {attempt} {kind:?}", letter(record)));
    }
    fn on_handled(&self, record: &Record, attempt: u32, _took: Duration) {
        self.note(format!("handled {} {attempt}", letter(record)));
    }
    fn on_complete(&self, record: &Record, verdict: Verdict) {
        self.note(format!("complete {} {verdict:?}", letter(record)));
    }
    fn on_possible_repeat(&self, record: &Record, _first: Option<&Origin>) {
        self.note(format!("perhaps twice {}", letter(record)));
    }
    fn on_retry(&self, record: &Record, attempt: u32, delay: Duration) {
        let within = if delay <= ms(30_000) { "in time" } else { "late" };
        self.note(format!("retry {} {attempt} {within}", letter(record)));
    }
    fn on_dead_letter(&self, record: &Record, attempts: u32, reason: &str) {
        self.note(format!("dead letter {} {attempts}: {reason}", letter(record)));
    }
    fn on_delivery_failed(&self, record: &Record, reason: &str) {
        self.note(format!("undelivered {}: {reason}", letter(record)));
    }
    fn on_expire(&self, record: &Record, late: Duration) {
        self.note(format!("expire {} {late:?}", letter(record)));
    }
    fn on_settle(&self, record: &Record, outcome: Outcome, since_delivery: Duration) {
        self.accounts.lock().outcomes.push((letter(record), outcome));
        self.note(format!("settle {} {outcome:?} {since_delivery:?}", letter(record)));
    }
    fn on_give_back(&self, partition: &TopicPartition, records: usize) {
        self.accounts.lock().given_back += records;
        self.note(format!("give back {partition} {records}"));
    }
    fn on_stop(&self, partition: &TopicPartition, stop: &PartitionStop) {
        self.note(format!("stop {partition}@{}: {}", stop.offset, stop.reason));
    }
    fn on_try(&self, partition: &TopicPartition, offset: Offset, tries: u32, by_operator: bool) {
        let by = if by_operator { "an operator" } else { "itself" };
        self.note(format!("try {partition}@{offset} {tries} by {by}"));
    }
    fn on_stop_over(&self, partition: &TopicPartition) {
        self.note(format!("goes on {partition}"));
    }
    fn on_revoke(&self, partition: &TopicPartition, _epoch: Epoch, drained: bool) {
        self.note(format!("revoke {partition} {}", if drained { "drained" } else { "late" }));
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Asked<T> {
    work: WorkId,
    sent_at: Duration,
    what: T,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) now: Duration,
    notes: Arc<Notes>,
    epochs: u64,
    next: HashMap<Assignment, Offset>,
    claims: Vec<Asked<Claim>>,
    completions: Vec<Asked<Completion>>,
    renewals: Vec<Asked<Lease>>,
    releases: Vec<Release>,
    running: Vec<(WorkId, Record, u32)>,
    /// The letters of each call that takes many.
    pub(super) calls: Vec<String>,
    copies: Vec<(WorkId, Record, Destination, u32)>,
    gave_up: Vec<Asked<GiveUp>>,
    /// Whether notes wait to be answered; otherwise each is answered at once.
    pub(super) holds_notes: bool,
    cancelled: Vec<WorkId>,
    committing: Vec<(Assignment, Offset)>,
    pub(super) paused: Vec<Assignment>,
    pub(super) revoked: Vec<Assignment>,
    /// What became of records that an operator skipped.
    pub(super) skipped: Vec<Option<Outcome>>,
    pub(super) finished: bool,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut EngineConfig)) -> Self {
        // Small ones: what a test waits for comes soon.
        let mut config = EngineConfig {
            max_attempts: 5,
            backoff_first: ms(200),
            backoff_cap: Duration::from_secs(30),
            // What the store is asked is what most tests look at. What is known is `known`'s business.
            cache_entries: 0,
            ..EngineConfig::default()
        };
        change(&mut config);
        config.check().expect("the settings must not contradict each other");
        let notes = Arc::new(Notes::default());
        Self {
            engine: Engine::new(config, notes.clone(), [7; 32]),
            now: Duration::ZERO,
            notes,
            epochs: 0,
            next: HashMap::new(),
            claims: Vec::new(),
            completions: Vec::new(),
            renewals: Vec::new(),
            releases: Vec::new(),
            running: Vec::new(),
            calls: Vec::new(),
            copies: Vec::new(),
            gave_up: Vec::new(),
            holds_notes: false,
            cancelled: Vec::new(),
            committing: Vec::new(),
            paused: Vec::new(),
            revoked: Vec::new(),
            skipped: Vec::new(),
            finished: false,
        }
    }

    pub(super) fn feed(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.engine.step(self.now, event, &mut actions);
        let sent_at = self.now;
        for action in actions {
            match action {
                Action::Claim { work, claim } => self.claims.push(Asked { work, sent_at, what: claim }),
                Action::Start(Start { work, record, attempt, .. }) => self.running.push((work, record, attempt)),
                Action::StartBatch(starts) => {
                    self.calls.push(starts.iter().map(|start| letter(&start.record)).collect());
                    self.running.extend(starts.into_iter().map(|start| (start.work, start.record, start.attempt)));
                }
                Action::Publish { work, record, to, attempts } => self.copies.push((work, record, to, attempts)),
                Action::GiveUp { work, note } => self.gave_up.push(Asked { work, sent_at, what: note }),
                Action::Cancel { work } => self.cancelled.push(work),
                Action::Complete { work, completion } => {
                    self.completions.push(Asked { work, sent_at, what: completion });
                }
                Action::Renew { work, lease } => self.renewals.push(Asked { work, sent_at, what: lease }),
                Action::Release(release) => self.releases.push(release),
                Action::Commit { assignment, offset } => self.committing.push((assignment, offset)),
                Action::Pause(assignment) => self.paused.push(assignment),
                Action::Resume(assignment) => self.paused.retain(|paused| *paused != assignment),
                Action::RevokeDone(assignments) => self.revoked.extend(assignments),
                Action::ReportDoubt { record, .. } => self.notes.on_possible_repeat(&record, None),
                Action::SkipEnded { outcome, .. } => self.skipped.push(outcome),
                Action::Finished => self.finished = true,
            }
        }
        let accounts = self.notes.accounts.lock();
        let (outcomes, in_flight) = (accounts.outcomes.len(), self.engine.in_flight());
        assert_eq!(
            accounts.delivered,
            outcomes + accounts.given_back + in_flight,
            "{accounts:?}, {in_flight} in flight"
        );
        drop(accounts);
        while let Some(asked) = self.gave_up.first().filter(|_| !self.holds_notes) {
            let id = id_of(asked.what.lease.fingerprint);
            self.answer_note(id, Ok(GiveUpOutcome::Noted));
        }
    }

    /// Lets time pass, with a tick whenever the engine wants one.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..10_000 {
            match self.engine.next_tick() {
                Some(at) if at <= until => {
                    self.now = self.now.max(at);
                    self.feed(Event::Tick);
                }
                _ => {
                    self.now = until;
                    return;
                }
            }
        }
        panic!("the engine wants to be ticked for ever");
    }

    /// Lets time pass without anybody noticing.
    pub(super) fn sleep(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn assign(&mut self, partition: i32) -> Assignment {
        self.epochs += 1;
        let assignment = Assignment { partition: TopicPartition::new("t", partition), epoch: Epoch(self.epochs) };
        self.feed(Event::Assigned(vec![assignment.clone()]));
        assignment
    }

    pub(super) fn arrival(assignment: &Assignment, offset: Offset, id: char) -> Arrival {
        let record = Record::builder(assignment.partition.clone(), offset).payload(id.to_string()).build();
        let identified = match id {
            '-' => Identified::Process,
            '!' | '?' => {
                let problem = Box::new(NoMessageId { origin: record.origin(), problem: IdProblem::Empty });
                if id == '!' { Identified::Stop(problem) } else { Identified::DeadLetter(problem) }
            }
            id => Identified::Id { fingerprint: fingerprint(id.to_ascii_lowercase()), message: None },
        };
        Arrival::new(record, identified)
    }

    /// Delivers records with these IDs at the next offsets, in one batch: `-` has none and is handled all the same,
    /// `!` has none and stops its partition, `?` has none and is a dead letter, a capital is known to the local cache.
    pub(super) fn deliver(&mut self, assignment: &Assignment, ids: &str) {
        for known in ids.chars().filter(char::is_ascii_uppercase) {
            self.engine.known.know(fingerprint(known.to_ascii_lowercase()), Duration::MAX);
        }
        let next = self.next.entry(assignment.clone()).or_insert(0);
        let arrivals = (*next..).zip(ids.chars()).map(|(at, id)| Self::arrival(assignment, at, id)).collect();
        *next += ids.len() as Offset;
        self.feed(Event::Records { assignment: assignment.clone(), arrivals });
    }

    /// As `deliver`, each record with a key of one letter; a space stands for none.
    pub(super) fn deliver_keyed(&mut self, assignment: &Assignment, ids: &str, keys: &str) {
        let next = self.next.entry(assignment.clone()).or_insert(0);
        let arrivals = (*next..).zip(ids.chars().zip(keys.chars())).map(|(at, (id, key))| {
            let record = Record::builder(assignment.partition.clone(), at).payload(id.to_string());
            let record = if key == ' ' { record } else { record.key(key.to_string()) };
            Arrival { record: record.build(), ..Self::arrival(assignment, at, id) }
        });
        let arrivals = arrivals.collect();
        *next += ids.len() as Offset;
        self.feed(Event::Records { assignment: assignment.clone(), arrivals });
    }

    /// Delivers one record at the next offset, changed.
    pub(super) fn deliver_with(&mut self, assignment: &Assignment, id: char, change: impl FnOnce(&mut Arrival)) {
        let next = self.next.entry(assignment.clone()).or_insert(0);
        let mut arrival = Self::arrival(assignment, *next, id);
        *next += 1;
        change(&mut arrival);
        self.feed(Event::Records { assignment: assignment.clone(), arrivals: vec![arrival] });
    }

    pub(super) fn deliver_at(&mut self, assignment: &Assignment, offset: Offset, ids: &str) {
        self.next.insert(assignment.clone(), offset);
        self.deliver(assignment, ids);
    }

    pub(super) fn revoke(&mut self, assignment: &Assignment, within: Duration) {
        let deadline = self.now + within;
        self.feed(Event::RevokeRequested { assignments: vec![assignment.clone()], deadline });
    }

    pub(super) fn lose(&mut self, assignment: &Assignment) {
        self.feed(Event::Lost(vec![assignment.clone()]));
    }

    pub(super) fn shut_down(&mut self, within: Duration) {
        let deadline = self.now + within;
        self.feed(Event::Shutdown { deadline });
    }

    /// The IDs of all claims that wait for an answer, in the order in which they were sent.
    pub(super) fn claiming(&self) -> String {
        self.claims.iter().map(|asked| id_of(asked.what.lease.fingerprint)).collect()
    }

    /// The outstanding claim of an ID, and its token.
    pub(super) fn claim(&self, id: char) -> &Claim {
        let asked = self.claims.iter().find(|asked| asked.what.lease.fingerprint == fingerprint(id));
        &asked.unwrap_or_else(|| panic!("{id} is not being claimed, only {:?} are", self.claiming())).what
    }

    pub(super) fn answer_claim(&mut self, id: char, result: Result<ClaimOutcome, StoreError>) -> Token {
        let index = self.claims.iter().position(|asked| asked.what.lease.fingerprint == fingerprint(id));
        let index = index.unwrap_or_else(|| panic!("{id} is not being claimed, only {:?} are", self.claiming()));
        let Asked { work, sent_at, what } = self.claims.remove(index);
        let token = what.lease.token;
        self.feed(Event::Claimed { work, token, sent_at, result });
        token
    }

    /// Answers claims of these IDs: nobody had them.
    pub(super) fn claimed(&mut self, ids: &str) {
        ids.chars().for_each(|id| {
            self.answer_claim(id, Ok(FRESH));
        });
    }

    pub(super) fn running(&self) -> String {
        self.running.iter().map(|(_, record, _)| letter(record)).collect()
    }

    /// Which attempt of a running handler this is.
    pub(super) fn attempt(&self, id: char) -> u32 {
        let found = self.running.iter().find(|(_, record, _)| letter(record) == id.to_string());
        found.unwrap_or_else(|| panic!("{id} does not run, only {:?} do", self.running())).2
    }

    pub(super) fn end(&mut self, id: char, result: Result<(), HandlerFailure>) {
        let index = self.running.iter().position(|(_, record, _)| letter(record) == id.to_string());
        let index = index.unwrap_or_else(|| panic!("{id} does not run, only {:?} do", self.running()));
        let (work, _, _) = self.running.remove(index);
        self.feed(Event::Handled { work, result });
    }

    pub(super) fn handled(&mut self, ids: &str) {
        ids.chars().for_each(|id| self.end(id, Ok(())));
    }

    pub(super) fn fails(&mut self, id: char, kind: FailureKind) {
        self.end(id, Err(kind.into()));
    }

    /// As `fails`; the handler asks for a pause.
    pub(super) fn fails_for(&mut self, id: char, kind: FailureKind, after: Duration) {
        self.end(id, Err(HandlerFailure { kind, after: Some(after), answered: None }));
    }

    /// The IDs of the running handlers that were told that their lease is lost.
    pub(super) fn cancelled(&self) -> String {
        let told = |work: &WorkId| self.cancelled.contains(work);
        self.running.iter().filter(|(work, _, _)| told(work)).map(|(_, record, _)| letter(record)).collect()
    }

    /// The IDs of the copies that are under way to another topic.
    pub(super) fn publishing(&self) -> String {
        self.copies.iter().map(|(_, record, _, _)| letter(record)).collect()
    }

    /// Where the copy of an ID goes, and after how many attempts.
    pub(super) fn copy(&self, id: char) -> (Destination, u32) {
        let found = self.copies.iter().find(|(_, record, _, _)| letter(record) == id.to_string());
        let (_, _, to, attempts) =
            found.unwrap_or_else(|| panic!("{id} is not sent, only {:?} are", self.publishing()));
        (to.clone(), *attempts)
    }

    /// Answers the copy of an ID.
    pub(super) fn answer_copy(&mut self, id: char, result: Result<(), String>) {
        let index = self.copies.iter().position(|(_, record, _, _)| letter(record) == id.to_string());
        let index = index.unwrap_or_else(|| panic!("{id} is not sent, only {:?} are", self.publishing()));
        let (work, _, _, _) = self.copies.remove(index);
        self.feed(Event::Published { work, result });
    }

    /// The copies of these IDs are delivered.
    pub(super) fn published(&mut self, ids: &str) {
        ids.chars().for_each(|id| self.answer_copy(id, Ok(())));
    }

    /// The IDs of all notes that wait for an answer.
    pub(super) fn giving_up(&self) -> String {
        self.gave_up.iter().map(|asked| id_of(asked.what.lease.fingerprint)).collect()
    }

    /// Answers the note of an ID; returns what it says.
    pub(super) fn answer_note(&mut self, id: char, result: Result<GiveUpOutcome, StoreError>) -> GiveUp {
        let index = self.gave_up.iter().position(|asked| asked.what.lease.fingerprint == fingerprint(id));
        let index = index.unwrap_or_else(|| panic!("{id} is not being given up, only {:?}", self.giving_up()));
        let Asked { work, sent_at, what } = self.gave_up.remove(index);
        self.feed(Event::GaveUp { work, token: what.lease.token, sent_at, result });
        what
    }

    /// What became of the records of an ID, in order.
    pub(super) fn outcomes(&self, id: char) -> Vec<Outcome> {
        let accounts = self.notes.accounts.lock();
        let of_id = accounts.outcomes.iter().filter(|(letter, _)| *letter == id.to_string());
        of_id.map(|(_, outcome)| *outcome).collect()
    }

    pub(super) fn given_back(&self) -> usize {
        self.notes.accounts.lock().given_back
    }

    pub(super) fn completing(&self) -> String {
        self.completions.iter().map(|asked| id_of(asked.what.lease.fingerprint)).collect()
    }

    /// The outstanding completion of an ID.
    pub(super) fn completion(&self, id: char) -> &Completion {
        let asked = self.completions.iter().find(|asked| asked.what.lease.fingerprint == fingerprint(id));
        &asked.unwrap_or_else(|| panic!("{id} is not being completed, only {:?} are", self.completing())).what
    }

    pub(super) fn answer_completion(&mut self, id: char, result: Result<CompletionOutcome, StoreError>) -> Token {
        let index = self.completions.iter().position(|asked| asked.what.lease.fingerprint == fingerprint(id));
        let index = index.unwrap_or_else(|| panic!("{id} is not being completed, only {:?}", self.completing()));
        let Asked { work, what, .. } = self.completions.remove(index);
        self.feed(Event::Completed { work, result });
        what.lease.token
    }

    pub(super) fn completed(&mut self, ids: &str) {
        ids.chars().for_each(|id| {
            self.answer_completion(id, Ok(CompletionOutcome::Recorded));
        });
    }

    pub(super) fn renewing(&self) -> String {
        self.renewals.iter().map(|asked| id_of(asked.what.fingerprint)).collect()
    }

    pub(super) fn answer_renewal(&mut self, id: char, result: Result<RenewOutcome, StoreError>) {
        let index = self.renewals.iter().position(|asked| asked.what.fingerprint == fingerprint(id));
        let index = index.unwrap_or_else(|| panic!("{id} is not being renewed, only {:?}", self.renewing()));
        let Asked { work, sent_at, what } = self.renewals.remove(index);
        self.feed(Event::Renewed { work, token: what.token, sent_at, result });
    }

    pub(super) fn renewed(&mut self, ids: &str) {
        ids.chars().for_each(|id| self.answer_renewal(id, Ok(RenewOutcome::Renewed)));
    }

    pub(super) fn releasing(&self) -> String {
        self.releases.iter().map(|release| id_of(release.lease.fingerprint)).collect()
    }

    pub(super) fn answer_release(&mut self, id: char, result: Result<ReleaseOutcome, StoreError>) -> Release {
        let index = self.releases.iter().position(|release| release.lease.fingerprint == fingerprint(id));
        let index = index.unwrap_or_else(|| panic!("{id} is not being released, only {:?}", self.releasing()));
        let release = self.releases.remove(index);
        self.feed(Event::Released { token: release.lease.token, result });
        release
    }

    /// Answers releases; returns what they say of their claims.
    pub(super) fn released(&mut self, ids: &str) -> Vec<GivenBack> {
        ids.chars().map(|id| self.answer_release(id, Ok(ReleaseOutcome::Released)).given_back).collect()
    }

    /// What is being committed, as `partition:offset`, in order.
    pub(super) fn committing(&self) -> String {
        let mut all = String::new();
        for (assignment, offset) in &self.committing {
            let gap = if all.is_empty() { "" } else { " " };
            write!(all, "{gap}{}:{offset}", assignment.partition.partition()).expect("a string takes it");
        }
        all
    }

    /// Answers the oldest commit.
    pub(super) fn answer_commit(&mut self, result: Result<(), CommitRefused>) {
        let (assignment, offset) = self.committing.remove(0);
        self.feed(Event::Committed { assignment, offset, result });
    }

    pub(super) fn committed(&mut self) {
        while !self.committing.is_empty() {
            self.answer_commit(Ok(()));
        }
    }

    /// What the engine told that begins like this.
    pub(super) fn told(&self, beginning: &str) -> Vec<String> {
        self.notes.lines.lock().iter().filter(|note| note.starts_with(beginning)).cloned().collect()
    }

    /// Takes a record through all stages.
    pub(super) fn whole(&mut self, ids: &str) {
        for id in ids.chars() {
            let id = id.to_string();
            if self.claiming().contains(&id) {
                self.claimed(&id);
            }
            self.handled(&id);
            self.completed(&id);
        }
    }
}

pub(super) fn fingerprint(id: char) -> Fingerprint {
    Fingerprint::from_bytes([id as u8; 16])
}

fn id_of(fingerprint: Fingerprint) -> char {
    char::from(fingerprint.as_bytes()[0])
}
