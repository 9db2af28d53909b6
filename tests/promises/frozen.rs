//! A member that is stopped (SIGSTOP) in the middle and goes on later: for longer than its session and its leases, so
//! that another took over what it held; and for longer than the poll interval, within its leases.

use std::collections::BTreeMap;
use std::time::Duration;

use hapax::record::Offset;

use super::common::{Kafka, RedisServer, Signal, role};
use super::members::{Crowd, Deaths, Hold, Kind, Terms, Work, messages, now, work};

const PARTITIONS: usize = 4;
const MESSAGES: usize = 400;

fn short_lease() -> Terms {
    Terms { lease: Duration::from_secs(2), ..Terms::default() }
}

/// What it was handling when it was stopped is handled by another, and once more when it goes on: this is told as the
/// overrun that it is. What it lost it does not commit, and nothing else is repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_member_commits_nothing_it_lost_and_tells_what_it_repeated() {
    if role().is_some() {
        return work().await;
    }
    let test = "frozen::a_frozen_member_commits_nothing_it_lost_and_tells_what_it_repeated";
    // Handlers that are nearly always before their effect.
    let before = Work { before: Duration::from_millis(300), ..Work::default() };
    let frozen = Frozen::thaw(test, Terms { work: before, ..short_lease() }, Work::default()).await;
    let Frozen { crowd, stopped, .. } = &frozen;
    let exposed = |message: &str| crowd.ledger().exposed("frozen", *stopped).contains(&message);
    let ledger = crowd.until("the frozen member records what it was handling", |ledger| {
        ledger
            .exposed("frozen", *stopped)
            .iter()
            .all(|m| ledger.of(Kind::Effect).any(|l| l.member == "frozen" && l.message == **m))
            && ledger.exposed("frozen", now()).is_empty()
    });
    let ledger = ledger.await;
    let repeated = ledger.repeated();
    assert!(!repeated.is_empty(), "nothing was in the middle");
    for (message, effects) in &repeated {
        assert!(exposed(message), "{message} was not being handled when the member was stopped: {effects:#?}");
        let members: Vec<&str> = effects.iter().map(|line| line.member.as_str()).collect();
        assert!(members == ["other", "frozen"] || members == ["frozen", "other"], "{effects:#?}");
        let overrun = |line: &&super::members::Line| line.message == **message && line.kind != Kind::First;
        let told = ledger.0.iter().filter(|line| line.kind.is_verdict()).filter(overrun).count();
        assert_eq!(told, 1, "the second effect of {message} is told as what it is: {effects:#?}");
    }
    assert_eq!(ledger.of(Kind::Overrun).filter(|line| !repeated.contains_key(line.message.as_str())).count(), 0);
    frozen.end().await;
}

/// A handler that heeds the loss of its lease has no effect: then nothing is repeated at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_member_whose_handlers_heed_the_loss_of_their_lease_repeats_nothing() {
    if role().is_some() {
        return work().await;
    }
    let test = "frozen::a_frozen_member_whose_handlers_heed_the_loss_of_their_lease_repeats_nothing";
    let frozen = Frozen::thaw(test, short_lease().hold(20, Hold::UntilLeaseLost), Work::default()).await;
    let exposed = frozen.crowd.ledger().exposed("frozen", frozen.stopped).len();
    assert!(exposed > 0, "nothing was in the middle");
    frozen.crowd.until("they heed it", |ledger| ledger.count("frozen", Kind::Heeded) >= exposed).await;
    let ledger = frozen.end().await;
    assert_eq!(ledger.check_repeats(&Deaths::new(), 0), 0);
}

/// A member was stopped, another has done all there was, and the first goes on.
struct Frozen {
    kafka: &'static Kafka,
    _redis: RedisServer,
    crowd: Crowd,
    member: super::common::Worker,
    other: super::consuming::Running,
    stopped: u128,
}

impl Frozen {
    async fn thaw(test: &'static str, terms: Terms, others: Work) -> Self {
        let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
        let crowd = Crowd::new(test);
        kafka.create_topic(&crowd.topic, i32::try_from(PARTITIONS).unwrap()).await;
        kafka.produce(&crowd.topic, messages(0..MESSAGES, PARTITIONS)).await;
        let member = crowd.process("frozen", kafka.bootstrap(), redis.url(), &terms);
        // All lanes are at work, and some of it is done.
        crowd.until("handlers are in the middle", |ledger| ledger.of(Kind::Began).count() >= 20 + PARTITIONS - 1).await;
        member.signal(Signal::Stop);
        let stopped = now();

        let terms = Terms { work: others, ..short_lease() };
        let other = crowd.member("other", kafka.bootstrap(), redis.url(), &terms);
        crowd.until_all_committed(kafka).await;
        crowd.ledger().check_complete(MESSAGES);
        let ends = crowd.committed(kafka).await;
        member.signal(Signal::Continue);
        crowd.until("it notices", |ledger| ledger.count("frozen", Kind::Lost) == PARTITIONS).await;
        nothing_goes_back(&crowd, kafka, &ends).await;
        Self { kafka, _redis: redis, crowd, member, other, stopped }
    }

    /// Both go on together, and end in order.
    async fn end(self) -> super::members::Ledger {
        let Self { kafka, crowd, member, other, stopped, .. } = self;
        let before = crowd.committed(kafka).await;
        crowd
            .until("it gets partitions again", |ledger| {
                ledger.of(Kind::Assigned).any(|line| line.member == "frozen" && line.at > stopped)
            })
            .await;
        kafka.produce(&crowd.topic, messages(MESSAGES..MESSAGES + 8, PARTITIONS)).await;
        // Its handlers may still hang: those of the other member would be needed for what lies behind.
        member.signal(Signal::Term);
        assert_eq!(member.exit().await, 0, "{}", member.output());
        crowd.until_all_committed(kafka).await;
        nothing_goes_back(&crowd, kafka, &before).await;
        other.stop().await;
        let ledger = crowd.ledger();
        ledger.check_complete(MESSAGES + 8);
        ledger.check_order();
        ledger
    }
}

/// Looks a few times: a commit of what was lost would stay, since nobody commits the same offset twice.
async fn nothing_goes_back(crowd: &Crowd, kafka: &Kafka, reached: &BTreeMap<i32, Offset>) {
    for _ in 0..5 {
        for (partition, offset) in crowd.committed(kafka).await {
            assert!(offset >= reached[&partition], "{partition} went back from {} to {offset}", reached[&partition]);
        }
    }
}

/// Longer than the poll interval and the session, shorter than the lease: it leaves, comes back, and repeats nothing,
/// for it knows what it was handling.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_did_not_poll_comes_back_and_repeats_nothing() {
    if role().is_some() {
        return work().await;
    }
    let test = "frozen::a_member_that_did_not_poll_comes_back_and_repeats_nothing";
    let (kafka, redis, crowd) = (Kafka::shared().await, RedisServer::start(), Crowd::new(test));
    kafka.create_topic(&crowd.topic, i32::try_from(PARTITIONS).unwrap()).await;
    kafka.produce(&crowd.topic, messages(0..MESSAGES, PARTITIONS)).await;
    let work = Work { before: Duration::from_millis(10), after: Duration::from_millis(10), hold: None };
    let (lease, poll) = (Duration::from_secs(60), Duration::from_secs(2));
    let terms = Terms { lease, poll, drain: poll / 2, work, ..Terms::default() };
    let member = crowd.process("member", kafka.bootstrap(), redis.url(), &terms);
    for round in 1..=2 {
        crowd.until_effects(round * 100).await;
        member.signal(Signal::Stop);
        tokio::time::sleep(poll + poll / 4).await;
        member.signal(Signal::Continue);
        crowd.until("it notices", |ledger| ledger.count("member", Kind::Lost) >= round * PARTITIONS).await;
    }
    crowd.until_all_committed(kafka).await;
    member.signal(Signal::Term);
    assert_eq!(member.exit().await, 0, "{}", member.output());
    let ledger = crowd.ledger();
    ledger.check_complete(MESSAGES);
    assert_eq!(ledger.check_repeats(&Deaths::new(), 0), 0);
    ledger.check_order();
}

/// A handler that keeps the only thread of its runtime costs no partition: the consumer is polled by a thread of its own.
/// The offsets it may commit wait, and nobody else gets its records.
#[tokio::test]
async fn a_blocked_runtime_keeps_its_partitions() {
    if role().is_some() {
        return work().await;
    }
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let crowd = Crowd::new("frozen::a_blocked_runtime_keeps_its_partitions");
    kafka.create_topic(&crowd.topic, i32::try_from(PARTITIONS).unwrap()).await;
    kafka.produce(&crowd.topic, messages(0..MESSAGES, PARTITIONS)).await;
    let poll = Duration::from_secs(2);
    let terms = Terms { lease: Duration::from_secs(60), poll, drain: poll / 2, ..Terms::default() };
    let blocked =
        crowd.process("blocked", kafka.bootstrap(), redis.url(), &terms.clone().hold(100, Hold::Thread(poll * 2)));
    crowd.until("it blocks", |ledger| ledger.of(Kind::Began).count() == 100).await;
    crowd.until_all_committed(kafka).await;
    blocked.signal(Signal::Term);
    assert_eq!(blocked.exit().await, 0, "{}", blocked.output());
    let ledger = crowd.ledger();
    assert_eq!(ledger.count("blocked", Kind::Lost), 0);
    assert_eq!(ledger.count("blocked", Kind::Assigned), PARTITIONS);
    ledger.check_complete(MESSAGES);
    assert_eq!(ledger.check_repeats(&Deaths::new(), 0), 0);
}
