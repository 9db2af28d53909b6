//! All that the status page shows, at one moment.

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use super::state::{AdminState, TargetState};
use super::tally::{Counts, RatesTold};
use super::verdict::{Severity, verdict};
use super::views::PartitionView;
use crate::consumer::{Control, wall_clock};
use crate::observe::KafkaClients;
use crate::store::StoreHealth;

/// How long the consumer may take to tell what its partitions do.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is going on.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// When this was seen, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The version of hapax.
    pub version: &'static str,
    /// Who handles the messages.
    pub namespace: String,
    /// How they are delivered: `push` or `pull`.
    pub delivery: &'static str,
    /// For how long the process has been counting, in seconds.
    pub uptime_s: u64,
    /// Why an operator has paused it; `null` where none has.
    pub paused: Option<String>,
    /// The application that messages are posted to.
    pub target: Option<TargetState>,
    /// How the store keeps done IDs.
    pub store_mode: &'static str,
    /// How the store is doing.
    pub store: StoreHealth,
    /// How the Kafka clients stand; `null` where there are none, or before the consumer has started.
    pub kafka: Option<KafkaClients>,
    /// The service that the start waits for, and its error; `null` once the consumer has started.
    pub start_waits: Option<String>,
    /// What happened since the start.
    pub counts: Counts,
    /// What happens per second.
    pub rates: RatesTold,
    /// What each partition is doing; `null` where there is no consumer, or none that answers.
    pub partitions: Option<Vec<PartitionView>>,
}

/// A snapshot with what is to be said of it.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    severity: Severity,
    says: String,
    #[serde(flatten)]
    snapshot: Snapshot,
}

impl AdminState {
    pub(super) async fn partitions(&self) -> Option<Vec<PartitionView>> {
        let states = timeout(PATIENCE, self.consumer.as_ref()?.partitions()).await.ok()?;
        Some(states.into_iter().map(PartitionView::from).collect())
    }

    async fn snapshot(&self) -> Snapshot {
        Snapshot {
            at: wall_clock(),
            version: env!("CARGO_PKG_VERSION"),
            namespace: self.namespace.to_string(),
            delivery: self.delivery,
            uptime_s: self.tally.uptime().as_secs(),
            paused: self.consumer.as_ref().and_then(Control::paused),
            target: self.target.as_ref().map(super::state::Target::state),
            store_mode: self.store.mode(),
            store: self.store.health(),
            kafka: self.consumer.as_ref().and_then(Control::kafka),
            start_waits: self.consumer.as_ref().and_then(Control::waits_for),
            counts: self.tally.counts(),
            rates: self.tally.rates(),
            partitions: self.partitions().await,
        }
    }

    pub(super) async fn status(&self) -> Status {
        let snapshot = self.snapshot().await;
        let (severity, says) = verdict(&snapshot);
        Status { severity, says, snapshot }
    }
}
