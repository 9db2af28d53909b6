//! From producing to the handler's end, at a low rate: what de-duplication adds where nothing has to wait.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::load::Load;
use crate::meter::{Meter, median};
use crate::options::Options;
use crate::service::{Kafka, RedisServer, unique};
use crate::table::{Table, figure, progress, ratio};
use crate::watch::Watch;
use crate::ways::{bare, hapax};

const PARTITIONS: i32 = 12;
const INTERVAL: Duration = Duration::from_millis(10);
/// The first records of a turn do not count: a group begins, connections are made.
const FIRST: u64 = 100;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Microseconds from producing to the handler's end, record by record.
type Times = Arc<Mutex<Vec<f64>>>;

pub async fn measure(options: &Options, table: &mut Table, kafka: &Kafka, redis: &RedisServer) {
    let mut meter = Meter::new(redis).await;
    let records = FIRST + (options.low_load.as_nanos() / INTERVAL.as_nanos()) as u64;
    // Middle and 99th percentile of each turn.
    let (mut bares, mut ours) = (Vec::new(), Vec::new());
    for (turn, counts) in options.turns() {
        for (name, dedup, results) in [("no de-duplication", false, &mut bares), ("hapax", true, &mut ours)] {
            progress(&format!("latency, {turn}: {name}"));
            meter.flush().await;
            let times = run(kafka, redis, records, dedup).await;
            if counts {
                results.push(times);
            }
        }
    }
    let title = format!("From producing to the handler's end: {} records, one every {INTERVAL:?}", records - FIRST);
    table.section(&title, &["way", "p50 µs", "p99 µs"]);
    for (name, results) in [("no de-duplication: poll", &bares), ("hapax, order partition", &ours)] {
        let [p50, p99] = [0, 1].map(|i| median(results.iter().map(|percentiles: &[f64; 2]| percentiles[i])));
        table.row([name.to_owned(), figure(p50), figure(p99)]);
    }
    let [p50, p99] = [0, 1].map(|i| median(ours.iter().zip(&bares).map(|(ours, bare)| ours[i] - bare[i])));
    table.row(["added, of one turn".to_owned(), figure(p50), figure(p99)]);
    let added = ratio(p99 / 1000.0, |added| added <= 2.0, "2 ms or less");
    table.row(["added, ms".to_owned(), String::new(), added]);
}

async fn run(kafka: &Kafka, redis: &RedisServer, records: u64, dedup: bool) -> [f64; 2] {
    let topic = unique("orders");
    kafka.create_topic(&topic, PARTITIONS).await;
    let load = Load { brokers: kafka.bootstrap(), topic, records, distinct: records };
    let (watch, times) = (Watch::for_records(records), Times::default());
    let producing = tokio::spawn(produce(load.brokers.clone(), load.topic.clone(), records));
    if dedup {
        let ends = hapax::Ends { brokers: &load.brokers, topic: &load.topic, redis: &redis.url() };
        let handled = times.clone();
        let handler = move |record: ::hapax::record::Record| {
            note(&handled, record.payload().expect("a payload"));
            std::future::ready(())
        };
        hapax::consume(ends, &watch, |builder| builder, handler).await;
    } else {
        let handled = times.clone();
        bare::handle(&load, &watch, move |payload| note(&handled, payload)).await;
    }
    producing.await.expect("a producer that ends");
    let mut times: Vec<f64> = times.lock().split_off(FIRST as usize);
    times.sort_by(f64::total_cmp);
    [0.5, 0.99].map(|share| times[(times.len() as f64 * share) as usize])
}

/// Produces one record after the other, each with the time in it.
async fn produce(brokers: String, topic: String, records: u64) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("linger.ms", "0");
    let producer: BaseProducer = config.create().expect("a producer");
    let mut turns = interval(INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0..records {
        turns.tick().await;
        let (key, id) = (n.to_string(), format!("{n:032x}"));
        let headers = rdkafka::message::OwnedHeaders::new()
            .insert(rdkafka::message::Header { key: "ce_source", value: Some("/orders") })
            .insert(rdkafka::message::Header { key: crate::load::ID, value: Some(&id) });
        let payload = nanos().to_be_bytes();
        let record = BaseRecord::to(&topic).key(&key).payload(&payload).headers(headers);
        producer.send(record).unwrap_or_else(|(error, _)| panic!("a record was refused: {error}"));
        producer.poll(Duration::ZERO);
    }
    let flushed = tokio::task::spawn_blocking(move || producer.flush(Duration::from_secs(30)));
    flushed.await.expect("no panic").expect("all are delivered");
}

fn nanos() -> u64 {
    START.elapsed().as_nanos() as u64
}

fn note(times: &Times, payload: &[u8]) {
    let produced = u64::from_be_bytes(payload.try_into().expect("8 bytes"));
    times.lock().push(nanos().saturating_sub(produced) as f64 / 1e3);
}
