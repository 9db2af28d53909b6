//! A network that can be made to delay, hold, swallow, lose and cut: a proxy between us and a service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::port;

/// What becomes of bytes and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All goes through.
    Pass,
    /// Connections stay open and nothing goes through; what was held goes through when the mode changes to
    /// [`Pass`](Self::Pass). So does a network that loses packets for a while: they are sent again.
    Hold,
    /// Connections stay open and bytes vanish. A connection that lost some is reset when the mode changes.
    Blackhole,
    /// Requests go through and replies vanish: what was asked for is done, and nobody is told. A connection that lost
    /// some is reset when the mode changes.
    SwallowReplies,
    /// All goes through, byte by byte, each a millisecond after the one before.
    Trickle,
    /// Connections are reset, new ones as soon as they are made.
    Cut,
}

#[derive(Clone, Copy, Debug)]
struct Weather {
    target: SocketAddr,
    mode: Mode,
    request_delay: Duration,
    reply_delay: Duration,
    /// How often all connections were cut.
    cuts: u64,
}

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicUsize,
    /// How many pieces came from clients and will go on, with their delay decided.
    requests: AtomicUsize,
    /// How many replies are yet to be dropped.
    drops: AtomicUsize,
}

/// A TCP proxy on a loopback port of its own, on a thread of its own: it works on while a test blocks. It and its
/// connections end when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    weather: watch::Sender<Weather>,
    counters: Arc<Counters>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Proxy {
    /// Forwards to this address, everything at first.
    pub fn to(target: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind(port::loopback(0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let port = listener.local_addr().expect("a bound listener").port();
        let calm =
            Weather { target, mode: Mode::Pass, request_delay: Duration::ZERO, reply_delay: Duration::ZERO, cuts: 0 };
        let (weather, watched) = watch::channel(calm);
        let counters = Arc::new(Counters::default());
        let (stop, stopped) = oneshot::channel();
        let counted = Arc::clone(&counters);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, watched, counted) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { port, weather, counters, stop: Some(stop), thread: Some(thread) }
    }

    /// Forwards to the Redis server on this port.
    pub fn to_port(port: u16) -> Self {
        Self::to(port::loopback(port))
    }

    /// Its port on the loopback address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, `127.0.0.1:port`.
    pub fn address(&self) -> SocketAddr {
        port::loopback(self.port)
    }

    /// Its address for a Redis client.
    pub fn redis_url(&self) -> String {
        format!("redis://{}/", self.address())
    }

    /// New connections go to this address.
    pub fn retarget(&self, target: SocketAddr) {
        self.weather.send_modify(|weather| weather.target = target);
    }

    /// Changes what becomes of bytes and connections, from now on.
    pub fn set(&self, mode: Mode) {
        self.weather.send_modify(|weather| weather.mode = mode);
    }

    /// Delays what comes from now on, each way. What was sent is delivered in the end, even when its sender has closed
    /// the connection meanwhile: so a command executes late.
    pub fn delay(&self, request: Duration, reply: Duration) {
        self.weather.send_modify(|weather| {
            weather.request_delay = request;
            weather.reply_delay = reply;
        });
    }

    /// The next bytes that come back from the target, on whichever connection, vanish, and that connection is reset:
    /// what was asked for was done, and the answer lost.
    pub fn drop_next_reply(&self) {
        self.counters.drops.fetch_add(1, SeqCst);
    }

    /// Whether a reply is still to be dropped.
    pub fn reply_to_drop(&self) -> bool {
        self.counters.drops.load(SeqCst) > 0
    }

    /// Resets the connections there are; new ones are not touched.
    pub fn cut_connections(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// How many connections were made so far.
    pub fn accepted(&self) -> usize {
        self.counters.accepted.load(SeqCst)
    }

    /// How many pieces of requests were read so far, other than those that vanished. A piece is what came in one
    /// packet: one request, where the client waits for each answer.
    pub fn requests(&self) -> usize {
        self.counters.requests.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Reply,
}

/// One direction of one connection.
struct Pump<'a> {
    way: Way,
    weather: watch::Receiver<Weather>,
    counters: &'a Counters,
    /// Set when bytes vanished: whatever came after them would be nonsense.
    torn: &'a AtomicBool,
}

/// The connection is to be reset.
struct Reset;

async fn accept(listener: std::net::TcpListener, weather: watch::Receiver<Weather>, counters: Arc<Counters>) {
    let listener = TcpListener::from_std(listener).expect("a listener within a runtime");
    while let Ok((client, _)) = listener.accept().await {
        counters.accepted.fetch_add(1, SeqCst);
        tokio::spawn(forward(client, weather.clone(), Arc::clone(&counters)));
    }
}

async fn forward(mut client: TcpStream, weather: watch::Receiver<Weather>, counters: Arc<Counters>) {
    let begun = *weather.borrow();
    if begun.mode != Mode::Cut
        && let Ok(mut server) = TcpStream::connect(begun.target).await
        && server.set_nodelay(true).and_then(|()| client.set_nodelay(true)).is_ok()
    {
        let torn = AtomicBool::new(false);
        let pump = |way| Pump { way, weather: weather.clone(), counters: &counters, torn: &torn };
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let requests = pump(Way::Request).run(client_reads, server_writes);
        let replies = pump(Way::Reply).run(server_reads, client_writes);
        let finished = tokio::select! {
            both = async { tokio::try_join!(requests, replies) } => both.is_ok(),
            () = storm(weather.clone(), begun.cuts, &torn) => false,
        };
        if finished {
            return;
        }
    }
    // Closed without lingering, it is reset. It may be gone already.
    drop(client.set_zero_linger());
}

/// Returns when the connection is to be reset.
async fn storm(mut weather: watch::Receiver<Weather>, cuts: u64, torn: &AtomicBool) {
    let hit = |now: &Weather| {
        let vanishing = matches!(now.mode, Mode::Blackhole | Mode::SwallowReplies);
        now.mode == Mode::Cut || now.cuts != cuts || (torn.load(SeqCst) && !vanishing)
    };
    // An error means that the proxy is gone, and the connection goes too.
    drop(weather.wait_for(hit).await);
}

impl Pump<'_> {
    async fn run(self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Result<(), Reset> {
        // Bounded: a reader that is too fast waits, as it would before a full socket.
        let (send, receive) = mpsc::channel::<(Instant, Vec<u8>)>(64);
        let mut weather = self.weather.clone();
        // A client that is gone does not undo what it sent: its requests are delivered still. A target that is gone
        // takes the connection along.
        let client_gone = |way_of_client| if self.way == way_of_client { Ok(()) } else { Err(Reset) };
        let read = async {
            // Owned, so that the other half sees the end of the channel.
            let send = send;
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let bytes = match from.read(&mut buffer).await {
                    Ok(0) => return Ok(()),
                    Ok(read) => &buffer[..read],
                    Err(_) => return client_gone(Way::Request),
                };
                if self.vanishes()? {
                    continue;
                }
                let due = Instant::now() + self.delay();
                if self.way == Way::Request {
                    self.counters.requests.fetch_add(1, SeqCst);
                }
                if send.send((due, bytes.to_vec())).await.is_err() {
                    return client_gone(Way::Reply);
                }
            }
        };
        let write = async {
            // Owned, so that the other half sees that nobody writes any more.
            let mut receive = receive;
            while let Some((due, bytes)) = receive.recv().await {
                tokio::time::sleep_until(due).await;
                weather.wait_for(|now| now.mode != Mode::Hold).await.map_err(|_| Reset)?;
                let mut rest = &bytes[..];
                while let Some((first, others)) = rest.split_first() {
                    let trickles = weather.borrow().mode == Mode::Trickle;
                    let written = if trickles { to.write_all(&[*first]).await } else { to.write_all(rest).await };
                    if written.is_err() {
                        return client_gone(Way::Reply);
                    }
                    if !trickles {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    rest = others;
                }
            }
            to.shutdown().await.or_else(|_| client_gone(Way::Reply))
        };
        tokio::try_join!(read, write).map(drop)
    }

    fn delay(&self) -> Duration {
        let weather = self.weather.borrow();
        if self.way == Way::Request { weather.request_delay } else { weather.reply_delay }
    }

    /// Whether what was just read vanishes.
    fn vanishes(&self) -> Result<bool, Reset> {
        let one_less = |drops: usize| drops.checked_sub(1);
        if self.way == Way::Reply && self.counters.drops.fetch_update(SeqCst, SeqCst, one_less).is_ok() {
            return Err(Reset);
        }
        let vanishes = match self.weather.borrow().mode {
            Mode::Blackhole => true,
            Mode::SwallowReplies => self.way == Way::Reply,
            Mode::Pass | Mode::Hold | Mode::Trickle | Mode::Cut => self.torn.load(SeqCst),
        };
        if vanishes {
            self.torn.store(true, SeqCst);
        }
        Ok(vanishes)
    }
}
