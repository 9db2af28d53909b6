//! What hapax itself reported.

use serde::{Deserialize, Serialize};

/// A report of one worker: an event of its observer, a line of its log, or a growth of a metric.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reported {
    pub worker: String,
    pub incarnation: u32,
    pub what: What,
    /// The record or the partition, where the report names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// The record's offset; for a commit the committed one; for a stop the one at which it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The epoch of an assignment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// How many, where one report stands for several.
    #[serde(default = "one")]
    pub count: u64,
    /// Anything for people: the reason of a stop, what a stall waits for, a store error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

fn one() -> u64 {
    1
}

impl Reported {
    /// A report of which nothing else is known.
    pub fn new(worker: &str, incarnation: u32, what: What) -> Self {
        Self {
            worker: worker.to_owned(),
            incarnation,
            what,
            topic: None,
            partition: None,
            offset: None,
            id: None,
            epoch: None,
            count: 1,
            text: None,
        }
    }
}

/// What a report is of. The names follow the methods of hapax's `Observer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// An effect is recorded as done, and was the first. Needed for every record: it proves that a repeat of this
    /// effect is not the fault of a later crash.
    CompletedFirst,
    /// An effect is recorded as done, and was a repeat.
    CompletedOverrun,
    /// An effect is recorded as done, and may have been a repeat.
    CompletedPossibleOverrun,
    /// A record was dropped as a duplicate known to the local cache, to the store, or to this process.
    DuplicateByCache,
    DuplicateByStore,
    DuplicateByProcess,
    /// An ID was claimed from an owner whose lease ran out.
    Suspect,
    /// A handler runs on although its lease could not be renewed.
    LeaseLost,
    /// A record settled with a copy in the dead-letter topic, or in a retry topic.
    DeadLettered,
    Retried,
    Expired,
    Skipped,
    /// An attempt failed.
    Failed,
    /// A partition was assigned, given up in order (all that ran had ended, or not), or lost.
    Assigned,
    Drained,
    CutOff,
    Lost,
    /// The broker took a commit, or refused it.
    Committed,
    CommitFailed,
    /// A partition stopped and waits for an operator.
    Stopped,
    Stalled,
    StallOver,
    /// The store did not answer.
    StoreError,
    /// The store may have lost records (a restart, a fail-over, a flush), as hapax noticed.
    RecordsLost,
    /// Another finding about the store.
    Finding,
}
