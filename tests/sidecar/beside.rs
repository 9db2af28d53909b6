//! `hapax run` as a process beside a test.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::common::{Program, Signal, await_until};

/// A running sidecar. It ends with the test.
#[derive(Debug)]
pub struct Beside {
    pub address: SocketAddr,
    pub health: SocketAddr,
    pub process: Program,
}

impl Beside {
    /// Starts one with this environment and nothing else of the test's own.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let (address, health) = (free(), free());
        let mut command = Command::new(env!("CARGO_BIN_EXE_hapax"));
        command.arg("run").env_clear();
        command.env("HAPAX_LISTEN", address.to_string()).env("HAPAX_HEALTH_LISTEN", health.to_string());
        command.envs(settings.iter().copied());
        Self { address, health, process: Program::start("hapax run", &command) }
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self) {
        await_until("hapax is ready", Duration::from_secs(60), async || {
            assert!(self.process.runs(), "hapax ended:\n{}", self.process.output());
            get(self.health, "/ready").await.is_some_and(|(status, _)| status == 200)
        })
        .await;
    }

    /// What a path of the health listener answers.
    pub async fn health(&self, path: &str) -> (u16, String) {
        get(self.health, path).await.unwrap_or_else(|| panic!("{path} is not answered:\n{}", self.process.output()))
    }

    /// The sum of a metric over its labels that contain `label`.
    pub async fn metric(&self, name: &str, label: &str) -> u64 {
        // Not before it listens.
        let Some((_, text)) = get(self.health, "/metrics").await else {
            assert!(self.process.runs(), "hapax ended:\n{}", self.process.output());
            return 0;
        };
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
    }

    /// `GET` on the listener for callers.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = get(self.address, path).await.expect("an answer");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// What `POST` with a body of JSON answers on the listener for callers: its status.
    pub async fn post(&self, path: &str, body: &'static str) -> u16 {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
        let connection = tokio::spawn(connection);
        let request = Request::post(path).header("host", self.address.to_string());
        let request =
            request.header("content-type", "application/json").body(Full::<Bytes>::from(body)).expect("a request");
        let status = sender.send_request(request).await.expect("an answer").status().as_u16();
        connection.abort();
        status
    }

    /// Asks for the end in order, and waits for it: the exit code.
    pub async fn end(&self) -> i32 {
        self.process.signal(Signal::Term);
        self.process.exit().await
    }
}

/// Status and body; nothing where nobody answers.
pub async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path).header("host", address.to_string()).body(Empty::<Bytes>::new()).ok()?;
    let answer = sender.send_request(request).await.ok()?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    connection.abort();
    Some((status, String::from_utf8_lossy(&body).into_owned()))
}

/// An address that was free a moment ago.
pub fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

/// Its port alone.
pub fn free_port() -> u16 {
    free().port()
}
