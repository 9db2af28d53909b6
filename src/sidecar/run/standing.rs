//! How the parts stand once they have started, for `/ready`, which names them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::observe::{KafkaClients, KafkaState, Observer};
use crate::sidecar::health::{Health, Part};
use crate::sidecar::push::TargetState;
use crate::store::{Breaker, Store, StoreHealth};

/// It is what was last seen, so that a look costs nothing.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Tells how the store stands.
#[derive(Debug)]
pub(super) struct StoreStanding(pub(super) Arc<Health>);

impl Observer for StoreStanding {
    fn on_store_health(&self, health: &StoreHealth) {
        match health.breaker {
            Breaker::Closed if health.refuses() => self.0.failed(Part::Store, "refuses commands"),
            Breaker::Closed => self.0.started(Part::Store),
            _ => self.0.failed(Part::Store, "not reached"),
        }
    }
}

/// Tells how Kafka stands: fixed words, for anybody may ask.
#[derive(Debug)]
pub(super) struct KafkaStanding(pub(super) Arc<Health>);

impl Observer for KafkaStanding {
    fn on_kafka_health(&self, clients: &KafkaClients) {
        match clients.consumer.state {
            KafkaState::Reachable => self.0.started(Part::Kafka),
            KafkaState::NoCoordinator => self.0.failed(Part::Kafka, "the group has no coordinator"),
            KafkaState::Unreachable => self.0.failed(Part::Kafka, "not reached"),
            KafkaState::Denied => self.0.failed(Part::Kafka, "access denied"),
        }
    }
}

/// Tells the observer how the store is, as a consumer would where there is one; never ends by itself.
pub(super) async fn watch_store(store: Arc<dyn Store>, observer: Arc<dyn Observer>) {
    let (mut every, mut known) = (tokio::time::interval(LOOK_INTERVAL), None);
    loop {
        every.tick().await;
        let health = store.health();
        if known.as_ref() != Some(&health) {
            observer.on_store_health(&health);
            known = Some(health);
        }
    }
}

/// Tells how the application stands, from its first being ready on; never ends by itself.
pub(super) async fn follow(mut target: watch::Receiver<TargetState>, health: &Health) {
    while target.changed().await.is_ok() {
        match &*target.borrow_and_update() {
            TargetState::Unknown => {}
            TargetState::Ready => health.started(Part::Application),
            TargetState::Unavailable { .. } => health.failed(Part::Application, "not available"),
            TargetState::Misconfigured { .. } => health.failed(Part::Application, "misconfigured"),
            TargetState::Stopped { .. } => health.failed(Part::Application, "wants no more messages"),
        }
    }
    std::future::pending().await
}
