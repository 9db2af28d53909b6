//! Handlers: what has the effect, and how it says that it failed.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::dedup::DedupError;
use crate::engine::{HandlerFailure, WorkId};
use crate::error::causes;
use crate::id::Fingerprint;
use crate::observe::FailureKind;
use crate::record::Record;

use super::lost_leases::LostLeases;

/// What is known of an attempt beside its record.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Which attempt this is, from 1, as far as known across crashes and processes.
    pub number: u32,
    /// The fingerprint of the record's ID: the same for all attempts, redeliveries and copies of a message, so a key
    /// under which the effect can be made idempotent. A dead letter that was replayed has another one. `None` where the
    /// record is handled without an ID, by policy.
    pub fingerprint: Option<Fingerprint>,
    work: WorkId,
    leases: LostLeases,
}

impl Attempt {
    /// An attempt as the consumer makes them, for callers of a handler without a consumer, such as its tests.
    pub fn new(number: u32, fingerprint: Option<Fingerprint>) -> Self {
        Self::of(WorkId(0), number, fingerprint, LostLeases::default())
    }

    pub(super) fn of(work: WorkId, number: u32, fingerprint: Option<Fingerprint>, leases: LostLeases) -> Self {
        Self { number, fingerprint, work, leases }
    }

    /// A token that fires when the lease could not be renewed in time: another worker may take the record over. A handler
    /// that can still avoid its effect should then end with a failure; one that cannot should go on, its effect is
    /// recorded.
    pub fn lease_lost(&self) -> CancellationToken {
        self.leases.token(self.work)
    }
}

/// A handler of records. An async closure `Fn(Record) -> Result<(), E>` is one, for any error `E`.
///
/// The effect must have happened when the answer is `Ok`: the record's ID is then recorded as done.
///
/// # Cancel safety
///
/// The future is dropped when the attempt exceeds its time limit, and when the consumer ends before it does. The effect
/// may then have happened and happen again: keep what must not be half done behind one await.
pub trait Handler: Send + Sync + 'static {
    /// Has the effect of one record.
    fn handle(&self, record: Record, attempt: Attempt) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl<F, Fut, E> Handler for F
where
    F: Fn(Record) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send,
    E: Into<Failure>,
{
    fn handle(&self, record: Record, _: Attempt) -> impl Future<Output = Result<(), Failure>> + Send {
        let handling = self(record);
        async move { handling.await.map_err(Into::into) }
    }
}

/// A handler that takes many records at once, for [`Consumer::run_batches`](super::Consumer::run_batches): one insert
/// of many rows, one request with many entries.
///
/// It answers for each record, in the order in which they were given; one that it gives no answer for is tried again.
/// Records that are ordered among themselves are given in their order, and those that follow them come in a later call.
/// Where one fails and a later one of the same partition (or key) succeeds, the failed one is handled after it: a
/// handler that must not do that answers [`Failure::unavailable`] for all that follow the first failure.
///
/// # Cancel safety
///
/// As for a [`Handler`]; the time limit is that of the whole call.
pub trait BatchHandler: Send + Sync + 'static {
    /// Has the effects of the records.
    fn handle(&self, records: Vec<(Record, Attempt)>) -> impl Future<Output = Vec<Result<(), Failure>>> + Send;
}

impl<F, Fut> BatchHandler for F
where
    F: Fn(Vec<Record>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Vec<Result<(), Failure>>> + Send,
{
    fn handle(&self, records: Vec<(Record, Attempt)>) -> impl Future<Output = Vec<Result<(), Failure>>> + Send {
        self(records.into_iter().map(|(record, _)| record).collect())
    }
}

/// Makes a handler of a [`tower_service::Service`] of records, which is cloned for every record.
///
/// A [`DedupLayer`](crate::dedup::DedupLayer) may lie between, over another namespace than the consumer's: so the window,
/// the mode or the ID rule are changed ([how](crate::docs::guarantees)). Let the service's error be [`Failure`] then:
/// a record that is in flight in that namespace waits and counts no attempt, while the layer's error around any other
/// would be a failure like all others.
#[derive(Clone, Debug)]
pub struct ServiceHandler<S>(pub S);

impl<S> Handler for ServiceHandler<S>
where
    S: Service<Record> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<Failure>,
{
    async fn handle(&self, record: Record, _: Attempt) -> Result<(), Failure> {
        let mut service = self.0.clone();
        std::future::poll_fn(|context| service.poll_ready(context)).await.map_err(Into::into)?;
        service.call(record).await.map(drop).map_err(Into::into)
    }
}

/// How a handler failed, and so what follows.
///
/// Any error becomes a retryable failure with `?`.
pub struct Failure {
    kind: FailureKind,
    source: Box<dyn Error + Send + Sync>,
    after: Option<Duration>,
    answered: Option<Arc<str>>,
}

impl Failure {
    /// Try again, with back-off, up to the limit of attempts.
    pub fn retryable(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: FailureKind::Retryable, source: error.into(), after: None, answered: None }
    }

    /// Do not try again: the record can never be handled as it is.
    pub fn fatal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: FailureKind::Fatal, source: error.into(), after: None, answered: None }
    }

    /// What the handler needs is away: pause and try again, without counting an attempt.
    pub fn unavailable(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: FailureKind::Unavailable, source: error.into(), after: None, answered: None }
    }

    /// Skip the record, for that reason: its ID is recorded as done, so that its duplicates are dropped too, and the
    /// partition goes on. For a record that the handler understands and does not want; whatever else fails belongs to
    /// [`retryable`](Self::retryable) or [`fatal`](Self::fatal), or the message is lost.
    pub fn skip(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: FailureKind::Skip, source: reason.into(), after: None, answered: None }
    }

    pub(super) fn of_kind(kind: FailureKind, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, source: error.into(), after: None, answered: None }
    }

    /// Not before that time has passed, as a `Retry-After` asks for; at most an hour. The back-off may take longer. Where
    /// the record goes to a retry topic, that topic's delay counts alone.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = Some(delay);
        self
    }

    /// What the application answered, for operators: a stop of the partition shows it on the status page, in
    /// `/v1/status` and in the log. It becomes one line of at most 300 characters without control characters.
    ///
    /// Give only what may be seen there, such as a status and the first line of an answer. The error itself is not shown,
    /// because it may hold parts of the message.
    #[must_use]
    pub fn answered(mut self, answer: &str) -> Self {
        self.answered = Some(one_line(answer).into());
        self
    }

    pub(super) fn for_engine(&self) -> HandlerFailure {
        HandlerFailure { kind: self.kind, after: self.after, answered: self.answered.clone() }
    }

    /// What follows.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::retryable(error)
    }
}

/// What keeps the layer from asking the service is no fault of the record: it is tried again without counting an attempt.
/// The service's own failure stays what it is.
impl From<DedupError<Self>> for Failure {
    fn from(error: DedupError<Self>) -> Self {
        match error {
            DedupError::Inner(failure) => failure,
            DedupError::InFlight(_) | DedupError::Begin(_) => Self::unavailable(Told::of(&error)),
            DedupError::Id(_) | DedupError::Conflict { .. } => Self::fatal(Told::of(&error)),
            DedupError::Unrecorded => Self::retryable(Told::of(&error)),
        }
    }
}

/// What a layer's error says: [`Failure`] is no [`Error`], so an error that may hold one is none either.
#[derive(Debug, thiserror::Error)]
#[error("{says}")]
struct Told {
    says: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Told {
    fn of(error: &DedupError<Failure>) -> Self {
        let source: Option<Box<dyn Error + Send + Sync>> = match error {
            DedupError::Begin(error) => Some(Box::new(error.clone())),
            DedupError::Id(problem) => Some(Box::new(problem.clone())),
            _ => None,
        };
        Self { says: error.to_string(), source }
    }
}

impl fmt::Display for Failure {
    /// The whole chain of causes, for a log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        causes(&*self.source).try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("kind", &self.kind)
            .field("source", &self.source)
            .field("after", &self.after)
            .field("answered", &self.answered)
            .finish()
    }
}

/// The longest answer that is shown to operators, in characters.
const LONGEST_ANSWER: usize = 300;

/// The first line of a text, within limits, without control characters and without those that turn the direction of
/// writing.
fn one_line(text: &str) -> String {
    let line = text.trim_start().lines().next().unwrap_or_default();
    let turns =
        |char: &char| matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |char: &char| !char.is_control() && !turns(char) && !matches!(char, '\u{2028}' | '\u{2029}');
    let mut shown: String = line.chars().filter(shown).take(LONGEST_ANSWER + 1).collect();
    if let Some((cut, _)) = shown.char_indices().nth(LONGEST_ANSWER) {
        shown.truncate(cut);
        shown.push('…');
    }
    shown.truncate(shown.trim_end().len());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_shown_is_one_short_line_without_controls() {
        let shown = |text: &str| Failure::retryable("secret").answered(text).answered.unwrap().to_string();
        assert_eq!(shown("\n it answers 500 (no\u{1b}[31m luck\u{202e})\r\nand more"), "it answers 500 (no[31m luck)");
        assert_eq!(shown(&"ü".repeat(1000)), "ü".repeat(300) + "…");
        assert_eq!(shown(""), "");
        assert_eq!(Failure::retryable("secret").for_engine().answered, None, "the error itself is not shown");
    }
}
