//! The processes of the workers, from outside.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A step in the life of a worker's process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Process {
    pub worker: String,
    pub incarnation: u32,
    pub state: Life,
    /// The exit code, where it exited with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
}

/// The states of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// `at` is before the process was started.
    Started,
    /// It has joined the group.
    Ready,
    /// `at` is after its exit was seen.
    Exited,
}

/// A sample of a worker's resident memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Memory {
    pub worker: String,
    pub incarnation: u32,
    pub rss_bytes: u64,
}

/// The counters of one worker and topic, all read within one scrape.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counts {
    pub worker: String,
    pub incarnation: u32,
    pub topic: String,
    /// `hapax_records_delivered_total`.
    pub delivered: u64,
    /// `hapax_records_settled_total` by outcome.
    pub settled: BTreeMap<String, u64>,
    /// `hapax_records_given_back_total`.
    pub given_back: u64,
    /// `hapax_records_in_flight`.
    pub in_flight: u64,
    /// `hapax_completions_total` by verdict.
    #[serde(default)]
    pub completions: BTreeMap<String, u64>,
    /// `hapax_duplicates_total`, by all.
    #[serde(default)]
    pub duplicates: u64,
}

/// Something that was there after the end and should not have been: leases in the store, processes, connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Leftover {
    pub what: String,
    pub count: u64,
}
