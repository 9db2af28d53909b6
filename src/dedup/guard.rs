//! What a claimed ID is held by, and the futures of its ending.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::core::Handle;
use super::error::Ended;
use crate::id::Fingerprint;
use crate::store::{Lease, Verdict};

/// Which attempt a claim is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// The count that the claim found.
    pub(super) found: u32,
    /// Which start this is, from 1.
    pub(super) number: u32,
    pub(super) suspect: bool,
}

impl Attempt {
    /// A takeover of a lease that ran out has counted this start already; every other claim has not.
    pub(super) fn of_claim(found: u32, suspect: bool) -> Self {
        let number = if suspect { found.max(1) } else { found.saturating_add(1) };
        Self { found, number, suspect }
    }
}

/// How a guard ended.
#[derive(Debug)]
pub(super) enum How {
    Completed(oneshot::Sender<Verdict>),
    Failed(Option<oneshot::Sender<()>>),
    GivenBack(Option<oneshot::Sender<()>>),
}

/// The last word of a guard.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) lease: Lease,
    pub(super) how: How,
}

/// A claimed ID: nobody else handles its message while this lives and its lease holds.
///
/// The lease is renewed in the background at a third of its length, up to the handler's time limit
/// ([`Builder::handler_limit`](super::Builder::handler_limit)).
///
/// # How it ends
///
/// | | what happened | the ID | attempts counted |
/// |---|---|---|---|
/// | [`complete`](Self::complete) | the effect | is recorded as done, and never released, whatever fails meanwhile | |
/// | [`fail`](Self::fail) | no effect | is free again | with this one |
/// | [`give_back`](Self::give_back) | the handler did not start, or what it needs is away | is free again | without this one |
/// | dropped | not known; the handler may have started | is free again | with this one |
///
/// If a guard was dropped, or failed after its lease ran out, and another worker has the ID meanwhile, the effect may have
/// happened twice: that is counted as a possible overrun and logged.
///
/// A panic or a cancelled future drops the guard; it counts, because a message that makes every handler panic must be
/// found by its count. Each ending takes effect at once, whether or not its future is awaited.
#[must_use = "dropping the guard releases the ID as a failed attempt"]
pub struct Guard {
    lease: Lease,
    attempt: Attempt,
    cancelled: CancellationToken,
    /// `None` once the ending was handed over.
    handle: Option<Arc<Handle>>,
    /// Whether the guard reached its asker: before that, no handler can have started.
    delivered: bool,
}

impl Guard {
    pub(super) fn new(lease: Lease, attempt: Attempt, cancelled: CancellationToken, handle: Arc<Handle>) -> Self {
        Self { lease, attempt, cancelled, handle: Some(handle), delivered: false }
    }

    /// From now on the handler may have started.
    pub(super) fn delivered(mut self) -> Self {
        self.delivered = true;
        self
    }

    /// Ends it without a word: it never reached its asker.
    pub(super) fn disarm(mut self) {
        self.handle = None;
    }

    /// The claimed ID.
    pub fn fingerprint(&self) -> Fingerprint {
        self.lease.fingerprint
    }

    /// Which attempt this is, from 1, counted across crashes and processes.
    pub fn attempt(&self) -> u32 {
        self.attempt.number
    }

    /// Whether the lease of the attempt before ran out: its owner may have died of this message.
    pub fn is_suspect(&self) -> bool {
        self.attempt.suspect
    }

    /// Waits until the lease could not be renewed in time: from then on another worker may handle the message as
    /// well, so a handler that can stop should. It comes before the lease ends in the store: a tenth of it is kept as
    /// margin.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// A token that is cancelled as [`cancelled`](Self::cancelled) says, to be handed to the handler. Cancelling it
    /// changes nothing here.
    pub fn cancellation(&self) -> CancellationToken {
        self.cancelled.child_token()
    }

    /// Records the ID as done: the effect happened.
    ///
    /// It has begun when this returns. From then on the ID is never released: the completion is sent again, without
    /// limit, until the store answers, and the lease is renewed as long.
    ///
    /// # Cancel safety
    ///
    /// The future only listens; dropping it, even unpolled, leaves the completion under way in the background. Who
    /// drops it does not learn when the message may be committed.
    ///
    /// # Errors
    ///
    /// [`Ended`], where the deduplicator was shut down before the store answered. Not retryable: leave the message
    /// uncommitted.
    #[must_use = "the message may be committed only when the store has answered"]
    pub fn complete(mut self) -> Recording {
        let (reply, answer) = oneshot::channel();
        self.end(How::Completed(reply));
        Recording { answer }
    }

    /// Gives the ID back after a failed attempt, which counts. Repeated until the store answers or the lease has
    /// surely run out.
    ///
    /// # Cancel safety
    ///
    /// The future only listens; dropping it leaves the release under way in the background.
    ///
    /// # Errors
    ///
    /// [`Ended`], where the deduplicator was shut down before the store answered: the lease runs out by itself.
    pub fn fail(mut self) -> GivingBack {
        let (reply, answer) = oneshot::channel();
        self.end(How::Failed(Some(reply)));
        GivingBack { answer }
    }

    /// Gives the ID back as it was found: this attempt does not count, because the handler did not start, or because
    /// what it needs is not available.
    ///
    /// # Cancel safety
    ///
    /// The future only listens; dropping it leaves the release under way in the background.
    ///
    /// # Errors
    ///
    /// As [`fail`](Self::fail).
    pub fn give_back(mut self) -> GivingBack {
        let (reply, answer) = oneshot::channel();
        self.end(How::GivenBack(Some(reply)));
        GivingBack { answer }
    }

    fn end(&mut self, how: How) {
        if let Some(handle) = self.handle.take() {
            handle.end(Ending { lease: self.lease, how });
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end(if self.delivered { How::Failed(None) } else { How::GivenBack(None) });
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("lease", &self.lease).field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

/// Waits until the store has answered a completion; see [`Guard::complete`].
#[derive(Debug)]
#[must_use = "the message may be committed only when the store has answered"]
pub struct Recording {
    answer: oneshot::Receiver<Verdict>,
}

impl Future for Recording {
    type Output = Result<Verdict, Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map_err(|_| Ended)
    }
}

/// Waits until an ID was given back; see [`Guard::fail`].
#[derive(Debug)]
pub struct GivingBack {
    answer: oneshot::Receiver<()>,
}

impl Future for GivingBack {
    type Output = Result<(), Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map_err(|_| Ended)
    }
}
