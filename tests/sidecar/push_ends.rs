//! How a request can end: whatever comes instead of a proper answer has one meaning. An attempt goes uncounted only where
//! the application cannot have got the request.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hapax::consumer::Failure;
use hapax::observe::FailureKind;
use hapax::sidecar::push::{Push, PushProtocol, PushSettings, TargetState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::app::{App, Reply, Step};
use crate::common::{Authority, Kafka, Message, RedisServer, unique};
use crate::consuming::{Journal, Running, consumer, redis_store};
use crate::push_answers::{is_misconfigured, kind, met_by, post, push, settings};

fn send(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes.as_ref().to_vec())
}

/// Answers with 200 that are not quite HTTP.
fn sloppy() -> BTreeMap<&'static str, Vec<Step>> {
    let headers = |count: usize| (0..count).map(|n| format!("x-{n}: {n}\r\n")).collect::<String>();
    let ok = |rest: &str| vec![send(format!("HTTP/1.1 200 OK\r\n{rest}"))];
    let with_end = |rest: &str| ok(&format!("{rest}content-length: 2\r\n\r\nok"));
    BTreeMap::from([
        ("space before the colon", with_end("X-Foo : bar\r\n")),
        ("tab before the colon", with_end("X-Foo\t: bar\r\n")),
        ("101 headers", with_end(&headers(101))),
        ("1,000 headers", with_end(&headers(1_000))),
        ("5,000 headers", with_end(&headers(5_000))),
        ("line without a colon", with_end("PHP Warning in /app/index.php on line 7\r\n")),
        ("line without a name", with_end(": bar\r\n")),
        ("name with a space", with_end("X Foo: bar\r\n")),
        ("control character in a value", with_end("x: a\x01b\r\n")),
        ("null byte in a value", with_end("x: a\0b\r\n")),
        ("value that is not ASCII", vec![send(b"HTTP/1.1 200 OK\r\nx: gr\xfcn\r\ncontent-length: 0\r\n\r\n")]),
        ("very long line", with_end(&format!("x: {}\r\n", "y".repeat(100_000)))),
        ("line beyond every limit", with_end(&format!("x: {}\r\n", "y".repeat(2_000_000)))),
        ("obsolete folding", with_end("x: a\r\n b\r\n\tc\r\n")),
        ("no reason phrase", vec![send("HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n")]),
        ("reason phrase that is not ASCII", vec![send(b"HTTP/1.1 200 gr\xfcn\r\ncontent-length: 0\r\n\r\n")]),
        ("HTTP/1.0", vec![send("HTTP/1.0 200 OK\r\n\r\nok"), Step::Close]),
        ("bare line feeds", vec![send("HTTP/1.1 200 OK\nx: y\ncontent-length: 2\n\nok")]),
        ("empty line before it", vec![send("\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")]),
        ("HTTP/2 in its status line", vec![send("HTTP/2 200 OK\r\ncontent-length: 0\r\n\r\n")]),
        ("length that is no number", ok("content-length: abc\r\n\r\n")),
        ("negative length", ok("content-length: -1\r\n\r\n")),
        ("two lengths", ok("content-length: 1\r\ncontent-length: 2\r\n\r\nxx")),
        ("length that is too great", [ok("content-length: 100\r\n\r\nxx"), vec![Step::Close]].concat()),
        ("length that is too small", ok("content-length: 1\r\n\r\nxxxx")),
        ("chunks that are none", ok("transfer-encoding: chunked\r\n\r\nzzz\r\n")),
        ("chunks that break off", [ok("transfer-encoding: chunked\r\n\r\n5\r\nab"), vec![Step::Close]].concat()),
        ("unknown transfer encoding", [ok("transfer-encoding: shrunk\r\n\r\nx"), vec![Step::Close]].concat()),
        ("reset within the body", [ok("content-length: 100\r\n\r\nxx"), vec![Step::Reset]].concat()),
        (
            "interim answers before it",
            vec![
                send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"),
                send("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
            ],
        ),
        (
            "interim answer before one that is sloppy",
            vec![send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: abc\r\n\r\n")],
        ),
    ])
}

#[tokio::test]
async fn answer_that_is_sloppy_counts_by_its_status() {
    for (name, steps) in sloppy() {
        let (push, result) = met_by(Reply::steps(steps)).await;
        assert_eq!(kind(&result), None, "{name}: {result:?}");
        assert_eq!(push.state(), TargetState::Ready, "{name}");
    }
    let busy = "HTTP/1.1 503 Busy\r\nX-Foo : bar\r\nWarning\r\nretry-after : 7\r\ncontent-length: 0\r\n\r\n";
    let (_, result) = met_by(Reply::steps([send(busy)])).await;
    assert_eq!(kind(&result), Some(FailureKind::Unavailable));
    assert!(format!("{result:?}").contains("after: Some(7s)"), "{result:?}");
    let (_, result) = met_by(Reply::steps([send("HTTP/1.1 422 No\r\ncontent-length: x\r\n\r\n")])).await;
    assert_eq!(kind(&result), Some(FailureKind::Fatal));
}

#[tokio::test]
async fn connection_after_a_sloppy_answer_is_used_again() {
    let headers = (0..1_000).map(|n| format!("x-{n} : {n}\r\n")).collect::<String>();
    let answer = format!("HTTP/1.1 200\r\nX-Foo : bar\r\nWarning\r\n{headers}content-length: 2\r\n\r\nok");
    let app = App::start(move |_| Reply::steps([send(&answer)])).await;
    let push = push(&settings(&app.url()));
    for _ in 0..3 {
        post(&push, 1).await.unwrap();
    }
    assert_eq!(app.requests()[2].connection, 0);
}

#[tokio::test]
async fn body_of_a_sloppy_answer_is_read() {
    let headers = (0..1_000).map(|n| format!("x-{n} : {n}\r\n")).collect::<String>();
    let body = r#"{"status":"RETRY"}"#;
    let answer = format!("HTTP/1.1 200 OK\r\nWarning\r\n{headers}content-length : {}\r\n\r\n{body}", body.len());
    let app = App::start(move |_| Reply::steps([send(&answer)])).await;
    let mut settings = settings(&app.url());
    settings.protocol = PushProtocol::Dapr;
    assert_eq!(kind(&post(&push(&settings), 1).await), Some(FailureKind::Retryable));
}

/// A body behind headers that cannot be read decides with Dapr, whenever it comes.
#[tokio::test]
async fn body_behind_unreadable_headers_is_read() {
    let many = (0..1_100).map(|n| format!("x-{n}: {n}\r\n")).collect::<String>();
    let (retry, skip) = (Some(FailureKind::Retryable), Some(FailureKind::Skip));
    let later = || Step::Pause(Duration::from_millis(100));
    for (body, expected) in [
        ("", None),
        ("ok", None),
        (r#"{"status":"SUCCESS"}"#, None),
        (r#"{"status":"RETRY"}"#, retry),
        (r#"{"status":"DROP"}"#, skip),
    ] {
        let length = format!("content-length: {}\r\n", body.len());
        let chunk = match body {
            "" => "0\r\n\r\n".to_owned(),
            body => format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
        };
        for (name, head, body) in [
            ("two spaces", format!("HTTP/1.1  200 OK\r\n{length}"), body),
            ("null byte", format!("HTTP/1.1 200 OK\r\nx: a\0b\r\n{length}"), body),
            ("two lengths", format!("HTTP/1.1 200 OK\r\n{length}content-length: 1000\r\n"), body),
            ("1,100 headers", format!("HTTP/1.1 200 OK\r\n{many}{length}"), body),
            ("chunks", "HTTP/1.1  200 OK\r\nTransfer-Encoding : chunked\r\n".to_owned(), &*chunk),
        ] {
            let (head, body) = (send(format!("{head}\r\n")), send(body));
            for steps in [vec![head.clone(), body.clone()], vec![head, later(), body, Step::Close]] {
                let result = dapr(Reply::steps(steps)).await;
                assert_eq!(kind(&result), expected, "{name} {body:?}: {result:?}", body = chunk);
            }
        }
    }
    let cut = "HTTP/1.1  200 OK\r\ncontent-length: 18\r\n\r\n";
    for steps in [
        vec![send(cut), Step::Close],
        vec![send(cut), Step::Hang],
        vec![send(cut), send("{"), Step::Reset],
        vec![send("HTTP/1.1  200 OK\r\nx: y\r\n"), Step::Hang],
        vec![send(
            format!("{cut}{}", r#"{"status":"RETRY"}"#).replace("content-length", "content-encoding: gzip\r\nx"),
        )],
    ] {
        let result = dapr(Reply::steps(steps.clone())).await;
        assert_eq!(kind(&result), retry, "{steps:?}: {result:?}");
    }
}

/// A request with Dapr's rules to an application that does this and no more.
async fn dapr(reply: Reply) -> Result<(), Failure> {
    let app = App::start(move |_| reply.clone()).await;
    let mut settings = settings(&app.url());
    settings.protocol = PushProtocol::Dapr;
    settings.time_limit = Duration::from_millis(500);
    post(&push(&settings), 1).await
}

#[tokio::test]
async fn answer_without_a_status_counts_as_an_attempt() {
    for (name, steps) in [
        ("nothing, closed", vec![Step::Close]),
        ("nothing, reset", vec![Step::Reset]),
        ("half a status line", vec![send("HTTP/1.1 20"), Step::Close]),
        ("half a status line, reset", vec![send("HTTP/1.1 20"), Step::Reset]),
        ("status line without its end", vec![send("HTTP/1.1 200 OK"), Step::Close]),
        ("interim answer only", vec![send("HTTP/1.1 100 Continue\r\n\r\n"), Step::Close]),
        ("status of four digits", vec![send("HTTP/1.1 2000 OK\r\n\r\n")]),
        ("status that is none", vec![send("HTTP/1.1 abc OK\r\n\r\n")]),
        ("text before the status line", vec![send("PHP Warning\r\nHTTP/1.1 200 OK\r\n\r\n")]),
        ("Redis", vec![send("-ERR unknown command 'POST'\r\n"), Step::Hang]),
        ("SSH", vec![send("SSH-2.0-OpenSSH\r\n"), Step::Hang]),
        ("zeros", vec![send([0; 12]), Step::Hang]),
        ("HTML without a head", vec![send("<html>hello</html>"), Step::Close]),
    ] {
        let (push, result) = met_by(Reply::steps(steps)).await;
        assert_eq!(kind(&result), Some(FailureKind::Retryable), "{name}: {result:?}");
        assert_eq!(push.state(), TargetState::Unknown, "{name}");
    }
}

#[tokio::test]
async fn answer_in_another_protocol_counts_no_attempt() {
    let settings_frame = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01";
    for (steps, remedy) in [
        ([send(settings_frame), Step::Close], "HAPAX_PUSH_HTTP2=true"),
        ([send(b"\x15\x03\x01\0\x02\x02\x46"), Step::Close], "https://"),
    ] {
        let (push, result) = met_by(Reply::steps(steps)).await;
        assert_eq!(kind(&result), Some(FailureKind::Unavailable), "{result:?}");
        assert!(is_misconfigured(&push) && format!("{result:?}").contains(remedy), "{result:?}");
    }
}

#[tokio::test]
async fn request_that_did_not_leave_counts_no_attempt() {
    // Refused.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    is_away(&format!("http://{address}/"), |_| (), "no connection: connection refused").await;
    // No such name.
    is_away("http://no-such-name.invalid/", |_| (), "its name cannot be resolved").await;
    // Reset or closed within the TLS handshake.
    for is_reset in [true, false] {
        let server = Silent::start(is_reset).await;
        is_away(&format!("https://{}/", server.address), trusting, "no connection").await;
    }
    // Reset or closed before it began to speak HTTP/2.
    for is_reset in [true, false] {
        let server = Silent::start(is_reset).await;
        is_away(&format!("http://{}/", server.address), |settings| settings.http2 = true, "before it spoke HTTP/2")
            .await;
    }
    // A handshake that never ends.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let hasty = |settings: &mut PushSettings| {
        settings.connect_limit = Duration::from_millis(100);
        trusting(settings)
    };
    is_away(&url, hasty, "no connection within the limit").await;
}

/// Settings for TLS on a system without roots of its own, and the files that they name.
fn trusting(settings: &mut PushSettings) -> tempfile::TempDir {
    let authority = Authority::new();
    let (directory, [_, _, ca]) = authority.files(&authority.sign("client"));
    settings.ca = Some(ca.into());
    directory
}

async fn is_away<K>(url: &str, change: impl FnOnce(&mut PushSettings) -> K, reason: &str) {
    let mut settings = settings(url);
    let _files = change(&mut settings);
    let push = push(&settings);
    let result = post(&push, 1).await;
    assert_eq!(kind(&result), Some(FailureKind::Unavailable), "{url}: {result:?}");
    let TargetState::Unavailable { reason: said } = push.state() else { panic!("{url}: {:?}", push.state()) };
    assert!(said.contains(reason), "{url}: {said}, not {reason}");
}

/// A server that reads something and ends the connection.
struct Silent {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Silent {
    async fn start(is_reset: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.read_buf(&mut Vec::new()).await.ok();
                match is_reset {
                    true => stream.set_zero_linger().unwrap(),
                    false => {
                        stream.shutdown().await.ok();
                        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok();
                    }
                }
            }
        });
        Self { address, _task: AbortOnDropHandle::new(task) }
    }
}

#[tokio::test]
async fn connection_closed_while_idle_is_replaced_at_once() {
    // It is not announced, so that the client finds out by itself.
    let app = App::start(|_| Reply::status(200).then(Step::Close)).await;
    let push = push(&settings(&app.url()));
    for connection in 0..5 {
        post(&push, 1).await.unwrap();
        app.until_ended(connection + 1).await;
    }
    let connections: Vec<_> = app.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 1, 2, 3, 4]);
}

/// What a server of HTTP/2 does with a request.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answer,
    /// RST_STREAM with this code.
    ResetStream(u8),
    /// GOAWAY with this code, which says that streams up to this one were processed; then the end of the connection.
    GoAway(u8, u8),
    ResetConnection,
    CloseConnection,
}

/// A server of HTTP/2 that follows a script, by the number of the request.
struct Http2 {
    address: SocketAddr,
    requests: watch::Receiver<usize>,
    _task: AbortOnDropHandle<()>,
}

impl Http2 {
    async fn start(script: impl Fn(usize) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, requests) = watch::channel(0);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // An error is an end that the client made.
                Self::serve(&mut stream, &script, &seen).await.ok();
            }
        });
        Self { address, requests, _task: AbortOnDropHandle::new(task) }
    }

    async fn serve(
        stream: &mut TcpStream,
        script: &(impl Fn(usize) -> Act + Send + Sync),
        seen: &watch::Sender<usize>,
    ) -> std::io::Result<()> {
        stream.read_exact(&mut [0; 24]).await?;
        stream.write_all(&frame(4, 0, 0, &[])).await?;
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            stream.read_exact(&mut payload).await?;
            let id = head[8];
            // The end of a request: its headers without a body, or the end of its body.
            let ends = head[4] & 1 == 1 && matches!(head[3], 0 | 1);
            if head[3] == 4 && head[4] == 0 {
                stream.write_all(&frame(4, 1, 0, &[])).await?;
            }
            if !ends {
                continue;
            }
            let number = *seen.borrow();
            seen.send_modify(|seen| *seen += 1);
            match script(number) {
                // `:status: 200` of the static table.
                Act::Answer => stream.write_all(&frame(1, 5, id, &[0x88])).await?,
                Act::ResetStream(code) => stream.write_all(&frame(3, 0, id, &[0, 0, 0, code])).await?,
                Act::GoAway(code, last) => {
                    stream.write_all(&frame(7, 0, 0, &[0, 0, 0, last, 0, 0, 0, code])).await?;
                    return Self::close(stream).await;
                }
                Act::ResetConnection => return stream.set_zero_linger(),
                Act::CloseConnection => return Self::close(stream).await,
            }
        }
    }

    async fn close(stream: &mut TcpStream) -> std::io::Result<()> {
        stream.shutdown().await?;
        tokio::io::copy(stream, &mut tokio::io::sink()).await.map(drop)
    }
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

async fn http2(script: impl Fn(usize) -> Act + Send + Sync + 'static) -> (Http2, Push) {
    let server = Http2::start(script).await;
    let mut settings = settings(&format!("http://{}/", server.address));
    settings.http2 = true;
    let push = push(&settings);
    (server, push)
}

#[tokio::test]
async fn http2_end_counts_unless_it_proves_that_nothing_was_handled() {
    const REFUSED_STREAM: u8 = 7;
    let (away, attempt) = (Some(FailureKind::Unavailable), Some(FailureKind::Retryable));
    for (act, expected) in [
        (Act::Answer, None),
        (Act::ResetStream(REFUSED_STREAM), away),
        (Act::ResetStream(0), attempt),
        (Act::ResetStream(1), attempt),
        (Act::ResetStream(2), attempt),
        (Act::ResetStream(8), attempt),
        (Act::ResetStream(11), attempt),
        // Not processed, on a connection that is new: not at once again.
        (Act::GoAway(0, 0), away),
        (Act::GoAway(2, 0), attempt),
        (Act::GoAway(0, 1), attempt),
        (Act::ResetConnection, attempt),
        (Act::CloseConnection, attempt),
    ] {
        let (server, push) = http2(move |_| act).await;
        let result = post(&push, 1).await;
        assert_eq!(kind(&result), expected, "{act:?}: {result:?}");
        assert_eq!(*server.requests.borrow(), 1, "{act:?}");
    }
}

#[tokio::test]
async fn http2_request_of_a_connection_going_away_is_sent_again() {
    // The second request, on the first connection, which says that it processed the first stream only.
    let (server, push) = http2(|number| if number == 1 { Act::GoAway(0, 1) } else { Act::Answer }).await;
    for _ in 0..2 {
        post(&push, 1).await.unwrap();
    }
    assert_eq!(*server.requests.borrow(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn effect_behind_an_unreadable_answer_ends_in_the_dead_letters() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let (name, dead, group) = (unique("orders"), unique("dead"), unique("billing"));
    kafka.create_topic(&name, 1).await;
    kafka.create_topic(&dead, 1).await;
    kafka.produce(&name, [Message::new().header("ce_id", "1").header("ce_source", "/shop").payload("x")]).await;
    let app = App::start(|_| Reply::steps([send("what is this?\r\n\r\n"), Step::Close])).await;
    let push = push(&settings(&app.url()));
    let store = Arc::new(redis_store(redis.url(), &group).build().unwrap());
    let journal = Journal::default();
    let consumer = consumer(kafka, &group, &name, &journal)
        .store(store)
        .dead_letter_topic(&dead)
        .dead_letter_share(1.0)
        .max_attempts(3)
        .backoff(Duration::from_millis(10), Duration::from_millis(10));
    let mut running = Running::start(consumer, push);
    running.until_all_committed(kafka, &group, &name).await;
    running.stop().await;
    assert_eq!(kafka.end_offsets(&dead).await.values().sum::<i64>(), 1);
    assert_eq!(app.requests().len(), 3);
}

#[tokio::test]
async fn failure_of_an_unreadable_answer_stays_on_its_line() {
    let (_, result) = met_by(Reply::steps([send("x\r\n\u{1b}[31m\r\n\r\n"), Step::Close])).await;
    let text = result.unwrap_err().to_string();
    assert!(text.contains("no status that can be read") && !text.contains(char::is_control), "{text}");
}
