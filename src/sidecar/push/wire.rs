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

use super::head::{self, Greeting};
use super::tls;

/// How many bytes of an answer are kept: a status line, with some interim answers before it.
const KEPT: usize = 512;

/// What [`Wire`] saw, for the owner of the connection.
#[derive(Debug)]
pub(super) struct Seen {
    written: AtomicU64,
    begin: Mutex<Begin>,
    greeted: Notify,
    refused: AtomicBool,
}

#[derive(Debug)]
struct Begin {
    bytes: [u8; KEPT],
    length: usize,
}

impl Seen {
    fn new() -> Self {
        let begin = Mutex::new(Begin { bytes: [0; KEPT], length: 0 });
        Self { written: AtomicU64::new(0), begin, greeted: Notify::new(), refused: AtomicBool::new(false) }
    }

    /// Marks the start of a request: what is read from here on answers it. Returns the mark for [`has_left`](Self::has_left).
    pub(super) fn mark(&self) -> u64 {
        self.begin.lock().length = 0;
        self.written.load(Relaxed)
    }

    /// Whether a byte was handed to the connection since that mark.
    pub(super) fn has_left(&self, mark: u64) -> bool {
        self.written.load(Relaxed) != mark
    }

    /// The status of the answer, where its status line can be read.
    pub(super) fn status(&self) -> Option<u16> {
        let begin = self.begin.lock();
        head::status(begin.bytes.get(..begin.length)?)
    }

    /// What the first bytes since the mark prove about the other side; `None` while there are too few.
    pub(super) fn greeting(&self) -> Option<Greeting> {
        let begin = self.begin.lock();
        head::greeting(begin.bytes.get(..begin.length)?)
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
        let start = begin.length;
        if start == KEPT {
            return;
        }
        let taken = bytes.len().min(KEPT - start);
        begin.bytes[start..start + taken].copy_from_slice(&bytes[..taken]);
        begin.length = start + taken;
        let is_new = start < head::GREETING && begin.length >= head::GREETING;
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
    /// Wraps a stream. With TLS that is the stream of what was decrypted.
    pub(super) fn new(stream: S) -> (Self, Arc<Seen>) {
        let seen = Arc::new(Seen::new());
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
