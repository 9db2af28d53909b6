//! What all calls share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::PullSettings;
use super::memory::Memory;
use crate::observe::Observer;
use crate::record::{Offset, Record, TopicPartition};
use crate::store::{Agreement, Store, StoreError};

/// How IDs are found: the caller says them. Processes that find them otherwise are refused in the same namespace.
const ID_RULE: &str = "pull: ID and scope name from the caller";
/// What metrics and logs call the source.
const SOURCE: &str = "pull";

/// What processes of a namespace that serve the pull API have to agree on: for [`Store::open`], before the first call.
pub fn agreement(store: &dyn Store, settings: &PullSettings) -> Agreement {
    Agreement::of(store, ID_RULE, &settings.id_key)
}

/// What all calls of the pull API share.
#[derive(Debug)]
pub struct PullState {
    pub(super) store: Arc<dyn Store>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) settings: PullSettings,
    pub(super) memory: Memory,
    pub(super) tasks: TaskTracker,
    source: TopicPartition,
    begun: AtomicI64,
}

impl PullState {
    /// Over a store that was opened with [`agreement`]; `observer` is told of every decision.
    pub fn new(store: Arc<dyn Store>, observer: Arc<dyn Observer>, settings: PullSettings) -> Arc<Self> {
        Arc::new(Self {
            store,
            observer,
            settings,
            memory: Memory::new(),
            tasks: TaskTracker::new(),
            source: TopicPartition::new(SOURCE, 0),
            begun: AtomicI64::new(0),
        })
    }

    /// Waits until what calls began has ended, also of callers that have gone: completions, and releases of claims that
    /// nobody took. Call it when the listener has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped, what is under way goes on as long as the runtime does.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// A number under which the observer knows a claim.
    pub(super) fn number(&self) -> Offset {
        self.begun.fetch_add(1, Ordering::Relaxed)
    }

    /// The record as which the observer knows a claim.
    pub(super) fn record(&self, number: Offset) -> Record {
        Record::builder(self.source.clone(), number).build()
    }

    /// How long a lease may be relied on from before its request was sent: a tenth less, because the clocks of two
    /// machines do not run alike.
    pub(super) fn relied_on(&self) -> Duration {
        self.store.terms().lease / 10 * 9
    }

    pub(super) fn failed(&self, operation: &'static str, error: &StoreError) {
        self.observer.on_store_error(operation, error);
    }
}

/// Whole milliseconds, for JSON.
pub(super) fn millis(term: Duration) -> u64 {
    u64::try_from(term.as_millis()).unwrap_or(u64::MAX)
}
