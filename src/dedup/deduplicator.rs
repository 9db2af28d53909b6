//! The handle: `begin`, and what it answers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, sleep, timeout};

use super::backoff;
use super::claiming::{Answer, Asker};
use super::core::Handle;
use super::error::{BeginError, Unfinished};
use super::guard::Guard;
use super::settings::Builder;
use super::state::Inquiry;
use crate::id::{Fingerprint, IdKey, Identity};
use crate::observe::{DuplicateBy, Observer};
use crate::record::{Origin, Record, TopicPartition};
use crate::store::{MessageDetails, PayloadHash, SettingsError, Store};

/// What was found of an ID.
#[derive(Debug)]
#[must_use]
pub enum Begin {
    /// It is ours: handle the message, then end the guard.
    Claimed(Guard),
    /// It was handled before: drop the message.
    Duplicate,
    /// It was handled before, but with another payload: two messages may have been given one ID, and dropping this one
    /// would lose it. What to do is for the caller to decide; it was counted and logged. Only a store that
    /// [keeps details](Store::keeps_details) can tell, and only of payloads that it was told:
    /// [`begin_record`](Deduplicator::begin_record) tells the record's.
    Conflict {
        /// Where the one came from that was handled.
        first: Origin,
    },
    /// Somebody else handles it at the moment, for that long unless the lease is renewed. *Not a duplicate*: that
    /// attempt may still fail. Begin again later, and do not commit past the message meanwhile.
    InFlight(Duration),
}

/// Tells for each message whether it has to be handled, for a loop that cannot be turned around and for brokers that
/// hapax does not know.
///
/// `begin` → handle → [`complete`](Guard::complete) → commit. Cheap to clone; all clones share one background
/// [`Actor`](super::Actor), which batches what they ask.
///
/// # Examples
///
/// ```
/// # use hapax::dedup::{Begin, Deduplicator};
/// # use hapax::id::Identity;
/// # async fn handle() {}
/// # async fn on_message(dedup: &Deduplicator, identity: &Identity) -> Result<(), Box<dyn std::error::Error>> {
/// match dedup.begin(identity).await? {
///     Begin::Claimed(guard) => {
///         handle().await;
///         guard.complete().await?;
///         // Only now may the message be committed.
///     }
///     Begin::Duplicate => { /* commit: there is nothing to do */ }
///     Begin::Conflict { first } => { /* do not commit: find out what the message at `first` was */ }
///     Begin::InFlight(remaining) => { /* do not commit; begin again within `remaining` */ }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Concurrent calls on the same ID
///
/// Within one process the first call asks the store; while its claim, its guard, its completion or its release lives,
/// every other call for that ID is answered [`Begin::InFlight`] at once, without asking. [`begin_wait`] waits instead:
/// when the first ends as done, all that wait are answered [`Begin::Duplicate`]; when it ends otherwise, one of them
/// claims the ID and the others wait for that one.
///
/// ```text
/// task 1  begin(a7) ─▶ Claimed ── handler runs ── complete ─▶ First
/// task 2     begin(a7) ─▶ InFlight(59.9 s)
/// task 3     begin_wait(a7) ············································▶ Duplicate
/// ```
///
/// Across processes the store decides in the same way, except that nobody is told of an end elsewhere: `begin_wait`
/// asks again, with growing pauses of at most a second or two.
///
/// Once `complete` has begun, this process never claims that ID again before the completion is answered: it knows that
/// the effect happened, even where the lease was lost meanwhile.
///
/// # Ending
///
/// [`shutdown`](Self::shutdown) waits for what is under way. Without it, when all handles and guards are gone, the
/// background work goes on until every completion is answered and every release is answered or its lease over; if
/// the runtime ends before that, what was not answered is lost, and the message will be handled again.
///
/// [`begin_wait`]: Self::begin_wait
#[derive(Clone)]
pub struct Deduplicator {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) handle: Arc<Handle>,
    pub(super) id_key: IdKey,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) source: TopicPartition,
    pub(super) begun: AtomicI64,
    /// Whether the store keeps details of messages.
    pub(super) keeps_details: bool,
}

impl Deduplicator {
    /// Starts the background work on the current runtime, with all settings at their defaults.
    ///
    /// # Errors
    ///
    /// Names the setting that cannot be as it is; `runtime`, where no tokio runtime runs.
    pub fn new(store: Arc<dyn Store>) -> Result<Self, SettingsError> {
        Self::builder(store).build()
    }

    /// Starts from defaults; see [`Builder`].
    pub fn builder(store: Arc<dyn Store>) -> Builder {
        Builder::new(store)
    }

    pub(super) fn new_shared(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// The fingerprint by which the store knows an identity.
    pub fn fingerprint(&self, identity: &Identity) -> Fingerprint {
        self.shared.id_key.fingerprint(identity)
    }

    /// Claims an ID for one attempt; the handler is to start directly afterwards.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it answered, it has claimed nothing: a claim under way is given back in the background, with the
    /// count of attempts as it was.
    ///
    /// # Errors
    ///
    /// [`BeginError`]; [`BeginError::is_retryable`] tells whether to begin again.
    pub async fn begin(&self, identity: &Identity) -> Result<Begin, BeginError> {
        self.begin_wait(identity, Duration::ZERO).await
    }

    /// [`begin`](Self::begin), waiting up to `limit` for the end of an attempt that has the ID in flight. Time in
    /// which the store does not answer is limited apart, by [`Builder::claim_limit`].
    ///
    /// # Cancel safety
    ///
    /// As [`begin`](Self::begin).
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn begin_wait(&self, identity: &Identity, limit: Duration) -> Result<Begin, BeginError> {
        let details = || MessageDetails { identity: Some(identity.detached()), payload_hash: None };
        let message = self.shared.keeps_details.then(|| Arc::new(details()));
        self.begin_message(self.fingerprint(identity), self.unnamed(), message, limit).await
    }

    /// [`begin`](Self::begin) with a fingerprint that was computed before.
    ///
    /// # Cancel safety
    ///
    /// As [`begin`](Self::begin).
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn begin_fingerprint(&self, fingerprint: Fingerprint) -> Result<Begin, BeginError> {
        self.begin_record(fingerprint, self.unnamed(), Duration::ZERO).await
    }

    /// [`begin_wait`](Self::begin_wait) for a record: its origin is kept beside the lease, and the observer is shown it.
    /// A limit of zero does not wait. A store that [keeps details](Store::keeps_details) is told its payload, where it
    /// has one.
    ///
    /// # Cancel safety
    ///
    /// As [`begin`](Self::begin).
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn begin_record(
        &self,
        fingerprint: Fingerprint,
        record: Record,
        limit: Duration,
    ) -> Result<Begin, BeginError> {
        // A record without a payload may be one whose payload was not given.
        let payload = record.payload().filter(|_| self.shared.keeps_details);
        let message = payload.map(|payload| {
            Arc::new(MessageDetails { identity: None, payload_hash: Some(PayloadHash::of(Some(payload))) })
        });
        self.begin_message(fingerprint, record, message, limit).await
    }

    async fn begin_message(
        &self,
        fingerprint: Fingerprint,
        record: Record,
        message: Option<Arc<MessageDetails>>,
        limit: Duration,
    ) -> Result<Begin, BeginError> {
        let started = Instant::now();
        let mut tries = 0;
        loop {
            let answer = self.ask(fingerprint, record.clone(), message.clone()).await?;
            let left = limit.saturating_sub(started.elapsed());
            match answer {
                Answer::Claimed(guard) => return Ok(Begin::Claimed(guard.delivered())),
                Answer::Duplicate => return Ok(Begin::Duplicate),
                Answer::Conflict(first) => return Ok(Begin::Conflict { first }),
                Answer::Failed(error) => return Err(error),
                Answer::Elsewhere(remaining) | Answer::Here(remaining, _) if left.is_zero() => {
                    return Ok(Begin::InFlight(remaining));
                }
                Answer::Elsewhere(remaining) => {
                    // Asked again long before the lease is over: its owner may be done by then, or have died.
                    tries += 1;
                    let pause = backoff::pause(tries, &mut rand::rng());
                    sleep(pause.min(remaining.max(Duration::from_millis(1))).min(left)).await;
                }
                Answer::Here(remaining, mut ended) => match timeout(left, ended.wait_for(|done| *done)).await {
                    // The store compares the payloads.
                    Ok(Ok(_)) if message.is_some() => {}
                    Ok(Ok(_)) => {
                        self.shared.observer.on_duplicate(&record, DuplicateBy::Process, None);
                        return Ok(Begin::Duplicate);
                    }
                    // It was given back, or the background work ended: ask, and learn which.
                    Ok(Err(_)) => {}
                    Err(_) => return Ok(Begin::InFlight(remaining.saturating_sub(left))),
                },
            }
        }
    }

    /// Claims nothing more, and waits until running guards have ended and every completion and release was answered,
    /// but no longer than `limit`. All clones are shut down with it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the shutdown goes on, up to its limit, unless it was dropped before its first poll.
    ///
    /// # Errors
    ///
    /// [`Unfinished`] tells how many IDs were left. What is left ends there: completions that were not answered are
    /// not tried again, so their messages must not be committed.
    pub async fn shutdown(&self, limit: Duration) -> Result<(), Unfinished> {
        let (reply, answer) = oneshot::channel();
        let core = self.shared.handle.core();
        core.room.close();
        core.change(|state| state.close(limit, reply, Instant::now()));
        // Without an answer, the background work has ended.
        answer.await.unwrap_or(Ok(()))
    }

    /// How many IDs may still come in flight.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.shared.handle.core().room.available_permits()
    }

    async fn ask(
        &self,
        fingerprint: Fingerprint,
        record: Record,
        message: Option<Arc<MessageDetails>>,
    ) -> Result<Answer, BeginError> {
        let core = self.shared.handle.core();
        // The state returns it when the ID has ended. There is no await between the two, so none is lost.
        core.room.acquire().await.map_err(|_| BeginError::ShutDown)?.forget();
        let (reply, answer) = oneshot::channel();
        let asker = Asker { reply, handle: Arc::clone(&self.shared.handle) };
        let inquiry = Inquiry { fingerprint, record, message, asker };
        core.change(|state| state.begin(inquiry, Instant::now()));
        answer.await.map_err(|_| BeginError::ShutDown)
    }

    fn unnamed(&self) -> Record {
        let offset = self.shared.begun.fetch_add(1, Ordering::Relaxed);
        Record::builder(self.shared.source.clone(), offset).build()
    }
}

impl fmt::Debug for Deduplicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deduplicator").field("source", &self.shared.source).finish_non_exhaustive()
    }
}
