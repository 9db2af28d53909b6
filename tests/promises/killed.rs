//! A member is killed at each point of a record's way. What follows is in `guarantees.md`, crash by crash.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::common::{Kafka, Mode, Proxy, RedisServer, Signal, role};
use super::members::{Crowd, Deaths, Hold, Kind, Ledger, Terms, messages, now, work};

const TEST: &str = "killed::a_kill_at_each_point_repeats_what_was_not_recorded";
const PARTITIONS: usize = 4;
const MESSAGES: usize = 200;

/// Where in a record's way the kill comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    BeforeTheEffect,
    AfterTheEffect,
    /// The store recorded it and the answer was lost.
    BeforeTheAnswer,
    BeforeTheCommit,
}

/// All at once: most of it is waiting for sessions and leases to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_each_point_repeats_what_was_not_recorded() {
    if role().is_some() {
        return work().await;
    }
    tokio::join!(
        kill(Point::BeforeTheEffect),
        kill(Point::AfterTheEffect),
        kill(Point::BeforeTheAnswer),
        kill(Point::BeforeTheCommit)
    );
}

async fn kill(point: Point) {
    let (kafka, redis, crowd) = (Kafka::shared().await, RedisServer::start(), Crowd::new(TEST));
    let to_redis = Proxy::to_port(redis.port());
    kafka.create_topic(&crowd.topic, i32::try_from(PARTITIONS).unwrap()).await;
    kafka.produce(&crowd.topic, messages(0..MESSAGES, PARTITIONS)).await;
    let terms = Terms { lease: Duration::from_secs(2), exposed: 8, ..Terms::default() };
    let victim = match point {
        Point::BeforeTheEffect => terms.clone().hold(41, Hold::BeforeEffect),
        Point::AfterTheEffect => terms.clone().hold(41, Hold::AfterEffect),
        Point::BeforeTheAnswer => terms.clone(),
        Point::BeforeTheCommit => {
            Terms { commit: Duration::from_secs(3600), ..terms.clone() }.hold(101, Hold::BeforeEffect)
        }
    };
    let killed = crowd.process("killed", kafka.bootstrap(), to_redis.redis_url(), &victim);
    let verdicts = |ledger: &Ledger| ledger.0.iter().filter(|line| line.kind.is_verdict()).count();
    let began = |ledger: &Ledger| ledger.of(Kind::Began).count();
    // Every lane hangs, and all that does not is recorded.
    let hang = |from: usize| move |ledger: &Ledger| began(ledger) == from + PARTITIONS && verdicts(ledger) == from;
    match point {
        Point::BeforeTheEffect => crowd.until("all hang", hang(40)).await,
        Point::AfterTheEffect => {
            crowd.until("all hang", |ledger| hang(40)(ledger) && ledger.effects().count() == 44).await
        }
        Point::BeforeTheAnswer => {
            crowd.until_effects(40).await;
            to_redis.set(Mode::SwallowReplies);
            crowd
                .until("it stops at its bound", |ledger| ledger.effects().count() == verdicts(ledger) + victim.exposed)
                .await
        }
        Point::BeforeTheCommit => crowd.until("all hang", hang(100)).await,
    };
    killed.signal(Signal::Kill);
    let death = now();
    assert_eq!(killed.exit().await, 128 + 9);
    let before = crowd.ledger();
    let done = crowd.done(redis.url(), MESSAGES).await;
    let committed = crowd.committed(kafka).await;
    if point == Point::BeforeTheCommit {
        assert_eq!(committed, BTreeMap::new());
    }

    let next = crowd.member("next", kafka.bootstrap(), redis.url(), &terms);
    crowd.until_all_committed(kafka).await;
    next.stop().await;
    let ledger = crowd.ledger();
    ledger.check_complete(MESSAGES);
    ledger.check_order();
    let repeated = ledger.check_repeats(&Deaths::from([("killed".to_owned(), death)]), victim.exposed);

    // Handled again is what had its effect and is not recorded, and nothing else.
    let had: BTreeSet<&str> = before.effects().map(|line| line.message.as_str()).collect();
    let unrecorded: BTreeSet<&str> = had.iter().copied().filter(|message| !done.contains(*message)).collect();
    let again: BTreeSet<&str> = ledger.repeated().into_keys().collect();
    assert_eq!(again, unrecorded, "{point:?}");
    let told: BTreeSet<&str> = before.0.iter().filter(|l| l.kind.is_verdict()).map(|l| l.message.as_str()).collect();
    match point {
        Point::BeforeTheEffect | Point::BeforeTheCommit => assert_eq!(repeated, 0, "{point:?}"),
        Point::AfterTheEffect => assert_eq!(repeated, PARTITIONS, "{point:?}"),
        Point::BeforeTheAnswer => {
            let untold = done.iter().filter(|message| !told.contains(message.as_str())).count();
            assert!(untold > 0, "no answer was lost");
        }
    }
    if point == Point::BeforeTheCommit {
        assert_eq!(ledger.count("next", Kind::Duplicate), 100, "all that was done is recognised");
    }
}
