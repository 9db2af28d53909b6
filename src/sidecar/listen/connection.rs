//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::pulse::{Pulse, Watched};
use super::{Limits, Problem, problem};

/// The least that hyper takes as a limit on the bytes of headers.
const LEAST_HEADER_BYTES: u32 = 8 * 1024;
/// How many requests one HTTP/2 connection may have under way.
const STREAMS: u32 = 128;
/// How often the time limits are looked at, at most.
const OFTEN: Duration = Duration::from_millis(20);
/// How often they are looked at, at least.
const SELDOM: Duration = Duration::from_secs(1);

/// Serves a connection until its end, a limit, or for as long as `ending` lets its requests finish.
pub(super) async fn serve<I>(io: I, router: Router, limits: Arc<Limits>, ending: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pulse = Pulse::new(Instant::now());
    let service = service_fn(|request: Request<Incoming>| {
        let running = pulse.start(request.version());
        let (router, limit) = (router.clone(), limits.request_limit);
        async move {
            let response = answer(router, request, limit).await;
            drop(running);
            Ok::<_, Infallible>(response)
        }
    });
    let builder = builder(&limits);
    let connection = builder.serve_connection(TokioIo::new(Watched::new(io, Arc::clone(&pulse))), service);
    tokio::pin!(connection);
    let mut looks = interval((limits.header_limit.min(limits.idle_limit) / 4).clamp(OFTEN, SELDOM));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ends = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "a connection broke");
                }
                return;
            }
            () = ending.cancelled(), if !ends => {
                ends = true;
                connection.as_mut().graceful_shutdown();
            }
            _ = looks.tick() => if pulse.is_overdue(Instant::now(), &limits) {
                tracing::debug!("a connection has used up its time");
                return;
            }
        }
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let bytes = limits.max_header_bytes.max(LEAST_HEADER_BYTES);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // The header limit of hyper would end idle connections, too: see `pulse`.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(bytes as usize);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(bytes).max_concurrent_streams(STREAMS);
    builder
}

async fn answer(mut router: Router, request: Request<Incoming>, limit: Duration) -> Response {
    match timeout(limit, router.call(request.map(Body::new))).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => {
            let detail = format!("the request took longer than {limit:?}; what it began may still be done");
            let mut response = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            problem::finished(response)
        }
    }
}
