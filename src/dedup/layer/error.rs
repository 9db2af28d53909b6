//! Why a request got no response.

use std::time::Duration;

use crate::dedup::BeginError;
use crate::id::IdProblem;
use crate::record::Origin;

/// Why a request got no response. Except for [`Inner`](Self::Inner) and [`Unrecorded`](Self::Unrecorded), the inner
/// service was not called.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DedupError<E> {
    /// The request has no usable ID. Not retryable.
    #[error("the request has no usable ID")]
    Id(#[source] IdProblem),
    /// The ID could not be claimed; retryable as [`BeginError::is_retryable`] says.
    #[error("the request could not be claimed")]
    Begin(#[source] BeginError),
    /// A request with the same ID is being handled, for that long unless its lease is renewed. Not a duplicate: send
    /// it again later.
    #[error("a request with the same ID is in flight, for {0:?} at most unless it is renewed")]
    InFlight(Duration),
    /// A request with the same ID was handled that cannot have been this one ([`Begin::Conflict`]). Not retryable. The
    /// layer tells the store no payloads, so it takes another process that does.
    ///
    /// [`Begin::Conflict`]: crate::dedup::Begin::Conflict
    #[error("another request with the same ID was handled, the one at {first}")]
    Conflict {
        /// Where the one came from that was handled.
        first: Origin,
    },
    /// The inner service succeeded, and the de-duplicator was shut down before that was recorded: sent again, the
    /// request may be handled twice.
    #[error("the request was handled, but the deduplicator ended before that was recorded")]
    Unrecorded,
    /// The inner service failed.
    #[error("the service failed")]
    Inner(#[source] E),
}

impl<E> DedupError<E> {
    /// The inner service's error, where it is one.
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Inner(error) => Some(error),
            _ => None,
        }
    }
}
