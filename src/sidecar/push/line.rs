//! One connection, and one request on it.

use std::error::Error;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;

use super::body::{Answered, End};
use super::fault::{self, Fault};
use super::wire::{Seen, Wire};

pub(super) type Body = Full<Bytes>;

/// How many headers of an answer are read. Of one with more only the status counts.
const MOST_HEADERS: usize = 1024;
/// How long the headers of an answer may be in HTTP/2.
const LONGEST_HEADERS: u32 = 256 * 1024;
/// How long a connection may take to be free after its answer was read.
const FREE: Duration = Duration::from_millis(100);

/// What became of a request.
#[derive(Debug)]
pub(super) enum Sent {
    /// It was answered.
    Answered(Response<Incoming>),
    /// It was answered with this status, and the headers cannot be read. With the body as far as it is needed.
    Status(u16, Answered),
    /// Nothing of it can have been handled. It comes back where it can be sent again at once.
    Unsent(Option<Request<Body>>),
    /// There is no answer that can be read.
    Failed(Fault),
}

/// A connection for one request at a time.
pub(super) struct Line {
    sender: http1::SendRequest<Body>,
    seen: Arc<Seen>,
    /// Whether a request was answered on it.
    answered: bool,
    /// Whether the bodies of answers decide.
    has_body: bool,
    /// Where the rest of an answer comes from that the HTTP client cannot read.
    rest: oneshot::Receiver<Box<dyn AsyncRead + Send + Unpin>>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("seen", &self.seen).field("answered", &self.answered).finish_non_exhaustive()
    }
}

impl Line {
    /// Speaks HTTP/1.1 over a stream. `has_body` where the bodies of answers decide.
    pub(super) async fn open<S>(stream: S, has_body: bool) -> Result<Self, hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (wire, seen) = Wire::new(stream, has_body);
        let (sender, mut connection) = http1::Builder::new()
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .max_headers(MOST_HEADERS)
            .handshake(TokioIo::new(wire))
            .await?;
        let waiting = Arc::clone(&seen);
        let (give, rest) = oneshot::channel::<Box<dyn AsyncRead + Send + Unpin>>();
        // It ends with the connection, and the connection with the last of its users. Its error reaches the request.
        drop(tokio::spawn(async move {
            let _reported: Result<(), _> = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
            let mut stream = connection.into_parts().io.into_inner();
            if has_body && waiting.is_waiting() {
                // Where its user is gone by now the stream is dropped with it.
                let _given: Result<(), _> = give.send(Box::new(stream));
            } else {
                // The other side may be gone, which is as good an end.
                let _ended: io::Result<()> = stream.shutdown().await;
            }
        }));
        Ok(Self { sender, seen, answered: false, has_body, rest })
    }

    /// What comes from the other side.
    pub(super) fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen)
    }

    /// Whether it can no longer be used.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until the last answer was taken off the connection. Returns whether another request can be sent.
    pub(super) async fn is_free(&mut self) -> bool {
        // A server that answered before it read the whole request may never read the rest.
        matches!(tokio::time::timeout(FREE, self.sender.ready()).await, Ok(Ok(())))
    }

    /// Sends a request.
    pub(super) async fn send(&mut self, request: Request<Body>) -> Sent {
        let mark = self.seen.mark();
        match self.sender.try_send_request(request).await {
            Ok(answer) => {
                self.answered = true;
                self.seen.answered();
                Sent::Answered(answer)
            }
            Err(mut failed) => match (failed.take_message(), self.seen.has_left(mark)) {
                // Never begun, or begun and refused by the system before its first byte.
                (Some(request), _) => Sent::Unsent(Some(request)),
                (None, false) => Sent::Unsent(None),
                (None, true) => self.failed(failed.error()).await,
            },
        }
    }

    async fn failed(&mut self, error: &hyper::Error) -> Sent {
        if error.is_parse() || error.is_parse_too_large() {
            if self.seen.status().is_some() && self.has_body {
                self.read_on().await;
            }
            return match self.seen.answer(End::Unreadable) {
                Some((status, body)) => Sent::Status(status, body),
                None => Sent::Failed(fault::unreadable(error, self.seen.greeting().filter(|_| !self.answered))),
            };
        }
        if let Some((status, body)) = self.seen.answer(End::Broken) {
            return Sent::Status(status, body);
        }
        Sent::Failed(match self.seen.is_refused() && !self.answered {
            true => fault::refused(),
            false => fault::lost(error),
        })
    }
}

/// How much is read at once of an answer that the HTTP client cannot read.
const READ: usize = 8 * 1024;

impl Line {
    /// Reads the rest of an answer whose headers cannot be read, up to the end of its body or of the connection. What is
    /// read is kept with what the HTTP client read before.
    async fn read_on(&mut self) {
        let Ok(mut stream) = (&mut self.rest).await else { return };
        let mut buffer = Vec::with_capacity(READ);
        while !self.seen.is_read() {
            buffer.clear();
            if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
                return;
            }
        }
    }
}

/// A connection for many requests at once.
#[derive(Clone, Debug)]
pub(super) struct SharedLine {
    sender: http2::SendRequest<Body>,
}

impl SharedLine {
    /// Speaks HTTP/2 over a stream. Waits until the other side does, too: before that no request is sent, so that one
    /// that does not know HTTP/2 never gets any.
    ///
    /// # Errors
    ///
    /// It does not, or the connection ended.
    pub(super) async fn open<S>(stream: S) -> Result<Self, Fault>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (wire, seen) = Wire::new(stream, false);
        let handshake = http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(LONGEST_HEADERS)
            .handshake(TokioIo::new(wire))
            .await;
        let (sender, connection) = handshake.map_err(|_| fault::unsent())?;
        drop(tokio::spawn(connection));
        seen.greeted().await;
        if seen.is_refused() {
            return Err(fault::refused());
        }
        fault::http2_greeting(seen.greeting())?;
        Ok(Self { sender })
    }

    /// Whether it can no longer be used.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request.
    pub(super) async fn send(&mut self, request: Request<Body>) -> Sent {
        let again = request.clone();
        match self.sender.try_send_request(request).await {
            Ok(answer) => Sent::Answered(answer),
            Err(failed) => Self::failed(failed, again),
        }
    }

    fn failed(mut failed: TrySendError<Request<Body>>, again: Request<Body>) -> Sent {
        if let Some(request) = failed.take_message() {
            return Sent::Unsent(Some(request));
        }
        let error = failed.into_error();
        let reason = error.source().and_then(|error| error.downcast_ref::<h2::Error>());
        let Some(reason) = reason.filter(|reason| reason.is_remote()) else {
            return Sent::Failed(fault::lost(&error));
        };
        match reason.reason() {
            // Both are sent for streams that were not processed only (RFC 9113, 8.7).
            Some(h2::Reason::NO_ERROR) if reason.is_go_away() => Sent::Unsent(Some(again)),
            Some(h2::Reason::REFUSED_STREAM) if reason.is_reset() => Sent::Unsent(None),
            _ => Sent::Failed(fault::lost(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    /// A connection that takes so many bytes and is reset then. Nothing comes from the other side.
    struct Broken {
        takes: usize,
    }

    impl AsyncRead for Broken {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Broken {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            match self.takes.min(buf.len()) {
                0 => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                taken => {
                    self.takes -= taken;
                    Poll::Ready(Ok(taken))
                }
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn request() -> Request<Body> {
        Request::post("/").header("host", "a").body(Body::new(Bytes::from_static(b"x"))).unwrap()
    }

    #[tokio::test]
    async fn reset_before_the_first_byte_proves_that_nothing_was_sent() {
        let mut line = Line::open(Broken { takes: 0 }, false).await.unwrap();
        assert!(matches!(line.send(request()).await, Sent::Unsent(_)));
    }

    #[tokio::test]
    async fn reset_after_the_first_byte_proves_nothing() {
        let mut line = Line::open(Broken { takes: 1 }, false).await.unwrap();
        let sent = line.send(request()).await;
        assert!(matches!(&sent, Sent::Failed(Fault::Unknown(_))), "{sent:?}");
    }

    #[tokio::test]
    async fn reset_between_two_requests_leaves_the_second_unsent() {
        let (stream, mut server) = tokio::io::duplex(1024);
        let mut line = Line::open(stream, false).await.unwrap();
        let answered = async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            server.read_buf(&mut Vec::new()).await.unwrap();
            server.write_all(b"HTTP/1.1 204 No\r\n\r\n").await.unwrap();
        };
        let (sent, ()) = tokio::join!(line.send(request()), answered);
        assert!(matches!(sent, Sent::Answered(_)));
        assert!(line.is_free().await);
        drop(server);
        let sent = line.send(request()).await;
        assert!(matches!(sent, Sent::Unsent(_)), "{sent:?}");
    }
}
