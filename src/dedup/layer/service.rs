//! The service that asks before it calls.

use std::fmt;
use std::mem;
use std::task::{Context, Poll};
use std::time::Duration;

use tower_service::Service;

use super::{Classify, DedupError, Deduped, ResponseFuture, WhenInFlight};
use crate::dedup::{Begin, Deduplicator};
use crate::id::{IdProblem, Identity};

/// A service whose requests are handled once; made by [`DedupLayer`](super::DedupLayer).
///
/// The inner service must be cheap to clone (put a `tower` `Buffer` around it where it is not): the ready instance
/// moves into the call, which claims the ID first. A call that turns out to be a duplicate drops it unused.
#[derive(Clone)]
pub struct Dedup<S, I, C> {
    pub(super) inner: S,
    pub(super) dedup: Deduplicator,
    pub(super) identify: I,
    pub(super) classify: C,
    pub(super) when_in_flight: WhenInFlight,
}

impl<S, I, C> Dedup<S, I, C> {
    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<Request, S, I, C> Service<Request> for Dedup<S, I, C>
where
    Request: Send + 'static,
    S: Service<Request> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send + Sync,
    S::Error: Send + Sync,
    I: Fn(&Request) -> Result<Identity, IdProblem>,
    C: Classify<S::Response, S::Error> + Clone + Send + 'static,
{
    type Response = Deduped<S::Response>;
    type Error = DedupError<S::Error>;
    type Future = ResponseFuture<S::Response, S::Error>;

    /// Ready when the inner service is; nothing of the deduplicator is reserved, so a caller may stay ready without
    /// ever calling.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(DedupError::Inner)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let identity = match (self.identify)(&request) {
            Ok(identity) => identity,
            Err(problem) => return ResponseFuture { inner: Box::pin(async { Err(DedupError::Id(problem)) }) },
        };
        // This instance is the one that was polled ready; a fresh clone need not be.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let (dedup, classify) = (self.dedup.clone(), self.classify.clone());
        let wait = match self.when_in_flight {
            WhenInFlight::Wait(limit) => limit,
            WhenInFlight::Reject => Duration::ZERO,
        };
        let handled = async move {
            let guard = match dedup.begin_wait(&identity, wait).await.map_err(DedupError::Begin)? {
                Begin::Claimed(guard) => guard,
                Begin::Duplicate => return Ok(Deduped::Duplicate),
                Begin::Conflict { first } => return Err(DedupError::Conflict { first }),
                Begin::InFlight(remaining) => return Err(DedupError::InFlight(remaining)),
            };
            let result = inner.call(request).await;
            if classify.is_success(result.as_ref()) {
                guard.complete().await.map_err(|_ended| DedupError::Unrecorded)?;
            } else if let Err(ended) = guard.fail().await {
                tracing::debug!(%ended, "a failed request's lease runs out by itself");
            }
            result.map(Deduped::Handled).map_err(DedupError::Inner)
        };
        ResponseFuture { inner: Box::pin(handled) }
    }
}

impl<S: fmt::Debug, I, C> fmt::Debug for Dedup<S, I, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dedup").field("inner", &self.inner).finish_non_exhaustive()
    }
}
