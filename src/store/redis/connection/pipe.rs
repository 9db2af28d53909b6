//! One connection that many callers share.
//!
//! Requests are queued in order, and each caller gets its own replies.
//!
//! The client library's multiplexed connection encodes each command by itself, and its general parser builds a tree of
//! values. That cost more than two thirds of our processor time per record. Here the caller encodes a batch once, and
//! replies are read in place. Everything else of the library works on this connection as on its own
//! ([`ConnectionLike`]).
//!
//! One task owns the socket. It ends with the last clone of the connection, or when the socket fails. Then every request
//! without a reply ends with that error, and its outcome is unknown.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisConnectionInfo, RedisError, RedisFuture, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::resp;
use crate::store::redis::batch::Request;

/// How many requests the queue holds. A caller beyond that waits.
const QUEUE: usize = 64;

/// How many requests may wait for replies. The requests behind them wait in the queue.
const MAX_WAITING: usize = 1024;

/// How many requests leave with one system call at most.
const JOINED: usize = 32;

/// How much room there is for each read from the socket.
const READ_SIZE: usize = 64 * 1024;

/// A connection to one server. Clones share it.
#[derive(Clone, Debug)]
pub(in crate::store::redis) struct Pipe {
    requests: mpsc::Sender<Queued>,
    response_limit: Duration,
    database: i64,
}

#[derive(Debug)]
struct Queued {
    request: Bytes,
    waiting: Waiting,
}

/// A request whose replies have not all arrived.
#[derive(Debug)]
struct Waiting {
    /// How many replies are still to come.
    left: usize,
    replies: Vec<Value>,
    /// `None` if nothing reads the replies.
    answer: Option<oneshot::Sender<Result<Vec<Value>, RedisError>>>,
}

impl Pipe {
    /// Takes a socket over and logs in.
    pub(super) async fn log_in<S>(
        socket: S,
        login: &RedisConnectionInfo,
        response_limit: Duration,
    ) -> Result<Self, RedisError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (requests, queue) = mpsc::channel(QUEUE);
        let (read, write) = tokio::io::split(socket);
        tokio::spawn(Task::new(read, write, queue, response_limit).run());
        let mut pipe = Self { requests, response_limit, database: login.db() };
        if let Some(password) = login.password() {
            let mut auth = redis::cmd("AUTH");
            auth.arg(login.username()).arg(password).query_async::<()>(&mut pipe).await?;
        }
        if login.db() != 0 {
            redis::cmd("SELECT").arg(login.db()).query_async::<()>(&mut pipe).await?;
        }
        Ok(pipe)
    }

    /// Sends a request and returns its replies, errors among them.
    ///
    /// # Errors
    ///
    /// A time-out or a lost connection: whether the request was executed is unknown.
    pub(super) async fn ask(&self, request: Bytes, commands: usize) -> Result<Vec<Value>, RedisError> {
        if commands == 0 {
            return Ok(Vec::new());
        }
        let asking = async {
            let (answer, answered) = oneshot::channel();
            let replies = Vec::with_capacity(commands);
            let waiting = Waiting { left: commands, replies, answer: Some(answer) };
            self.requests.send(Queued { request, waiting }).await.map_err(|_| closed())?;
            answered.await.map_err(|_| closed())?
        };
        timeout(self.response_limit, asking).await.unwrap_or_else(|_| Err(Error::from(ErrorKind::TimedOut).into()))
    }

    /// Queues a request whose replies nothing reads.
    ///
    /// # Errors
    ///
    /// The connection is lost, or there was no room within the time limit.
    pub(super) async fn send(&self, request: Bytes, commands: usize) -> Result<(), RedisError> {
        if commands == 0 {
            return Ok(());
        }
        let waiting = Waiting { left: commands, replies: Vec::new(), answer: None };
        let sending = self.requests.send_timeout(Queued { request, waiting }, self.response_limit);
        sending.await.map_err(|error| match error {
            mpsc::error::SendTimeoutError::Timeout(_) => Error::from(ErrorKind::TimedOut).into(),
            mpsc::error::SendTimeoutError::Closed(_) => closed(),
        })
    }
}

impl ConnectionLike for Pipe {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let asking = self
            .ask(Request::of(command).into_bytes(), 1)
            .map(|replies| replies?.pop().ok_or_else(closed)?.extract_error());
        asking.boxed()
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let mut request = Request::default();
        pipeline.cmd_iter().for_each(|command| request.push(&command.get_packed_command()));
        let commands = request.commands();
        self.ask(request.into_bytes(), commands)
            .map(move |replies| Ok(replies?.into_iter().skip(offset).take(count).collect()))
            .boxed()
    }

    fn get_db(&self) -> i64 {
        self.database
    }
}

fn closed() -> RedisError {
    Error::from(ErrorKind::BrokenPipe).into()
}

/// The owner of the socket.
struct Task<S> {
    read: ReadHalf<S>,
    write: WriteHalf<S>,
    queue: mpsc::Receiver<Queued>,
    /// How long a reply is awaited once no more requests are taken.
    response_limit: Duration,
    /// What is to be written.
    output: VecDeque<Bytes>,
    /// Whether the socket, such as one of TLS, may hold back what was written.
    unflushed: bool,
    waiting: VecDeque<Waiting>,
    input: BytesMut,
}

impl<S: AsyncRead + AsyncWrite> Task<S> {
    fn new(read: ReadHalf<S>, write: WriteHalf<S>, queue: mpsc::Receiver<Queued>, response_limit: Duration) -> Self {
        let (output, waiting) = (VecDeque::new(), VecDeque::new());
        let input = BytesMut::with_capacity(READ_SIZE);
        Self { read, write, queue, response_limit, output, unflushed: false, waiting, input }
    }

    async fn run(mut self) {
        let failed = self.carry().await.err().unwrap_or_else(|| ErrorKind::BrokenPipe.into());
        // What is still queued was not sent; to its callers that is a lost connection like any other.
        self.queue.close();
        while let Ok(queued) = self.queue.try_recv() {
            self.waiting.push_back(queued.waiting);
        }
        // The cause is shared as it is: why a TLS handshake failed is found in it.
        let (kind, failed): (_, Arc<dyn std::error::Error + Send + Sync>) = (failed.kind(), Arc::new(failed));
        for answer in self.waiting.into_iter().filter_map(|waiting| waiting.answer) {
            let error = Error::new(kind, Arc::clone(&failed));
            // A caller whose time was over has gone.
            answer.send(Err(error.into())).ok();
        }
    }

    /// Writes requests and reads replies until all clones are gone and all replies have arrived.
    async fn carry(&mut self) -> Result<(), Error> {
        let mut open = true;
        loop {
            if !open && self.output.is_empty() && !self.unflushed && self.waiting.is_empty() {
                return self.write.shutdown().await;
            }
            let takes = open && self.output.len() < QUEUE && self.waiting.len() < MAX_WAITING;
            self.input.reserve(READ_SIZE);
            tokio::select! {
                biased;
                // What has arrived makes room for what comes next.
                read = self.read.read_buf(&mut self.input) => {
                    if read? == 0 {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                    self.take_replies()?;
                }
                queued = self.queue.recv(), if takes => match queued {
                    Some(queued) => {
                        self.take(queued);
                        // All that gathered leaves together.
                        while self.output.len() < QUEUE && self.waiting.len() < MAX_WAITING {
                            match self.queue.try_recv() {
                                Ok(queued) => self.take(queued),
                                Err(_) => break,
                            }
                        }
                    }
                    None => open = false,
                },
                written = write_some(&mut self.write, &self.output), if self.unflushed || !self.output.is_empty() => {
                    self.note_written(written?);
                }
                // By then every request that waits has timed out for its caller.
                () = tokio::time::sleep(self.response_limit), if !takes => return Err(ErrorKind::TimedOut.into()),
            }
        }
    }

    fn take(&mut self, Queued { request, waiting }: Queued) {
        self.waiting.push_back(waiting);
        self.output.push_back(request);
    }

    fn note_written(&mut self, mut bytes: usize) {
        self.unflushed = bytes > 0;
        while let Some(first) = self.output.front_mut() {
            if bytes < first.len() {
                first.advance(bytes);
                return;
            }
            bytes -= first.len();
            self.output.pop_front();
        }
    }

    fn take_replies(&mut self) -> Result<(), Error> {
        let mut used = 0;
        while let Some(first) = self.waiting.front_mut() {
            let reply = resp::read(&self.input[used..]);
            let reply = reply.map_err(|_| Error::new(ErrorKind::InvalidData, "the answer is not one of Redis"))?;
            let Some((value, length)) = reply else { break };
            used += length;
            if first.answer.is_some() {
                first.replies.push(value);
            }
            first.left -= 1;
            if first.left == 0
                && let Some(Waiting { replies, answer: Some(answer), .. }) = self.waiting.pop_front()
            {
                // A caller whose time was over has gone.
                answer.send(Ok(replies)).ok();
            }
        }
        self.input.advance(used);
        match self.waiting.is_empty() && !self.input.is_empty() {
            true => Err(Error::new(ErrorKind::InvalidData, "Redis sent what nothing asked for")),
            false => Ok(()),
        }
    }
}

/// Writes as much as the socket takes, and returns how many bytes that was. Flushes if nothing is left to write.
async fn write_some<S: AsyncWrite>(write: &mut WriteHalf<S>, output: &VecDeque<Bytes>) -> Result<usize, Error> {
    if output.is_empty() {
        return write.flush().await.map(|()| 0);
    }
    let mut slices = [IoSlice::new(&[]); JOINED];
    let count = output.len().min(JOINED);
    slices.iter_mut().zip(output).for_each(|(slice, bytes)| *slice = IoSlice::new(bytes));
    match write.write_vectored(&slices[..count]).await {
        Ok(0) => Err(ErrorKind::WriteZero.into()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    async fn connected() -> (Pipe, DuplexStream) {
        let (ours, theirs) = duplex(1 << 20);
        let pipe = Pipe::log_in(ours, &RedisConnectionInfo::default(), LIMIT).await.unwrap();
        (pipe, theirs)
    }

    fn request(commands: usize) -> Bytes {
        b"*1\r\n$4\r\nPING\r\n".repeat(commands).into()
    }

    async fn received(server: &mut DuplexStream, commands: usize) {
        let expected = request(commands);
        let mut bytes = vec![0; expected.len()];
        server.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, expected);
    }

    #[tokio::test]
    async fn pipe_each_caller_gets_its_own_replies() {
        let (pipe, mut server) = connected().await;
        let (one, two) = (pipe.ask(request(2), 2), pipe.ask(request(1), 1));
        let serving = async {
            received(&mut server, 3).await;
            for part in [":1", "\r\n:2\r", "\n:3\r\n"] {
                server.write_all(part.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (one, two, ()) = tokio::join!(one, two, serving);
        assert_eq!(one.unwrap(), [Value::Int(1), Value::Int(2)]);
        assert_eq!(two.unwrap(), [Value::Int(3)]);
    }

    #[tokio::test]
    async fn pipe_unread_replies_are_skipped() {
        let (pipe, mut server) = connected().await;
        pipe.send(request(0), 0).await.unwrap();
        pipe.send(request(2), 2).await.unwrap();
        let serving = async {
            received(&mut server, 3).await;
            server.write_all(b"+A\r\n-ERR b\r\n+OK\r\n").await.unwrap();
        };
        let (answer, ()) = tokio::join!(pipe.ask(request(1), 1), serving);
        assert_eq!(answer.unwrap(), [Value::Okay]);
    }

    #[tokio::test(start_paused = true)]
    async fn pipe_late_replies_go_to_no_other_caller() {
        let (pipe, mut server) = connected().await;
        assert!(pipe.ask(request(1), 1).await.unwrap_err().is_timeout());
        let serving = async {
            received(&mut server, 2).await;
            server.write_all(b":1\r\n:2\r\n").await.unwrap();
        };
        let (answer, ()) = tokio::join!(pipe.ask(request(1), 1), serving);
        assert_eq!(answer.unwrap(), [Value::Int(2)]);
    }

    #[tokio::test]
    async fn pipe_lost_connection_ends_every_request() {
        let (pipe, mut server) = connected().await;
        let serving = async {
            received(&mut server, 3).await;
            server.write_all(b":1\r\n").await.unwrap();
            drop(server);
        };
        let (one, two, ()) = tokio::join!(pipe.ask(request(2), 2), pipe.ask(request(1), 1), serving);
        assert!(one.unwrap_err().is_io_error());
        assert!(two.unwrap_err().is_io_error());
        assert!(pipe.ask(request(1), 1).await.unwrap_err().is_io_error());
    }

    /// TLS holds back what the socket beneath does not take at once, and only a flush sends it.
    #[tokio::test]
    async fn pipe_socket_that_buffers_is_flushed() {
        let (ours, mut server) = duplex(1 << 20);
        let ours = tokio::io::BufStream::new(ours);
        let pipe = Pipe::log_in(ours, &RedisConnectionInfo::default(), LIMIT).await.unwrap();
        let serving = async {
            received(&mut server, 1).await;
            server.write_all(b"+PONG\r\n").await.unwrap();
        };
        let (answer, ()) = tokio::join!(pipe.ask(request(1), 1), serving);
        assert_eq!(answer.unwrap().len(), 1);
    }

    /// More requests than one system call takes, over a socket that takes a few bytes at a time.
    #[tokio::test]
    async fn pipe_narrow_socket_gets_every_byte_in_order() {
        let (ours, mut server) = duplex(5);
        let pipe = Pipe::log_in(ours, &RedisConnectionInfo::default(), LIMIT).await.unwrap();
        const ASKED: usize = 3 * JOINED;
        let serving = async {
            received(&mut server, ASKED).await;
            for reply in 0..ASKED {
                server.write_all(format!(":{reply}\r\n").as_bytes()).await.unwrap();
            }
        };
        let asking = futures_util::future::join_all((0..ASKED).map(|_| pipe.ask(request(1), 1)));
        let (answers, ()) = tokio::join!(asking, serving);
        for (reply, answer) in (0..).zip(answers) {
            assert_eq!(answer.unwrap(), [Value::Int(reply)]);
        }
    }

    /// Otherwise the socket of a server that stands still would stay open after the last clone.
    #[tokio::test(start_paused = true)]
    async fn pipe_full_of_unanswered_requests_is_given_up() {
        let (pipe, mut server) = connected().await;
        for _ in 0..MAX_WAITING + 1 {
            pipe.send(request(1), 1).await.unwrap();
        }
        drop(pipe);
        received(&mut server, MAX_WAITING).await;
        assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn pipe_unsolicited_bytes_end_the_connection() {
        let (pipe, mut server) = connected().await;
        server.write_all(b"+OK\r\n").await.unwrap();
        assert!(pipe.ask(request(1), 1).await.is_err());
    }

    #[tokio::test]
    async fn pipe_last_clone_closes_after_what_was_sent() {
        let (pipe, mut server) = connected().await;
        pipe.send(request(1), 1).await.unwrap();
        drop(pipe);
        received(&mut server, 1).await;
        server.write_all(b"+OK\r\n").await.unwrap();
        assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    }
}
