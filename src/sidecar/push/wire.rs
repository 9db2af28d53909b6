//! The bytes of one connection: how many left, and how the other side began to answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::body::{Answered, End};
use super::head::{self, Greeting};
use super::tls;

/// How many bytes of an answer are kept where its status is enough: a status line, with some interim answers before it.
const KEPT: usize = 512;
/// How many where its body decides: the longest headers that are read, and a body behind them.
const KEPT_WITH_BODY: usize = 512 * 1024;
/// How much memory a connection keeps for its next answer.
const LONGEST_IDLE: usize = 16 * 1024;

/// What [`Wire`] saw, for the owner of the connection.
#[derive(Debug)]
pub(super) struct Seen {
    written: AtomicU64,
    /// How many bytes are kept.
    kept: usize,
    /// The first bytes since the mark.
    begin: Mutex<Vec<u8>>,
    greeted: Notify,
    refused: AtomicBool,
    /// Whether an answer is waited for.
    waiting: AtomicBool,
}

impl Seen {
    fn new(has_body: bool) -> Self {
        Self {
            written: AtomicU64::new(0),
            kept: if has_body { KEPT_WITH_BODY } else { KEPT },
            begin: Mutex::default(),
            greeted: Notify::new(),
            refused: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
        }
    }

    /// Marks the start of a request: what is read from here on answers it. Returns the mark for [`has_left`](Self::has_left).
    pub(super) fn mark(&self) -> u64 {
        let mut begin = self.begin.lock();
        begin.clear();
        begin.shrink_to(LONGEST_IDLE);
        drop(begin);
        self.waiting.store(true, Relaxed);
        self.written.load(Relaxed)
    }

    /// The headers of the answer were read.
    pub(super) fn answered(&self) {
        self.waiting.store(false, Relaxed);
    }

    /// Whether the headers of an answer are still waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Relaxed)
    }

    /// Whether a byte was handed to the connection since that mark.
    pub(super) fn has_left(&self, mark: u64) -> bool {
        self.written.load(Relaxed) != mark
    }

    /// The status of an answer whose headers cannot be read.
    pub(super) fn status(&self) -> Option<u16> {
        head::raw(&self.begin.lock()).map(|raw| raw.status)
    }

    /// Whether nothing more of an answer has to be read whose headers cannot be read.
    pub(super) fn is_read(&self) -> bool {
        let begin = self.begin.lock();
        begin.len() == self.kept || head::raw(&begin).is_none_or(|raw| raw.is_whole())
    }

    /// An answer that ended before its headers were read: its status, once the status line was read to its end, and its
    /// body as far as it came.
    pub(super) fn answer(&self, end: End) -> Option<(u16, Answered)> {
        let begin = self.begin.lock();
        let raw = head::raw(&begin)?;
        let is_cut = begin.len() < self.kept && !raw.is_whole() && raw.is_framed();
        let end = match end {
            End::Unreadable if raw.is_encoded() => End::Encoded,
            End::Unreadable if is_cut => End::Broken,
            End::Unreadable => End::Unreadable,
            _ if !raw.has_line => return None,
            end => end,
        };
        Some((raw.status, Answered { bytes: raw.body().into_owned(), end }))
    }

    /// What the first bytes since the mark prove about the other side; `None` while there are too few.
    pub(super) fn greeting(&self) -> Option<Greeting> {
        head::greeting(&self.begin.lock())
    }

    /// Waits until enough was read for [`greeting`](Self::greeting), or until the connection ended.
    pub(super) async fn greeted(&self) {
        self.greeted.notified().await;
    }

    /// Whether the other side ended the TLS handshake because it does not accept us.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }

    fn read(&self, bytes: &[u8]) {
        let mut begin = self.begin.lock();
        let start = begin.len();
        begin.extend_from_slice(bytes.get(..self.kept - start).unwrap_or(bytes));
        let is_new = start < head::GREETING && begin.len() >= head::GREETING;
        drop(begin);
        if is_new {
            self.greeted.notify_one();
        }
    }

    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = result {
            self.written.fetch_add(*count as u64, Relaxed);
        }
    }
}

/// A connection that remembers in [`Seen`] what passes through it.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    seen: Arc<Seen>,
}

impl<S> Wire<S> {
    /// Wraps a stream. With TLS that is the stream of what was decrypted. `has_body` where the bodies of answers decide.
    pub(super) fn new(stream: S, has_body: bool) -> (Self, Arc<Seen>) {
        let seen = Arc::new(Seen::new(has_body));
        (Self { stream, seen: Arc::clone(&seen) }, seen)
    }
}

impl<S> Drop for Wire<S> {
    fn drop(&mut self) {
        self.seen.greeted.notify_one();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        match &read {
            Poll::Ready(Ok(())) => self.seen.read(buf.filled().get(before..).unwrap_or_default()),
            Poll::Ready(Err(error)) if tls::is_refusal(error) => self.seen.refused.store(true, Relaxed),
            _ => {}
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.seen.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.seen.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
