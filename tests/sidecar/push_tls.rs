//! Over TLS the application is who it says it is, and so are we; in HTTP/2 it is spoken to where that is asked for.

use hapax::consumer::Failure;
use hapax::observe::FailureKind;
use hapax::sidecar::push::{PushSettings, TargetState};
use http::Version;

use crate::app::{App, Reply, Server, Tls};
use crate::common::Authority;
use crate::push_answers::{post, push, settings};

const BOTH: &[&str] = &["h2", "http/1.1"];

fn tls<'a>(authority: &Authority, name: &str) -> Tls<'a> {
    Tls { identity: authority.sign(name), clients_of: None, alpn: BOTH }
}

/// Settings that trust this authority and come as somebody whom it signed, with the files that they name.
fn trusting(server: &Server, authority: &Authority) -> (PushSettings, tempfile::TempDir) {
    let (directory, [certificate, key, ca]) = authority.files(&authority.sign("client"));
    let mut settings = settings(&format!("https://{}/", server.address));
    settings.ca = Some(ca.into());
    settings.client = Some((certificate.into(), key.into()));
    (settings, directory)
}

/// It is not used, somebody is told what to change, and no attempt is counted.
async fn is_refused(settings: &PushSettings, remedy: &str) {
    let push = push(settings);
    let result = post(&push, 1).await;
    assert_eq!(result.as_ref().err().map(Failure::kind), Some(FailureKind::Unavailable), "{result:?}");
    let TargetState::Misconfigured { reason } = push.state() else { panic!("{:?}, not {remedy}", push.state()) };
    assert!(reason.contains(remedy), "{reason}, not {remedy}");
}

#[tokio::test]
async fn an_application_that_a_trusted_ca_signed_is_used() {
    let authority = Authority::new();
    let server = Server::start(Some(tls(&authority, "127.0.0.1"))).await;
    let (settings, _files) = trusting(&server, &authority);
    post(&push(&settings), 1).await.unwrap();
    assert_eq!(*server.versions.borrow(), [Version::HTTP_2], "what both agree on");
}

#[tokio::test]
async fn one_that_cannot_be_trusted_is_not_and_it_is_said_why() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = Server::start(Some(tls(&authority, "127.0.0.1"))).await;
    let (settings, _files) = trusting(&server, &stranger);
    is_refused(&settings, "HAPAX_PUSH_CA_FILE").await;
    let server = Server::start(Some(tls(&authority, "other.example"))).await;
    let (settings, _files) = trusting(&server, &authority);
    is_refused(&settings, "another name").await;
    let expired = Tls { identity: authority.sign_expired("127.0.0.1"), clients_of: None, alpn: BOTH };
    let server = Server::start(Some(expired)).await;
    let (settings, _files) = trusting(&server, &authority);
    is_refused(&settings, "expired").await;
    let server = Server::start(None).await;
    let (settings, _files) = trusting(&server, &authority);
    is_refused(&settings, "does not speak TLS").await;
}

#[tokio::test]
async fn an_application_that_asks_who_we_are_is_told() {
    let authority = Authority::new();
    let asking = Tls { clients_of: Some(&authority), ..tls(&authority, "127.0.0.1") };
    let server = Server::start(Some(asking)).await;
    let (mut settings, _files) = trusting(&server, &authority);
    post(&push(&settings), 1).await.unwrap();
    settings.client = None;
    is_refused(&settings, "HAPAX_PUSH_CLIENT_CERTIFICATE_FILE").await;
}

#[tokio::test]
async fn http_2_is_spoken_from_the_first_byte_on() {
    let server = Server::start(None).await;
    let mut settings = settings(&format!("http://{}/", server.address));
    post(&push(&settings), 1).await.unwrap();
    settings.http2 = true;
    let push = push(&settings);
    for _ in 0..3 {
        post(&push, 1).await.unwrap();
    }
    assert_eq!(*server.versions.borrow(), [Version::HTTP_11, Version::HTTP_2, Version::HTTP_2, Version::HTTP_2]);
}

#[tokio::test]
async fn who_does_not_speak_http_2_is_misconfigured() {
    let app = App::start(|_| Reply::status(400)).await;
    let mut over_tcp = settings(&app.url());
    over_tcp.http2 = true;
    is_refused(&over_tcp, "HAPAX_PUSH_HTTP2").await;

    let authority = Authority::new();
    let server = Server::start(Some(Tls { alpn: &["http/1.1"], ..tls(&authority, "127.0.0.1") })).await;
    let (mut over_tls, _files) = trusting(&server, &authority);
    post(&push(&over_tls), 1).await.unwrap();
    over_tls.http2 = true;
    is_refused(&over_tls, "HAPAX_PUSH_HTTP2").await;
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let junk = directory.path().join("junk.pem");
    std::fs::write(&junk, "secret").unwrap();
    let wrong = |change: &dyn Fn(&mut PushSettings)| {
        let mut settings = settings("https://127.0.0.1/");
        change(&mut settings);
        let problem = hapax::sidecar::push::Push::new(&settings, std::sync::Arc::new(|_| ())).unwrap_err();
        assert!(!problem.problem.contains("secret"), "{problem}");
        problem.setting
    };
    let away = directory.path().join("away.pem");
    assert_eq!(wrong(&|settings| settings.ca = Some(away.clone())), "HAPAX_PUSH_CA_FILE");
    assert_eq!(wrong(&|settings| settings.ca = Some(junk.clone())), "HAPAX_PUSH_CA_FILE");
    let client = |settings: &mut PushSettings| settings.client = Some((junk.clone(), junk.clone()));
    assert_eq!(wrong(&client), "HAPAX_PUSH_CLIENT_CERTIFICATE_FILE");
}
