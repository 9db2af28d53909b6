//! A TCP proxy that understands what is asked of Redis: it can hold a command back, lose a reply, or go silent.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// A command as its words.
pub type Command = Vec<Vec<u8>>;

/// What becomes of a command.
#[derive(Clone, Debug)]
pub enum Step {
    Pass,
    /// It waits at the gate, and what is behind it too.
    Hold(Arc<Gate>),
    /// Redis executes it; its reply is thrown away and the connection closed.
    LoseReply,
    /// Neither it nor anything after it on its connection arrives, and nobody says so.
    Swallow,
}

/// Where a command waits.
#[derive(Debug, Default)]
pub struct Gate {
    reached: Notify,
    opened: Notify,
}

impl Gate {
    /// Waits until a command stands at the gate.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Lets it through.
    pub fn open(&self) {
        self.opened.notify_one();
    }
}

type Rule = Box<dyn FnMut(&Command) -> Step + Send>;

/// Stands between a store and its Redis, until it is dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    rule: Mutex<Rule>,
    seen: Mutex<Vec<Command>>,
    connections: watch::Sender<usize>,
}

impl Proxy {
    pub async fn start(redis: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            rule: Mutex::new(Box::new(|_| Step::Pass)),
            seen: Mutex::default(),
            connections: watch::Sender::new(0),
        });
        let accepting = tokio::spawn({
            let shared = shared.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    shared.connections.send_modify(|count| *count += 1);
                    tokio::spawn(serve(client, redis, shared.clone()));
                }
            }
        });
        Self { port, shared, accepting }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Decides what becomes of each command from now on.
    pub fn rule(&self, rule: impl FnMut(&Command) -> Step + Send + 'static) {
        *self.shared.rule.lock() = Box::new(rule);
    }

    /// What was asked since the last time.
    pub fn seen(&self) -> Vec<Command> {
        std::mem::take(&mut self.shared.seen.lock())
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        *self.shared.connections.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Whether the command has this name and a word that contains `part`.
pub fn is(command: &Command, name: &str, part: &str) -> bool {
    let contains = |word: &Vec<u8>| word.windows(part.len().max(1)).any(|window| window == part.as_bytes());
    command[0].eq_ignore_ascii_case(name.as_bytes()) && (part.is_empty() || command.iter().any(contains))
}

async fn serve(client: TcpStream, redis: u16, shared: Arc<Shared>) {
    let server = TcpStream::connect(("127.0.0.1", redis)).await;
    // Where Redis is away the client's connection is closed, as Redis' own would be.
    let Ok(server) = server else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let lost = Arc::new(Mutex::new(false));
    let down = tokio::spawn(replies(from_server, to_client, lost.clone()));
    let up = commands(BufReader::new(from_client), to_server, &shared, &lost);
    tokio::pin!(up);
    tokio::select! {
        _ = &mut up => {}
        _ = down => {}
    }
}

async fn commands(
    mut from: BufReader<OwnedReadHalf>,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    lost: &Mutex<bool>,
) -> Option<()> {
    loop {
        let (command, raw) = read(&mut from).await?;
        let step = (shared.rule.lock())(&command);
        shared.seen.lock().push(command);
        match step {
            Step::Pass => {}
            Step::Hold(gate) => {
                gate.reached.notify_one();
                gate.opened.notified().await;
            }
            Step::LoseReply => *lost.lock() = true,
            Step::Swallow => std::future::pending().await,
        }
        to.write_all(&raw).await.ok()?;
    }
}

async fn replies(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, lost: Arc<Mutex<bool>>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if *lost.lock() || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Reads one command, and the bytes it came in.
async fn read(from: &mut BufReader<OwnedReadHalf>) -> Option<(Command, Vec<u8>)> {
    let mut raw = Vec::new();
    let words = number(from, &mut raw, b'*').await?;
    let mut command = Vec::with_capacity(words);
    for _ in 0..words {
        let length = number(from, &mut raw, b'$').await?;
        let start = raw.len();
        raw.resize(start + length + 2, 0);
        from.read_exact(&mut raw[start..]).await.ok()?;
        command.push(raw[start..start + length].to_vec());
    }
    Some((command, raw))
}

async fn number(from: &mut BufReader<OwnedReadHalf>, raw: &mut Vec<u8>, kind: u8) -> Option<usize> {
    let start = raw.len();
    from.read_until(b'\n', raw).await.ok()?;
    let line = raw.get(start..)?;
    assert_eq!(line.first().copied().unwrap_or(kind), kind, "not the protocol of Redis");
    std::str::from_utf8(line.get(1..)?).ok()?.trim().parse().ok()
}
