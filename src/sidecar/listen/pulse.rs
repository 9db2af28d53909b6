//! What a connection does, as far as its time limits need to know.
//!
//! hyper's own limit on headers also ends connections that lie idle between requests, and does not cover the bytes
//! before the first request, by which HTTP/1 and HTTP/2 are told apart.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Version;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Limits;

/// What a connection does at the moment.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Requests that were read and are not answered.
    running: usize,
    /// Since when there are none.
    since: Instant,
    /// When the first byte came that may belong to the next one.
    next_began: Option<Instant>,
    /// Pings come at any time there, so bytes do not tell that a request has begun.
    http2: bool,
}

impl Pulse {
    /// A connection that has just begun: its first request has begun with it.
    pub(super) fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { running: 0, since: now, next_began: Some(now), http2: false })))
    }

    /// A request was read; it runs until the answer is dropped.
    pub(super) fn start(self: &Arc<Self>, version: Version) -> Running {
        let mut state = self.0.lock();
        state.running += 1;
        state.http2 = version == Version::HTTP_2;
        Running(Arc::clone(self))
    }

    fn received(&self, now: Instant) {
        let mut state = self.0.lock();
        if state.running == 0 && !state.http2 {
            state.next_began.get_or_insert(now);
        }
    }

    /// Whether the connection has used up its time. Requests that run have a limit of their own.
    pub(super) fn is_overdue(&self, now: Instant, limits: &Limits) -> bool {
        let state = self.0.lock();
        let headers = state.next_began.is_some_and(|began| now >= began + limits.header_limit);
        state.running == 0 && (headers || now >= state.since + limits.idle_limit)
    }
}

/// A request that runs.
#[derive(Debug)]
pub(super) struct Running(Arc<Pulse>);

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.running = state.running.saturating_sub(1);
        if state.running == 0 {
            state.since = Instant::now();
            state.next_began = None;
        }
    }
}

/// A stream whose bytes are noticed.
#[derive(Debug)]
pub(super) struct Watched<I> {
    io: I,
    pulse: Arc<Pulse>,
}

impl<I> Watched<I> {
    pub(super) fn new(io: I, pulse: Arc<Pulse>) -> Self {
        Self { io, pulse }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.pulse.received(Instant::now());
        }
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn headers_and_idle_connections_have_limits_and_requests_their_own() {
        let limits = Limits::default();
        let (headers, idle) = (limits.header_limit, limits.idle_limit);
        let instant = Duration::from_millis(1);
        let pulse = Pulse::new(Instant::now());
        assert!(!pulse.is_overdue(Instant::now() + headers - instant, &limits));
        assert!(pulse.is_overdue(Instant::now() + headers, &limits), "no request at all");
        let running = pulse.start(Version::HTTP_11);
        assert!(!pulse.is_overdue(Instant::now() + 2 * idle, &limits), "it runs");
        drop(running);
        assert!(!pulse.is_overdue(Instant::now() + idle - instant, &limits), "idle, and nothing has come");
        assert!(pulse.is_overdue(Instant::now() + idle, &limits));
        pulse.received(Instant::now());
        tokio::time::advance(headers / 2).await;
        pulse.received(Instant::now());
        assert!(pulse.is_overdue(Instant::now() + headers / 2, &limits), "more bytes give no more time");
        drop(pulse.start(Version::HTTP_2));
        pulse.received(Instant::now());
        assert!(!pulse.is_overdue(Instant::now() + idle - instant, &limits), "a ping is no request");
        assert!(pulse.is_overdue(Instant::now() + idle, &limits));
    }
}
