//! One record's way through the engine.

use std::sync::Arc;
use std::time::Duration;

use crate::id::Fingerprint;
use crate::observe::Outcome;
use crate::record::Record;
use crate::store::{GivenBack, Lease, MessageDetails, Token};

use super::lane::LaneIndex;
use super::{Destination, WorkId};

/// Where a record stands. The arrows are in the methods of `Engine`; each names its cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not claimed.
    Queued,
    /// It came from a retry topic, and is not claimed before that time.
    NotDue(Duration),
    /// Another record of this process has the ID.
    Waiting,
    /// A claim is under way, or is to be sent again with the same token at `again_at`.
    Claiming {
        /// When the claim is to be sent again; `None` while one is under way.
        again_at: Option<Duration>,
        /// How often it was sent.
        tries: u32,
    },
    /// In flight elsewhere, at the head of its lane: asked for again at that time.
    Parked(Duration),
    /// Claimed; the handler has not started (or there is no ID, and nothing to claim).
    Held,
    /// Claimed, and so long ago that a renewal is awaited before the handler starts.
    Refreshing,
    /// The handler runs.
    Running,
    /// The handler failed; it starts again at that time. Or a copy was not delivered; it is sent again then. The lease
    /// is kept.
    BackingOff(Duration),
    /// It is to be noted as given up before a copy is sent. The note is under way, or is to be sent again at `again_at`.
    GivingUp {
        /// When the note is to be sent again; `None` while one is under way.
        again_at: Option<Duration>,
        /// How often it was sent.
        tries: u32,
    },
    /// A copy of it is on its way to another topic; the answer is awaited.
    Delivering,
    /// The effect happened. A completion is under way, or is to be sent again at `again_at`.
    Completing {
        /// When the completion is to be sent again; `None` while one is under way.
        again_at: Option<Duration>,
        /// How often it was sent.
        sendings: u32,
        /// How many of these may have been executed without an answer.
        unsure: u32,
        /// Whether the last answer was that it was certainly not executed.
        refused: bool,
    },
    /// The claim was given back; its answer is awaited.
    Releasing,
    /// It can never be handled: its partition stops when it reaches the head.
    Unusable(String),
}

/// What the store knows of the decision to send a copy instead of calling the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// Nothing.
    Absent,
    /// It was told by this process. Or it keeps no notes.
    Made,
    /// An owner before decided it, and the claim found that.
    Found,
}

/// A claim that was made, by this process's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    /// The token that holds the lease.
    pub(super) token: Token,
    /// When the last successful claim or renewal was handed over, before it was sent.
    pub(super) since: Duration,
    /// Attempts that the store had counted when the claim was made.
    pub(super) attempts: u32,
    /// Whether the lease was taken over from an owner that may have died of the record.
    pub(super) suspect: bool,
    /// Whether it may have run out once. Then a late copy of the claim may have taken it anew, after another owner.
    pub(super) interrupted: bool,
    /// Whether a renewal is under way.
    pub(super) renewing: bool,
}

impl Hold {
    /// Takes in that it was held by a request that was handed over at `sent_at`; it is surely held for that long each time.
    pub(super) fn extend(&mut self, sent_at: Duration, surely_held: Duration) {
        self.interrupted |= self.since + surely_held <= sent_at;
        self.since = self.since.max(sent_at);
    }

    /// The count that the claim found, before a takeover added the start that follows it.
    pub(super) fn found(&self) -> u32 {
        self.attempts.saturating_sub(u32::from(self.suspect))
    }

    /// The count once the handler has started.
    pub(super) fn first_count(&self) -> u32 {
        self.attempts + u32::from(!self.suspect)
    }
}

/// One record in flight.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) id: WorkId,
    pub(super) record: Record,
    /// `None`: handled without de-duplication, by policy.
    pub(super) fingerprint: Option<Fingerprint>,
    /// What the message says of itself, where the store keeps it.
    pub(super) message: Option<Arc<MessageDetails>>,
    /// Index of its assignment's state.
    pub(super) part: usize,
    /// Index of what is counted of the memory that its record shares with others.
    pub(super) memory: usize,
    pub(super) lane: LaneIndex,
    pub(super) stage: Stage,
    /// When it arrived from the source.
    pub(super) arrived_at: Duration,
    /// From when on it is too old to be handled.
    pub(super) expires_at: Option<Duration>,
    /// How many retry topics it has been through.
    pub(super) step: u32,
    /// Where a copy of it goes instead of another attempt, once that is decided.
    pub(super) bound_for: Option<Destination>,
    /// What the store knows of that.
    pub(super) note: Note,
    /// Whether it was reported as a dead letter.
    pub(super) announced: bool,
    /// How often the copy was sent.
    pub(super) sendings: u32,
    /// Whether the copy was delivered.
    pub(super) delivered: bool,
    /// Whether its handler said to skip it.
    pub(super) skipped: bool,
    /// Whether an operator skips it.
    pub(super) operator_skips: bool,
    /// Whether an operator lets it start although processes ended by it as often as it may be started.
    pub(super) granted: bool,
    /// Before when it is not started again, although it holds nothing meanwhile.
    pub(super) rests_until: Duration,
    /// What the application answered to the last attempt that failed, as far as it may be shown.
    pub(super) answered: Option<Arc<str>>,
    /// The token of the claim under way, or of the one that is held.
    pub(super) token: Option<Token>,
    /// When the claim under that token was first sent.
    pub(super) claimed_at: Duration,
    pub(super) hold: Option<Hold>,
    /// Attempts that the store told of when it said that the lease ran out; `None` once it said anything else.
    pub(super) suspected: Option<u32>,
    /// How often it was asked for at the head of its lane, and was in flight elsewhere.
    pub(super) asked: u32,
    /// Whether the claim under way is to be given back as soon as it is answered.
    pub(super) unwanted: bool,
    /// Starts counted, this one included; zero before the first.
    pub(super) counted: u32,
    /// How often the handler was not available in a row; sets the back-off and nothing else.
    pub(super) unavailable: u32,
    /// An attempt ended without it being known whether it had its effect.
    pub(super) in_doubt: bool,
    /// When the handler last started.
    pub(super) started_at: Duration,
    /// Whether the handler was told that the lease is lost.
    pub(super) cancelled: bool,
    /// The call of the handler that it was last part of.
    pub(super) call: u64,
}

impl Work {
    /// Whether the lease was found to be gone between two attempts.
    pub(super) fn lost_its_claim(&self) -> bool {
        self.fingerprint.is_some() && self.hold.is_none()
    }

    /// Whether its claim was taken over from an owner whose lease ran out.
    pub(super) fn is_taken_over(&self) -> bool {
        self.hold.is_some_and(|hold| hold.suspect)
    }

    /// Whether its handler must run alone: it was, or would be, taken over for the second time or more.
    pub(super) fn runs_alone(&self) -> bool {
        match (self.hold, self.suspected) {
            (Some(hold), _) => self.granted || (hold.suspect && hold.attempts >= 2),
            (None, Some(attempts)) => attempts >= 1,
            (None, None) => false,
        }
    }

    /// What has become of it when it settles after its completion, or after a copy of it was delivered.
    pub(super) fn outcome(&self) -> Outcome {
        match &self.bound_for {
            _ if self.operator_skips => Outcome::SkippedByOperator,
            _ if self.skipped => Outcome::Skipped,
            Some(Destination::DeadLetter { .. }) => Outcome::DeadLettered,
            Some(Destination::Retry { .. }) => Outcome::Retried,
            None => Outcome::Handled,
        }
    }

    /// How often its handler was started, as far as known across crashes and processes.
    pub(super) fn attempts(&self) -> u32 {
        match (self.hold, self.counted) {
            (Some(hold), 0) => hold.attempts,
            (hold, counted) => counted + u32::from(hold.is_some_and(|hold| hold.suspect)),
        }
    }

    /// What became of its claim when it is given back, where a record may be started `limit` times.
    pub(super) fn given_back(&self, limit: u32) -> GivenBack {
        // What an unanswered claim found is not known here; the store knows it, and a lower count must not replace it.
        let Some(hold) = self.hold else { return GivenBack::Unstarted };
        let attempts = self.count_left(limit);
        let condemned = self.counted == 0 && hold.attempts > limit;
        match &self.bound_for {
            Some(Destination::Retry { step }) if self.delivered => GivenBack::Retried { attempts, step: *step },
            // A copy may have been sent. Or no failure of a handler led to it, and it would be decided again.
            Some(_) if self.sendings > 0 || self.note == Note::Found => GivenBack::GivenUp { attempts },
            Some(_) if self.note == Note::Made && self.counted == 0 => GivenBack::GivenUp { attempts },
            _ if self.counted <= hold.found() && !condemned => GivenBack::Unstarted,
            // Given up after failures, and no copy was sent: the next process may try once more.
            _ => GivenBack::Failed { attempts },
        }
    }

    /// The count that is left behind when its claim is given back.
    pub(super) fn count_left(&self, limit: u32) -> u32 {
        match (self.hold, self.counted) {
            // Condemned without a start: the count stays, or the next owner would start it once more.
            (Some(hold), 0) if hold.attempts > limit => hold.attempts,
            (hold, counted) => counted.min(limit).max(hold.map_or(0, |hold| hold.found())),
        }
    }

    /// Takes in what a claim found of a decision to send a copy. What others decided comes before what this process did:
    /// their copy may be delivered.
    pub(super) fn find_note(&mut self, found: Option<&Destination>) {
        if self.note == Note::Found {
            // It is not there any more.
            self.bound_for = None;
        }
        self.note = Note::Absent;
        if let Some(to) = found {
            (self.bound_for, self.note) = (Some(to.clone()), Note::Found);
        }
    }

    /// The lease of its ID under a token.
    pub(super) fn lease(&self, token: Token) -> Option<Lease> {
        self.fingerprint.map(|fingerprint| Lease { fingerprint, token })
    }

    /// Whether it is claimed, or about to be, and its handler has not started: what a partition may have of these is bounded.
    pub(super) fn is_claimed_ahead(&self) -> bool {
        let claimed = matches!(self.stage, Stage::Claiming { .. } | Stage::Held | Stage::Refreshing);
        claimed && self.fingerprint.is_some()
    }

    /// Whether its handler has started and not yet ended in a recorded effect or a failure: what a crash can repeat.
    pub(super) fn is_exposed(&self) -> bool {
        matches!(self.stage, Stage::Running | Stage::Completing { .. })
    }

    /// Whether something of it is under way, which ends by itself.
    pub(super) fn is_under_way(&self) -> bool {
        self.is_exposed()
            || matches!(
                self.stage,
                Stage::Claiming { .. }
                    | Stage::Refreshing
                    | Stage::Releasing
                    | Stage::GivingUp { .. }
                    | Stage::Delivering
            )
    }

    /// Whether its assignment's drain has to wait for it.
    pub(super) fn holds_up_drain(&self) -> bool {
        match self.stage {
            Stage::Claiming { again_at: None, .. } | Stage::GivingUp { again_at: None, .. } => true,
            Stage::Refreshing | Stage::Delivering => true,
            // What lies in a retry topic settles here, also while its partition is given up.
            Stage::Releasing => self.delivered,
            _ => self.is_exposed(),
        }
    }
}
