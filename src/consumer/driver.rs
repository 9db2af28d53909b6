//! The shell around the engine: one task that turns what happens into events and actions into deeds.
//!
//! It decides nothing. Handlers run as tasks of their own, round trips to the store overlap each other, and the source
//! has its own thread; this task only passes on.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::dedup::{Answered, Batches};
use crate::engine::{Action, Arrival, Assignment, Engine, Event, Identified, Start, WorkId};
use crate::error::RunError;
use crate::id::{Identification, Identifier, NoMessageId};
use crate::kafka::{Batch, Source, SourceError, SourceEvent, SourceEvents};
use crate::observe::{FailureKind, Observer};
use crate::record::Record;
use crate::store::{DoneCache, MessageDetails, Store, StoreHealth, Token};

use super::handler::{Attempt, Handler};

/// How many answers or records one turn of the loop takes from a channel before it looks at the others again.
const MAX_TURN: usize = 1024;

/// How often the store's state is looked at, which costs nothing: it is what was last seen.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What the driver needs beside the source and the handler.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) engine: Engine,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) identifier: Identifier,
    pub(super) store: Arc<dyn Store>,
    pub(super) cache: Option<DoneCache>,
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

pub(super) struct Driver<H> {
    parts: Parts,
    handler: Arc<H>,
    start: Instant,
    /// Whether the store keeps details of messages, which are computed only then.
    keeps_details: bool,
    source: Source,
    batches: Batches<Tag>,
    handlers: JoinSet<(WorkId, Result<(), FailureKind>)>,
    running: HashMap<WorkId, CancellationToken>,
    assigned: Vec<Assignment>,
    /// What the observer was told of the store, and when to look at it again.
    health: Option<StoreHealth>,
    look_at: Duration,
    /// Records for which there is no room yet; none are taken from the source meanwhile.
    held_back: Option<Batch>,
    actions: Vec<Action>,
    /// What the source is still to be told, in order.
    for_source: Vec<Action>,
    finished: bool,
}

impl<H: Handler> Driver<H> {
    pub(super) fn new(parts: Parts, handler: H, source: Source) -> Self {
        let batches = Batches::new(&parts.store);
        Self {
            keeps_details: parts.store.keeps_details(),
            parts,
            handler: Arc::new(handler),
            start: Instant::now(),
            source,
            batches,
            handlers: JoinSet::new(),
            running: HashMap::new(),
            assigned: Vec::new(),
            health: None,
            look_at: Duration::ZERO,
            held_back: None,
            actions: Vec::new(),
            for_source: Vec::new(),
            finished: false,
        }
    }

    /// Runs until the engine has finished after `shutdown`, or the source failed for good.
    pub(super) async fn run(
        mut self,
        mut events: SourceEvents,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let mut shutdown = pin!(shutdown);
        let mut ending = false;
        let mut failure = None;
        while !self.finished {
            self.flush().await;
            let tick = self.parts.engine.next_tick();
            let now = self.now();
            if tick.is_some_and(|at| at <= now) {
                // Before anything else: a busy channel must not keep leases from being renewed.
                self.step(Event::Tick);
                continue;
            }
            if self.look_at <= now {
                self.look_at_store(now);
            }
            if let Some(batch) = self.held_back.take_if(|batch| self.parts.engine.admits(now, &batch.assignment)) {
                self.records(batch);
                continue;
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
                () = &mut shutdown, if !ending => {
                    ending = true;
                    self.shut_down();
                }
                answered = self.batches.next() => self.answered(answered),
                Some(ended) = self.handlers.join_next(), if !self.handlers.is_empty() => {
                    self.handler_ended(ended);
                    for _ in 0..MAX_TURN {
                        match self.handlers.try_join_next() {
                            Some(ended) => self.handler_ended(ended),
                            None => break,
                        }
                    }
                }
                Some(batch) = events.records.recv(), if self.held_back.is_none() => self.held_back = Some(batch),
                () = sleep_until(wake) => {}
            }
        }
        self.flush().await;
        self.handlers.shutdown().await;
        if !self.source.close(self.parts.drain_limit).await {
            tracing::warn!("the source did not end in time; the group notices by the session timeout");
        }
        failure.map_or(Ok(()), Err)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn look_at_store(&mut self, now: Duration) {
        self.look_at = now + LOOK_INTERVAL;
        let health = self.parts.store.health();
        if self.health.as_ref() != Some(&health) {
            self.parts.observer.on_store_health(&health);
            self.health = Some(health);
        }
    }

    fn step(&mut self, event: Event) {
        let now = self.now();
        let mut actions = std::mem::take(&mut self.actions);
        self.parts.engine.step(now, event, &mut actions);
        for action in actions.drain(..) {
            self.act(action, now);
        }
        self.actions = actions;
    }

    fn shut_down(&mut self) {
        let deadline = self.now() + self.parts.drain_limit;
        self.step(Event::Shutdown { deadline });
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

    fn records(&mut self, batch: Batch) {
        let arrivals = batch.records.into_iter().map(|record| self.identify(record)).collect();
        self.step(Event::Records { assignment: batch.assignment, arrivals });
    }

    fn identify(&self, record: Record) -> Arrival {
        let identified = match self.parts.identifier.identify(&record) {
            Identification::Id { fingerprint, identity } => match &self.parts.cache {
                Some(cache) if cache.contains(&fingerprint) => Identified::Cached(fingerprint),
                _ => {
                    let details = || Arc::new(MessageDetails::of_record(&identity, &record));
                    Identified::Id { fingerprint, message: self.keeps_details.then(details) }
                }
            },
            Identification::Process => Identified::Process,
            Identification::Stop(problem) => {
                Identified::Stop(Box::new(NoMessageId { origin: record.origin(), problem }))
            }
        };
        Arrival { record, identified }
    }

    fn answered(&mut self, answered: Answered<Tag>) {
        match answered {
            Answered::Claims(answers) => answers.into_iter().for_each(|(tag, result)| {
                let Tag { work, token, sent_at } = tag;
                self.step(Event::Claimed { work, token, sent_at, result });
            }),
            Answered::Completions(answers) => answers.into_iter().for_each(|(tag, result)| {
                self.step(Event::Completed { work: tag.work, result });
            }),
            Answered::Renewals(answers) => answers.into_iter().for_each(|(tag, result)| {
                let Tag { work, token, sent_at } = tag;
                self.step(Event::Renewed { work, token, sent_at, result });
            }),
            Answered::Releases(answers) => answers.into_iter().for_each(|(tag, result)| {
                self.step(Event::Released { token: tag.token, result });
            }),
        }
    }

    fn handler_ended(&mut self, ended: Result<(WorkId, Result<(), FailureKind>), tokio::task::JoinError>) {
        // A panic is caught inside of the task, and nobody aborts one before the end.
        let Ok((work, result)) = ended else { return };
        self.running.remove(&work);
        self.step(Event::Handled { work, result });
    }

    fn act(&mut self, action: Action, now: Duration) {
        match action {
            Action::Claim { work, claim } => {
                let tag = Tag { work, token: claim.lease.token, sent_at: now };
                self.batches.claims.push(tag, claim);
            }
            Action::Complete { work, completion } => {
                let tag = Tag { work, token: completion.lease.token, sent_at: now };
                self.batches.complete(tag, completion);
            }
            Action::Renew { work, lease } => {
                self.batches.renewals.push(Tag { work, token: lease.token, sent_at: now }, lease);
            }
            Action::Release(release) => {
                let tag = Tag { work: WorkId(0), token: release.lease.token, sent_at: now };
                self.batches.releases.push(tag, release);
            }
            Action::Start(Start { work, record, attempt }) => self.start(work, record, attempt),
            Action::StartBatch(_) => {}
            Action::Cancel { work } => {
                if let Some(lease_lost) = self.running.get(&work) {
                    lease_lost.cancel();
                }
            }
            Action::Finished => self.finished = true,
            source => self.for_source.push(source),
        }
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

    /// Starts a handler as a task of its own, so that a slow or a busy one holds up nobody else.
    fn start(&mut self, work: WorkId, record: Record, number: u32) {
        let lease_lost = CancellationToken::new();
        self.running.insert(work, lease_lost.clone());
        let (handler, limit) = (Arc::clone(&self.handler), self.parts.handler_time_limit);
        self.handlers.spawn(async move {
            let origin = record.origin();
            // All that is the user's runs inside, the drop of a handler that took too long included: a task that
            // panicked could not tell which record it was, and its partition would stand still without a word.
            let attempt = AssertUnwindSafe(async {
                match timeout(limit, handler.handle(record, Attempt { number, lease_lost })).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(failure)) => {
                        let kind = failure.kind();
                        tracing::warn!(%origin, attempt = number, ?kind, error = %failure, "the handler failed");
                        Err(kind)
                    }
                    Err(_elapsed) => {
                        tracing::warn!(%origin, attempt = number, ?limit, "the handler exceeded its time limit");
                        Err(FailureKind::TimedOut)
                    }
                }
            });
            let result = attempt.catch_unwind().await.unwrap_or_else(|_panic| {
                tracing::warn!(%origin, attempt = number, "the handler panicked");
                Err(FailureKind::Panicked)
            });
            (work, result)
        });
    }
}
