//! The way of delivery that posts to an application: the consumer, started again for as long as that can help.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::serving::Serving;
use super::standing::follow;
use crate::consumer::{BatchHandler, Control, Handler, Shutdown, chain, pause_after};
use crate::observe::Observer;
use crate::sidecar::admin::{self, AdminState, Target, TargetCondition, TargetState};
use crate::sidecar::health::{Health, Part};
use crate::sidecar::push::{self, Push, PushSettings};
use crate::sidecar::settings::ConsumerSettings;
use crate::sidecar::telemetry::{Traced, Traces};
use crate::sidecar::{Settings, SidecarError};
use crate::store::Store;

/// After so long a run a failure is the first of its kind again.
const LONG_RUN: Duration = Duration::from_secs(60);

/// Who delivers, and to whom.
pub(super) struct Delivering<'a> {
    pub(super) consumer: &'a ConsumerSettings,
    pub(super) push: &'a PushSettings,
    pub(super) settings: &'a Settings,
    pub(super) store: Arc<dyn Store>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) health: &'a Health,
    pub(super) traces: &'a Traces,
    pub(super) shutdown: &'a Shutdown,
}

impl Delivering<'_> {
    /// Delivers until `shutdown`, or until nothing but a person can help.
    pub(super) async fn run(&self, serving: &mut Serving, state: AdminState) -> Result<(), SidecarError> {
        let control = Control::new();
        let stops = control.clone();
        let push = Push::new(self.push, Arc::new(move |reason| stops.pause(reason)))?;
        let state = AdminState { consumer: Some(control.clone()), target: Some(self.target(&push)), ..state };
        serving.serve(admin::router(Arc::new(state)), self.settings, self.health)?;
        tokio::select! {
            () = push.wait_ready() => self.health.started(Part::Application),
            () = self.shutdown.drain_asked() => return Ok(()),
        }
        tokio::select! {
            delivered = self.again_and_again(&push, &control) => delivered,
            () = follow(push.watch(), self.health) => Ok(()),
        }
    }

    /// Consumers, one after the other, for as long as another can help.
    async fn again_and_again(&self, push: &Push, control: &Control) -> Result<(), SidecarError> {
        let mut failures = 0;
        loop {
            let handler = Traced::new(push.clone(), self.traces.tracer(), &self.consumer.kafka.group);
            let begun = Instant::now();
            let (started, result) = self.once(handler, control).await;
            let Err(error) = result else { return Ok(()) };
            self.health.failed(Part::Kafka, "not reached");
            // The consumer itself has waited for what is away.
            if !started || !error.is_retryable() {
                return Err(error);
            }
            tracing::error!(cause = chain(&error), "the consumer ended; nothing is lost, and another one is started");
            failures = if begun.elapsed() > LONG_RUN { 1 } else { failures + 1 };
            tokio::select! {
                () = sleep(pause_after(failures)) => {}
                () = self.shutdown.drain_asked() => return Ok(()),
            }
        }
    }

    /// The application, for the status page.
    fn target(&self, push: &Push) -> Target {
        let (push, url, reopened) = (push.clone(), self.push.url.clone(), push.clone());
        Target::new(move || {
            let (condition, says) = match push.state() {
                push::TargetState::Unknown => (TargetCondition::Starting, None),
                push::TargetState::Ready => (TargetCondition::Ready, None),
                push::TargetState::Unavailable { reason } => (TargetCondition::Unavailable, Some(reason)),
                push::TargetState::Misconfigured { reason } => (TargetCondition::Misconfigured, Some(reason)),
                push::TargetState::Stopped { reason } => (TargetCondition::Gone, Some(reason)),
            };
            TargetState { url: url.clone(), condition, says }
        })
        .reopened_by(move || reopened.reopen())
    }

    /// One consumer; returns whether it had started.
    async fn once<H>(&self, handler: H, control: &Control) -> (bool, Result<(), SidecarError>)
    where
        H: Handler + BatchHandler,
    {
        let (store, observer) = (Arc::clone(&self.store), Arc::clone(&self.observer));
        let cache = (self.settings.store.cache_entries, self.settings.store.cache_lifetime);
        let builder = self.consumer.builder(&self.settings.namespace, store, cache, observer);
        let built = builder.control(control.clone()).start_timeout(self.settings.start_wait).build();
        let consumer = match built {
            Ok(consumer) => consumer,
            Err(error) => return (false, Err(SidecarError::Internal(error.to_string()))),
        };
        let running = async {
            match self.consumer.batch {
                1 => consumer.run_until(handler, self.shutdown.clone()).await,
                _ => consumer.run_batches(handler, self.shutdown.clone()).await,
            }
        };
        let mut started = false;
        tokio::pin!(running);
        let result = tokio::select! {
            result = &mut running => result,
            () = control.started() => {
                started = true;
                self.health.started(Part::Store);
                self.health.started(Part::Kafka);
                let (group, topics) = (&self.consumer.kafka.group, self.consumer.kafka.topics.join(","));
                tracing::info!(group, topics, "reading");
                running.await
            }
        };
        (started, result.map_err(SidecarError::Run))
    }
}
