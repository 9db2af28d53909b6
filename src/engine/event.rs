//! What the engine is told.

use std::sync::Arc;
use std::time::Duration;

use crate::id::{Fingerprint, NoMessageId};
use crate::observe::{CommitRefused, FailureKind};
use crate::record::{Epoch, Offset, Record, TopicPartition};
use crate::store::{
    ClaimOutcome, CompletionOutcome, GiveUpOutcome, MessageDetails, ReleaseOutcome, RenewOutcome, StoreError, Token,
};

use super::WorkId;

/// One assignment of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Assignment {
    /// Which partition.
    pub partition: TopicPartition,
    /// Which assignment of it.
    pub epoch: Epoch,
}

/// What was found out about a record's identity before the engine sees it.
#[derive(Clone, Debug)]
pub enum Identified {
    /// It has an ID: claim it before the handler starts.
    Id {
        /// What the store knows it by.
        fingerprint: Fingerprint,
        /// What the message says of itself, for a store that [keeps details](crate::store::Store::keeps_details).
        message: Option<Arc<MessageDetails>>,
    },
    /// It has none, and the policy says: handle it without de-duplication.
    Process,
    /// It has none, and the policy says: stop its partition.
    Stop(Box<NoMessageId>),
    /// It has none, and the policy says: to the dead-letter topic.
    DeadLetter(Box<NoMessageId>),
}

/// A record as it arrives.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The record.
    pub record: Record,
    /// Its identity.
    pub identified: Identified,
    /// Not before that time, where it came from a retry topic.
    pub not_before: Option<Duration>,
    /// From that time on it is too old to be handled; `None` where it never is.
    pub expires_at: Option<Duration>,
    /// How many retry topics it has been through.
    pub step: u32,
}

impl Arrival {
    /// A record that may be handled at once, and however old it is.
    pub fn new(record: Record, identified: Identified) -> Self {
        Self { record, identified, not_before: None, expires_at: None, step: 0 }
    }
}

/// How a handler failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerFailure {
    /// What it says of trying again.
    pub kind: FailureKind,
    /// The next attempt starts no earlier than that long after this one ended, at most [`LONGEST_AFTER`]. It changes
    /// nothing where there is no next attempt here.
    pub after: Option<Duration>,
    /// What the application answered, as far as operators may see it.
    pub answered: Option<Arc<str>>,
}

/// The longest delay that a handler may ask for: its record's lane waits, and its lease is renewed all the time.
pub const LONGEST_AFTER: Duration = Duration::from_secs(3600);

impl From<FailureKind> for HandlerFailure {
    fn from(kind: FailureKind) -> Self {
        Self { kind, after: None, answered: None }
    }
}

/// What happened outside. `now` is passed beside the event: the engine has no clock.
#[derive(Debug)]
pub enum Event {
    /// Partitions were assigned; their records follow.
    Assigned(Vec<Assignment>),
    /// Records of one assignment arrived, in the order of their offsets.
    Records {
        /// Which assignment delivered them.
        assignment: Assignment,
        /// The records.
        arrivals: Vec<Arrival>,
    },
    /// A claim was answered.
    Claimed {
        /// For which work.
        work: WorkId,
        /// With which token.
        token: Token,
        /// When the request was handed over, before it was sent.
        sent_at: Duration,
        /// The answer.
        result: Result<ClaimOutcome, StoreError>,
    },
    /// A handler ended.
    Handled {
        /// For which work.
        work: WorkId,
        /// How.
        result: Result<(), HandlerFailure>,
    },
    /// A note that a record is given up was answered.
    GaveUp {
        /// For which work.
        work: WorkId,
        /// With which token.
        token: Token,
        /// When the request was handed over, before it was sent.
        sent_at: Duration,
        /// The answer.
        result: Result<GiveUpOutcome, StoreError>,
    },
    /// A copy of a record was delivered, or was not.
    Published {
        /// For which work.
        work: WorkId,
        /// The answer; an error says why it was not delivered, or that nobody knows.
        result: Result<(), String>,
    },
    /// A completion was answered.
    Completed {
        /// For which work.
        work: WorkId,
        /// The answer.
        result: Result<CompletionOutcome, StoreError>,
    },
    /// A renewal was answered.
    Renewed {
        /// For which work.
        work: WorkId,
        /// With which token.
        token: Token,
        /// When the request was handed over.
        sent_at: Duration,
        /// The answer.
        result: Result<RenewOutcome, StoreError>,
    },
    /// A release was answered.
    Released {
        /// With which token.
        token: Token,
        /// The answer.
        result: Result<ReleaseOutcome, StoreError>,
    },
    /// A commit was answered.
    Committed {
        /// Which assignment.
        assignment: Assignment,
        /// The offset that was to be committed.
        offset: Offset,
        /// The answer; an error says why the commit was refused.
        result: Result<(), CommitRefused>,
    },
    /// The source wants partitions back and waits for [`Action::RevokeDone`](super::Action::RevokeDone), until `deadline`.
    RevokeRequested {
        /// Which assignments.
        assignments: Vec<Assignment>,
        /// When the drain ends at the latest.
        deadline: Duration,
    },
    /// Partitions are gone already: no commit is allowed.
    Lost(Vec<Assignment>),
    /// The store refuses commands that it needs, or takes them again. While it does, no handler starts.
    StoreRefuses(bool),
    /// The store has forgotten these IDs: what is known of them here is forgotten, too.
    Forgot(Vec<Fingerprint>),
    /// Time has passed; see [`Engine::next_tick`](super::Engine::next_tick).
    Tick,
    /// The process did nothing for that long, because it was stopped or starved: no partition is to blame for it.
    StoodStill(Duration),
    /// An operator wants nothing to be started any more. What runs ends, is recorded and committed; what was claimed ahead
    /// is given back; retries that become due wait.
    Pause,
    /// Go on after a `Pause`.
    Resume,
    /// An operator wants the records tried again at which partitions stand stopped: of this partition, or of all.
    Retry(Option<TopicPartition>),
    /// An operator skips a record, which [`Engine::skippable`](super::Engine::skippable) found just now; answered by
    /// [`Action::SkipEnded`](super::Action::SkipEnded).
    Skip {
        /// Which record.
        work: WorkId,
    },
    /// Give everything back and stop, until `deadline`.
    Shutdown {
        /// When the drain ends at the latest.
        deadline: Duration,
    },
}
