//! What is in Kafka.

use serde::{Deserialize, Serialize};

/// A record of a source topic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Produced {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// What identifies the message to hapax: two records with equal IDs are the same message, whatever their topics.
    /// `None` for a record without a usable ID.
    pub id: Option<String>,
    pub key: Option<String>,
    pub nature: Nature,
    /// 0 for the first sending of an ID, 1 for its first copy that was made on purpose, and so on.
    pub copy: u32,
    /// False where no acknowledgement came, and the record was found in the log when it was read at the end.
    #[serde(default = "yes")]
    pub acknowledged: bool,
}

fn yes() -> bool {
    true
}

/// What the handler does with a record. It is a part of its payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nature {
    /// It succeeds at once.
    Plain,
    /// It fails without an effect, whenever it is tried.
    Poison,
    /// Its first two attempts fail without an effect.
    FailsTwice,
    /// Its first attempt panics, without an effect.
    PanicsOnce,
    /// Its handler answers that it cannot be handled: one attempt, without an effect, then a dead letter.
    Fatal,
    /// Its first attempt outlasts the handler time limit, without an effect.
    TimesOutOnce,
    /// Its first attempt has its effect and then fails: the effect is repeated by design.
    FailsAfterEffect,
    /// Each attempt takes longer than a third of the lease, so that the lease must be renewed.
    Slow,
    /// It has no usable ID, so it is a dead letter.
    NoId,
    /// Another nature, of which nothing is expected but that it settles.
    #[serde(untagged)]
    Other(String),
}

/// A record that was sent and whose fate is not known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unacknowledged {
    pub topic: String,
    pub id: Option<String>,
    pub key: Option<String>,
    pub nature: Nature,
    pub copy: u32,
}

/// A sample of a group's offset in one partition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Committed {
    pub group: String,
    pub topic: String,
    pub partition: i32,
    /// The next offset to read; `None` where nothing was committed.
    pub offset: Option<i64>,
    /// The end of the partition's log: the next offset to be written.
    pub end: i64,
}

/// A record of a retry topic or a dead-letter topic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Copy {
    /// Where the copy is.
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Where the record came from at first, by the headers of the copy.
    pub origin_topic: String,
    pub origin_partition: i32,
    pub origin_offset: i64,
    pub id: Option<String>,
    /// The header with the reason.
    pub reason: String,
    /// The header with the attempts, where there is one.
    #[serde(default)]
    pub attempts: Option<u32>,
    /// When the copy was appended to its topic: milliseconds of the broker's wall clock, which is never turned.
    pub timestamp_ms: i64,
}
