//! The shell around the engine: one task that turns what happens into events and actions into deeds.
//!
//! It decides nothing. Handlers run as tasks of their own, round trips to the store overlap each other, and the source
//! has its own thread; this task only passes on.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::dedup::{Answered, Batches};
use crate::engine::{
    Action, Assignment, Engine, Event, PartitionPhase, PartitionState, SkipRefused, Skippable, WorkId,
};
use crate::error::RunError;
use crate::failpoint::{self, Planted, Point};
use crate::id::Identifier;
use crate::kafka::{Batch, KafkaWatch, Publisher, Source, SourceError, SourceEvent, SourceEvents};
use crate::observe::{KafkaClients, Observer, Outcome, StopCause};
use crate::record::{Origin, Record};
use crate::store::{ClaimOutcome, Completion, CompletionOutcome, Store, StoreHealth, Token};
use crate::telemetry::Limiter;

use super::age::Age;
use super::calls::{Answer, Call, Calls, Ended};
use super::control::{Asked, Attached, Question, SkipAnswer};
use super::sources::SourceCheck;
use super::topics::OtherTopics;

/// How many answers or records one turn of the loop takes from a channel before it looks at the others again.
const MAX_TURN: usize = 1024;

/// How many requests of one kind travel to the store together at most. No caller waits for a single one of them, so there
/// may be more than of a `Deduplicator`'s callers. On two cores 256 gave 180,000 records/s, 512 and 1,024 gave 150,000.
const MAX_BATCH: usize = 256;

/// How often the states of store and Kafka are looked at, which costs nothing: it is what was last seen.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A turn of the loop that begins so long after the one before shows that the process stood still: no turn waits for longer
/// than [`LOOK_INTERVAL`].
const STOOD_STILL: Duration = Duration::from_secs(5);

/// How often each line about a single record is logged at most.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// How long an end at once waits for what was claimed to be given back, and again for the last commits and the group.
const MOMENT: Duration = Duration::from_millis(500);

/// How late a completion is that is planted to be late.
const LATE: Duration = Duration::from_secs(3);

/// What the driver needs beside the source and the handler.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) engine: Engine,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) identifier: Identifier,
    pub(super) store: Arc<dyn Store>,
    pub(super) topics: OtherTopics,
    /// There is one where there are topics to write to.
    pub(super) publisher: Option<Publisher>,
    pub(super) kafka: KafkaWatch,
    pub(super) age: Age,
    pub(super) handler_time_limit: Duration,
    pub(super) drain_limit: Duration,
}

/// To which work an answer of the store belongs.
#[derive(Clone, Copy, Debug)]
struct Tag {
    work: WorkId,
    token: Token,
    sent_at: Duration,
}

pub(super) struct Driver<C> {
    pub(super) parts: Parts,
    start: Instant,
    /// Whether the store keeps details of messages, which are computed only then.
    pub(super) keeps_details: bool,
    source: Source,
    batches: Batches<Tag>,
    calls: Calls<C>,
    /// Copies under way to other topics; there are no more than records in flight.
    pub(super) copies: JoinSet<(WorkId, Result<(), String>)>,
    /// Look-ups before possible repeats are reported; there are no more than records that were in flight.
    pub(super) doubts: JoinSet<(Record, Option<Origin>)>,
    /// What the handlers of records said that failed, for a dead letter.
    pub(super) said: HashMap<WorkId, Arc<str>>,
    /// Limits the lines about records that could not be read as they are.
    pub(super) log: Limiter,
    pub(super) sources: SourceCheck,
    /// Records that an operator skips, and where the answers go.
    skips: Vec<(WorkId, SkipAnswer)>,
    assigned: Vec<Assignment>,
    /// What the observer saw last of the store and of Kafka, and when to look at them again.
    health: Option<StoreHealth>,
    clients: Option<KafkaClients>,
    look_at: Duration,
    /// When the last turn of the loop began.
    turned_at: Duration,
    /// Records for which there is no room yet; none are taken from the source meanwhile.
    held_back: Option<Batch>,
    /// Records whose handler ended.
    done: Vec<Answer>,
    /// The memory of the ones before.
    spare: Vec<Answer>,
    actions: Vec<Action>,
    /// What the source is still to be told, in order.
    for_source: Vec<Action>,
    finished: bool,
}

impl<C: Call> Driver<C> {
    pub(super) fn new(parts: Parts, handler: C, source: Source) -> Self {
        let batches = Batches::new(&parts.store, MAX_BATCH);
        let calls = Calls::new(handler, parts.handler_time_limit);
        Self {
            keeps_details: parts.store.keeps_details(),
            parts,
            start: Instant::now(),
            source,
            batches,
            calls,
            copies: JoinSet::new(),
            doubts: JoinSet::new(),
            said: HashMap::new(),
            log: Limiter::new(LOG_INTERVAL),
            sources: SourceCheck::default(),
            skips: Vec::new(),
            assigned: Vec::new(),
            health: None,
            clients: None,
            look_at: Duration::ZERO,
            turned_at: Duration::ZERO,
            held_back: None,
            done: Vec::new(),
            spare: Vec::new(),
            actions: Vec::new(),
            for_source: Vec::new(),
            finished: false,
        }
    }

    /// Runs until the engine has finished after `drain` or `at_once`, or the source failed for good.
    pub(super) async fn run(
        mut self,
        mut events: SourceEvents,
        mut attached: Attached,
        drain: impl Future<Output = ()>,
        at_once: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let (mut drain, mut at_once) = (pin!(drain), pin!(at_once));
        let (mut ending, mut hurried) = (false, false);
        let mut failure = None;
        while !self.finished {
            self.flush().await;
            let now = self.now();
            self.notice_standstill(now);
            let mut tick = self.parts.engine.next_tick();
            if tick.is_some_and(|at| at <= now) {
                // Before anything else: a busy channel must not keep leases from being renewed.
                self.step(Event::Tick);
                continue;
            }
            if self.look_at <= now {
                self.look_around(now);
            }
            if self.take_done() && self.done.is_empty() {
                // What follows from them comes first.
                continue;
            }
            if let Some(batch) = self.held_back.take_if(|batch| self.parts.engine.admits(now, &batch.assignment)) {
                self.records(batch);
                continue;
            }
            if self.held_back.is_some() {
                // It may have been refused just now, and is not to wait for ever.
                tick = self.parts.engine.next_tick();
            }
            let wake = self.start + tick.map_or(self.look_at, |tick| tick.min(self.look_at));
            tokio::select! {
                biased;
                event = events.control.recv() => match event {
                    Some(SourceEvent::Failed(error)) => {
                        failure.get_or_insert(RunError::Source(error));
                        let lost = std::mem::take(&mut self.assigned);
                        self.step(Event::Lost(lost));
                        self.shut_down();
                        ending = true;
                    }
                    Some(event) => self.source_event(event),
                    None => {
                        failure.get_or_insert(RunError::Source(SourceError::Thread { reason: "it ended by itself".to_owned() }));
                        break;
                    }
                },
                () = &mut at_once, if !hurried => {
                    (ending, hurried) = (true, true);
                    self.step(Event::Shutdown { deadline: now + MOMENT });
                }
                () = &mut drain, if !ending => {
                    ending = true;
                    self.shut_down();
                }
                asked = attached.next() => self.asked(asked),
                answered = self.batches.next() => self.answered(answered),
                Some(ended) = self.calls.next(), if !self.calls.is_empty() => self.calls_ended(ended),
                Some(copied) = self.copies.join_next(), if !self.copies.is_empty() => self.copied(copied),
                Some(looked_up) = self.doubts.join_next(), if !self.doubts.is_empty() => self.doubt_looked_up(looked_up),
                Some(batch) = events.records.recv(), if self.held_back.is_none() => self.held_back = Some(batch),
                () = sleep_until(wake), if self.done.is_empty() => {}
                () = std::future::ready(()), if !self.done.is_empty() => {}
            }
        }
        drop(attached);
        self.flush().await;
        self.calls.shut_down().await;
        self.give_back().await;
        self.end_doubts().await;
        let Self { source, parts, .. } = self;
        let closed = tokio::select! {
            closed = source.close(parts.drain_limit) => closed,
            () = async {
                if !hurried {
                    at_once.await;
                }
                sleep(MOMENT).await;
            } => false,
        };
        if !closed {
            tracing::warn!("the source did not end in time; the group notices by the session timeout");
        }
        failure.map_or(Ok(()), Err)
    }

    /// Waits a moment for the answers to what was given back with the last turn: an answer may show a repeat.
    async fn give_back(&mut self) {
        let over = Instant::now() + MOMENT;
        while !self.batches.releases.is_idle()
            && let Ok(answered) = timeout_at(over, self.batches.next()).await
        {
            self.answered(answered);
        }
        let now = self.now();
        for record in self.parts.engine.unanswered_doubts(now) {
            self.parts.observer.on_possible_repeat(&record, None);
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Notices that the process stood still since the last turn, before anything else is blamed for that.
    fn notice_standstill(&mut self, now: Duration) {
        let gap = now.saturating_sub(std::mem::replace(&mut self.turned_at, now));
        if gap >= STOOD_STILL {
            tracing::warn!(
                ?gap,
                "this process did nothing for that long: it was stopped, or had no CPU, or a handler blocked its thread; \
                 leases may have run out meanwhile"
            );
            self.step(Event::StoodStill(gap));
        }
    }

    fn look_around(&mut self, now: Duration) {
        self.look_at = now + LOOK_INTERVAL;
        let engine = &self.parts.engine;
        self.calls.forget_ended(64 + 2 * engine.exposed(), |work| engine.knows(work));
        let clients = self.parts.kafka.look();
        if self.clients.as_ref() != Some(&clients) {
            self.parts.observer.on_kafka_health(&clients);
            self.clients = Some(clients);
        }
        let health = self.parts.store.health();
        if self.health.as_ref() != Some(&health) {
            self.parts.observer.on_store_health(&health);
            let (refused, refuses) = (self.health.as_ref().is_some_and(StoreHealth::refuses), health.refuses());
            self.health = Some(health);
            if refused != refuses {
                self.step(Event::StoreRefuses(refuses));
            }
        }
    }

    pub(super) fn step(&mut self, event: Event) {
        self.turn([event]);
    }

    /// Hands events to the engine, and does what it wants done.
    pub(super) fn turn(&mut self, events: impl IntoIterator<Item = Event>) {
        let now = self.now();
        let mut actions = std::mem::take(&mut self.actions);
        self.parts.engine.turn(now, events, &mut actions);
        for action in actions.drain(..) {
            self.act(action, now);
        }
        self.actions = actions;
    }

    fn shut_down(&mut self) {
        let deadline = self.now() + self.parts.drain_limit;
        self.step(Event::Shutdown { deadline });
    }

    fn asked(&mut self, asked: Asked) {
        match asked {
            Asked::Paused(true) => self.step(Event::Pause),
            Asked::Paused(false) => self.step(Event::Resume),
            Asked::Question(question) => self.answer(question),
        }
    }

    /// Answers a question. The caller may have given up.
    fn answer(&mut self, question: Question) {
        let now = self.now();
        match question {
            Question::States(answer) => drop(answer.send(self.parts.engine.states(now))),
            Question::Retry(partition, answer) => {
                let stopped = |state: &PartitionState| {
                    partition.as_ref().is_none_or(|partition| *partition == state.partition)
                        && matches!(&state.phase, PartitionPhase::Stopped(stop) if stop.cause != StopCause::Log)
                };
                let states = self.parts.engine.states(now).into_iter().filter(stopped).collect();
                self.step(Event::Retry(partition));
                drop(answer.send(states));
            }
            Question::Skippable(partition, offset, answer) => {
                drop(answer.send(self.parts.engine.skippable(&partition, offset, now)));
            }
            Question::Skip(partition, offset, answer) => match self.parts.engine.skippable(&partition, offset, now) {
                Ok(Skippable { work, .. }) => {
                    self.skips.push((work, answer));
                    self.step(Event::Skip { work });
                }
                Err(refused) => drop(answer.send(Err(refused))),
            },
            Question::Forgot(ids, answer) => {
                self.step(Event::Forgot(ids));
                answer.send(()).ok();
            }
        }
    }

    fn skip_ended(&mut self, work: WorkId, outcome: Option<Outcome>) {
        if let Some(at) = self.skips.iter().position(|(skipped, _)| *skipped == work) {
            let (_, answer) = self.skips.swap_remove(at);
            drop(answer.send(outcome.ok_or(SkipRefused::GivenUp)));
        }
    }

    fn source_event(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Assigned(assignments) => {
                self.assigned.extend(assignments.iter().cloned());
                self.step(Event::Assigned(assignments));
            }
            SourceEvent::RevokeRequested(assignments) => {
                self.assigned.retain(|assigned| !assignments.contains(assigned));
                let deadline = self.now() + self.parts.drain_limit;
                self.step(Event::RevokeRequested { assignments, deadline });
            }
            SourceEvent::Lost(assignments) => {
                self.assigned.retain(|assigned| !assignments.contains(assigned));
                self.step(Event::Lost(assignments));
            }
            SourceEvent::Committed { assignment, offset, result } => {
                self.step(Event::Committed { assignment, offset, result });
            }
            // Taken care of in `run`.
            SourceEvent::Failed(_) => {}
        }
    }

    fn answered(&mut self, answered: Answered<Tag>) {
        match answered {
            Answered::Claims(answers) => self.turn(answers.into_iter().map(|(tag, result)| {
                let Tag { work, token, sent_at } = tag;
                if let Ok(ClaimOutcome::Claimed { .. }) = result {
                    failpoint::pass(Point::AfterClaim);
                }
                Event::Claimed { work, token, sent_at, result }
            })),
            Answered::Completions(answers) => self.turn(answers.into_iter().map(|(tag, result)| {
                if result.is_ok() {
                    failpoint::pass(Point::AfterComplete);
                }
                Event::Completed { work: tag.work, result }
            })),
            Answered::Renewals(answers) => self.turn(answers.into_iter().map(|(tag, result)| {
                let Tag { work, token, sent_at } = tag;
                Event::Renewed { work, token, sent_at, result }
            })),
            Answered::Releases(answers) => {
                self.turn(answers.into_iter().map(|(tag, result)| Event::Released { token: tag.token, result }));
            }
            Answered::Notes(answers) => self.turn(answers.into_iter().map(|(tag, result)| {
                let Tag { work, token, sent_at } = tag;
                Event::GaveUp { work, token, sent_at, result }
            })),
        }
    }

    /// Takes the end of a call, and of all that have ended by now.
    fn calls_ended(&mut self, ended: Ended) {
        let mut ended = Some(ended);
        for _ in 0..MAX_TURN {
            match ended.or_else(|| self.calls.try_next()) {
                Some(Ended::One(answer)) => self.done.push(answer),
                Some(Ended::Many(answers)) => self.done.extend(answers),
                None => break,
            }
            ended = None;
        }
        self.take_done();
    }

    /// Takes what handlers answered; returns whether there was anything.
    fn take_done(&mut self) -> bool {
        if self.done.is_empty() {
            return false;
        }
        // What is started by this turn and ends at once belongs to the next.
        let mut done = std::mem::replace(&mut self.done, std::mem::take(&mut self.spare));
        for (work, result) in &done {
            if let Err((failure, said)) = result {
                self.note_failure(*work, failure.kind, Arc::clone(said));
            }
        }
        self.turn(done.drain(..).map(|(work, result)| {
            let result = result.map_err(|(failure, _)| failure);
            Event::Handled { work, result }
        }));
        self.spare = done;
        true
    }

    fn act(&mut self, action: Action, now: Duration) {
        match action {
            Action::Claim { work, claim } => {
                failpoint::pass(Point::BeforeClaim);
                let tag = Tag { work, token: claim.lease.token, sent_at: now };
                self.batches.claims.push(tag, claim);
            }
            Action::Complete { work, completion } => {
                failpoint::pass(Point::BeforeComplete);
                if failpoint::planted(Planted::CommitBeforeComplete) {
                    return self.complete_later(work, completion);
                }
                let tag = Tag { work, token: completion.lease.token, sent_at: now };
                self.batches.complete(tag, completion, self.start + now);
            }
            Action::Renew { work, lease } => {
                self.batches.renewals.push(Tag { work, token: lease.token, sent_at: now }, lease);
            }
            Action::Release(release) => {
                let tag = Tag { work: WorkId(0), token: release.lease.token, sent_at: now };
                self.batches.releases.push(tag, release);
            }
            Action::Start(start) => self.done.extend(self.calls.start(start)),
            Action::StartBatch(starts) => self.calls.start_batch(starts),
            Action::GiveUp { work, note } => {
                self.batches.notes.push(Tag { work, token: note.lease.token, sent_at: now }, note);
            }
            Action::Publish { work, record, to, attempts } => self.publish(work, &record, &to, attempts),
            Action::Cancel { work } => self.calls.lease_lost(work),
            Action::ReportDoubt { record, fingerprint } => self.report_doubt(record, fingerprint),
            Action::SkipEnded { work, outcome } => self.skip_ended(work, outcome),
            Action::Finished => self.finished = true,
            source => self.for_source.push(source),
        }
    }

    /// The planted bug: the record settles at once, and its completion is sent seconds later.
    fn complete_later(&mut self, work: WorkId, completion: Completion) {
        let store = Arc::clone(&self.parts.store);
        tokio::spawn(async move {
            sleep(LATE).await;
            store.complete(vec![completion]).await
        });
        self.step(Event::Completed { work, result: Ok(CompletionOutcome::Recorded) });
    }

    /// Hands over what the source is to do. Its thread takes commands also while nobody reads its events, so this waits
    /// for no one who waits for us.
    async fn flush(&mut self) {
        for action in self.for_source.drain(..) {
            match action {
                Action::Commit { assignment, offset } => self.source.commit(assignment, offset).await,
                Action::Pause(assignment) => self.source.pause(assignment).await,
                Action::Resume(assignment) => self.source.resume(assignment).await,
                Action::RevokeDone(assignments) => self.source.revoke_done(assignments).await,
                // Taken care of in `act`.
                _ => {}
            }
        }
    }
}
