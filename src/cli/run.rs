//! `hapax run`: the sidecar, under the signals of an operating system.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::{EXIT_SOFTWARE, EXIT_UNAVAILABLE, EXIT_USAGE};
use crate::consumer::Shutdown;
use crate::sidecar::health::install_recorder;
use crate::sidecar::telemetry::init_logs;
use crate::sidecar::{Settings, SidecarError, run};

/// Runs it until a signal, and returns what it ended with.
pub(super) async fn sidecar(settings: Settings, ignored: Vec<String>) -> Result<(), SidecarError> {
    init_logs(&settings.telemetry).map_err(|error| SidecarError::Internal(error.to_string()))?;
    let metrics = install_recorder().map_err(|error| SidecarError::Internal(error.to_string()))?;
    let shutdown = Shutdown::new();
    let signals = tokio::spawn(obey(shutdown.clone(), settings.shutdown_limit)?);
    if !ignored.is_empty() {
        tracing::info!(variables = ignored.join(" "), "ignored: Kubernetes set them, for a Service of that name");
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), namespace = %settings.namespace, "starting");
    let ended = run(settings, metrics, shutdown).await;
    signals.abort();
    match &ended {
        Ok(()) => tracing::info!("ended in order"),
        Err(error) => tracing::error!(%error, "ended"),
    }
    ended
}

/// The first signal asks for an end in order; the second, or the limit, for one at once.
fn obey(shutdown: Shutdown, limit: Duration) -> Result<impl Future<Output = ()>, SidecarError> {
    let listen = |kind| signal(kind).map_err(|error| SidecarError::Internal(format!("signals are not heard: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let signal = next().await;
        tracing::info!(signal, ?limit, "ending in order; a second signal ends at once");
        shutdown.drain();
        tokio::select! {
            signal = next() => tracing::warn!(signal, "ending at once"),
            () = sleep(limit) => tracing::warn!(?limit, "ending at once: the limit is over"),
        }
        shutdown.at_once();
    })
}

/// What the process ends with.
pub(super) fn exit_code(error: &SidecarError) -> u8 {
    match error {
        SidecarError::Internal(_) => EXIT_SOFTWARE,
        error if error.is_retryable() => EXIT_UNAVAILABLE,
        _ => EXIT_USAGE,
    }
}
