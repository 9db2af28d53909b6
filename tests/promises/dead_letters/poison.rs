//! A message that kills every process that handles it ends in the dead-letter topic, and its neighbours never do.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use hapax::consumer::{Consumer, Failure};
use hapax::record::Record;
use hapax::store::{LeaseTerms, RedisStore};
use tokio::signal::unix::{SignalKind, signal};

use super::super::common::{Kafka, Message, RedisServer, Worker, await_until, role, unique};
use super::super::consuming::PATIENCE;
use super::{event, headers, payloads, text};

const TEST: &str = "dead_letters::poison::a_message_that_kills_its_process_goes_there_and_its_neighbours_never_do";
const LIMIT: u32 = 2;
const PARTITIONS: i32 = 4;
const RECORDS: i32 = 40;
/// Short, so that what a dead worker held is taken over soon.
const TERMS: LeaseTerms =
    LeaseTerms { lease: Duration::from_secs(1), grace: Duration::from_secs(120), window: Duration::from_secs(3600) };

async fn worker() {
    let var = |name: &str| env::var(name).expect("a variable of the test");
    let store = RedisStore::builder(var("REDIS"), var("GROUP").parse().unwrap()).terms(TERMS).build().unwrap();
    let consumer = Consumer::builder()
        .brokers(var("KAFKA"))
        .group(var("GROUP"))
        .topic(var("TOPIC"))
        // The next process is the same member: nobody waits for the session of a dead one.
        .static_member("one")
        .property("session.timeout.ms", "6000")
        .property("heartbeat.interval.ms", "500")
        .commit_every(Duration::from_millis(50), 10_000)
        .max_attempts(LIMIT)
        .dead_letter_auto()
        .store(Arc::new(store))
        .build()
        .unwrap();
    let handler = |record: Record| async move {
        println!("started {}", text(&record));
        if text(&record) == "poison" {
            std::process::abort();
        }
        // Long enough that the neighbours run when it strikes.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok::<(), Failure>(())
    };
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    consumer.run(handler, async move { terminated.recv().await.unwrap_or(()) }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_kills_its_process_goes_there_and_its_neighbours_never_do() {
    if role().is_some() {
        return worker().await;
    }
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let (topic, group) = (unique("orders"), unique("billing"));
    let letters = format!("{topic}-dlt");
    kafka.create_topic(&topic, PARTITIONS).await;
    kafka.create_topic(&letters, 1).await;
    let message = |n: i32| -> Message {
        let payload = if n == RECORDS / 2 { "poison".to_owned() } else { format!("record {n}") };
        event(&payload).partition(n % PARTITIONS)
    };
    kafka.produce(&topic, (0..RECORDS).map(message)).await;

    let mut starts = 0;
    let mut died = 0;
    let worker = loop {
        let envs =
            [("KAFKA", kafka.bootstrap()), ("REDIS", redis.url()), ("TOPIC", topic.clone()), ("GROUP", group.clone())];
        let worker = Worker::spawn(TEST, "worker", envs);
        let ends = kafka.end_offsets(&topic).await;
        let done = await_until("everything is committed", PATIENCE, async || {
            kafka.committed_offsets(&group, &topic).await == ends
        });
        tokio::select! {
            () = done => break worker,
            status = worker.exit() => {
                assert_ne!(status, 101, "the worker failed: {}", worker.output());
                starts += worker.output().matches("started poison").count();
                died += 1;
                assert!(died <= LIMIT + 1, "it is started too often");
            }
        }
    };
    assert_eq!((starts, died), (LIMIT as usize + 1, LIMIT + 1));
    assert!(!worker.output().contains("started poison"), "the last process does not start it");
    let found = kafka.records(&letters).await;
    assert_eq!(payloads(&found), ["poison"]);
    let attempts = ("hapax-attempts".to_owned(), Some((LIMIT + 1).to_string().into_bytes()));
    assert!(headers(&found[0]).contains(&attempts), "{:?}", headers(&found[0]));
}
