//! What the answer to a completion means.

use std::time::Duration;

use super::CompletionOutcome;

/// Whether a recorded effect was the first of its ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The first: nothing repeated.
    First,
    /// Another attempt finished meanwhile: this was a second effect.
    Overrun,
    /// Either another attempt finished meanwhile, or an earlier sending of this completion had arrived.
    PossibleOverrun,
}

impl Verdict {
    /// Judges the answer to the `sending`-th sending (from 1) that was answered at `answered_at`, under a lease
    /// that was surely held until `held_until`; both on the monotonic clock of this process.
    ///
    /// Nobody else can have completed the ID while the lease was held, so an "already done" that answers a repeated
    /// sending before that time can only be this completion's own earlier copy.
    pub fn of(outcome: CompletionOutcome, sending: u32, answered_at: Duration, held_until: Duration) -> Self {
        match outcome {
            CompletionOutcome::Recorded => Self::First,
            CompletionOutcome::AlreadyDone if sending <= 1 => Self::Overrun,
            CompletionOutcome::AlreadyDone if answered_at < held_until => Self::First,
            CompletionOutcome::AlreadyDone => Self::PossibleOverrun,
        }
    }
}
