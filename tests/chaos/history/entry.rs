//! One line of a history.

use serde::{Deserialize, Serialize};

use super::{
    Attempt, Committed, Copy, Counts, Ended, Fault, Leftover, Memory, Phase, Process, Produced, Reported, Run,
    Unacknowledged,
};

/// One line: when, and what happened.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Microseconds of the machine's monotonic clock, see [`super::now`].
    pub at: u64,
    /// What happened; its name is the field `kind`.
    #[serde(flatten)]
    pub event: Event,
}

/// The part of a line that names its kind.
#[derive(Deserialize)]
struct Head<'a> {
    at: u64,
    kind: &'a str,
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident($type:ty) = $kind:literal,)*) => {
        /// What happened.
        #[derive(Clone, Debug, Serialize)]
        #[serde(tag = "kind")]
        pub enum Event {
            $($(#[$doc])* #[serde(rename = $kind)] $variant($type),)*
        }

        impl Entry {
            /// Reads a line.
            pub fn parse(line: &[u8]) -> serde_json::Result<Self> {
                let head: Head<'_> = serde_json::from_slice(line)?;
                let event = match head.kind {
                    $($kind => Event::$variant(serde_json::from_slice(line)?),)*
                    other => {
                        return Err(serde::de::Error::custom(format!("{other:?} is no kind of event")));
                    }
                };
                Ok(Self { at: head.at, event })
            }
        }
    };
}

events! {
    /// The settings of the run; exactly one line.
    Run(Run) = "run",
    /// The run enters its next stage.
    Phase(Phase) = "phase",
    /// A record is in the log. `at` is when the producer knew it.
    Produced(Produced) = "produced",
    /// A record was sent and not acknowledged: it may be in the log.
    Unacknowledged(Unacknowledged) = "produce_unknown",
    /// A handler was called with a record.
    Started(Attempt) = "started",
    /// A handler's effect: the line itself is the effect.
    Effect(Attempt) = "effect",
    /// A handler ended, directly before it returns to hapax.
    Ended(Ended) = "ended",
    /// A group's offset in a partition, and the end of its log. `at` is after the answer.
    Committed(Committed) = "committed",
    /// A record was found in a retry topic or a dead-letter topic.
    Copy(Copy) = "delivered_copy",
    /// Something that hapax itself reported.
    Reported(Reported) = "reported",
    /// The counters of a worker and topic, read in one scrape.
    Counts(Counts) = "counts",
    /// Something the nemesis did.
    Fault(Fault) = "fault",
    /// A worker's process started, became ready or exited.
    Process(Process) = "worker",
    /// The resident memory of a worker.
    Memory(Memory) = "memory",
    /// Something that was still there after the end.
    Leftover(Leftover) = "leftover",
}

macro_rules! into_event {
    ($($variant:ident($type:ty))*) => {
        $(impl From<$type> for Event {
            fn from(inner: $type) -> Self {
                Self::$variant(inner)
            }
        })*
    };
}
into_event! {
    Run(Run) Phase(Phase) Produced(Produced) Unacknowledged(Unacknowledged) Ended(Ended) Committed(Committed) Copy(Copy)
    Reported(Reported) Counts(Counts) Fault(Fault) Process(Process) Memory(Memory) Leftover(Leftover)
}
