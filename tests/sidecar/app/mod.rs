//! An application that answers as a test says, byte by byte where that matters.
//!
//! [`App`] speaks HTTP/1.1 over plain TCP and can do to a connection what no server would; [`Server`] is a proper one,
//! for HTTP/2 and TLS.

mod reply;
mod request;
mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use reply::{Reply, Step};
pub use request::Request;
pub use server::{Server, Tls};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running application. Dropped, it is killed: its port refuses, and its connections are reset.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    seen: watch::Sender<Vec<Request>>,
    /// How many connections ended.
    ended: watch::Sender<usize>,
    killed: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl App {
    /// Starts one at a port of its own.
    pub async fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), script).await
    }

    /// Starts one in the place of another that was killed.
    pub async fn start_at(address: SocketAddr, script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().unwrap();
        let (seen, ended, killed) = (watch::Sender::default(), watch::Sender::default(), CancellationToken::new());
        let serving = serve(listener, Arc::new(script), seen.clone(), ended.clone());
        let until_killed = killed.clone();
        let task = tokio::spawn(async move {
            // Both the listener and the connections are dropped here.
            let _ended: Option<()> = until_killed.run_until_cancelled(serving).await;
        });
        Self { address, seen, ended, killed, task: Some(task) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}/messages", self.address)
    }

    /// The requests so far, whole ones only, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.borrow().clone()
    }

    /// Waits until there were so many.
    pub async fn until(&self, count: usize) {
        let mut seen = self.seen.subscribe();
        let waiting = tokio::time::timeout(PATIENCE, seen.wait_for(|seen| seen.len() >= count)).await.map(drop);
        waiting.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {count} requests, but {}", self.requests().len()));
    }

    /// Waits until so many connections ended. Where it closes one, the other side has closed it, too.
    pub async fn until_ended(&self, count: usize) {
        let mut ended = self.ended.subscribe();
        tokio::time::timeout(PATIENCE, ended.wait_for(|ended| *ended >= count)).await.expect("in time").unwrap();
    }

    /// Kills it, and waits until its port is free.
    pub async fn kill(mut self) -> SocketAddr {
        self.killed.cancel();
        self.task.take().unwrap().await.unwrap();
        self.address
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.killed.cancel();
    }
}

type Script = dyn Fn(&Request) -> Reply + Send + Sync;

async fn serve(
    listener: TcpListener,
    script: Arc<Script>,
    seen: watch::Sender<Vec<Request>>,
    ended: watch::Sender<usize>,
) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        // However it ends, nothing more is sent: as where the process was killed with data unread.
        stream.set_zero_linger().unwrap();
        let conversation = converse(stream, number, Arc::clone(&script), seen.clone());
        let ended = ended.clone();
        connections.spawn(async move {
            conversation.await;
            ended.send_modify(|ended| *ended += 1);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(mut stream: TcpStream, number: usize, script: Arc<Script>, seen: watch::Sender<Vec<Request>>) {
    let mut buffer = Vec::new();
    while let Some(request) = request::read(&mut stream, &mut buffer, number).await {
        let reply = script(&request);
        seen.send_modify(|seen| seen.push(request));
        if !reply.play(&mut stream).await {
            return;
        }
    }
}
