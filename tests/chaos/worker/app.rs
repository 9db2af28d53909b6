//! The application that `hapax run` posts to: a process of its own, whose answers say what became of a message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::behaviour::{Payload, act};
use super::{Job, LISTENS};
use crate::history::{Attempt, Journal, Outcome};

struct App {
    job: Job,
    journal: Arc<Journal>,
    calls: AtomicU64,
}

pub async fn run(job: &Job) {
    let journal = Journal::open(&job.out, &format!("{}-{}", job.worker, job.incarnation)).expect("a history");
    let app = App { job: job.clone(), journal: Arc::new(journal), calls: AtomicU64::new(0) };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{LISTENS} {}", listener.local_addr().expect("bound").port());
    let router = Router::new().route("/", post(receive)).with_state(Arc::new(app));
    axum::serve(listener, router).await.expect("it serves until it is killed");
}

async fn receive(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    let call = app.calls.fetch_add(1, Relaxed);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if !text("content-type").contains("batch") {
        let payload = serde_json::from_slice(&body).expect("our payload");
        let [topic, partition, offset, attempt] = ["ce-topic", "ce-partition", "ce-offset", "hapax-attempt"].map(text);
        return status(app.one(&topic, &partition, &offset, &attempt, payload, call).await).into_response();
    }
    let events: Vec<Value> = serde_json::from_slice(&body).expect("a batch");
    let mut results = Vec::new();
    let mut failed = false;
    for (index, event) in events.iter().enumerate() {
        // What follows a failure waits for it, as an order asks for.
        let status = if failed {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            let text = |name: &str| match &event[name] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let payload = serde_json::from_value(event["data"].clone()).expect("our payload");
            let (topic, partition, offset, attempt) =
                (text("topic"), text("partition"), text("offset"), text("attempt"));
            status(app.one(&topic, &partition, &offset, &attempt, payload, call).await)
        };
        failed = failed || !status.is_success();
        results.push(json!({"index": index, "status": status.as_u16()}));
    }
    json!({ "results": results }).to_string().into_response()
}

impl App {
    async fn one(
        &self,
        topic: &str,
        partition: &str,
        offset: &str,
        attempt: &str,
        payload: Payload,
        call: u64,
    ) -> Outcome {
        let attempt = Attempt {
            worker: self.job.worker.clone(),
            incarnation: self.job.incarnation,
            topic: topic.to_owned(),
            partition: partition.parse().expect("a partition"),
            offset: offset.parse().expect("an offset"),
            id: payload.id,
            attempt: attempt.parse().expect("an attempt"),
            call,
        };
        act(&self.journal, &attempt, &payload.nature).await
    }
}

fn status(outcome: Outcome) -> StatusCode {
    match outcome {
        Outcome::Ok => StatusCode::OK,
        Outcome::Fatal => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
