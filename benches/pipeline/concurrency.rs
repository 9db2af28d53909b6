//! Handlers that take a while, many at once.

use std::time::Duration;

use ::hapax::consumer::ConsumerBuilder;
use ::hapax::engine::Order;

use crate::load::{Load, Repeats, Shape, mix};
use crate::meter::{Meter, median};
use crate::options::Options;
use crate::service::{Kafka, RedisServer};
use crate::table::{Table, figure, progress, ratio};
use crate::watch::Watch;
use crate::ways::{bare, hapax};

const KEYS: u64 = 1_000;

/// How long a handler takes, and how many run at once.
#[derive(Clone, Copy, Debug)]
struct Work {
    title: &'static str,
    /// The least and the most.
    micros: (u64, u64),
    at_once: usize,
    /// What others published of the same shape: key order, no order.
    published: Option<(&'static str, [f64; 2])>,
}

const WORKS: [Work; 3] = [
    Work { title: "5 ms, 64 at once", micros: (5_000, 5_000), at_once: 64, published: None },
    // In its README (github.com/confluentinc/parallel-consumer, "Illustrative Performance Example"): 10,000 messages on
    // one partition, at random up to 5 ms, 16 threads, 1,000 keys: 2.056 s by key, 2.829 s without order. On another
    // machine, so the shape is what can be compared.
    Work {
        title: "0 to 5 ms, 16 at once",
        micros: (0, 5_000),
        at_once: 16,
        published: Some(("Confluent Parallel Consumer, its README, 16 threads", [2.056, 2.829])),
    },
    Work { title: "0 to 5 ms, 100 at once", micros: (0, 5_000), at_once: 100, published: None },
];

impl Work {
    async fn handle(self, n: u64) {
        let (least, most) = self.micros;
        tokio::time::sleep(Duration::from_micros(least + mix(n) % (most - least + 1))).await;
    }

    /// With nothing but the handlers.
    fn ideal(self, records: u64) -> f64 {
        let (least, most) = self.micros;
        records as f64 * (least + most) as f64 / 2.0 / 1e6 / self.at_once as f64
    }
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Memory,
    Kafka,
    Hapax(Order),
}

const WAYS: [(&str, Way); 4] = [
    ("a semaphore, records from memory", Way::Memory),
    ("a semaphore, records from Kafka, no de-duplication", Way::Kafka),
    ("hapax, order key, 1,000 keys", Way::Hapax(Order::Key)),
    ("hapax, unordered", Way::Hapax(Order::Unordered)),
];

pub async fn measure(options: &Options, table: &mut Table, kafka: &Kafka, redis: &RedisServer) {
    let shape = Shape { keys: KEYS, repeats: Repeats::None, payload: 110 };
    let load = Load::produce(kafka, 1, options.slow_records, shape).await;
    let mut meter = Meter::new(redis).await;
    for work in WORKS {
        let mut seconds: [Vec<f64>; WAYS.len()] = Default::default();
        for (turn, counts) in options.turns() {
            for ((name, way), seconds) in WAYS.iter().zip(&mut seconds) {
                progress(&format!("{}, {turn}: {name}", work.title));
                meter.flush().await;
                let took = run(*way, work, &load, redis).await;
                if counts {
                    seconds.push(took);
                }
            }
        }
        show(work, &load, &seconds, table);
    }
}

async fn run(way: Way, work: Work, load: &Load, redis: &RedisServer) -> f64 {
    let watch = Watch::for_records(load.records);
    match way {
        Way::Memory => bare::concurrently(load.records, work.at_once, &watch, move |n| work.handle(n)).await,
        Way::Kafka => {
            bare::concurrently_from_kafka(load, work.at_once, &watch, move |n| work.handle(n)).await;
        }
        Way::Hapax(order) => {
            let ends = hapax::Ends { brokers: &load.brokers, topic: &load.topic, redis: &redis.url() };
            let settings = |builder: ConsumerBuilder| builder.order(order).concurrency(work.at_once);
            let handler = move |record: ::hapax::record::Record| work.handle(record.offset() as u64);
            hapax::consume(ends, &watch, settings, handler).await;
        }
    }
    assert_eq!(watch.effects(), load.records);
    watch.span().0.as_secs_f64()
}

fn show(work: Work, load: &Load, seconds: &[Vec<f64>; WAYS.len()], table: &mut Table) {
    let title = format!("A handler that takes {}: {} records on one partition", work.title, load.records);
    table.section(
        &title,
        &["way", "seconds", "records/s", "of memory's rate", "of Kafka's rate", "of what sleep allows"],
    );
    let of = |one: &[f64], other: &[f64]| median(one.iter().zip(other).map(|(one, other)| other / one));
    let (memory, kafka) = (&seconds[0], &seconds[1]);
    for ((name, way), took) in WAYS.iter().zip(seconds) {
        let aimed = |share: f64| match way {
            Way::Hapax(_) => ratio(share, |share| share >= 0.9, "0.9 or more"),
            _ => figure(share),
        };
        let middle = median(took.iter().copied());
        let rate = load.records as f64 / middle;
        let ideal = work.ideal(load.records) / middle;
        let shares = [aimed(of(took, memory)), aimed(of(took, kafka)), figure(ideal)];
        let [of_memory, of_kafka, of_ideal] = shares;
        table.row([(*name).to_owned(), figure(middle), figure(rate), of_memory, of_kafka, of_ideal]);
    }
    if let Some((whose, seconds)) = work.published {
        for (order, seconds) in ["order key, 1,000 keys", "unordered"].into_iter().zip(seconds) {
            let ideal = work.ideal(10_000) / seconds;
            let name = format!("{whose}: {order}, 10,000 records");
            table.row([name, figure(seconds), figure(10_000.0 / seconds), "-".into(), "-".into(), figure(ideal)]);
        }
    }
}
