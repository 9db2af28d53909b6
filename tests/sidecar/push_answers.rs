//! Whatever an application answers, or does to the connection instead, has one meaning: no message is lost by it, and
//! none given up that could still be handled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hapax::consumer::{Attempt, BatchHandler, Failure, Handler};
use hapax::observe::FailureKind;
use hapax::record::{Record, RecordBuilder, TopicPartition};
use hapax::sidecar::push::{Push, PushProtocol, PushSettings, TargetState};
use hapax::sidecar::{Secret, TokenSource};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::app::{App, PATIENCE, Reply, Step};
use crate::common::{Worker, role};

pub fn settings(url: &str) -> PushSettings {
    let mut settings = PushSettings::new(url);
    settings.time_limit = Duration::from_secs(20);
    settings
}

pub fn push(settings: &PushSettings) -> Push {
    Push::new(settings, Arc::new(|_| ())).unwrap()
}

pub fn record() -> RecordBuilder {
    Record::builder(TopicPartition::new("orders", 3), 42).payload("x")
}

pub async fn post(push: &Push, attempt: u32) -> Result<(), Failure> {
    Handler::handle(push, record().build(), Attempt::new(attempt, None)).await
}

pub fn kind(result: &Result<(), Failure>) -> Option<FailureKind> {
    result.as_ref().err().map(Failure::kind)
}

fn text(result: Result<(), Failure>) -> String {
    result.unwrap_err().to_string()
}

pub fn is_misconfigured(push: &Push) -> bool {
    matches!(push.state(), TargetState::Misconfigured { .. })
}

/// A request to an application that does this and no more.
pub async fn met_by(reply: Reply) -> (Push, Result<(), Failure>) {
    let app = App::start(move |_| reply.clone()).await;
    let mut settings = settings(&app.url());
    settings.time_limit = Duration::from_millis(500);
    let push = push(&settings);
    let result = post(&push, 1).await;
    (push, result)
}

#[tokio::test]
async fn every_status_means_what_the_table_says() {
    // The attempt's number is the status that is wanted.
    let app = App::start(|request| Reply::status(request.header("hapax-attempt").parse().unwrap())).await;
    for status in (200..=599).filter(|status| *status != 410) {
        let push = push(&settings(&app.url()));
        let result = post(&push, status).await;
        let expected = match status {
            200..=299 => None,
            400 | 413 | 415 | 422 => Some(FailureKind::Fatal),
            409 | 429 | 503 => Some(FailureKind::Unavailable),
            _ => Some(FailureKind::Retryable),
        };
        assert_eq!(kind(&result), expected, "{status}: {result:?}");
        let misconfigured = matches!(status, 300..=399 | 401 | 403..=405 | 407 | 421);
        assert_eq!(is_misconfigured(&push), misconfigured, "{status}: {:?}", push.state());
        let unavailable = matches!(push.state(), TargetState::Unavailable { .. });
        assert_eq!(unavailable, matches!(status, 429 | 503), "{status}: {:?}", push.state());
    }
}

#[tokio::test]
async fn after_410_nothing_is_sent_any_more() {
    let app = App::start(|_| Reply::answer(410, &[], "moved\nout")).await;
    let stops = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let told = Arc::clone(&stops);
    let push =
        Push::new(&settings(&app.url()), Arc::new(move |reason: &str| told.lock().push(reason.to_owned()))).unwrap();
    for _ in 0..3 {
        assert_eq!(kind(&post(&push, 1).await), Some(FailureKind::Unavailable));
    }
    assert_eq!(*stops.lock(), ["it answers 410 (moved\\nout)"], "told once");
    assert_eq!(app.requests().len(), 1);
    assert!(matches!(push.state(), TargetState::Stopped { .. }));
}

#[tokio::test]
async fn what_cannot_be_reached_counts_no_attempt() {
    let app = App::start(|_| Reply::status(200)).await;
    let push_to_it = push(&settings(&app.url()));
    assert!(post(&push_to_it, 1).await.is_ok());
    let address = app.kill().await;
    assert_eq!(kind(&post(&push_to_it, 1).await), Some(FailureKind::Unavailable));
    assert!(matches!(push_to_it.state(), TargetState::Unavailable { .. }));
    let _app = App::start_at(address, |_| Reply::status(200)).await;
    assert!(post(&push_to_it, 1).await.is_ok());
    assert_eq!(push_to_it.state(), TargetState::Ready);

    let unknown = push(&settings("http://no-such-name.invalid/"));
    assert_eq!(kind(&post(&unknown, 1).await), Some(FailureKind::Unavailable));
}

#[tokio::test]
async fn what_may_have_been_handled_counts_as_an_attempt() {
    let trickle = |text: &str| Step::Trickle(text.into(), Duration::from_millis(100));
    for steps in [
        vec![Step::Hang],
        vec![Step::Reset],
        vec![Step::Close],
        vec![Step::Send(b"HTTP/1.1 200 O".to_vec()), Step::Reset],
        vec![Step::Send(b"HTTP/1.1 200 O".to_vec()), Step::Close],
        vec![Step::Send(b"HTTP/1.1 200 O".to_vec()), Step::Hang],
        vec![Step::Send(b"HTTP/1.1 500 No\r\ncontent-le".to_vec()), Step::Close],
        vec![trickle("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")],
        vec![Step::Send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()), Step::Hang],
    ] {
        let (push, result) = met_by(Reply::steps(steps.clone())).await;
        assert_eq!(kind(&result), Some(FailureKind::Retryable), "{steps:?}: {result:?}");
        let is_answered = format!("{result:?}").contains("it answers 500");
        assert_eq!(push.state(), if is_answered { TargetState::Ready } else { TargetState::Unknown });
    }
}

#[tokio::test]
async fn once_the_status_came_the_rest_of_the_answer_does_not_matter() {
    let send = |text: &str| Step::Send(text.into());
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let line = "HTTP/1.1 200 OK\r\n";
    let begun = "HTTP/1.1 200 OK\r\nContent-Type: te";
    for steps in [
        vec![send(line), Step::Close],
        vec![send(line), Step::Reset],
        vec![send(line), Step::Hang],
        vec![send("HTTP/1.1 200\n"), Step::Close],
        vec![send("HTTP/1.1 100 Continue\r\n\r\n"), send(line), Step::Close],
        vec![send(begun), Step::Close],
        vec![send(begun), Step::Reset],
        vec![send(begun), Step::Hang],
        vec![send(begun), Step::Trickle(vec![b'x'; 1000], Duration::from_millis(50))],
        vec![send(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        )],
        vec![send(chunked), send("2\r\nok\r\n0\r\n\r\n")],
        vec![send(chunked), send("zzz\r\n")],
        vec![send("HTTP/1.0 200 OK\r\n\r\nok"), Step::Close],
        vec![send(head), Step::Reset],
        vec![send(head), Step::Hang],
        vec![send(head), Step::Trickle(vec![b'x'; 1000], Duration::from_millis(50))],
        vec![send(head), Step::Send(vec![b'x'; 10_000_000])],
    ] {
        let begun = Instant::now();
        let (push, result) = met_by(Reply::steps(steps)).await;
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(push.state(), TargetState::Ready);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn what_a_failure_says_is_short_and_stays_on_its_line() {
    let (_, result) = met_by(Reply::answer(500, &[], "no\r\n\u{1b}[31mcolour ".repeat(100_000))).await;
    let text = text(result);
    assert!(text.starts_with("it answers 500 (no\\r\\n\\u{1b}[31mcolour no"), "{text}");
    assert!(text.chars().count() < 700 && !text.contains(char::is_control), "{text}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = App::start(|_| Reply::status(200)).await;
    let location = elsewhere.url();
    for status in [101, 301, 302, 303, 307, 308] {
        let (push, result) = met_by(Reply::answer(status, &[("location", location.as_str())], "")).await;
        assert_eq!(kind(&result), Some(FailureKind::Retryable));
        let TargetState::Misconfigured { reason } = push.state() else { panic!("{:?}", push.state()) };
        assert!(reason.contains("HAPAX_PUSH_URL"), "{reason}");
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_retry_after_is_honoured_up_to_the_cap() {
    for (status, value, expected) in [
        (503, "7", "after: Some(7s)"),
        (429, "100000", "after: Some(300s)"),
        (500, "7", "after: Some(7s)"),
        (409, "7", "after: Some(7s)"),
        (409, "soon", "after: Some(1s)"),
        (503, "soon", "after: None"),
    ] {
        let (_, result) = met_by(Reply::answer(status, &[("retry-after", value)], "")).await;
        assert!(format!("{result:?}").contains(expected), "{status} {value}: {result:?}");
    }
}

#[tokio::test]
async fn connections_are_used_again_unless_the_application_closes_them() {
    let app = App::start(|_| Reply::answer(200, &[], "{\"ok\":true}")).await;
    let push_to_it = push(&settings(&app.url()));
    for _ in 0..10 {
        post(&push_to_it, 1).await.unwrap();
    }
    assert_eq!(app.requests().last().unwrap().connection, 0, "one for all");

    let app = App::start(|_| Reply::answer(200, &[("connection", "close")], "").then(Step::Close)).await;
    let push_to_it = push(&settings(&app.url()));
    for _ in 0..10 {
        post(&push_to_it, 1).await.unwrap();
    }
    assert_eq!(app.requests().last().unwrap().connection, 9);
}

#[tokio::test]
async fn the_token_is_presented_and_not_shown() {
    let app = App::start(|_| Reply::status(200)).await;
    let mut settings = settings(&app.url());
    settings.token = Some(TokenSource::Given(Secret::new("hunter2")));
    let push = push(&settings);
    post(&push, 7).await.unwrap();
    let request = app.requests().remove(0);
    assert_eq!(request.header("authorization"), "Bearer hunter2");
    assert_eq!(request.header("idempotency-key"), "\"orders-3-42\"");
    assert_eq!(request.header("hapax-attempt"), "7");
    assert_eq!(request.line, "POST /messages HTTP/1.1");
    assert!(!format!("{push:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_used() {
    if role().is_some() {
        let push = push(&settings(&std::env::var("APP").unwrap()));
        return post(&push, 1).await.unwrap();
    }
    let (app, proxy) = (App::start(|_| Reply::status(200)).await, App::start(|_| Reply::status(200)).await);
    let proxied = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let envs = proxied.iter().map(|name| (*name, proxy.url())).chain([("APP", app.url()), ("NO_PROXY", String::new())]);
    let worker = Worker::spawn("push_answers::a_proxy_of_the_environment_is_not_used", "worker", envs);
    assert_eq!(worker.exit().await, 0);
    assert_eq!((app.requests().len(), proxy.requests().len()), (1, 0));
}

#[tokio::test]
async fn the_first_message_waits_until_the_application_is_ready() {
    // By a connection, where no URL is given.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let waiting = push(&settings(&format!("http://{address}/messages")));
    let mut state = waiting.watch();
    let wait = tokio::spawn(async move { waiting.wait_ready().await });
    let app = App::start_at(address, |_| Reply::status(200)).await;
    tokio::time::timeout(PATIENCE, wait).await.unwrap().unwrap();
    assert_eq!(*state.borrow_and_update(), TargetState::Ready);
    assert!(app.requests().is_empty(), "nothing is sent to find out");

    // By an answer, where one is.
    let asked = Arc::new(AtomicUsize::new(0));
    let app =
        App::start(move |_| Reply::status([404, 500, 503, 302, 200][asked.fetch_add(1, Ordering::Relaxed)])).await;
    let mut settings = settings("http://127.0.0.1:1/");
    settings.ready_url = Some(format!("http://{}/ready", app.address()));
    tokio::time::timeout(PATIENCE, push(&settings).wait_ready()).await.unwrap();
    assert_eq!(app.requests().len(), 5);
    assert_eq!(app.requests()[4].line, "GET /ready HTTP/1.1");
}

/// What becomes of three records that are sent together.
async fn together(protocol: PushProtocol, reply: Reply) -> Vec<Option<FailureKind>> {
    let app = App::start(move |_| reply.clone()).await;
    let mut settings = settings(&app.url());
    (settings.batched, settings.protocol) = (true, protocol);
    let records = (1..=3).map(|attempt| (record().build(), Attempt::new(attempt, None))).collect();
    let results = BatchHandler::handle(&push(&settings), records).await;
    assert_eq!(app.requests().len(), 1);
    results.iter().map(kind).collect()
}

#[tokio::test]
async fn each_event_of_a_batch_has_its_answer() {
    use FailureKind::{Fatal, Retryable, Skip, Unavailable};
    let some = r#"{"results":[{"index":0,"status":200},{"index":2,"status":422}]}"#;
    let statuses = r#"{"statuses":[{"entryId":"0","status":"SUCCESS"},{"entryId":"1","status":"DROP"}]}"#;
    // Longer than the limit, behind what counts.
    let long = |object: &str| object.replacen("]}", &format!("],\"echo\":\"{}\"}}", "x".repeat(2_000_000)), 1);
    let (http, dapr) = (PushProtocol::Http, PushProtocol::Dapr);
    let cut = Reply::steps([Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec()), Step::Close]);
    let head_only = Reply::steps([Step::Send(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()), Step::Close]);
    // The headers cannot be read, and the body comes later.
    let unreadable = |body: &str| {
        let head = format!("HTTP/1.1  200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        Reply::steps([Step::Send(head.into()), Step::Pause(Duration::from_millis(100)), Step::Send(body.into())])
    };
    let lenient = r#"{"took":NaN,"results":[{"index":"0","status":"200"},{"index":1.0,"status":200.0},{"index":2,"status":422}]};"#;
    for (protocol, reply, expected) in [
        (http, Reply::status(204), [None; 3]),
        (http, Reply::answer(200, &[], some), [None, Some(Retryable), Some(Fatal)]),
        (http, Reply::answer(200, &[], "{\"results\":7}"), [None; 3]),
        (http, Reply::answer(200, &[], "{\"took\":NaN}"), [None; 3]),
        (http, Reply::answer(200, &[], "{\"ok\":1};"), [None; 3]),
        (http, Reply::answer(200, &[], "{3 events handled}"), [None; 3]),
        (http, Reply::answer(200, &[], lenient), [None, None, Some(Fatal)]),
        (http, unreadable("ok"), [None; 3]),
        (http, unreadable(some), [None, Some(Retryable), Some(Fatal)]),
        (http, head_only.clone(), [Some(Retryable); 3]),
        (http, Reply::answer(200, &[], "{".repeat(2_000_000)), [Some(Retryable); 3]),
        (http, Reply::answer(200, &[], long(some)), [None, Some(Retryable), Some(Fatal)]),
        (http, Reply::answer(200, &[], "<p>".repeat(1_000_000)), [None; 3]),
        (http, Reply::answer(200, &[("content-encoding", "gzip")], "\u{1f}x"), [Some(Retryable); 3]),
        (http, cut, [Some(Retryable); 3]),
        (http, Reply::answer(400, &[], some), [Some(Fatal); 3]),
        (http, Reply::status(404), [Some(Retryable); 3]),
        (http, Reply::status(503), [Some(Unavailable); 3]),
        (http, Reply::steps([Step::Reset]), [Some(Retryable); 3]),
        (dapr, Reply::status(200), [None; 3]),
        (dapr, Reply::answer(200, &[], statuses), [None, Some(Skip), Some(Retryable)]),
        (dapr, unreadable(statuses), [None, Some(Skip), Some(Retryable)]),
        (dapr, head_only, [Some(Retryable); 3]),
        (dapr, Reply::answer(200, &[], long(statuses)), [None, Some(Skip), Some(Retryable)]),
        (dapr, Reply::answer(200, &[], "<p>".repeat(1_000_000)), [Some(Retryable); 3]),
        (dapr, Reply::status(404), [Some(Retryable); 3]),
        (dapr, Reply::status(422), [Some(Retryable); 3]),
    ] {
        let name = format!("{protocol:?} {reply:?}").chars().take(200).collect::<String>();
        assert_eq!(together(protocol, reply).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_sent_does_not_hold_up_its_batch() {
    let app = App::start(|_| Reply::status(200)).await;
    let mut settings = settings(&app.url());
    settings.batched = true;
    let unfit = (0..100).fold(record(), |record, n| record.header(format!("ce_a{n}"), "x"));
    let records = [record(), unfit, record()].map(|record| (record.build(), Attempt::new(1, None)));
    let results = BatchHandler::handle(&push(&settings), records.into()).await;
    assert_eq!(results.iter().map(kind).collect::<Vec<_>>(), [None, Some(FailureKind::Fatal), None]);
}

#[tokio::test]
async fn dapr_says_it_in_the_body() {
    let echo = "x".repeat(2_000_000);
    let (skip, retry) = (Some(FailureKind::Skip), Some(FailureKind::Retryable));
    for (body, expected) in [
        ("".to_owned(), None),
        (r#"{"status":"SUCCESS"}"#.to_owned(), None),
        (r#"{"Status":"Success"}"#.to_owned(), None),
        (r#"{"status":"RETRY"}"#.to_owned(), retry),
        ("\u{feff}{\"status\":\"RETRY\"}".to_owned(), retry),
        (r#"{"status":"DROP"}"#.to_owned(), skip),
        (r#"{"x":NaN,"status":"RETRY"}"#.to_owned(), retry),
        (r#"{"x":NaN,"status":"SUCCESS"}"#.to_owned(), None),
        ("{'status': 'RETRY'}".to_owned(), retry),
        (r#""{\"status\":\"RETRY\"}""#.to_owned(), retry),
        (format!("<html>{echo}"), None),
        (format!(r#"{{"status":"SUCCESS","echo":"{echo}"}}"#), None),
        (format!(r#"{{"status":"RETRY","echo":"{echo}"}}"#), retry),
        (format!(r#"{{"status":"DROP","echo":"{echo}"}}"#), skip),
        (format!(r#"{{"echo":"{echo}","status":"SUCCESS"}}"#), None),
    ] {
        let name = body.chars().take(60).collect::<String>();
        let app = App::start(move |_| Reply::answer(200, &[], &body)).await;
        let mut settings = settings(&app.url());
        settings.protocol = PushProtocol::Dapr;
        assert_eq!(kind(&post(&push(&settings), 1).await), expected, "{name}");
        let request = app.requests().remove(0);
        assert_eq!(request.header("content-type"), "application/cloudevents+json; charset=utf-8");
        assert_eq!(request.header("accept-encoding"), "identity");
    }
}

#[tokio::test]
async fn limit_of_an_answer_is_a_setting_and_is_named() {
    let body = r#"{"status":"RETRY","echo":"xxxxxxxxxxxxxxxx"}"#;
    let app = App::start(move |_| Reply::answer(200, &[], body)).await;
    let mut settings = settings(&app.url());
    settings.protocol = PushProtocol::Dapr;
    settings.max_answer = 20;
    let said = text(post(&push(&settings), 1).await);
    assert!(said.contains("longer than HAPAX_PUSH_MAX_ANSWER (20 bytes)"), "{said}");
    settings.max_answer = 10;
    assert_eq!(kind(&post(&push(&settings), 1).await), None, "no status stands in there");
    settings.max_answer = body.len();
    let said = text(post(&push(&settings), 1).await);
    assert!(said.contains("RETRY") && !said.contains("longer"), "{said}");
}

#[tokio::test]
async fn dapr_body_that_does_not_end_counts_as_far_as_it_was_read() {
    let send = |text: &str| Step::Send(text.into());
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
    let slowly = || Step::Trickle(vec![b' '; 1000], Duration::from_millis(50));
    let (skip, retry) = (Some(FailureKind::Skip), Some(FailureKind::Retryable));
    for (steps, expected) in [
        (vec![send(head), slowly()], retry),
        (vec![send(head), Step::Hang], retry),
        (vec![send(head), send("{"), Step::Hang], retry),
        (vec![send(head), send("<html>"), Step::Hang], None),
        (vec![send("HTTP/1.1 200 OK\r\ncontent-le"), Step::Hang], retry),
        (vec![send("HTTP/1.1 200 OK\r\ncontent-le"), Step::Close], retry),
        (vec![send("HTTP/1.1 404 No\r\ncontent-le"), Step::Close], retry),
        (vec![send(head), send(r#"{"status":"SUCCESS","#), slowly()], None),
        (vec![send(head), send(r#"{"status":"RETRY","#), slowly()], retry),
        (vec![send(head), send(r#"{"status":"DROP","#), Step::Close], skip),
        (vec![send(head), send(r#"{"status":"SUCCESS","#), Step::Reset], None),
        (vec![send(head), send("<html>"), Step::Reset], None),
        (vec![send(head), send(r#"{"status":"RET"#), Step::Close], retry),
        (vec![send(head), Step::Close], retry),
        (vec![send("HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\nxx")], retry),
    ] {
        let name = format!("{steps:?}").chars().take(200).collect::<String>();
        let app = App::start(move |_| Reply::steps(steps.clone())).await;
        let mut settings = settings(&app.url());
        (settings.protocol, settings.time_limit) = (PushProtocol::Dapr, Duration::from_millis(700));
        let result = post(&push(&settings), 1).await;
        assert_eq!(kind(&result), expected, "{name}: {result:?}");
    }
}
