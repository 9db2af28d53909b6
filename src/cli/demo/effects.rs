//! What the handlers did: the only thing the report believes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::observe::{DuplicateBy, Observer};
use crate::record::Record;

/// The number of a worker.
pub(super) type Worker = u64;

/// Every effect, with the worker that had it, in the order in which they happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Effects {
    by_message: Arc<Mutex<HashMap<u64, Vec<Worker>>>>,
    settled: Arc<AtomicU64>,
}

impl Effects {
    /// Has the effect of one message.
    pub(super) fn happen(&self, message: u64, worker: Worker) {
        self.by_message.lock().entry(message).or_default().push(worker);
    }

    /// Who had the effects of each message.
    pub(super) fn all(&self) -> HashMap<u64, Vec<Worker>> {
        self.by_message.lock().clone()
    }

    /// How many records were handled or dropped; for the progress bar only.
    pub(super) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    /// An observer for the progress bar.
    pub(super) fn progress(&self) -> Arc<dyn Observer> {
        Arc::new(Progress(Arc::clone(&self.settled)))
    }
}

#[derive(Debug)]
struct Progress(Arc<AtomicU64>);

impl Observer for Progress {
    fn on_handled(&self, _: &Record, _: u32, _: Duration) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn on_duplicate(&self, _: &Record, _: DuplicateBy) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
