//! Why a partition stopped, and what follows.

use std::sync::Arc;
use std::time::Duration;

use crate::record::Offset;

/// The kind of reason for which a partition stopped. It decides whether the partition tries its record again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopCause {
    /// The handler failed as often as it may, or reported that trying again is no use.
    HandlerFailed,
    /// More of the last records would become dead letters than the allowed share.
    TooManyDeadLetters,
    /// Processes ended while they handled the record, as often as it may be started.
    ProcessEnded,
    /// The record has no usable message ID, and the policy is to stop.
    NoId,
    /// The record's ID was handled before with another payload, and the policy is to stop.
    Conflict,
    /// The log is not the one that was read: it went back.
    Log,
}

impl StopCause {
    /// A short name that stays the same: for labels and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::HandlerFailed => "handler_failed",
            Self::TooManyDeadLetters => "too_many_dead_letters",
            Self::ProcessEnded => "process_ended",
            Self::NoId => "no_id",
            Self::Conflict => "conflict",
            Self::Log => "log",
        }
    }

    /// Whether time may mend it, so that the partition tries its record again by itself.
    pub fn may_mend(self) -> bool {
        match self {
            Self::HandlerFailed | Self::TooManyDeadLetters => true,
            // A try could end the process again, and others with it.
            Self::ProcessEnded => false,
            // The record stays as it is.
            Self::NoId | Self::Conflict | Self::Log => false,
        }
    }
}

/// Where and why a partition stands stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionStop {
    /// The record at which it stands.
    pub offset: Offset,
    /// The kind of reason.
    pub cause: StopCause,
    /// The reason, for people. Never holds what the handler reported, which may hold parts of the message.
    pub reason: Arc<str>,
    /// What the application answered to the last attempt, on one line: see [`Failure::answered`].
    ///
    /// [`Failure::answered`]: crate::consumer::Failure::answered
    pub answered: Option<Arc<str>>,
    /// How often the record was tried again since the partition stopped at it.
    pub tries: u32,
    /// Whether the record is being tried now.
    pub trying: bool,
    /// How long until the partition tries the record again by itself; `None` if it waits for an operator, or tries.
    pub next_try: Option<Duration>,
    /// For how long it has stood there.
    pub since: Duration,
}

impl PartitionStop {
    /// A stop that has just happened and waits for an operator; for tests of observers.
    pub fn new(offset: Offset, cause: StopCause, reason: impl Into<Arc<str>>) -> Self {
        let (reason, since) = (reason.into(), Duration::ZERO);
        Self { offset, cause, reason, answered: None, tries: 0, trying: false, next_try: None, since }
    }
}
