//! Listeners of this process, and callers of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hapax::sidecar::listen::{self, Limits, ListenSettings, Tls};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// A listener that serves until it is told to end.
pub struct Served {
    pub address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Served {
    pub async fn start(router: Router, limits: Limits, tls: Option<Tls>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel();
        let shutdown = async {
            ended.await.ok();
        };
        let task = tokio::spawn(listen::serve(listener, router, limits, tls, shutdown));
        Self { address, end: Some(end), task }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Begins the end.
    pub fn end(&mut self) {
        self.end.take().expect("an end that was not begun").send(()).ok();
    }

    /// Waits for the end.
    pub async fn ended(self) {
        tokio::time::timeout(Duration::from_secs(30), self.task).await.expect("an end in time").expect("no panic");
    }
}

/// Settings of a loopback listener without a token.
pub fn settings() -> ListenSettings {
    ListenSettings {
        address: "127.0.0.1:0".parse().unwrap(),
        health_address: "127.0.0.1:0".parse().unwrap(),
        token: None,
        tls: None,
        hosts: Vec::new(),
        max_body: 64 * 1024,
        max_connections: 512,
    }
}

/// Whom to trust, with ring.
pub fn client_tls(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub fn client() -> reqwest::Client {
    let tls = client_tls(RootCertStore::empty());
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap()
}

/// Posts JSON; answers the status and the body.
pub async fn post(client: &reqwest::Client, url: String, body: &Value) -> (u16, Value) {
    let call = client.post(url).header("content-type", "application/json").body(body.to_string());
    read(call.send().await.unwrap()).await
}

pub async fn read(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Writes bytes and reads until the other side closes.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    until_closed(&mut stream).await
}

/// Reads until the other side closes, however it does.
pub async fn until_closed(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut read)).await;
    drop(closed.expect("an end of the connection"));
    String::from_utf8_lossy(&read).into_owned()
}
