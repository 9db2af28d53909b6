//! What `hapax run` does: listen, connect, deliver or answer, and end in order.
//!
//! ```text
//! bind both listeners -> store -> application ready -> consumer | pull API -> SIGTERM -> not ready -> drain -> listeners end
//! ```
//!
//! The health listener is the first to answer and the last to end, so that probes always learn where the process stands.

mod delivering;
mod serving;
mod standing;

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::task::AbortOnDropHandle;

use self::delivering::Delivering;
use self::serving::{Listeners, Serving};
use self::standing::{KafkaStanding, StoreStanding, watch_store};
use super::admin::{AdminState, ScopeKind, Tally};
use super::health::{Health, Part};
use super::pull::{PullSettings, PullState};
use super::settings::{Delivery, Settings, StoreSettings};
use super::telemetry::{Named, Traces};
use super::{SidecarError, admin, pull};
use crate::consumer::{Patience, Shutdown};
use crate::error::RunError;
use crate::id::{IdKey, Identifier};
use crate::observe::{Fan, Observer};
use crate::store::{Cached, DoneCache, Store};
use crate::telemetry::Telemetry;

/// Runs the sidecar until `shutdown`. `metrics` is the recorder of the process.
///
/// # Errors
///
/// [`SidecarError`]; [`is_retryable`](SidecarError::is_retryable) tells whether starting again can help.
///
/// # Cancel safety
///
/// Dropping the future ends it as a crash would: nothing is drained or released, nothing is lost.
pub async fn run(settings: Settings, metrics: PrometheusHandle, shutdown: Shutdown) -> Result<(), SidecarError> {
    let listeners = Listeners::bind(&settings.listen).await?;
    let parts = match &settings.delivery {
        Delivery::Push(_) => vec![Part::Kafka, Part::Store, Part::Application, Part::Listener],
        Delivery::Pull(_) => vec![Part::Store, Part::Listener],
    };
    let health = Arc::new(Health::new(parts));
    let mut serving = Serving::start(listeners, &settings, Arc::clone(&health), metrics)?;
    let traces = Traces::start(&settings.telemetry)?;
    let tally = Arc::new(Tally::new());
    let mut observers: Vec<Arc<dyn Observer>> = vec![
        Arc::new(Telemetry::new()),
        Arc::clone(&tally) as _,
        Arc::new(StoreStanding(Arc::clone(&health))),
        Arc::new(KafkaStanding(Arc::clone(&health))),
    ];
    if let Delivery::Push(push) = &settings.delivery {
        let identifier = Identifier::new(settings.namespace.clone()).extractor(Arc::clone(&push.0.extractor));
        observers.push(Arc::new(Named::new(identifier.key(push.0.id_key.clone()), settings.telemetry.log_ids)));
    }
    let observer: Arc<dyn Observer> = Arc::new(Fan::new(observers));

    let ending = {
        let (health, shutdown) = (Arc::clone(&health), shutdown.clone());
        tokio::spawn(async move {
            shutdown.drain_asked().await;
            health.shutting_down();
        })
    };
    let ended = match &settings.delivery {
        Delivery::Push(push) => {
            let store = settings.store.build(&settings.namespace)?;
            let state = administration(&settings, "push", &push.0.id_key, tally, Arc::clone(&store));
            let (consumer, push) = (&push.0, &push.1);
            let (settings, health, traces, shutdown) = (&settings, &*health, &traces, &shutdown);
            let delivering = Delivering { consumer, push, settings, store, observer, health, traces, shutdown };
            delivering.run(&mut serving, state).await
        }
        Delivery::Pull(pulled) => {
            answer_claims(pulled, &settings, &mut serving, &health, tally, observer, &shutdown).await
        }
    };
    health.shutting_down();
    ending.abort();
    serving.end(&shutdown).await;
    traces.end().await;
    ended
}

/// Answers the calls of the pull API until `shutdown`.
async fn answer_claims(
    pulled: &PullSettings,
    settings: &Settings,
    serving: &mut Serving,
    health: &Health,
    tally: Arc<Tally>,
    observer: Arc<dyn Observer>,
    shutdown: &Shutdown,
) -> Result<(), SidecarError> {
    let StoreSettings { cache_entries, cache_lifetime, terms, .. } = settings.store;
    let cache = DoneCache::new(cache_entries, cache_lifetime, terms.window);
    let store: Arc<dyn Store> = Arc::new(Cached::new(settings.store.build(&settings.namespace)?, cache));
    let agreement = pull::agreement(&*store, pulled);
    let opening = |_| async { store.open(&agreement).await.map_err(RunError::Open) };
    let patience = Patience::new(settings.start_wait);
    tokio::select! {
        opened = patience.until("the store", drop, opening) => opened?,
        () = shutdown.drain_asked() => return Ok(()),
    }
    health.started(Part::Store);
    let watching = AbortOnDropHandle::new(tokio::spawn(watch_store(Arc::clone(&store), Arc::clone(&observer))));
    let state = administration(settings, "pull", &pulled.id_key, tally, Arc::clone(&store));
    let calls = PullState::new(store, observer, pulled.clone());
    let api = pull::router(Arc::clone(&calls));
    serving.serve(api.merge(admin::router(Arc::new(state))), settings, health)?;
    tracing::info!(address = %serving.address(), namespace = %settings.namespace, "answering claims");
    shutdown.drain_asked().await;
    serving.end_calls(shutdown).await;
    // Completions of callers that have gone: their effects happened.
    tokio::select! {
        () = calls.finish() => {}
        () = shutdown.at_once_asked() => {}
    }
    drop(watching);
    Ok(())
}

/// What the administration looks at, without a consumer.
fn administration(
    settings: &Settings,
    delivery: &'static str,
    id_key: &IdKey,
    tally: Arc<Tally>,
    store: Arc<dyn Store>,
) -> AdminState {
    AdminState {
        namespace: settings.namespace.clone(),
        delivery,
        store,
        id_key: id_key.clone(),
        scope: if delivery == "pull" { ScopeKind::Name } else { ScopeKind::Topic },
        cache_lifetime: settings.store.cache_lifetime,
        tally,
        consumer: None,
        target: None,
    }
}
