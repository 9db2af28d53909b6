//! What the handlers did: the only thing the report believes.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// The number of a worker.
pub(super) type Worker = u64;

/// Every effect, with the worker that had it, in the order in which they happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Effects {
    by_message: Arc<Mutex<HashMap<u64, Vec<Worker>>>>,
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
}
