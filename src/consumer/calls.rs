//! Calls of the handler: each runs as a task of its own, so that a slow or a busy one holds up nobody else; one that ends
//! at its first poll needs none (`inline`).

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_util::sync::ReusableBoxFuture;

use super::handler::{Attempt, BatchHandler, Failure, Handler};
use super::inline::Pace;
use super::lost_leases::LostLeases;
use crate::engine::{HandlerFailure, Start, WorkId};
use crate::failpoint::{self, Point};
use crate::observe::FailureKind;
use crate::record::{Origin, Record};
use crate::telemetry::Limiter;

/// How often a failure of one kind is logged per topic at most.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// How an attempt failed, and what its handler said.
pub(super) type Failed = (HandlerFailure, Arc<str>);

/// What became of a record.
pub(super) type Answer = (WorkId, Result<(), Failed>);

/// How a call ended.
#[derive(Debug)]
pub(super) enum Ended {
    One(Answer),
    Many(Vec<Answer>),
}

/// A handler of any kind, called with the records that the engine wants handled together.
pub(super) trait Call: Send + Sync + 'static {
    /// Calls it; one answer for each record, in their order.
    fn call(&self, records: Vec<(Record, Attempt)>) -> impl Future<Output = Vec<Result<(), Failure>>> + Send;

    /// Calls it with one record.
    fn call_one(&self, record: Record, attempt: Attempt) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A [`Handler`], which takes one record.
#[derive(Debug)]
pub(super) struct OneByOne<H>(pub(super) H);

impl<H: Handler> Call for OneByOne<H> {
    async fn call(&self, records: Vec<(Record, Attempt)>) -> Vec<Result<(), Failure>> {
        let mut answers = Vec::with_capacity(records.len());
        for (record, attempt) in records {
            answers.push(self.0.handle(record, attempt).await);
        }
        answers
    }

    fn call_one(&self, record: Record, attempt: Attempt) -> impl Future<Output = Result<(), Failure>> + Send {
        self.0.handle(record, attempt)
    }
}

/// A [`BatchHandler`], which takes many.
#[derive(Debug)]
pub(super) struct Together<H>(pub(super) H);

impl<H: BatchHandler> Call for Together<H> {
    fn call(&self, records: Vec<(Record, Attempt)>) -> impl Future<Output = Vec<Result<(), Failure>>> + Send {
        self.0.handle(records)
    }

    async fn call_one(&self, record: Record, attempt: Attempt) -> Result<(), Failure> {
        let answers = self.0.handle(vec![(record, attempt)]).await;
        answers.into_iter().next().unwrap_or_else(|| Err(no_answer()))
    }
}

/// The calls under way.
#[derive(Debug)]
pub(super) struct Calls<C> {
    handler: Arc<C>,
    limit: Duration,
    tasks: JoinSet<Ended>,
    leases: LostLeases,
    log: Arc<Limiter>,
    pace: Pace,
    /// The memory of a call that ended at its first poll, for the next one.
    spare: Option<ReusableBoxFuture<'static, Caught>>,
}

/// The end of a call with one record: a panic, or the handler's answer.
type Caught = Result<Result<(), Failure>, Box<dyn Any + Send>>;

impl<C: Call> Calls<C> {
    pub(super) fn new(handler: C, limit: Duration) -> Self {
        let (handler, log) = (Arc::new(handler), Arc::new(Limiter::new(LOG_INTERVAL)));
        Self {
            handler,
            limit,
            tasks: JoinSet::new(),
            leases: LostLeases::default(),
            log,
            pace: Pace::default(),
            spare: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits for the end of a call; `None` where there is none.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn next(&mut self) -> Option<Ended> {
        let ended = self.tasks.join_next().await?;
        Some(self.left(ended))
    }

    /// The end of a call that has ended already.
    pub(super) fn try_next(&mut self) -> Option<Ended> {
        let ended = self.tasks.try_join_next()?;
        Some(self.left(ended))
    }

    fn left(&mut self, ended: Result<Ended, JoinError>) -> Ended {
        // A panic is caught inside of the task, and nobody aborts one before the end.
        let ended = ended.unwrap_or(Ended::Many(Vec::new()));
        let answers = match &ended {
            Ended::One(answer) => std::slice::from_ref(answer),
            Ended::Many(answers) => answers.as_slice(),
        };
        for (work, _) in answers {
            self.leases.end(*work);
        }
        ended
    }

    /// Tells the handler of a record that its lease could not be renewed in time.
    pub(super) fn lease_lost(&self, work: WorkId) {
        self.leases.lose(work);
    }

    /// Forgets tokens of attempts that have ended, if there are more than so many.
    pub(super) fn forget_ended(&self, bound: usize, runs: impl Fn(WorkId) -> bool) {
        self.leases.retain(bound, runs);
    }

    /// Ends all calls, wherever they are.
    pub(super) async fn shut_down(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Calls the handler with one record; the answer where it has one at once.
    ///
    /// A handler that ends at its first poll needs no task, which costs more than such a handler. One that takes long
    /// to come to its first await would hold up everybody: see [`Pace`].
    pub(super) fn start(&mut self, Start { work, record, attempt: number, fingerprint }: Start) -> Option<Answer> {
        let attempt = Attempt::of(work, number, fingerprint, self.leases.clone());
        let (handler, limit, log, origin) =
            (Arc::clone(&self.handler), self.limit, Arc::clone(&self.log), record.origin());
        // All that is the user's runs inside, the drop of a handler that took too long included: a task that panicked
        // could not tell which record it was, and its partition would stand still without a word.
        let call = async move {
            failpoint::pass(Point::BeforeHandler);
            let answer = handler.call_one(record, attempt).await;
            failpoint::pass(Point::AfterHandler);
            answer
        };
        let call = AssertUnwindSafe(call).catch_unwind();
        let mut call = match self.spare.take() {
            Some(mut spare) => {
                spare.set(call);
                spare
            }
            None => ReusableBoxFuture::new(call),
        };
        let read = move |answer: Caught| {
            let answer = match answer {
                Ok(answer) => answer,
                Err(_panic) => Err(panicked()),
            };
            (work, answer.map_err(|failure| tell(&log, &origin, number, failure)))
        };
        if self.pace.tries_at_once() {
            let begun = Instant::now();
            let answer = (&mut call).now_or_never();
            self.pace.took(begun.elapsed());
            if let Some(answer) = answer {
                self.spare = Some(call);
                self.leases.end(work);
                return Some(read(answer));
            }
        }
        self.tasks.spawn(async move {
            let answer = timeout(limit, &mut call).await.unwrap_or_else(|_elapsed| {
                // The drop of what took too long is the user's, too.
                catch_unwind(AssertUnwindSafe(|| drop(call))).map(|()| Err(timed_out(limit)))
            });
            Ended::One(read(answer))
        });
        None
    }

    /// Calls the handler with many records. One that it gives no answer for is tried again.
    pub(super) fn start_batch(&mut self, starts: Vec<Start>) {
        let mut who = Vec::with_capacity(starts.len());
        let mut records = Vec::with_capacity(starts.len());
        for Start { work, record, attempt: number, fingerprint } in starts {
            who.push((work, record.origin(), number));
            records.push((record, Attempt::of(work, number, fingerprint, self.leases.clone())));
        }
        let (handler, limit, log) = (Arc::clone(&self.handler), self.limit, Arc::clone(&self.log));
        self.tasks.spawn(async move {
            let answers = AssertUnwindSafe(async {
                failpoint::pass(Point::BeforeHandler);
                let answers = timeout(limit, handler.call(records)).await;
                failpoint::pass(Point::AfterHandler);
                answers
            });
            let (mut answers, missing): (_, fn(Duration) -> Failure) = match answers.catch_unwind().await {
                Ok(Ok(answers)) => (answers.into_iter(), |_| no_answer()),
                Ok(Err(_elapsed)) => (Vec::new().into_iter(), timed_out),
                Err(_panic) => (Vec::new().into_iter(), |_| panicked()),
            };
            let answered = who.into_iter().map(|(work, origin, number)| {
                let answer = answers.next().unwrap_or_else(|| Err(missing(limit)));
                (work, answer.map_err(|failure| tell(&log, &origin, number, failure)))
            });
            Ended::Many(answered.collect())
        });
    }
}

fn no_answer() -> Failure {
    Failure::retryable("the handler gave fewer answers than it was given records")
}

fn timed_out(limit: Duration) -> Failure {
    Failure::of_kind(FailureKind::TimedOut, format!("the handler exceeded its time limit of {limit:?}"))
}

fn panicked() -> Failure {
    Failure::of_kind(FailureKind::Panicked, "the handler panicked")
}

/// Logs a failure, with the others of its kind left out.
fn tell(log: &Limiter, origin: &Origin, attempt: u32, failure: Failure) -> Failed {
    let (kind, said) = (failure.kind(), failure.to_string());
    if kind == FailureKind::Skip {
        tracing::debug!(%origin, reason = said, "the handler skips a record");
    } else if let Some(suppressed) = log.admit(tracing::Level::WARN, kind_name(kind), origin.partition.topic()) {
        tracing::warn!(%origin, attempt, ?kind, error = said, suppressed, "the handler failed");
    }
    (failure.for_engine(), said.into())
}

fn kind_name(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Retryable => "retryable",
        FailureKind::Fatal => "fatal",
        FailureKind::Skip => "skip",
        FailureKind::Unavailable => "unavailable",
        FailureKind::Panicked => "panicked",
        FailureKind::TimedOut => "timed out",
    }
}
