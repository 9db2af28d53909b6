//! What handlers do.

use serde::{Deserialize, Serialize};

/// One attempt at one record, as the handler sees it: a call with a batch is one attempt for each of its records.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attempt {
    pub worker: String,
    /// The number of the process's life: 0 for the first process of this worker, 1 after its first restart.
    pub incarnation: u32,
    /// Where the record was read: a retry topic where it came from one.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub id: Option<String>,
    /// The number of the attempt, as hapax passed it to the handler.
    pub attempt: u32,
    /// A number of the handler call within this incarnation.
    pub call: u64,
}

/// An attempt ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ended {
    #[serde(flatten)]
    pub of: Attempt,
    pub outcome: Outcome,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok,
    Retryable,
    Fatal,
    Skip,
    Unavailable,
    Panicked,
    /// hapax dropped the call before it ended: the time limit, or the end of the consumer.
    Dropped,
}
