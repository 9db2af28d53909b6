//! What posting costs beside the bare client: to be run by hand, on a machine that does nothing else.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hapax::consumer::{Attempt, Handler};
use hapax::id::Fingerprint;
use hapax::record::{Record, TopicPartition};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::rustls;

use crate::push_answers::{push, settings};

const AT_ONCE: usize = 64;
const LASTS: Duration = Duration::from_secs(3);

/// Answers 204 to everything.
async fn serve() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let service = service_fn(async |request: http::Request<Incoming>| {
                    http_body_util::BodyExt::collect(request.into_body()).await?;
                    let answer = http::Response::builder().status(204).body(String::new());
                    Ok::<_, hyper::Error>(answer.unwrap())
                });
                Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
    address
}

/// Calls as many at once, and returns how many there were in a second.
async fn per_second<F: Future<Output = ()> + Send>(call: impl Fn() -> F + Send + Sync + 'static) -> f64 {
    let (call, count) = (Arc::new(call), Arc::new(AtomicUsize::new(0)));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (call, count) = (Arc::clone(&call), Arc::clone(&count));
        tasks.spawn(async move {
            while begun.elapsed() < LASTS {
                call().await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tasks.join_all().await;
    count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a promise"]
async fn posting_beside_the_bare_client() {
    let url = format!("http://{}/", serve().await);
    let payload = bytes::Bytes::from(vec![b'x'; 1024]);
    for round in 0..3 {
        // The client wants to know of TLS, used or not.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap();
        let (to, body) = (url.clone(), payload.clone());
        let bare = per_second(move || {
            let request = client.post(&to).body(body.clone());
            async move {
                request.send().await.unwrap().bytes().await.unwrap();
            }
        })
        .await;

        let push = push(&settings(&url));
        let record = Record::builder(TopicPartition::new("orders", 3), 42)
            .timestamp(1_700_000_000_000)
            .header("ce_id", "4711")
            .header("ce_source", "/shop")
            .header("ce_type", "order.placed")
            .payload(payload.clone())
            .build();
        let ours = per_second(move || {
            let (push, record) = (push.clone(), record.clone());
            let attempt = Attempt::new(1, Some(Fingerprint::from_bytes([7; 16])));
            async move { Handler::handle(&push, record, attempt).await.unwrap() }
        })
        .await;
        println!("round {round}: bare {bare:.0}/s, push {ours:.0}/s, {:.2} of it", ours / bare);
    }
}
