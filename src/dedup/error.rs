//! What the deduplicator can fail with.

use crate::store::StoreError;

/// Why an ID could not be begun. Nothing is held: begin again, or leave the message uncommitted.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// The store did not answer within the claim's time limit, or refuses. Retryable as
    /// [`StoreError::is_retryable`] says; what an unanswered claim may have taken is given back in the background.
    #[error("the ID could not be claimed")]
    Store(#[source] StoreError),
    /// The deduplicator was shut down.
    #[error("the deduplicator was shut down")]
    ShutDown,
}

impl BeginError {
    /// Whether beginning again can succeed without anybody changing a setting.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            // It never opens again.
            Self::ShutDown => false,
        }
    }
}

/// The deduplicator ended before the store answered: its deadline for shutting down passed, or its runtime ended.
///
/// After a completion this means that the effect happened and may not be recorded: leave the message uncommitted; it
/// will be handled again unless the completion arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deduplicator ended before the store answered")]
pub struct Ended;

/// What was left when the deadline for shutting down passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{ids} IDs were still in flight at the deadline")]
pub struct Unfinished {
    /// IDs whose handler still ran, or whose completion or release was not answered. Their leases run out by
    /// themselves.
    pub ids: usize,
}
