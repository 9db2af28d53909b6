//! SIGTERM under load: what runs ends and is committed, the rest is given back, the process exits with 0 in time. Also
//! while Redis is away; while the brokers are, see `brokers`.

use std::time::Duration;

use tokio::time::Instant;

use super::common::{Kafka, Mode, Proxy, RedisServer, Signal, role};
use super::members::{Crowd, Deaths, Kind, Terms, Work, messages, now, work};

const PARTITIONS: usize = 4;
const MESSAGES: usize = 400;
/// What a busy machine may need beyond a limit.
const SLACK: Duration = Duration::from_secs(3);
/// So long that nobody waits for its end.
const LEASE: Duration = Duration::from_secs(300);

async fn topic(kafka: &Kafka, test: &'static str) -> Crowd {
    let crowd = Crowd::new(test);
    kafka.create_topic(&crowd.topic, i32::try_from(PARTITIONS).unwrap()).await;
    kafka.produce(&crowd.topic, messages(0..MESSAGES, PARTITIONS)).await;
    crowd
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_it_drains_and_gives_back_what_it_held() {
    if role().is_some() {
        return work().await;
    }
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let crowd = topic(kafka, "shutdowns::under_load_it_drains_and_gives_back_what_it_held").await;
    let slow = Work { before: Duration::from_millis(100), after: Duration::from_millis(100), hold: None };
    let terms = Terms { lease: LEASE, work: slow, ..Terms::default() };
    let first = crowd.process("first", kafka.bootstrap(), redis.url(), &terms);
    crowd.until_effects(20).await;
    let told = Instant::now();
    first.signal(Signal::Term);
    let at = now();
    assert_eq!(first.exit().await, 0, "{}", first.output());
    assert!(told.elapsed() < terms.drain + SLACK, "{:?}", told.elapsed());
    let ledger = crowd.ledger();
    assert_eq!(ledger.exposed("first", now()), Vec::<&str>::new(), "what ran has ended and is recorded");
    let started_late = ledger.of(Kind::Began).filter(|line| line.at > at + SLACK.as_nanos()).count();
    assert_eq!(started_late, 0);
    let (effects, committed) = (ledger.effects().count(), crowd.committed(kafka).await);
    assert_eq!(usize::try_from(committed.values().sum::<i64>()).unwrap(), effects, "all of it is committed");

    // Another one need not wait for a session or a lease to end.
    let left = Instant::now();
    let next = crowd.member("next", kafka.bootstrap(), redis.url(), &Terms { lease: LEASE, ..Terms::default() });
    crowd.until_all_committed(kafka).await;
    assert!(left.elapsed() < Duration::from_secs(20), "{:?}", left.elapsed());
    next.stop().await;
    let ledger = crowd.ledger();
    ledger.check_complete(MESSAGES);
    assert_eq!(ledger.check_repeats(&Deaths::new(), 0), 0);
    assert_eq!(ledger.count("next", Kind::Duplicate), 0, "it got only what was left");
    ledger.check_order();
}

/// What it handled and could not record is the only thing to be repeated.
#[tokio::test(flavor = "multi_thread")]
async fn with_redis_away_it_ends_within_twice_its_limit() {
    if role().is_some() {
        return work().await;
    }
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let to_redis = Proxy::to_port(redis.port());
    let crowd = topic(kafka, "shutdowns::with_redis_away_it_ends_within_twice_its_limit").await;
    let terms = Terms { lease: Duration::from_secs(2), exposed: 8, ..Terms::default() };
    let first = crowd.process("first", kafka.bootstrap(), to_redis.redis_url(), &terms);
    crowd.until_effects(40).await;
    to_redis.set(Mode::Blackhole);
    crowd
        .until("it stops at its bound", |ledger| {
            let recorded = ledger.0.iter().filter(|line| line.kind.is_verdict()).count();
            ledger.effects().count() == recorded + terms.exposed
        })
        .await;
    let told = Instant::now();
    first.signal(Signal::Term);
    assert_eq!(first.exit().await, 0, "{}", first.output());
    assert!(told.elapsed() < 2 * terms.drain + SLACK, "{:?}", told.elapsed());
    let (end, done) = (now(), crowd.done(redis.url(), MESSAGES).await);
    let unrecorded = crowd.ledger().effects().filter(|line| !done.contains(&line.message)).count();

    let next = crowd.member("next", kafka.bootstrap(), redis.url(), &terms);
    crowd.until_all_committed(kafka).await;
    next.stop().await;
    let ledger = crowd.ledger();
    ledger.check_complete(MESSAGES);
    let repeated = ledger.check_repeats(&Deaths::from([("first".to_owned(), end)]), terms.exposed);
    assert_eq!(repeated, unrecorded, "all that it could not record, and nothing else");
    ledger.check_order();
}
