//! The sidecar as a process.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::service::Program;

/// A running `hapax run`.
pub struct Beside {
    pub address: SocketAddr,
    pub health: SocketAddr,
    pub process: Program,
    pub began: Instant,
}

impl Beside {
    /// Starts one; it is not ready yet.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let (address, health) = (free(), free());
        let mut command = Command::new(env!("CARGO_BIN_EXE_hapax"));
        command.arg("run").env_clear().envs(settings.iter().copied());
        command.env("HAPAX_LISTEN", address.to_string()).env("HAPAX_HEALTH_LISTEN", health.to_string());
        command.env("HAPAX_LOG", "warn");
        let began = Instant::now();
        Self { address, health, process: Program::start("hapax run", &command), began }
    }

    /// How long after its start it was ready.
    pub async fn ready(&self) -> Duration {
        loop {
            assert!(self.process.runs(), "hapax ended:\n{}", self.process.output());
            if get(self.health, "/ready").await.is_some_and(|(status, _)| status == 200) {
                return self.began.elapsed();
            }
            assert!(self.began.elapsed() < Duration::from_secs(60), "hapax is not ready:\n{}", self.process.output());
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until so many records were handled.
    pub async fn handled(&self, records: u64) {
        loop {
            let metrics = get(self.health, "/metrics").await.map(|(_, text)| text).unwrap_or_default();
            let lines = metrics
                .lines()
                .filter(|line| line.starts_with("hapax_records_settled_total") && line.contains("handled"));
            let handled: f64 = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
            if handled >= records as f64 {
                return;
            }
            assert!(self.process.runs(), "hapax ended:\n{}", self.process.output());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Resident memory in MiB.
    pub fn memory(&self) -> f64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.pid())).expect("a process of Linux");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its resident memory");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("a number") / 1024.0
    }
}

/// An address that was free a moment ago.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

/// Status and body; nothing where nobody answers.
async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let connection = tokio::spawn(connection);
    let request =
        hyper::Request::get(path).header("host", address.to_string()).body(Empty::<bytes::Bytes>::new()).ok()?;
    let answer = sender.send_request(request).await.ok()?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    connection.abort();
    Some((status, String::from_utf8_lossy(&body).into_owned()))
}
