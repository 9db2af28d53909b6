//! The handle that the rest of the process holds of the poll thread.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::engine::Assignment;
use crate::observe::CommitRefused;
use crate::record::{Offset, Record};

use super::context::Context;
use super::{KafkaSettings, KafkaWatch, Publisher, SourceError, thread};

/// How many commands may wait for the poll thread, which takes them at once unless it is inside librdkafka.
const COMMANDS: usize = 256;
/// How many control events may wait for the driver. More wait inside the poll thread, which never waits for room here:
/// at most one for each command and each change of the assignment.
const CONTROL: usize = 64;
/// How many batches may wait for the driver: each holds at most 512 records and about 1 MiB.
const BATCHES: usize = 16;

/// What happened to the assignment, or to a commit.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceEvent {
    /// Partitions were assigned; their records follow. The next record of each is the one after the last committed.
    Assigned(Vec<Assignment>),
    /// The group wants partitions back: let what runs end, commit, then call [`Source::revoke_done`]. No records of
    /// them follow. After the drain limit and a margin they are given back anyway.
    RevokeRequested(Vec<Assignment>),
    /// Partitions are gone: nothing of them can be committed.
    Lost(Vec<Assignment>),
    /// A [`commit`](Source::commit) was answered. Every commit is answered once, unless the source ends before.
    Committed {
        /// Which assignment.
        assignment: Assignment,
        /// The offset that was to be committed.
        offset: Offset,
        /// The answer; an error says why nothing was committed.
        result: Result<(), CommitRefused>,
    },
    /// The consumer cannot go on: no records follow. Sent once. Commits may still be tried; then close the source.
    Failed(SourceError),
}

/// Records of one assignment, in the order of their offsets.
#[derive(Debug)]
pub struct Batch {
    /// Which assignment delivered them.
    pub assignment: Assignment,
    /// The records, at least one.
    pub records: Vec<Record>,
}

/// What the source has to tell.
///
/// Read `control` first whenever both have something: an assignment is announced there before its first batch is put
/// into `records`. Keep reading both until the source is closed. When either is dropped, the source ends as by
/// [`Source::abandon`].
#[derive(Debug)]
pub struct SourceEvents {
    /// Changes of the assignment, and answers to commits.
    pub control: mpsc::Receiver<SourceEvent>,
    /// Records. While nobody takes them the source holds back, and pauses its partitions.
    pub records: mpsc::Receiver<Batch>,
}

/// What the poll thread is asked to do.
pub(super) enum Command {
    Commit(Assignment, Offset),
    Pause(Assignment),
    Resume(Assignment),
    RevokeDone(Vec<Assignment>),
    Close {
        limit: Duration,
        closed: oneshot::Sender<bool>,
    },
    /// Keeps the poll thread from polling, as a process does that the operating system stopped.
    #[cfg(test)]
    Freeze(Duration),
    #[cfg(test)]
    Inspect(oneshot::Sender<Inspection>),
}

/// What only the poll thread knows.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Inspection {
    pub(super) stalled: bool,
    pub(super) longest_gap: Duration,
}

/// The thread's ends of what it shares with the handle.
pub(super) struct Ends {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) control: mpsc::Sender<SourceEvent>,
    pub(super) records: mpsc::Sender<Batch>,
    pub(super) wake: Arc<Notify>,
}

/// A running Kafka consumer. See the [module](super) for how it works.
///
/// The methods only hand a command to the poll thread. Once that has ended they do nothing; both channels of
/// [`SourceEvents`] are closed then. A source that is dropped ends as by [`abandon`](Self::abandon).
pub struct Source {
    commands: mpsc::Sender<Command>,
    context: Arc<Context>,
}

impl Source {
    /// Checks the settings, connects, checks that brokers answer and that the topics exist, joins the group and starts
    /// the poll thread.
    ///
    /// # Errors
    /// [`SourceError::Setting`] and [`Refused`](SourceError::Refused) for settings that cannot work,
    /// [`Unreachable`](SourceError::Unreachable) (retryable), [`UnknownTopic`](SourceError::UnknownTopic),
    /// [`Denied`](SourceError::Denied), [`Thread`](SourceError::Thread).
    ///
    /// # Cancel safety
    /// Dropping the future ends the thread before it joins the group.
    pub async fn start(settings: KafkaSettings) -> Result<(Self, SourceEvents), SourceError> {
        let (commands, command_end) = mpsc::channel(COMMANDS);
        let (control_end, control) = mpsc::channel(CONTROL);
        let (records_end, records) = mpsc::channel(BATCHES);
        let (started, answer) = oneshot::channel();
        let ends =
            Ends { commands: command_end, control: control_end, records: records_end, wake: Arc::new(Notify::new()) };
        thread::spawn(settings, ends, started)?;
        match answer.await {
            Ok(Ok(context)) => Ok((Self { commands, context }, SourceEvents { control, records })),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(SourceError::Thread { reason: "it ended before it had started".to_owned() }),
        }
    }

    /// A look at this source's client, and at the one that writes copies where there is one.
    pub fn watch(&self, producer: Option<Publisher>) -> KafkaWatch {
        KafkaWatch::new(Arc::clone(&self.context), producer)
    }

    /// Commits `offset` as the next one to read; answered by [`SourceEvent::Committed`]. Refused for an assignment
    /// that is over, and for an offset before one that this assignment committed already.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have handed the command over.
    pub async fn commit(&self, assignment: Assignment, offset: Offset) {
        self.send(Command::Commit(assignment, offset)).await;
    }

    /// Stops delivering records of a partition; some may still be on their way.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have handed the command over.
    pub async fn pause(&self, assignment: Assignment) {
        self.send(Command::Pause(assignment)).await;
    }

    /// Delivers records of a partition again, from where they stopped.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have handed the command over.
    pub async fn resume(&self, assignment: Assignment) {
        self.send(Command::Resume(assignment)).await;
    }

    /// Answers [`SourceEvent::RevokeRequested`]: the partitions may be given back once the commits asked for before
    /// were answered. The group gets them when this was said of all that were asked for.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have handed the command over.
    pub async fn revoke_done(&self, assignments: Vec<Assignment>) {
        self.send(Command::RevokeDone(assignments)).await;
    }

    /// Waits for the commits under way, leaves the group and ends. Returns whether that was done within `limit`; where
    /// not, as when no broker answers, the thread is left to itself, and the group notices by the session timeout.
    ///
    /// # Cancel safety
    /// A dropped future leaves the source closing, or ends it as by [`abandon`](Self::abandon).
    pub async fn close(self, limit: Duration) -> bool {
        let closing = async {
            let (closed, answer) = oneshot::channel();
            self.send(Command::Close { limit, closed }).await;
            answer.await.unwrap_or(false)
        };
        tokio::time::timeout(limit, closing).await.unwrap_or(false)
    }

    /// Ends at once, as a crash would: nothing more is committed and nobody is told. The consumer leaves the group, so
    /// that another one takes over without waiting for the session timeout.
    pub fn abandon(self) {
        // The thread sees that the channel is closed before it acts on what may still be in it.
        drop(self);
    }

    #[cfg(test)]
    pub(super) async fn freeze(&self, time: Duration) {
        self.send(Command::Freeze(time)).await;
    }

    #[cfg(test)]
    pub(super) async fn commands_closed(&self) {
        self.commands.closed().await;
    }

    #[cfg(test)]
    pub(super) async fn inspect(&self) -> Inspection {
        let (told, answer) = oneshot::channel();
        self.send(Command::Inspect(told)).await;
        answer.await.expect("the poll thread answers")
    }

    async fn send(&self, command: Command) {
        // An error says that the thread has ended, which the closed channels of the events tell the driver.
        self.commands.send(command).await.ok();
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("ended", &self.commands.is_closed()).finish_non_exhaustive()
    }
}
