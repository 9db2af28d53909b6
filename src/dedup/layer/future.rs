//! What a call becomes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

use super::DedupError;

/// The response to a request that is handled once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deduped<T> {
    /// The inner service handled the request: its response.
    Handled(T),
    /// A request with this ID was handled before; the inner service was not called.
    Duplicate,
}

impl<T> Deduped<T> {
    /// The response, unless the request was a duplicate.
    pub fn handled(self) -> Option<T> {
        match self {
            Self::Handled(response) => Some(response),
            Self::Duplicate => None,
        }
    }
}

/// The future of a [`Dedup`](super::Dedup) call.
///
/// Dropped before the inner service was called, it has claimed nothing. Dropped while the inner service runs, it gives
/// the ID back as a failed attempt. Dropped after that, the completion or the release goes on in the background.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<T, E> {
    pub(super) inner: BoxFuture<'static, Result<Deduped<T>, DedupError<E>>>,
}

impl<T, E> Future for ResponseFuture<T, E> {
    type Output = Result<Deduped<T>, DedupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(cx)
    }
}

impl<T, E> fmt::Debug for ResponseFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
