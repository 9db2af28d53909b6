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
    /// Another attempt may have finished meanwhile; or an earlier sending of this completion had arrived, or the store lost
    /// its data since the claim.
    PossibleOverrun,
}

impl Verdict {
    /// Judges an answer that came at `answered_at`, after `unsure` earlier sendings that may have been executed, where
    /// nobody else can have completed the ID before `alone_until`; both on the monotonic clock of this process.
    ///
    /// Nobody else can have completed the ID while the lease was surely held, so an "already done" that answers a
    /// repeated sending before that time can only be this completion's own earlier copy. `None` where
    /// attempts were counted before: the lease of one of them may have run out, and its owner may be alive, and complete
    /// at any time. A sending that was certainly not
    /// executed cannot be what made the ID done.
    pub fn of(outcome: CompletionOutcome, unsure: u32, answered_at: Duration, alone_until: Option<Duration>) -> Self {
        match outcome {
            CompletionOutcome::Recorded => Self::First,
            CompletionOutcome::RecordedAfterLoss => Self::PossibleOverrun,
            CompletionOutcome::AlreadyDone | CompletionOutcome::AlreadyDoneAfterLoss if unsure == 0 => Self::Overrun,
            CompletionOutcome::AlreadyDone if alone_until.is_some_and(|until| answered_at < until) => Self::First,
            // A lease that was lost was not held, whatever the time.
            CompletionOutcome::AlreadyDone | CompletionOutcome::AlreadyDoneAfterLoss => Self::PossibleOverrun,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CompletionOutcome::{AlreadyDone, AlreadyDoneAfterLoss, Recorded, RecordedAfterLoss};

    #[test]
    fn no_second_effect_is_told_as_a_first() {
        let (early, until, late) = (Duration::from_secs(1), Some(Duration::from_secs(2)), Duration::from_secs(3));
        assert_eq!(Verdict::of(Recorded, 0, early, until), Verdict::First);
        assert_eq!(Verdict::of(Recorded, 3, late, None), Verdict::First);
        assert_eq!(Verdict::of(AlreadyDone, 0, early, until), Verdict::Overrun, "there is no earlier copy");
        assert_eq!(Verdict::of(AlreadyDone, 1, early, until), Verdict::First, "its own earlier copy");
        assert_eq!(Verdict::of(AlreadyDone, 1, late, until), Verdict::PossibleOverrun);
        assert_eq!(Verdict::of(AlreadyDone, 1, early, None), Verdict::PossibleOverrun, "the owner before may be alive");
        assert_eq!(Verdict::of(AlreadyDoneAfterLoss, 1, early, until), Verdict::PossibleOverrun, "the lease was lost");
        assert_eq!(Verdict::of(AlreadyDoneAfterLoss, 0, early, until), Verdict::Overrun, "there is no earlier copy");
        assert_eq!(Verdict::of(RecordedAfterLoss, 0, early, until), Verdict::PossibleOverrun, "forgotten since");
    }
}
