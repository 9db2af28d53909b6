//! Who may call, and that no caller holds others up.

use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use hapax::sidecar::listen::{Limits, ListenSettings, Tls, TlsFiles, guarded};
use hapax::sidecar::{Secret, TokenSource};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::common::Authority;
use crate::serving::{Served, client, client_tls, raw, read, settings, until_closed};

const TOKEN: &str = "a-token-of-some-length";

fn routes() -> Router {
    Router::new()
        .route("/", get(|| async { "page" }))
        .route("/v1/things", get(|| async { "things" }))
        .route("/v1/change", post(|body: String| async move { body.len().to_string() }))
}

async fn serve(settings: &ListenSettings) -> Served {
    Served::start(guarded(routes(), settings).unwrap(), Limits::of(settings), None).await
}

fn short() -> Limits {
    let (header_limit, idle_limit) = (Duration::from_millis(300), Duration::from_millis(1500));
    Limits { header_limit, idle_limit, end_limit: Duration::from_secs(5), ..Limits::default() }
}

fn head(status: &str) -> String {
    format!("HTTP/1.1 {status}")
}

#[tokio::test]
async fn a_listener_without_a_token_answers_to_its_own_names_only() {
    let served = serve(&ListenSettings { hosts: vec!["sidecar".to_owned()], ..settings() }).await;
    for (host, status) in
        [("localhost", 200), ("127.0.0.1:1", 200), ("[::1]", 200), ("sidecar", 200), ("evil.example", 421)]
    {
        for path in ["/", "/v1/things"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = raw(served.address, request.as_bytes()).await;
            assert!(answer.starts_with(&head(&status.to_string())), "{host}{path}: {answer}");
        }
    }
    let answer = raw(served.address, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.contains(" 421 "), "no name at all: {answer}");
}

#[tokio::test]
async fn a_token_is_asked_for_everywhere_but_on_the_page() {
    let token = Some(TokenSource::Given(Secret::new(TOKEN)));
    let served = serve(&ListenSettings { token, ..settings() }).await;
    let client = client();
    let right = format!("Bearer {TOKEN}");
    let cases = [
        ("/", None, 200),
        ("/v1/things", None, 401),
        ("/v1/things", Some("Bearer another"), 401),
        ("/v1/things", Some(TOKEN), 401),
        ("/v1/things", Some(&right), 200),
        ("/nowhere", None, 401),
        ("/nowhere", Some(&right), 404),
    ];
    for (path, authorization, status) in cases {
        let mut call = client.get(served.url(path)).header("host", "any.name");
        if let Some(authorization) = authorization {
            call = call.header("authorization", authorization);
        }
        let answer = call.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path} {authorization:?}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert!(!answer.headers().contains_key("access-control-allow-origin"));
        assert_eq!(answer.headers().contains_key("www-authenticate"), status == 401);
        if status >= 400 {
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
            let (_, problem) = read(answer).await;
            assert_eq!(problem["status"], status);
            assert!(
                problem["detail"].as_str().unwrap().len() > 20 && !problem.to_string().contains(TOKEN),
                "{problem}"
            );
        }
    }
}

#[tokio::test]
async fn a_changed_token_file_counts_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "the-first-token\n").unwrap();
    let served = serve(&ListenSettings { token: Some(TokenSource::File(path.clone())), ..settings() }).await;
    let client = client();
    let status = async |token: &str| {
        let call = client.get(served.url("/v1/things")).header("authorization", format!("Bearer {token}"));
        call.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status("the-first-token").await, 200);
    assert_eq!(status("the-second-token").await, 401);
    std::fs::write(&path, "the-second-token\n").unwrap();
    assert_eq!(status("the-second-token").await, 200);
    assert_eq!(status("the-first-token").await, 401);
}

#[tokio::test]
async fn what_a_foreign_page_can_send_is_refused() {
    let served = serve(&settings()).await;
    let client = client();
    let own = format!("http://{}", served.address);
    const JSON: (&str, &str) = ("content-type", "application/json");
    let cases: [(&[(&str, &str)], u16); 7] = [
        (&[JSON], 200),
        (&[], 415),
        (&[("content-type", "text/plain")], 415),
        (&[JSON, ("origin", "http://evil.example")], 403),
        (&[JSON, ("origin", "null")], 403),
        (&[JSON, ("origin", &own)], 200),
        (&[JSON, ("sec-fetch-site", "cross-site")], 403),
    ];
    for (headers, status) in cases {
        let call = headers
            .iter()
            .fold(client.post(served.url("/v1/change")), |call, (name, value)| call.header(*name, *value));
        assert_eq!(call.send().await.unwrap().status().as_u16(), status, "{headers:?}");
    }
    let preflight =
        client.request(reqwest::Method::OPTIONS, served.url("/v1/change")).header("origin", "http://evil.example");
    let answer = preflight.send().await.unwrap();
    assert!(answer.status().is_client_error());
    assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("access-control-")));
    let answer = client.get(served.url("/v1/change")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["allow"].to_str().unwrap()), (405, "POST"));
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let served = serve(&ListenSettings { max_body: 100, ..settings() }).await;
    let client = client();
    for (length, status) in [(100, 200), (101, 413), (1 << 20, 413)] {
        let call = client.post(served.url("/v1/change")).header("content-type", "application/json");
        let answer = call.body("x".repeat(length)).send().await;
        // What is far too large may be cut while it is still being sent.
        assert!(answer.is_err() && length > 65_536 || answer.unwrap().status().as_u16() == status, "{length}");
    }
    let chunked = format!(
        "POST /v1/change HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n80\r\n{}\r\n",
        "x".repeat(128)
    );
    let answer = raw(served.address, chunked.as_bytes()).await;
    assert!(answer.starts_with(&head("413")), "a length that is not told: {answer}");
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    let answer = raw(served.address, many.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with(&head("431")), "{answer}");
}

#[tokio::test]
async fn slow_callers_are_cut_and_others_served_meanwhile() {
    // Idle connections may rest for long here: only the limit on headers cuts.
    let limits = Limits { max_connections: 4, idle_limit: Duration::from_secs(600), ..short() };
    let served = Served::start(guarded(routes(), &settings()).unwrap(), limits, None).await;
    let started = Instant::now();
    let mut slow = Vec::new();
    for bytes in [&b""[..], b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"PRI * HTTP/2.0\r\n"] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        slow.push(stream);
    }
    // All places are taken; this caller waits until the slow ones are cut.
    let answer = raw(served.address, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with(&head("200")), "{answer}");
    for mut stream in slow {
        assert!(!until_closed(&mut stream).await.contains("200"));
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    // Drops of bytes give no more time.
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let dripping = async {
        while stream.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), dripping).await.expect("a cut");
}

#[tokio::test]
async fn http2_is_spoken_under_the_same_rules() {
    let token = Some(TokenSource::Given(Secret::new(TOKEN)));
    let served = serve(&ListenSettings { token, max_body: 100, ..settings() }).await;
    let tls = client_tls(RootCertStore::empty());
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
    let client = builder.http2_prior_knowledge().build().unwrap();
    let change = |length: usize| {
        let call = client.post(served.url("/v1/change")).header("content-type", "application/json");
        call.body("x".repeat(length))
    };
    assert_eq!(change(5).send().await.unwrap().status().as_u16(), 401);
    let answer = change(5).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!((answer.version(), answer.text().await.unwrap().as_str()), (http::Version::HTTP_2, "5"));
    assert_eq!(change(101).bearer_auth(TOKEN).send().await.unwrap().status().as_u16(), 413);
    // Without a token the name counts, which has no header of its own here.
    let served = serve(&settings()).await;
    let name = |name: &str| client.get(format!("http://{name}:{}/v1/things", served.address.port()));
    assert_eq!(name("localhost").send().await.unwrap().status().as_u16(), 200);
    let resolved = reqwest::Client::builder().tls_backend_preconfigured(client_tls(RootCertStore::empty())).no_proxy();
    let resolved = resolved.http2_prior_knowledge().resolve("evil.example", served.address).build().unwrap();
    let evil = resolved.get(format!("http://evil.example:{}/v1/things", served.address.port()));
    assert_eq!(evil.send().await.unwrap().status().as_u16(), 421);
}

#[tokio::test]
async fn a_connection_may_rest_between_requests() {
    let served = Served::start(guarded(routes(), &settings()).unwrap(), short(), None).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let answer =
        crate::common::await_until("an answer", Duration::from_secs(5), async || stream.readable().await.is_ok());
    answer.await;
    // Longer than headers may take, shorter than a connection may rest: time itself is what is tested.
    tokio::time::sleep(Duration::from_millis(700)).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!(until_closed(&mut stream).await.matches("200 OK").count(), 2);
}

#[tokio::test]
async fn an_end_lets_requests_finish_and_accepts_no_more() {
    let (began, go_on) = (std::sync::Arc::new(Notify::new()), std::sync::Arc::new(Notify::new()));
    let handler = {
        let (began, go_on) = (began.clone(), go_on.clone());
        move || async move {
            began.notify_one();
            go_on.notified().await;
            "done"
        }
    };
    let router = Router::new().route("/slow", get(handler));
    let mut served = Served::start(router.clone(), short(), None).await;
    let url = served.url("/slow");
    let call = tokio::spawn(client().get(url.clone()).send());
    began.notified().await;
    served.end();
    let refused = || async { TcpStream::connect(served.address).await.is_err() };
    crate::common::await_until("a closed listener", Duration::from_secs(5), async || refused().await).await;
    // Long enough for a cut, were there one: that nothing happens gives no signal.
    tokio::time::sleep(Duration::from_millis(200)).await;
    go_on.notify_one();
    assert_eq!(call.await.unwrap().unwrap().text().await.unwrap(), "done");
    served.ended().await;
    // One that does not finish is cut.
    let limits = Limits { end_limit: Duration::from_millis(100), ..short() };
    let mut served = Served::start(router, limits, None).await;
    let call = tokio::spawn(client().get(served.url("/slow")).send());
    began.notified().await;
    served.end();
    served.ended().await;
    assert!(call.await.unwrap().is_err());
}

#[tokio::test]
async fn a_request_without_an_end_is_answered() {
    let router = Router::new().route("/ever", get(std::future::pending::<()>));
    let limits = Limits { request_limit: Duration::from_millis(100), ..short() };
    let served = Served::start(router, limits, None).await;
    let call = client().get(served.url("/ever")).send();
    let answer = tokio::time::timeout(Duration::from_secs(10), call).await.expect("an answer").unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "1"));
}

#[tokio::test]
async fn certificates_are_shown_and_asked_for() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (directory, [certificate, key, ca]) = authority.files(&authority.sign("localhost"));
    let files = TlsFiles { certificate: certificate.into(), key: key.into(), client_ca: Some(ca.into()) };
    let settings = ListenSettings { tls: Some(files.clone()), ..settings() };
    let router = guarded(routes(), &settings).unwrap();
    let served = Served::start(router, Limits::of(&settings), Some(Tls::read(&files).unwrap())).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let url = format!("https://localhost:{}/v1/things", served.address.port());
    for (signer, welcome) in [(Some(&authority), true), (Some(&stranger), false), (None, false)] {
        let mut tls = client_tls(roots.clone());
        if let Some(signer) = signer {
            let identity = signer.sign("loop");
            let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            tls.client_auth_cert_resolver = std::sync::Arc::new(tokio_rustls::rustls::sign::SingleCertAndKey::from(
                tokio_rustls::rustls::sign::CertifiedKey::from_der(chain, key, tls.crypto_provider()).unwrap(),
            ));
        }
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
        let answer = client.get(&url).send().await;
        assert_eq!(answer.is_ok_and(|answer| answer.status() == 200), welcome, "{}", signer.is_some());
    }
    let wrong = TlsFiles { key: directory.path().join("none"), ..files.clone() };
    let error = Tls::read(&wrong).unwrap_err().to_string();
    assert!(error.starts_with("HAPAX_TLS_KEY_FILE: "), "{error}");
    let wrong = TlsFiles { certificate: files.key.clone(), ..files.clone() };
    let error = Tls::read(&wrong).unwrap_err().to_string();
    assert!(error.starts_with("HAPAX_TLS_CERTIFICATE_FILE: "), "{error}");
    let wrong = TlsFiles { client_ca: Some(files.key.clone()), ..files };
    let error = Tls::read(&wrong).unwrap_err().to_string();
    assert!(error.starts_with("HAPAX_TLS_CLIENT_CA_FILE: "), "{error}");
}
