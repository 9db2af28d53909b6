//! The thread that owns the consumer: its start, its loop, its end.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::context::{Context, reason_of};
use super::poller::Poller;
use super::source::{Command, Ends, SourceEvent};
use super::{KafkaSettings, SourceError, start};

/// How long the loop rests at most. Records, callbacks and commands wake it at once; this is the net under them.
const REST: Duration = Duration::from_millis(100);
/// How long the hand-over may be stuck before the partitions are paused. Shorter hold-ups are cheaper to sit out, since
/// a pause throws away what was fetched ahead. Together with the work of one round it stays below the second within
/// which the consumer is polled whatever happens.
pub(super) const STALL: Duration = Duration::from_millis(500);
/// How long an end waits for commits that are under way.
const LAST_COMMITS: Duration = Duration::from_secs(3);
/// How long an abandoned consumer may take to leave its group.
const LEAVE: Duration = Duration::from_secs(5);

/// Starts the thread; `started` tells when the consumer is known to work.
pub(super) fn spawn(
    settings: KafkaSettings,
    ends: Ends,
    started: oneshot::Sender<Result<Arc<Context>, SourceError>>,
) -> Result<(), SourceError> {
    let spawned =
        std::thread::Builder::new().name("hapax-kafka".to_owned()).spawn(move || run(settings, ends, started));
    // Nobody joins it: the end of a consumer may hang for as long as no broker answers.
    spawned.map(drop).map_err(|error| SourceError::Thread { reason: error.to_string() })
}

fn run(settings: KafkaSettings, ends: Ends, started: oneshot::Sender<Result<Arc<Context>, SourceError>>) {
    // Its own runtime: the waits below need timers, and must not depend on how the caller's runtime is driven.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            started.send(Err(SourceError::Thread { reason: error.to_string() })).ok();
            return;
        }
    };
    let opened = open(&settings, &ends, &started);
    let (consumer, poller) = match opened.and_then(|consumer| {
        let poller = Poller::new(consumer.clone(), &settings, ends)?;
        Ok((consumer, poller))
    }) {
        Ok(opened) => opened,
        Err(error) => {
            started.send(Err(error)).ok();
            return;
        }
    };
    let topics: Vec<_> = settings.topics.iter().map(String::as_str).collect();
    if let Err(error) = consumer.subscribe(&topics) {
        started.send(Err(SourceError::Refused { reason: reason_of(&error) })).ok();
        return;
    }
    // Where nobody waits for the start any more, the handle is gone too, and the loop ends at once.
    started.send(Ok(Arc::clone(consumer.context()))).ok();
    drop(consumer);
    runtime.block_on(poller.run());
}

fn open(
    settings: &KafkaSettings,
    ends: &Ends,
    started: &oneshot::Sender<Result<Arc<Context>, SourceError>>,
) -> Result<Rc<BaseConsumer<Context>>, SourceError> {
    let mut consumer = start::create(settings)?;
    let wake = ends.wake.clone();
    // Called by librdkafka's threads whenever something comes into the empty queue: so neither a long poll nor short
    // ones are needed, and a record, a callback and a command each wake the loop at once.
    consumer.set_nonempty_callback(move || wake.notify_one());
    let poll = || drop(consumer.poll(Duration::ZERO));
    let topics = settings.topics.iter().map(String::as_str);
    start::check(consumer.client(), poll, settings, topics, "reading", || started.is_closed())?;
    Ok(Rc::new(consumer))
}

/// Why the loop ends.
enum End {
    /// Asked for, in order.
    Close { limit: Duration, closed: oneshot::Sender<bool> },
    /// The handle or a receiver is gone.
    Abandoned,
}

impl Poller {
    async fn run(mut self) {
        let end = loop {
            if let Some(end) = self.take_commands() {
                break end;
            }
            self.advance();
            self.hand_over();
            let more = self.may_poll() && self.poll_records();
            self.hand_over();
            if !more && let Some(end) = self.rest().await {
                break end;
            }
        };
        match end {
            End::Close { limit, closed } => {
                let done = self.close(limit, LAST_COMMITS).await;
                closed.send(done).ok();
            }
            End::Abandoned => {
                self.close(LEAVE, Duration::ZERO).await;
            }
        }
        // The consumer is dropped here. Where it could not leave its group that may take long, and nobody waits for it.
    }

    /// Takes all commands that wait, before any of them has an effect outside: where the handle was dropped behind
    /// them, they have none.
    fn take_commands(&mut self) -> Option<End> {
        loop {
            match self.ends.commands.try_recv() {
                Ok(command) => {
                    if let Some(end) = self.obey(command) {
                        return Some(end);
                    }
                }
                Err(tokio::sync::mpsc::error::TryRecvError::Empty) => return None,
                Err(tokio::sync::mpsc::error::TryRecvError::Disconnected) => return Some(End::Abandoned),
            }
        }
    }

    fn obey(&mut self, command: Command) -> Option<End> {
        match command {
            Command::Commit(assignment, offset) => self.ask_commit(assignment, offset),
            Command::Pause(assignment) => self.want_pause(&assignment, true),
            Command::Resume(assignment) => self.want_pause(&assignment, false),
            Command::RevokeDone(assignments) => self.revoke_done(&assignments),
            Command::Close { limit, closed } => return Some(End::Close { limit, closed }),
            #[cfg(test)]
            Command::Freeze(time) => std::thread::sleep(time),
            #[cfg(test)]
            Command::Inspect(told) => {
                told.send(super::source::Inspection { stalled: self.stalled, longest_gap: self.longest_gap }).ok();
            }
        }
        None
    }

    /// Waits for whatever comes first: room for what waits to be handed over, a command, something to poll, a deadline.
    async fn rest(&mut self) -> Option<End> {
        let now = Instant::now();
        let until = self.next_deadline().map_or(now + REST, |deadline| deadline.min(now + REST));
        let (telling, handing, polling) =
            (!self.outbox.is_empty(), self.outbox.is_empty() && !self.pending.is_empty(), self.may_poll());
        let command = tokio::select! {
            biased;
            room = self.ends.control.reserve(), if telling => {
                match (room, self.outbox.pop_front()) {
                    (Ok(room), Some(event)) => room.send(event),
                    (Ok(_), None) => {}
                    (Err(_), _) => return Some(End::Abandoned),
                }
                None
            }
            command = self.ends.commands.recv() => match command {
                Some(command) => Some(command),
                None => return Some(End::Abandoned),
            },
            room = self.ends.records.reserve(), if handing => {
                match (room, self.pending.pop_front()) {
                    (Ok(room), Some(batch)) => room.send(batch),
                    (Ok(_), None) => {}
                    (Err(_), _) => return Some(End::Abandoned),
                }
                None
            }
            () = self.ends.wake.notified(), if polling => None,
            () = tokio::time::sleep_until(until) => {
                if self.ends.control.is_closed() || self.ends.records.is_closed() {
                    return Some(End::Abandoned);
                }
                None
            }
        };
        command.and_then(|command| self.obey(command))
    }

    /// Waits up to `commits` for commits under way, then leaves the group. Returns whether both were done in `limit`.
    async fn close(&mut self, limit: Duration, commits: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let commit_deadline = Instant::now() + commits.min(limit / 2);
        while !self.commits.all_settled() && Instant::now() < commit_deadline {
            self.discarding = true;
            self.send_commits();
            self.poll_records();
            self.hand_over();
            self.doze().await;
        }
        let committed = commits.is_zero() || self.commits.all_settled();
        self.closing = true;
        self.let_go();
        match self.consumer.close_queue() {
            Ok(()) => {
                while !self.consumer.closed() && Instant::now() < deadline {
                    self.poll_records();
                    self.hand_over();
                    self.doze().await;
                }
            }
            Err(error) => tracing::warn!(%error, "the consumer cannot leave its group in order"),
        }
        let closed = self.consumer.closed();
        if !closed {
            tracing::warn!("no broker confirmed that the consumer left its group: the session timeout will end it");
        }
        // What nobody could be told before: the driver may still listen.
        self.hand_over();
        committed && closed
    }

    async fn doze(&self) {
        // Not every step of the end is announced in the queue.
        tokio::time::timeout(REST / 10, self.ends.wake.notified()).await.ok();
    }

    /// Gives the driver what there is room for: control events first, so that an assignment is always announced before
    /// its records.
    fn hand_over(&mut self) {
        while let Some(event) = self.outbox.pop_front() {
            if let Err(refused) = self.ends.control.try_send(event) {
                self.outbox.push_front(refused.into_inner());
                return;
            }
        }
        while let Some(batch) = self.pending.pop_front() {
            if let Err(refused) = self.ends.records.try_send(batch) {
                self.pending.push_front(refused.into_inner());
                return;
            }
        }
    }

    pub(super) fn tell(&mut self, event: SourceEvent) {
        self.outbox.push_back(event);
    }
}
