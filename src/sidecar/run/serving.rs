//! The two listeners, from before anything is connected until everything else has ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::consumer::Shutdown;
use crate::error::Problem;
use crate::sidecar::health::{self, Health, Part};
use crate::sidecar::listen::{self, Limits, ListenSettings, Tls};
use crate::sidecar::{Settings, SidecarError};

/// How long requests under way may take at the end.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// Both listeners, bound.
#[derive(Debug)]
pub(super) struct Listeners {
    main: TcpListener,
    health: TcpListener,
    address: SocketAddr,
}

impl Listeners {
    /// Binds both before anything else is done: an address that is taken is told at once.
    pub(super) async fn bind(settings: &ListenSettings) -> Result<Self, SidecarError> {
        let main = bind("HAPAX_LISTEN", settings.address).await?;
        let health = bind("HAPAX_HEALTH_LISTEN", settings.health_address).await?;
        let address = main.local_addr().unwrap_or(settings.address);
        Ok(Self { main, health, address })
    }
}

async fn bind(setting: &'static str, address: SocketAddr) -> Result<TcpListener, SidecarError> {
    TcpListener::bind(address).await.map_err(|source| SidecarError::Listen { setting, address, source })
}

/// What is being served.
#[derive(Debug)]
pub(super) struct Serving {
    address: SocketAddr,
    /// Not served before there is something to serve.
    waiting: Option<(TcpListener, Option<Tls>)>,
    main: Option<JoinHandle<()>>,
    main_ends: CancellationToken,
    health: JoinHandle<()>,
    health_ends: CancellationToken,
    upkeep: JoinHandle<()>,
}

impl Serving {
    /// Answers probes and scrapes from now on.
    pub(super) fn start(
        listeners: Listeners,
        settings: &Settings,
        health: Arc<Health>,
        metrics: PrometheusHandle,
    ) -> Result<Self, SidecarError> {
        let tls = settings.listen.tls.as_ref().map(Tls::read).transpose().map_err(Problem::from)?;
        let health_ends = CancellationToken::new();
        let upkeep = tokio::spawn(health::keep_up(metrics.clone()));
        let router = health::router(health, Some(metrics));
        let ends = health_ends.clone().cancelled_owned();
        let serving = listen::serve(listeners.health, router, Limits::of(&settings.listen), None, ends);
        Ok(Self {
            address: listeners.address,
            waiting: Some((listeners.main, tls)),
            main: None,
            main_ends: CancellationToken::new(),
            health: tokio::spawn(serving),
            health_ends,
            upkeep,
        })
    }

    /// Where callers are answered.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers callers from now on.
    pub(super) fn serve(&mut self, router: Router, settings: &Settings, health: &Health) -> Result<(), SidecarError> {
        let Some((listener, tls)) = self.waiting.take() else { return Ok(()) };
        let router = listen::guarded(router, &settings.listen).map_err(Problem::from)?;
        let ends = self.main_ends.clone().cancelled_owned();
        self.main = Some(tokio::spawn(listen::serve(listener, router, Limits::of(&settings.listen), tls, ends)));
        health.started(Part::Listener);
        Ok(())
    }

    /// Answers callers no more: requests under way may end, unless an end at once is asked for.
    pub(super) async fn end_calls(&mut self, shutdown: &Shutdown) {
        self.main_ends.cancel();
        if let Some(mut main) = self.main.take() {
            tokio::select! {
                _ = timeout(LAST_REQUESTS, &mut main) => {}
                () = shutdown.at_once_asked() => {}
            }
            main.abort();
        }
    }

    /// Ends all of it; probes are answered to the last.
    pub(super) async fn end(mut self, shutdown: &Shutdown) {
        self.end_calls(shutdown).await;
        self.upkeep.abort();
        self.health_ends.cancel();
        // A probe that holds its connection open is no reason to stay.
        timeout(Duration::from_millis(200), &mut self.health).await.ok();
        self.health.abort();
    }
}
