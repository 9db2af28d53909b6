//! The status page, as a browser shows it in each state.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use hapax::sidecar::admin::{AdminState, TargetCondition, TargetState, router};
use hapax::store::DoneMode;
use serde_json::json;
use tokio::net::TcpListener;

use super::browser::open;
use super::controlled::{Controlled, call};
use crate::common::RedisServer;

/// Serves a router; answers where.
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/")
}

/// Lets the first look of a page at the status through, and cuts the connection in the midst of every further answer.
fn cut_after_the_first(state: Arc<AdminState>) -> Router {
    let looks = Arc::new(AtomicUsize::new(0));
    router(state).layer(from_fn(move |request: Request, next: Next| {
        let looks = Arc::clone(&looks);
        async move {
            let path = request.uri().path();
            if path == "/" {
                looks.store(0, Ordering::Relaxed);
            }
            if path == "/v1/status" && looks.fetch_add(1, Ordering::Relaxed) > 0 {
                let cut = futures_util::stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("cut"))]);
                return Response::new(Body::from_stream(cut));
            }
            next.run(request).await
        }
    }))
}

/// What is told first, and how bad it is: `severity: sentence`.
fn headline(page: &str) -> String {
    let text = |beginning: &str| {
        let rest = page.split(beginning).nth(1).unwrap_or_else(|| panic!("{beginning} is not in {page}"));
        rest.split('<').next().unwrap_or_default().to_owned()
    };
    format!("{}: {}", text("<strong id=\"severity\">"), text("<p id=\"says\">"))
}

fn assert_shows(page: &str, headlined: &str, texts: &[&str]) {
    let headline = headline(page);
    assert!(headline.starts_with(headlined), "{headline}, and not {headlined}");
    for text in texts {
        assert!(page.contains(text), "{text} is not in {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_each_state_first_of_all_what_is_wrong() {
    let redis = RedisServer::start_with(&["--appendonly", "yes"]);
    let mut sidecar = Controlled::new(&redis, DoneMode::Compact, 3).await;
    let url = serve(router(Arc::clone(&sidecar.state))).await;
    sidecar.let_end(300);
    for partition in 0..3 {
        let first = 100 * partition as usize;
        sidecar.produce(partition, first..first + 100).await;
        sidecar.produce(partition, first..first + 30).await;
    }
    sidecar.start();
    sidecar
        .until("all is settled", async |status| {
            status["partitions"].as_array().is_some_and(|parts| parts.len() == 3)
                && status["partitions"].as_array().unwrap().iter().all(|part| part["committed"] == 130)
        })
        .await;
    let (topic, partition) =
        (sidecar.topic.clone(), |number| format!("<th scope=\"row\">{}-{number}</th>", sidecar.topic));
    let page = open(&url, "ok").await;
    let all = [partition(0), partition(1), partition(2)];
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_shows(
        &page,
        "✓ OK: All is well: 3 partitions",
        &[&all[..], &["300 in all", "90 in all", ">reached<", ">ready<"]].concat(),
    );

    // What comes from elsewhere is text, whatever is in it.
    let evil = "<img src=x onerror=document.title='owned'>";
    call(&sidecar.state, "POST", "/v1/pause", json!({ "reason": evil })).await;
    let page = open(&url, "paused").await;
    assert_shows(&page, "▲ Warning: Paused by an operator: &lt;img src=x", &[">paused<"]);
    assert!(!page.contains("<img") && !page.contains("<title>owned"), "{page}");
    call(&sidecar.state, "POST", "/v1/resume", json!({})).await;

    let says = Some("it answers 404: look at the path of the URL".to_owned());
    let misconfigured = TargetCondition::Misconfigured;
    *sidecar.target.lock() = Some(TargetState { url: "http://app/x".to_owned(), condition: misconfigured, says });
    let page = open(&url, "misconfigured").await;
    assert_shows(
        &page,
        "✕ Error: The application cannot be used as it is",
        &["it answers 404", ">misconfigured<", "http://app/x"],
    );
    *sidecar.target.lock() = None;

    // Two partitions wait for their handlers, and one is stopped.
    sidecar.produce(0, 1000..1400).await;
    sidecar.produce(1, 2000..2400).await;
    sidecar.produce_without_id(2).await;
    sidecar
        .until("two run and one is stopped", async |status| {
            let parts = status["partitions"].as_array().unwrap();
            parts.iter().filter(|part| part["phase"] == "stopped").count() == 1
                && parts.iter().filter(|part| part["running"] == 1 && part["in_flight"].as_u64() > Some(300)).count()
                    == 2
        })
        .await;
    let page = open(&url, "stopped").await;
    let stopped = format!("✕ Error: Partition {topic}-2 is stopped at offset 130: ");
    assert_shows(&page, &stopped, &[">stopped<", "Stopped at offset 130: ", "its handler, which has been running for"]);

    let page = open(&serve(cut_after_the_first(Arc::clone(&sidecar.state))).await, "gone").await;
    assert_shows(&page, "✕ Error: The sidecar does not answer. Last seen at ", &["<body class=\"stale\">", all[0]]);

    let locked = Router::new().fallback_service(router(Arc::clone(&sidecar.state))).layer(from_fn(
        |request: Request, next: Next| async move {
            match request.uri().path() {
                "/v1/status" => StatusCode::UNAUTHORIZED.into_response(),
                _ => next.run(request).await,
            }
        },
    ));
    let page = open(&serve(locked).await, "token").await;
    assert_shows(&page, "▲ Warning: The sidecar asks for a token.", &["type=\"password\""]);
    assert!(!page.contains("id=\"ask\" class=\"card\" aria-labelledby=\"ask-title\" hidden"), "{page}");

    redis.kill();
    sidecar.until("the store is known to be away", async |status| status["store"]["breaker"] == "open").await;
    let page = open(&url, "store-down").await;
    assert_shows(&page, "✕ Error: The store is not reached", &[">not reached<", "nothing is lost meanwhile"]);
}
