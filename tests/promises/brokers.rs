//! A broker that is killed, frozen or cut off under load: consumption goes on afterwards, nothing is lost or repeated.

use std::time::Duration;

use tokio::time::Instant;

use super::common::{Client, Kafka, Mode, RedisServer, Signal, await_until, role};
use super::members::{Crowd, Deaths, Kind, PATIENCE, Terms, Work, messages, now, work};

const PARTITIONS: usize = 4;
const ROUND: usize = 400;
const SLACK: Duration = Duration::from_secs(3);

/// One broker for all of it, since each takes seconds to start.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_freezes_or_loses_answers_costs_no_message_and_no_repeat() {
    if role().is_some() {
        return work().await;
    }
    let test = "brokers::a_broker_that_restarts_freezes_or_loses_answers_costs_no_message_and_no_repeat";
    let (redis, (kafka, to_kafka)) = (RedisServer::start(), Kafka::own_behind_proxy().await);
    let proxied = Client::new(to_kafka.address().to_string());
    let crowd = Crowd::new(test);
    kafka.create_topic(&crowd.topic, i32::try_from(PARTITIONS).unwrap()).await;
    // Longer sessions than the outages: else they would be about rebalances again.
    let work = Work { before: Duration::from_millis(2), after: Duration::from_millis(2), hold: None };
    let terms = Terms { session: Duration::from_secs(10), lease: Duration::from_secs(8), work, ..Terms::default() };
    let first = crowd.process("first", proxied.bootstrap(), redis.url(), &terms);
    let second = crowd.member("second", kafka.bootstrap(), redis.url(), &terms);
    let mut sent = 0;
    let mut round = || {
        sent += ROUND;
        messages(sent - ROUND..sent, PARTITIONS)
    };

    kafka.produce(&crowd.topic, round()).await;
    crowd.until_effects(ROUND / 4).await;
    // Killed while it is written to and read from.
    let client: &Client = &kafka;
    let next = round();
    tokio::join!(client.produce(&crowd.topic, next), async {
        crowd.until_effects(ROUND / 2).await;
        kafka.restart().await;
    });
    crowd.until_all_committed(&kafka).await;

    // Frozen, while its connections stay open.
    kafka.produce(&crowd.topic, round()).await;
    crowd.until_effects(2 * ROUND + ROUND / 4).await;
    kafka.signal(Signal::Stop);
    tokio::time::sleep(Duration::from_secs(3)).await;
    kafka.signal(Signal::Continue);
    crowd.until_all_committed(&kafka).await;
    second.stop().await;
    let ledger = crowd.ledger();
    ledger.check_complete(3 * ROUND);
    assert_eq!(ledger.check_repeats(&Deaths::new(), 0), 0);

    // The answers to commits are lost, and the member is killed in the middle of one.
    let before = crowd.committed(&kafka).await;
    kafka.produce(&crowd.topic, round()).await;
    crowd.until_effects(3 * ROUND + ROUND / 4).await;
    to_kafka.set(Mode::SwallowReplies);
    await_until("a commit arrives of which the member is not told", PATIENCE, async || {
        let committed = crowd.committed(&kafka).await;
        let ledger = crowd.ledger();
        let told = |place| ledger.of(Kind::Committed).any(|line| line.member == "first" && line.place == place);
        committed.into_iter().any(|place| place.1 > 0 && !told(place) && before.get(&place.0) != Some(&place.1))
    })
    .await;
    first.signal(Signal::Kill);
    let death = now();
    assert_eq!(first.exit().await, 128 + 9);
    to_kafka.set(Mode::Pass);
    let third = crowd.process("third", proxied.bootstrap(), redis.url(), &terms);
    crowd.until_all_committed(&kafka).await;
    let ledger = crowd.ledger();
    ledger.check_complete(4 * ROUND);
    let deaths = Deaths::from([("first".to_owned(), death)]);
    ledger.check_repeats(&deaths, terms.exposed);

    // Away at the end.
    kafka.produce(&crowd.topic, round()).await;
    crowd.until_effects(4 * ROUND + ROUND / 4).await;
    kafka.signal(Signal::Stop);
    let asked = Instant::now();
    third.signal(Signal::Term);
    assert_eq!(third.exit().await, 0, "{}", third.output());
    assert!(asked.elapsed() < 2 * terms.drain + SLACK, "{:?}", asked.elapsed());
    kafka.signal(Signal::Continue);
    let last = crowd.member("last", kafka.bootstrap(), redis.url(), &terms);
    crowd.until_all_committed(&kafka).await;
    last.stop().await;
    let ledger = crowd.ledger();
    ledger.check_complete(5 * ROUND);
    ledger.check_repeats(&deaths, terms.exposed);
    ledger.check_order();
}
