//! The main promise, end to end: a real topic, a real Redis, several processes, one killed, one stopped, one joining.
//! Nothing is lost, and every repeated effect is one that the killed process did not live to record.
//!
//! All of it is counted from the files that the handlers wrote, never from our own metrics.

mod effects;
pub mod plan;
mod worker;

use std::collections::BTreeMap;
use std::time::Duration;

use hapax::id::{HeaderId, IdKey, Identification, Identifier};
use hapax::record::{Record, TopicPartition};
use hapax::store::RedisStore;
use hapax::store::{State, Store};

use super::common::{Kafka, Mode, Proxy, RedisServer, Signal, Worker, await_until, role, unique};
use effects::Effects;
use plan::Plan;

const TEST: &str = "proof::each_message_is_handled_once";
const PARTITIONS: i32 = 12;
const RECORDS: usize = 100_000;
/// The bound that the workers run with, which is the default.
const MAX_EXPOSED: usize = 256;
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_handled_once() {
    if role().is_some() {
        return worker::run().await;
    }
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let to_redis = Proxy::to_port(redis.port());
    let (topic, group) = (unique("payments"), unique("billing"));
    let plan = Plan::new(RECORDS, PARTITIONS);
    kafka.create_topic(&topic, PARTITIONS).await;
    kafka.produce(&topic, plan.messages()).await;

    let directory = tempfile::tempdir().unwrap();
    let effects = |name: &str| Effects::of(name, directory.path());
    let spawn = |name: &str, redis_url: String| {
        let file = effects(name).path().to_string_lossy().into_owned();
        let envs = [
            ("KAFKA", kafka.bootstrap()),
            ("REDIS", redis_url),
            ("TOPIC", topic.clone()),
            ("GROUP", group.clone()),
            ("EFFECTS", file),
        ];
        Worker::spawn(TEST, name, envs)
    };
    let effects_until = async |count: usize| {
        let all = || ["first", "second", "third"].iter().map(|name| effects(name).count()).sum::<usize>();
        await_until(&format!("{count} effects"), PATIENCE, async || all() >= count).await;
    };

    let first = spawn("first", to_redis.redis_url());
    let second = spawn("second", redis.url());
    effects_until(RECORDS / 5).await;

    // The first worker loses its Redis, goes on until its bound, and is killed with all of that unrecorded.
    to_redis.set(Mode::Blackhole);
    let mut before = (0, 0);
    await_until("the first worker stops at its bound on exposed records", PATIENCE, async || {
        let (count, rounds) = (effects("first").count(), before.1 + 1);
        before = if count == before.0 { (count, rounds) } else { (count, 0) };
        // Twenty rounds of 20 ms a commit interval of the worker, four times over.
        before.1 >= 20 * 4
    })
    .await;
    first.signal(Signal::Kill);
    assert_eq!(first.exit().await, 128 + 9);
    nothing_unrecorded_is_committed(kafka, &redis, &topic, &group, &plan).await;

    let third = spawn("third", redis.url());
    third.line("assigned").await;
    effects_until(RECORDS / 2).await;
    second.signal(Signal::Term);
    assert_eq!(second.exit().await, 0, "{}", second.output());

    let ends = kafka.end_offsets(&topic).await;
    await_until("the committed offsets reach the end of every partition", PATIENCE, async || {
        kafka.committed_offsets(&group, &topic).await == ends
    })
    .await;
    third.signal(Signal::Term);
    assert_eq!(third.exit().await, 0, "{}", third.output());
    assert_eq!(kafka.committed_offsets(&group, &topic).await, ends);

    let all = ["first", "second", "third"].map(|name| effects(name).read());
    let repeated = check_effects(&plan, &all);
    println!("{} messages, {repeated} repeated effects, all of them by the killed worker", plan.messages);
}

/// Whatever is behind a committed offset is done in the store: complete comes before commit.
async fn nothing_unrecorded_is_committed(kafka: &Kafka, redis: &RedisServer, topic: &str, group: &str, plan: &Plan) {
    let namespace: hapax::id::Namespace = group.parse().unwrap();
    let identifier = Identifier::new(namespace.clone()).extractor(HeaderId::cloud_events()).key(IdKey::default());
    let store = RedisStore::builder(redis.url(), namespace).terms(worker::TERMS).build().unwrap();
    let mut committed = Vec::new();
    for (partition, offset) in kafka.committed_offsets(group, topic).await {
        let ids = plan.of_partition(partition);
        for id in ids.iter().take(usize::try_from(offset).unwrap_or(0)) {
            let record = Record::builder(TopicPartition::new(topic, partition), 0)
                .header("ce_id", id.to_string())
                .header("ce_source", plan::SOURCE)
                .build();
            let Identification::Id { fingerprint, .. } = identifier.identify(&record) else { panic!("no ID") };
            committed.push(fingerprint);
        }
    }
    assert!(!committed.is_empty(), "nothing was committed before the kill");
    let states = store.inspect(committed).await;
    let undone = states.iter().filter(|state| !matches!(state, Ok(State::Done { .. }))).count();
    assert_eq!(undone, 0, "of {} records behind committed offsets, so many are not recorded as done", states.len());
}

/// Every message has its effect; the first effect of every repeat came from the killed worker; they are bounded.
fn check_effects(plan: &Plan, [first, second, third]: &[Vec<effects::Effect>; 3]) -> usize {
    let mut by_message: BTreeMap<usize, Vec<(u128, &str)>> = BTreeMap::new();
    for (worker, effects) in [("first", first), ("second", second), ("third", third)] {
        for effect in effects {
            by_message.entry(effect.message).or_default().push((effect.at, worker));
        }
    }
    let lost = (0..plan.messages).filter(|message| !by_message.contains_key(message)).count();
    assert_eq!(lost, 0, "messages without an effect");
    let mut repeated = 0;
    for (message, effects) in &mut by_message {
        effects.sort_unstable();
        if effects.len() > 1 {
            repeated += effects.len() - 1;
            assert_eq!(effects.len(), 2, "message {message} had its effect {effects:?}");
            assert_eq!(effects[0].1, "first", "message {message} was repeated without a reason: {effects:?}");
        }
    }
    assert!(repeated <= MAX_EXPOSED, "one crash repeated {repeated} effects, more than the {MAX_EXPOSED} exposed");
    repeated
}
