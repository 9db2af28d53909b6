//! The calls, one after the other, against stores in memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::super::{AdminState, ScopeKind, Tally, router};
use crate::consumer::Control;
use crate::id::{Fingerprint, IdKey, Identity, MessageId, Namespace, Scope};
use crate::record::{Origin, TopicPartition};
use crate::store::{
    Claim, Completion, GivenBack, Lease, LeaseTerms, MemoryStore, MessageDetails, PayloadHash, Release, Token,
};

fn state(store: MemoryStore) -> AdminState {
    AdminState {
        namespace: Namespace::new("billing").unwrap(),
        delivery: "push",
        store: Arc::new(store),
        id_key: IdKey::new(b"a secret"),
        scope: ScopeKind::Topic,
        cache_lifetime: Duration::from_secs(600),
        tally: Arc::new(Tally::new()),
        consumer: Some(Control::new()),
        target: None,
    }
}

fn exact() -> AdminState {
    state(MemoryStore::exact(LeaseTerms::default()))
}

/// Calls; a body goes out as JSON.
async fn call(state: &AdminState, method: &str, path: &str, body: Option<&str>) -> (StatusCode, Value) {
    let mut request = Request::builder().method(method).uri(path);
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json; charset=utf-8");
    }
    let request = request.body(Body::from(body.unwrap_or_default().to_owned())).unwrap();
    let answer = router(Arc::new(state.clone())).oneshot(request).await.unwrap();
    let status = answer.status();
    let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

async fn post(state: &AdminState, path: &str, body: Value) -> Value {
    let (status, answer) = call(state, "POST", path, Some(&body.to_string())).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

fn fingerprint(state: &AdminState, id: &'static str) -> Fingerprint {
    let identity = Identity::new(Scope::Topic("orders".into()), MessageId::new(id).unwrap());
    state.id_key.fingerprint(&identity)
}

fn claim(state: &AdminState, id: &'static str, token: u8) -> Claim {
    let lease = Lease { fingerprint: fingerprint(state, id), token: Token::from_bytes([token; 16]) };
    let origin = Origin { partition: TopicPartition::new("orders", 3), offset: 42 };
    let message = MessageDetails { identity: None, payload_hash: Some(PayloadHash::of(Some(b"x"))) };
    Claim { lease, takes_over: false, origin, message: Some(Arc::new(message)) }
}

async fn handle(state: &AdminState, id: &'static str) {
    let Claim { lease, origin, message, .. } = claim(state, id, 1);
    let completion = Completion { lease, origin, message, held_for: Duration::from_millis(1) };
    state.store.claim(vec![claim(state, id, 1)]).await.remove(0).unwrap();
    state.store.complete(vec![completion]).await.remove(0).unwrap();
}

fn ids(ids: &[&str]) -> Value {
    json!({ "ids": ids.iter().map(|id| json!({ "scope": "orders", "id": id })).collect::<Vec<_>>() })
}

#[tokio::test]
async fn each_id_tells_its_state_and_the_first_record_where_the_store_keeps_it() {
    let state = exact();
    handle(&state, "done").await;
    state.store.claim(vec![claim(&state, "running", 2), claim(&state, "failed", 3)]).await;
    let release = Release { lease: claim(&state, "failed", 3).lease, given_back: GivenBack::Failed { attempts: 2 } };
    state.store.release(vec![release]).await;

    let answer = post(&state, "/v1/inspect", ids(&["new", "running", "failed", "done"])).await;
    let states: Vec<_> = answer["ids"].as_array().unwrap().iter().map(|id| id["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["absent", "in_flight", "idle", "done"]);
    assert_eq!(answer["ids"][0]["fingerprint"], fingerprint(&state, "new").to_string());
    assert!(answer["ids"][1]["remaining_ms"].as_u64().is_some_and(|left| left > 50_000), "{answer}");
    assert_eq!(answer["ids"][2]["attempts"], 2);
    let first = &answer["ids"][3]["first"];
    assert_eq!((&first["topic"], &first["partition"], &first["offset"]), (&json!("orders"), &json!(3), &json!(42)));
    assert_eq!(first["payload_hash"], PayloadHash::of(Some(b"x")).to_string());

    let by_fingerprint = json!({ "ids": [{ "fingerprint": fingerprint(&state, "done").to_string() }] });
    let explained = post(&state, "/v1/explain", by_fingerprint).await;
    let says = explained["ids"][0]["says"].as_str().unwrap();
    assert!(says.contains("dropped as a duplicate") && says.contains("orders-3@42"), "{says}");
}

#[tokio::test]
async fn a_forgotten_id_is_handled_again_and_nothing_is_forgotten_without_a_word_of_confirmation() {
    let state = exact();
    handle(&state, "done").await;
    let mut body = ids(&["done", "never"]);
    let (status, answer) = call(&state, "POST", "/v1/forget", Some(&body.to_string())).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["detail"].as_str().unwrap().contains("confirm"), "{answer}");
    assert_eq!(post(&state, "/v1/inspect", ids(&["done"])).await["ids"][0]["state"], "done");

    body["confirm"] = json!(true);
    let answer = post(&state, "/v1/forget", body).await;
    assert_eq!((&answer["ids"][0]["forgotten"], &answer["ids"][1]["forgotten"]), (&json!(true), &json!(false)));
    assert!(answer["note"].as_str().unwrap().contains("10 min"), "{answer}");
    assert_eq!(post(&state, "/v1/inspect", ids(&["done"])).await["ids"][0]["state"], "absent");
}

#[tokio::test]
async fn a_pause_has_a_reason_until_it_is_resumed() {
    let state = exact();
    assert_eq!(post(&state, "/v1/pause", json!({ "reason": " stock-taking " })).await["paused"], "stock-taking");
    let control = state.consumer.as_ref().unwrap();
    assert_eq!(control.paused().as_deref(), Some("stock-taking"));
    let (_, status) = call(&state, "GET", "/v1/status", None).await;
    assert_eq!((&status["paused"], &status["severity"]), (&json!("stock-taking"), &json!("warning")));
    assert_eq!(post(&state, "/v1/resume", json!({})).await["paused"], Value::Null);
    assert_eq!(control.paused(), None);
    // Nothing at all is no reason.
    assert_eq!(call(&state, "POST", "/v1/pause", Some("")).await.0, StatusCode::OK);
    assert!(control.paused().is_some());
    let long = json!({ "reason": "x".repeat(501) }).to_string();
    assert_eq!(call(&state, "POST", "/v1/pause", Some(&long)).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn where_there_is_no_consumer_there_is_nothing_to_pause_and_all_else_works() {
    let state = AdminState { consumer: None, delivery: "pull", ..exact() };
    for path in ["/v1/pause", "/v1/resume"] {
        let (status, answer) = call(&state, "POST", path, Some("{}")).await;
        assert_eq!(status, StatusCode::CONFLICT);
        assert!(answer["detail"].as_str().unwrap().contains("pause, retry and skip there"), "{answer}");
    }
    let (status, answer) = call(&state, "GET", "/v1/status", None).await;
    assert_eq!((status, &answer["severity"], &answer["partitions"]), (StatusCode::OK, &json!("ok"), &Value::Null));
}

#[tokio::test]
async fn the_status_has_all_that_the_page_shows() {
    let state = exact();
    let (_, status) = call(&state, "GET", "/v1/status", None).await;
    for name in
        ["says", "severity", "namespace", "delivery", "uptime_s", "paused", "target", "store", "counts", "rates"]
    {
        assert!(status.get(name).is_some(), "{name} is missing: {status}");
    }
    assert_eq!((&status["partitions"], &status["store"]["breaker"]), (&json!([]), &json!("closed")));
    assert_eq!(call(&state, "GET", "/v1/partitions", None).await.1, json!({ "partitions": [] }));
}

#[tokio::test]
async fn what_a_web_page_can_send_unasked_changes_nothing() {
    let state = exact();
    let body = r#"{"reason":"x"}"#;
    for kind in
        [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("text/plain;application/json")]
    {
        for path in ["/v1/pause", "/v1/resume", "/v1/inspect", "/v1/explain", "/v1/forget"] {
            let request = Request::builder().method("POST").uri(path);
            let request = kind.into_iter().fold(request, |request, kind| request.header(header::CONTENT_TYPE, kind));
            let answer =
                router(Arc::new(state.clone())).oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
            assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind:?} {path}");
        }
    }
    assert_eq!(state.consumer.unwrap().paused(), None);
}

#[tokio::test]
async fn a_body_that_is_wrong_is_refused_and_never_repeated() {
    let state = exact();
    for (path, body) in [
        ("/v1/inspect", "{secret"),
        ("/v1/inspect", "{}"),
        ("/v1/inspect", r#"{"ids":"secret"}"#),
        ("/v1/inspect", r#"{"ids":[{"scope":"a","id":"b","secret":1}]}"#),
        ("/v1/inspect", r#"{"ids":[{"scope":{"planet":"secret"},"id":"b"}]}"#),
        ("/v1/forget", r#"{"ids":[{"scope":"a","id":"b"}],"confirmed":true}"#),
        ("/v1/forget", r#"{"ids":[{"scope":"a","id":"b"}],"confirm":"secret"}"#),
        ("/v1/pause", r#"{"secret":1}"#),
        ("/v1/resume", r#"{"secret":1}"#),
    ] {
        let (status, answer) = call(&state, "POST", path, Some(body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}");
        let says = answer["detail"].as_str().unwrap();
        assert!(!says.contains("secret"), "{says}");
    }
}

#[tokio::test]
async fn only_what_changes_nothing_can_be_got() {
    let state = exact();
    for path in ["/v1/pause", "/v1/resume", "/v1/inspect", "/v1/explain", "/v1/forget"] {
        assert_eq!(call(&state, "GET", path, None).await.0, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    assert_eq!(call(&state, "GET", "/v1/environment", None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_page_comes_with_a_policy_that_fits_it() {
    let page = |_| async {
        let request = Request::builder().uri("/").body(Body::empty()).unwrap();
        let answer = router(Arc::new(exact())).oneshot(request).await.unwrap();
        let headers = answer.headers().clone();
        let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (headers, String::from_utf8(bytes.to_vec()).unwrap())
    };
    let (headers, text) = page(1).await;
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    assert_eq!((nonce.len(), text.matches(&format!("nonce=\"{nonce}\"")).count()), (32, 2));
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(!page(2).await.1.contains(nonce), "a nonce is for one answer");
}

#[tokio::test]
async fn retry_and_skip_refuse_what_cannot_be_done() {
    let state = exact();
    let answer = post(&state, "/v1/retry", json!({})).await;
    assert_eq!(answer, json!({ "retried": [], "reopened": false, "paused": null }));
    let refused = [
        ("/v1/retry", json!({ "topic": "orders" }), 400, "name topic and partition"),
        ("/v1/retry", json!({ "topic": "orders", "partition": 3 }), 409, "orders-3 does not stand stopped"),
        ("/v1/skip", json!({ "record": "orders/3/42" }), 400, "give a reason"),
        ("/v1/skip", json!({ "record": "orders/3/42", "reason": " " }), 400, "give a reason"),
        ("/v1/skip", json!({ "record": "orders/3", "reason": "why" }), 400, ""),
        ("/v1/skip", json!({ "record": "orders/3/42", "reason": "w".repeat(501) }), 400, "501 bytes"),
        ("/v1/skip", json!({ "record": "orders/3/42", "reason": "why", "confirm": true }), 409, "not assigned"),
    ];
    for (path, body, status, says) in refused {
        let (answered, problem) = call(&state, "POST", path, Some(&body.to_string())).await;
        assert_eq!(answered.as_u16(), status, "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{body}: {problem}");
    }
    let alone = AdminState { consumer: None, ..exact() };
    for (path, body) in [("/v1/retry", json!({})), ("/v1/skip", json!({ "record": "t/0/0", "reason": "why" }))] {
        let (status, problem) = call(&alone, "POST", path, Some(&body.to_string())).await;
        assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    }
}
