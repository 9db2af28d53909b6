//! Both observers as one.

use std::time::Duration;

use super::{Log, Metrics};
use crate::observe::{
    CommitRefused, DuplicateBy, FailureKind, KafkaClients, Observer, Outcome, WaitsFor, every_method,
};
use crate::record::{Epoch, Offset, Origin, Record, TopicPartition};
use crate::store::{StoreError, StoreHealth, Verdict};

/// Counts and logs: the observer of a consumer that was given no other. The counts are read by
/// [`scrape`](super::scrape).
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
    log: Log,
}

impl Telemetry {
    /// Describes every metric to the installed recorder.
    pub fn new() -> Self {
        Self { metrics: Metrics::new(), log: Log::new() }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

macro_rules! both {
    ($($method:ident($($name:ident: $type:ty),*);)*) => {
        impl Observer for Telemetry {
            $(fn $method(&self, $($name: $type),*) {
                self.metrics.$method($($name),*);
                self.log.$method($($name),*);
            })*
        }
    };
}

every_method!(both);
