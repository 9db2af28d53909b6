//! When the first record came, when the last one was settled, and what lay between.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::allocations::allocations;
use crate::meter::our_cpu;

/// How long one turn may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Counts records until all are settled. Joining a group and leaving it lie outside of what it measures.
#[derive(Debug)]
pub struct Watch {
    wanted: u64,
    settled: AtomicU64,
    effects: AtomicU64,
    first: OnceLock<Reading>,
    last: OnceLock<Reading>,
    done: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    cpu: Duration,
    allocations: u64,
}

impl Watch {
    /// Waits for so many records.
    pub fn for_records(wanted: u64) -> Arc<Self> {
        Arc::new(Self {
            wanted,
            settled: AtomicU64::new(0),
            effects: AtomicU64::new(0),
            first: OnceLock::new(),
            last: OnceLock::new(),
            done: Notify::new(),
        })
    }

    /// Records have come.
    pub fn came(&self) {
        self.first.get_or_init(Reading::now);
    }

    /// A handler had its effect.
    pub fn effect(&self) {
        self.effects.fetch_add(1, Relaxed);
    }

    /// So many records more need nothing more. Returns whether that was the last one.
    pub fn settled(&self, records: u64) -> bool {
        let settled = self.settled.fetch_add(records, Relaxed) + records;
        if settled >= self.wanted && self.last.set(Reading::now()).is_ok() {
            self.done.notify_one();
        }
        settled >= self.wanted
    }

    /// How many are settled.
    pub fn so_far(&self) -> u64 {
        self.settled.load(Relaxed)
    }

    pub fn effects(&self) -> u64 {
        self.effects.load(Relaxed)
    }

    pub async fn done(&self) {
        let waited = timeout(PATIENCE, self.done.notified()).await;
        waited.unwrap_or_else(|_| panic!("{self:?} is not done within {PATIENCE:?}"));
    }

    /// Time from the first record to the end of the last, and how much of our processor it took.
    pub fn span(&self) -> (Duration, Duration) {
        let (first, last) = self.ends();
        (last.at - first.at, last.cpu.saturating_sub(first.cpu))
    }

    /// Allocations between the first record and the end of the last.
    pub fn allocations(&self) -> u64 {
        let (first, last) = self.ends();
        last.allocations - first.allocations
    }

    fn ends(&self) -> (&Reading, &Reading) {
        (self.first.get().expect("a record came"), self.last.get().expect("all are settled"))
    }
}

impl Reading {
    fn now() -> Self {
        Self { at: Instant::now(), cpu: our_cpu(), allocations: allocations() }
    }
}
