//! How the consumers of a run are set, and on what they stand.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::history::Order;

/// Short, so that faults fit into minutes.
pub const LEASE: Duration = Duration::from_secs(5);
pub const GRACE: Duration = Duration::from_secs(120);
pub const WINDOW: Duration = Duration::from_secs(3600);
pub const SESSION: Duration = Duration::from_secs(6);
pub const POLL: Duration = Duration::from_secs(12);
pub const HANDLER_LIMIT: Duration = Duration::from_secs(8);
/// Longer than a slow handler, which ends in order where all faults are graceful.
pub const DRAIN: Duration = Duration::from_secs(3);
pub const COMMIT: Duration = Duration::from_millis(500);
pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
pub const RETRY_DELAY: Duration = Duration::from_millis(500);
pub const MAX_ATTEMPTS: u32 = 6;
pub const CONCURRENCY: usize = 16;
pub const PARTITIONS: i32 = 8;
pub const RETRY_PARTITIONS: i32 = 2;

/// Which processes the workers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kinds {
    Library,
    Push,
    /// One after the other of both.
    Mixed,
    Pull,
}

/// What remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RedisKind {
    /// One server that writes and syncs all it does.
    Aof,
    /// One server that keeps nothing over a restart.
    Volatile,
    /// A master with a replica, watched by sentinels.
    Sentinel,
    /// Three masters with a replica each.
    Cluster,
}

/// The settings of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mode {
    pub name: String,
    pub kinds: Kinds,
    pub order: Order,
    pub batch: usize,
    pub exact: bool,
    pub retry: bool,
    pub static_members: bool,
    pub exposed: usize,
    pub redis: RedisKind,
    pub brokers: usize,
    pub workers: usize,
    pub graceful: bool,
}

impl Mode {
    /// The mode that these names, with commas between, change from the usual.
    pub fn named(traits: &str) -> Result<Self, String> {
        let mut mode = Self {
            name: traits.to_owned(),
            kinds: Kinds::Library,
            order: Order::Partition,
            batch: 1,
            exact: false,
            retry: false,
            static_members: false,
            exposed: 256,
            redis: RedisKind::Aof,
            brokers: 1,
            workers: 4,
            graceful: false,
        };
        for name in traits.split(',').filter(|name| !name.is_empty()) {
            match name {
                "partition" => mode.order = Order::Partition,
                "key" => mode.order = Order::Key,
                "unordered" => mode.order = Order::Unordered,
                "batch" => mode.batch = 20,
                "exact" => mode.exact = true,
                "retry" => (mode.retry, mode.order) = (true, Order::Unordered),
                "static" => mode.static_members = true,
                "strict" => mode.exposed = 1,
                "library" => mode.kinds = Kinds::Library,
                "push" => mode.kinds = Kinds::Push,
                "mixed" => mode.kinds = Kinds::Mixed,
                "pull" => mode.kinds = Kinds::Pull,
                "aof" => mode.redis = RedisKind::Aof,
                "volatile" => mode.redis = RedisKind::Volatile,
                "sentinel" => mode.redis = RedisKind::Sentinel,
                "cluster" => mode.redis = RedisKind::Cluster,
                "brokers" => mode.brokers = 3,
                other => return Err(format!("{other:?} is no trait of a mode")),
            }
        }
        if mode.retry && mode.order != Order::Unordered {
            return Err("retry topics give up order: leave out partition and key".to_owned());
        }
        if mode.kinds == Kinds::Pull && (mode.retry || mode.batch > 1 || mode.static_members || mode.exposed == 1) {
            return Err("the pull API knows nothing of retry, batch, static and strict".to_owned());
        }
        if mode.kinds != Kinds::Library {
            mode.workers = 3;
        }
        Ok(mode)
    }

    /// Any of the modes.
    pub fn by_seed(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x6d6f_6465);
        let mut pick = |names: &[&'static str]| names[rng.random_range(0..names.len())];
        let kinds = pick(&["library", "library", "library", "push", "mixed", "pull"]);
        let mut traits = vec![kinds, pick(&["aof", "aof", "volatile", "sentinel", "cluster"]), pick(&["", "exact"])];
        traits.push(pick(&["", "", "brokers"]));
        if kinds != "pull" {
            traits.push(pick(&["partition", "partition", "key", "unordered", "retry"]));
            traits.extend([pick(&["", "", "batch"]), pick(&["", "", "static"]), pick(&["", "", "strict"])]);
        }
        traits.retain(|name| !name.is_empty());
        Self::named(&traits.join(",")).expect("traits that go together")
    }
}
