//! A listener, from its first connection to its graceful end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Limits, Tls, connection};
use crate::telemetry::Limiter;

/// How long accepting pauses when the system refuses it: it is out of files, and so would be the next try.
const REFUSED: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `shutdown` resolves; then accepts nothing more, lets requests under way finish,
/// up to [`Limits::end_limit`], and returns.
///
/// Speaks HTTP/1.1 and HTTP/2. A listener that others need until the end, as that of the health probes, is ended last by
/// whoever runs both.
///
/// # Cancel safety
///
/// Dropped, it closes the listener and cuts every connection.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    tls: Option<Tls>,
    shutdown: impl Future<Output = ()>,
) {
    let limits = Arc::new(limits);
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let ending = CancellationToken::new();
    let refusals = Limiter::new(Duration::from_secs(1));
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        // A place first: what has none waits in the system's queue and costs nothing here.
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "a request broke its connection; please report this");
            },
            (place, accepted) = next => match accepted {
                Ok((stream, _)) => {
                    let (router, limits, tls, ending) = (router.clone(), limits.clone(), tls.clone(), ending.clone());
                    connections.spawn(async move {
                        open(stream, router, limits, tls, ending).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    if let Some(suppressed) = refusals.admit(tracing::Level::WARN, "accept", "") {
                        tracing::warn!(suppressed, %error, "a connection could not be accepted; trying on");
                    }
                    sleep(REFUSED).await;
                }
            }
        }
    }
    drop(listener);
    ending.cancel();
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.end_limit, finished).await.is_err() {
        tracing::warn!(connections = connections.len(), limit = ?limits.end_limit, "cut requests that did not end in time");
    }
    connections.shutdown().await;
}

async fn open(stream: TcpStream, router: Router, limits: Arc<Limits>, tls: Option<Tls>, ending: CancellationToken) {
    // Answers are small and complete: nothing is gained by waiting for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not to be had");
    }
    let Some(tls) = tls else { return connection::serve(stream, router, limits, ending).await };
    match timeout(limits.header_limit, tls.accept(stream)).await {
        Ok(Ok(stream)) => connection::serve(stream, router, limits, ending).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}
