//! The harness itself: what it starts ends with the test, and what it breaks breaks as it says.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{
    Kafka, Message, Mode, PostgresServer, Proxy, RedisServer, Signal, Worker, await_until, role, unique,
};

const SOON: Duration = Duration::from_secs(20);

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Starts a Redis server and tells where it is; answers the port and the directory that the parent reads back.
fn start_and_tell() -> RedisServer {
    let redis = RedisServer::start();
    println!("redis {} {}", redis.port(), redis.cli(&["CONFIG", "GET", "dir"]).lines().last().expect("a directory"));
    redis
}

async fn told(worker: &Worker) -> (u16, PathBuf) {
    let line = worker.line("redis ").await;
    let mut words = line.split_once("redis ").expect("just found").1.split(' ');
    (words.next().expect("a port").parse().expect("a port"), words.next().expect("a directory").into())
}

async fn gone(port: u16, directory: &std::path::Path) {
    await_until("the server's port is closed", SOON, async || !answers(port)).await;
    await_until("its directory is removed", SOON, async || !directory.exists()).await;
}

#[tokio::test]
async fn a_test_process_killed_by_sigkill_takes_its_services_along() {
    if role().is_some() {
        let _redis = start_and_tell();
        return std::future::pending().await;
    }
    let worker =
        Worker::spawn("harness::a_test_process_killed_by_sigkill_takes_its_services_along", "victim", [("", ""); 0]);
    let (port, directory) = told(&worker).await;
    assert!(answers(port) && directory.exists());
    worker.signal(Signal::Kill);
    assert_eq!(worker.exit().await, 128 + 9);
    gone(port, &directory).await;
}

#[tokio::test]
async fn a_test_that_panics_takes_its_services_along() {
    if role().is_some() {
        let _redis = start_and_tell();
        panic!("as it is meant to");
    }
    let worker = Worker::spawn("harness::a_test_that_panics_takes_its_services_along", "panics", [("", ""); 0]);
    let (port, directory) = told(&worker).await;
    assert_eq!(worker.exit().await, 101);
    gone(port, &directory).await;
}

#[tokio::test]
async fn a_database_answers_and_is_gone_with_its_test() {
    let postgres = PostgresServer::start();
    assert_eq!(postgres.ask("select 1 + 1, 'two'"), "2|two");
    let data = PathBuf::from(postgres.ask("show data_directory"));
    assert!(data.exists());
    drop(postgres);
    await_until("its directory is removed", SOON, async || !data.exists()).await;
}

#[tokio::test]
async fn a_worker_ends_with_the_test_that_started_it() {
    const NAME: &str = "harness::a_worker_ends_with_the_test_that_started_it";
    match role().as_deref() {
        Some("outer") => {
            let inner = Worker::spawn(NAME, "inner", [("", ""); 0]);
            let (port, directory) = told(&inner).await;
            println!("redis {port} {} of process {}.", directory.display(), inner.pid());
            return std::future::pending().await;
        }
        Some(_) => {
            let _redis = start_and_tell();
            return std::future::pending().await;
        }
        None => {}
    }
    let outer = Worker::spawn(NAME, "outer", [("", ""); 0]);
    let (port, directory) = told(&outer).await;
    outer.signal(Signal::Kill);
    outer.exit().await;
    gone(port, &directory).await;
}

#[tokio::test]
async fn a_worker_is_signalled_and_watched() {
    const NAME: &str = "harness::a_worker_is_signalled_and_watched";
    if role().as_deref() == Some("worker") {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("SIGTERM");
        println!("{} is ready", std::env::var("WORKER_NAME").expect("its name"));
        terminate.recv().await;
        println!("goodbye");
        return;
    }
    let worker = Worker::spawn(NAME, "worker", [("WORKER_NAME", "hapax")]);
    worker.line("hapax is ready").await;
    worker.signal(Signal::Stop);
    worker.signal(Signal::Term);
    assert!(worker.runs(), "frozen, it cannot have seen the signal");
    worker.signal(Signal::Continue);
    worker.line("goodbye").await;
    assert_eq!(worker.exit().await, 0);
}

#[tokio::test]
#[should_panic(expected = "there is no test called harness::no_such_test")]
async fn a_worker_with_the_wrong_name_is_not_taken_for_one_that_did_its_work() {
    Worker::spawn("harness::no_such_test", "worker", [("", ""); 0]).exit().await;
}

#[tokio::test]
#[should_panic(expected = "ended with 0 before it printed \"ready\"")]
async fn a_worker_that_ends_is_not_awaited_for_a_line() {
    if role().is_some() {
        // libtest would take a return for a test that did not panic as it should.
        std::process::exit(0);
    }
    Worker::spawn("harness::a_worker_that_ends_is_not_awaited_for_a_line", "hasty", [("", ""); 0]).line("ready").await;
}

#[tokio::test]
#[should_panic(expected = "the moon is blue")]
async fn what_does_not_come_true_is_named() {
    await_until("the moon is blue", Duration::from_millis(50), async || false).await;
}

#[test]
fn redis_comes_back_on_its_port_with_what_it_wrote_down() {
    let redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    assert_eq!(redis.url(), format!("redis://127.0.0.1:{}/", redis.port()));
    redis.cli(&["SET", "word", "hapax"]);
    redis.kill();
    assert!(!answers(redis.port()));
    redis.restart();
    assert_eq!(redis.cli(&["GET", "word"]), "hapax");
    let (port, pid) = (redis.port(), redis.pid());
    redis.restart();
    assert!(redis.port() == port && redis.pid() != pid);
}

#[test]
fn a_port_that_is_taken_is_not_mistaken_for_ones_own_server() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken_port = taken.local_addr().expect("bound").port();
    let other = RedisServer::start();
    let free_port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let redis = RedisServer::start_on([taken_port, other.port(), free_port], &[]);
    assert_eq!(redis.port(), free_port);
    redis.cli(&["SET", "mine", "1"]);
    assert_eq!(other.cli(&["EXISTS", "mine"]), "0");
}

#[test]
#[should_panic(expected = "redis-server ended at its start")]
fn a_server_that_cannot_start_says_why() {
    RedisServer::start_with(&["--no-such-setting", "1"]);
}

#[tokio::test]
async fn kafka_keeps_what_was_produced_and_committed() {
    use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
    use rdkafka::message::{Headers, Message as _};
    use rdkafka::{Offset, TopicPartitionList};

    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("topic"), unique("group"));
    kafka.create_topic(&topic, 3).await;
    let messages = (0..3000).map(|number: i32| {
        let message = Message::new().payload(number.to_string()).header("ce_id", number.to_string());
        if number % 2 == 0 { message.partition(number % 3) } else { message.partition(number % 3).key("odd") }
    });
    let places = kafka.produce(&topic, messages).await;
    assert_eq!(places.iter().filter(|(partition, _)| *partition == 0).count(), 1000);
    assert_eq!(kafka.end_offsets(&topic).await, (0..3).map(|partition| (partition, 1000)).collect());

    let records = kafka.records(&topic).await;
    assert_eq!(records.len(), 3000);
    let record = &records[1001];
    assert_eq!((record.partition(), record.offset()), (1, 1));
    assert_eq!(record.payload(), Some(&b"4"[..]));
    assert_eq!(record.headers().expect("headers").get(0).value, Some(&b"4"[..]));

    assert!(kafka.committed_offsets(&group, &topic).await.is_empty());
    let consumer: BaseConsumer = kafka.config().set("group.id", &group).create().expect("a consumer");
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&topic, 1, Offset::Offset(42)).expect("an offset");
    consumer.commit(&offsets, CommitMode::Sync).expect("a commit");
    assert_eq!(kafka.committed_offsets(&group, &topic).await, [(1, 42)].into());
}

#[tokio::test]
async fn a_broker_of_ones_own_is_killed_restarted_and_cut_off() {
    let (kafka, proxy) = Kafka::own_behind_proxy().await;
    let topic = unique("topic");
    kafka.create_topic(&topic, 1).await;
    let through = crate::common::Client::new(proxy.address().to_string());
    through.produce(&topic, [Message::new().payload("one")]).await;
    assert!(proxy.accepted() > 1, "the broker's advertised address leads through the proxy too");
    kafka.kill();
    kafka.restart().await;
    assert_eq!(kafka.end_offsets(&topic).await, [(0, 1)].into());
    proxy.set(Mode::Cut);
    kafka.produce(&topic, [Message::new().payload("two")]).await;
    proxy.set(Mode::Pass);
    assert_eq!(through.records(&topic).await.len(), 2);
}

/// Answers each line with itself, and counts.
struct Echo {
    address: SocketAddr,
    heard: tokio::sync::watch::Receiver<usize>,
}

async fn echo() -> Echo {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (count, heard) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() {
                    count.send_modify(|count| *count += 1);
                    if stream.write_all(&byte).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Echo { address, heard }
}

async fn connect(proxy: &Proxy) -> tokio::net::TcpStream {
    tokio::net::TcpStream::connect(proxy.address()).await.expect("the proxy listens")
}

/// Sends a byte and awaits it back; `None` when nothing came for a while, an error when the connection broke.
async fn ask(stream: &mut tokio::net::TcpStream, byte: u8) -> std::io::Result<Option<u8>> {
    stream.write_all(&[byte]).await?;
    match tokio::time::timeout(Duration::from_millis(300), stream.read_u8()).await {
        Ok(answer) => answer.map(Some),
        Err(_) => Ok(None),
    }
}

#[tokio::test]
async fn the_proxy_holds_and_delivers_later() {
    let echo = echo().await;
    let proxy = Proxy::to(echo.address);
    let mut stream = connect(&proxy).await;
    assert_eq!(ask(&mut stream, 1).await.expect("open"), Some(1));
    proxy.set(Mode::Hold);
    assert_eq!(ask(&mut stream, 2).await.expect("open"), None);
    assert_eq!(*echo.heard.borrow(), 1);
    proxy.set(Mode::Pass);
    assert_eq!(stream.read_u8().await.expect("open"), 2);
}

#[tokio::test]
async fn the_proxy_swallows_and_resets_what_lost_bytes() {
    for (mode, heard) in [(Mode::Blackhole, 0), (Mode::SwallowReplies, 1)] {
        let echo = echo().await;
        let proxy = Proxy::to(echo.address);
        let (mut stream, mut idle) = (connect(&proxy).await, connect(&proxy).await);
        assert_eq!(ask(&mut idle, 1).await.expect("open"), Some(1));
        proxy.set(mode);
        assert_eq!(ask(&mut stream, 2).await.expect("open"), None, "{mode:?}");
        assert_eq!(*echo.heard.borrow(), 1 + heard, "{mode:?}");
        proxy.set(Mode::Pass);
        let error = stream.read_u8().await.expect_err("a reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(ask(&mut idle, 3).await.expect("open"), Some(3), "{mode:?}");
    }
}

#[tokio::test]
async fn the_proxy_cuts() {
    let echo = echo().await;
    let proxy = Proxy::to(echo.address);
    let mut stream = connect(&proxy).await;
    assert_eq!(ask(&mut stream, 1).await.expect("open"), Some(1));
    proxy.cut_connections();
    assert_eq!(stream.read_u8().await.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
    let mut stream = connect(&proxy).await;
    assert_eq!(ask(&mut stream, 2).await.expect("new connections pass"), Some(2));
    proxy.set(Mode::Cut);
    assert_eq!(stream.read_u8().await.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
    // The reset may be there before the connection is known to be made.
    let cut = match tokio::net::TcpStream::connect(proxy.address()).await {
        Ok(mut stream) => stream.read_u8().await.is_err(),
        Err(_) => true,
    };
    assert!(cut, "new connections are cut too");
}

#[tokio::test]
async fn the_proxy_loses_one_reply() {
    let echo = echo().await;
    let proxy = Proxy::to(echo.address);
    let mut stream = connect(&proxy).await;
    proxy.drop_next_reply();
    assert_eq!(ask(&mut stream, 1).await.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(*echo.heard.borrow(), 1, "what was asked was done");
    assert!(!proxy.reply_to_drop());
    assert_eq!(ask(&mut connect(&proxy).await, 2).await.expect("open"), Some(2));
}

#[tokio::test]
async fn the_proxy_delivers_late_what_a_client_sent_before_it_left() {
    let mut echo = echo().await;
    let proxy = Proxy::to(echo.address);
    let mut stream = connect(&proxy).await;
    assert_eq!(ask(&mut stream, 1).await.expect("open"), Some(1));
    proxy.delay(Duration::from_millis(500), Duration::ZERO);
    stream.write_all(&[2]).await.expect("open");
    drop(stream);
    await_until("the proxy has the request", SOON, async || proxy.requests() == 2).await;
    proxy.delay(Duration::ZERO, Duration::ZERO);
    assert_eq!(ask(&mut connect(&proxy).await, 3).await.expect("open"), Some(3), "a newer request overtakes it");
    assert_eq!(*echo.heard.borrow(), 2);
    tokio::time::timeout(SOON, echo.heard.wait_for(|heard| *heard == 3)).await.expect("in time").expect("still there");
}
