//! A bare load generator: connections that post the same kilobyte, each one request after the other.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A connection to one server.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    pub async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("a handshake");
        tokio::spawn(connection);
        Self { sender, host: address.to_string() }
    }

    /// Posts, and hands over the answer once its head is there.
    pub async fn post(&mut self, path: &str, content_type: &str, body: Bytes) -> Response<Incoming> {
        self.sender.ready().await.expect("a connection that lives");
        let request = Request::post(path).header("host", &self.host).header("content-type", content_type);
        self.sender.send_request(request.body(Full::new(body)).expect("a request")).await.expect("an answer")
    }
}

/// Requests per second.
pub async fn rate(address: SocketAddr, connections: u64, requests: u64, payload: usize) -> f64 {
    let body = Bytes::from(vec![b'x'; payload]);
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..connections {
        let body = body.clone();
        tasks.spawn(async move {
            let mut connection = Connection::to(address).await;
            for _ in 0..requests / connections {
                let answer = connection.post("/orders", "application/json", body.clone()).await;
                assert!(answer.status().is_success(), "{}", answer.status());
                drop(answer.into_body().collect().await);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a connection that ended well");
    }
    (requests / connections * connections) as f64 / begun.elapsed().as_secs_f64()
}
