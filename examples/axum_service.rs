//! A service in axum that takes orders from hapax, which runs beside it: `HAPAX_DELIVERY=push`, the default.
//!
//! **What this shows.** The header `Idempotency-Key` is the same for every attempt, redelivery and copy of a message. The
//! service remembers it together with the effect, so an order whose answer got lost has no second effect. It answers 422
//! for what can never work (the message goes to the dead letters), and 503 while it starts (hapax waits, which counts no
//! attempt). Any other 5xx would be tried again, and 401, 403 or 404 be taken for a wrong configuration.
//!
//! **What it promises.** Each order has its effect once for as long as this process lives and the key is among the last
//! 100,000. The keys of a real service lie in its database, written in the transaction of the effect, as in
//! `orders_postgres.rs`: then the same holds across its crashes. A dead letter that is replayed has a new key.
//!
//! Run it: `cargo run --features sidecar --example axum_service`, with LISTEN set as needed, and beside it `hapax run` with
//! `HAPAX_PUSH_URL=http://localhost:8000/orders`. It ends with SIGTERM.
#![allow(clippy::print_stdout, reason = "an example tells what happens")]

use std::collections::{HashSet, VecDeque};
use std::env;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const KEYS: usize = 100_000;

#[derive(Deserialize)]
struct Order {
    item: String,
}

#[derive(Default)]
struct Service {
    started: AtomicBool,
    /// The one lock around effect and key stands for the database's transaction. So of two requests with one key the second
    /// waits; a service that cannot let it wait answers 409.
    done: Mutex<Done>,
    /// The item whose order's answer gets lost, once, as a test of this asks for.
    loses: Mutex<Option<String>>,
}

#[derive(Default)]
struct Done {
    keys: HashSet<String>,
    oldest_first: VecDeque<String>,
}

impl Done {
    /// Whether the key is new.
    fn remember(&mut self, key: &str) -> bool {
        let new = self.keys.insert(key.to_owned());
        if new {
            self.oldest_first.push_back(key.to_owned());
        }
        if self.oldest_first.len() > KEYS
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.keys.remove(&oldest);
        }
        new
    }
}

async fn take(State(service): State<Arc<Service>>, headers: HeaderMap, body: Bytes) -> (StatusCode, &'static str) {
    if !service.started.load(Ordering::Acquire) {
        println!("not yet");
        return (StatusCode::SERVICE_UNAVAILABLE, "starting");
    }
    // In quotes, as structured fields are: they may stay, for they are always there.
    let Some(key) = headers.get("idempotency-key").and_then(|key| key.to_str().ok()) else {
        return (StatusCode::BAD_REQUEST, "there is no header Idempotency-Key");
    };
    let Ok(order) = serde_json::from_slice::<Order>(&body) else {
        // What is answered stands in the dead letter.
        return (StatusCode::UNPROCESSABLE_ENTITY, "this is no order");
    };
    if !service.done.lock().remember(key) {
        println!("took {} before", order.item);
        return (StatusCode::OK, "taken before");
    }
    println!("took {}", order.item);
    if service.loses.lock().take_if(|item| *item == order.item).is_some() {
        return (StatusCode::BAD_GATEWAY, "the answer got lost on its way");
    }
    (StatusCode::OK, "taken")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let service = Arc::new(Service { loses: Mutex::new(env::var("LOSES").ok()), ..Service::default() });
    let listener = TcpListener::bind(env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8000".to_owned())).await?;
    println!("listens on {}", listener.local_addr()?);

    let starting = Arc::clone(&service);
    tokio::spawn(async move {
        // Stands for caches to fill and connections to make.
        tokio::time::sleep(Duration::from_secs(2)).await;
        starting.started.store(true, Ordering::Release);
    });

    let mut end = signal(SignalKind::terminate())?;
    let routes = Router::new().route("/orders", routing::post(take)).with_state(service);
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move {
            end.recv().await;
        })
        .await?;
    Ok(())
}
