//! What the nemesis does.

use serde::{Deserialize, Serialize};

/// A fault. It is written when it begins, with no `end`, and again when it is over, with the same number.
///
/// The last line of a number counts. `at` of the lines does not matter, `begin` and `end` do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// The number of the fault in this run.
    pub number: u64,
    pub what: FaultKind,
    pub target: Target,
    /// When it began: directly *before* the signal was sent or the setting was changed.
    pub begin: u64,
    /// When it was over: directly *after* the last step of the repair. `None` while it lasts.
    pub end: Option<u64>,
    /// True where hapax promises no repeated effect and gets the time to act: SIGTERM, a member that joins or leaves,
    /// a broker that is shut down in order.
    pub graceful: bool,
    /// The failpoint at which a worker killed itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failpoint: Option<String>,
    /// Where the store can have lost what it had acknowledged: everything written from this time on, until `end`.
    /// 0 where it lost everything; the time since which a promoted replica had received nothing; 2 s before a kill with
    /// `appendfsync everysec`. Left out where nothing can be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_from: Option<u64>,
    /// By how much a clock was moved, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ms: Option<i64>,
    /// Details for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The text of a fault that makes the store refuse commands that hapax needs.
pub const WRITES_REFUSED: &str = "writes refused";

/// What a fault is aimed at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// One life of a worker.
    Worker { worker: String, incarnation: u32 },
    /// All workers, or the group.
    Workers,
    /// A broker, by its number.
    Broker(String),
    /// A Redis server, by its name.
    Store(String),
    /// The connections of one worker, or of all (`None`), to the servers that the kind of fault names.
    Link { worker: Option<String> },
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// SIGKILL of a worker. `end` is when its successor started.
    WorkerKill,
    /// A worker killed itself at a failpoint. `begin` is the earliest time at which it can have happened, `end` when its exit was
    /// seen or later.
    WorkerFailpoint,
    /// SIGTERM of a worker.
    WorkerTerm,
    /// A new worker joins the group.
    WorkerJoin,
    /// SIGSTOP of a worker, until SIGCONT.
    WorkerFreeze,
    /// A worker gets hardly any CPU.
    WorkerStarve,
    /// A worker's clock was moved.
    WorkerClock,
    /// SIGKILL of a broker, until it serves again.
    BrokerKill,
    /// An orderly end of a broker, until it serves again.
    BrokerTerm,
    BrokerFreeze,
    /// Connections between a worker, or all, and the brokers are cut, hang, or are slow.
    BrokerCut,
    BrokerHang,
    BrokerSlow,
    /// SIGKILL of a Redis server, until it serves again.
    StoreKill,
    /// An orderly restart of a Redis server, which saves.
    StoreTerm,
    StoreFreeze,
    /// A replica was promoted.
    StoreFailover,
    /// Two masters at once.
    StoreSplit,
    /// FLUSHALL.
    StoreFlush,
    /// Redis has no memory left for writes.
    StoreFull,
    /// Redis' clock was moved.
    StoreClock,
    /// Scripts flushed, CLIENT PAUSE, DEBUG SLEEP, LOADING.
    StoreBusy,
    /// Connections between a worker, or all, and Redis are cut, hang, or are slow.
    StoreCut,
    StoreHang,
    StoreSlow,
    /// Several members leave and join at once.
    Rebalance,
    /// The group's offsets were set back by an operator.
    OffsetsReset,
    /// Another one. It explains nothing.
    #[serde(untagged)]
    Other(String),
}
