//! Records per second, with a handler that does nothing.

use std::sync::Arc;
use std::time::Duration;

use ::hapax::consumer::ConsumerBuilder;
use ::hapax::engine::Order;

use crate::load::{Load, SMALL};
use crate::meter::{Meter, median};
use crate::options::Options;
use crate::service::{Kafka, RedisServer};
use crate::table::{Table, figure, progress, ratio};
use crate::watch::Watch;
use crate::ways::{bare, hapax, set_nx, straight};

const PARTITIONS: i32 = 12;

/// One way, the share of the records that it handles per turn (one in so many), and what it took.
struct Row {
    way: Way,
    one_in: u64,
    laps: Vec<Lap>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Bare,
    SetNx,
    Straight,
    /// In this order, with so many records exposed where that is not the default.
    Hapax(Order, Option<usize>),
}

#[derive(Clone, Copy, Debug)]
struct Lap {
    rate: f64,
    /// Microseconds per record.
    our_cpu: f64,
    redis_cpu: f64,
}

const WAYS: [(Way, u64); 9] = [
    (Way::Bare, 1),
    (Way::SetNx, 20),
    (Way::Straight, 1),
    (Way::Hapax(Order::Partition, None), 1),
    (Way::Hapax(Order::Key, None), 1),
    (Way::Hapax(Order::Unordered, None), 1),
    (Way::Hapax(Order::Partition, Some(1)), 100),
    (Way::Hapax(Order::Partition, Some(16)), 10),
    (Way::Hapax(Order::Partition, Some(64)), 2),
];

pub async fn measure(options: &Options, table: &mut Table, kafka: &Kafka, redis: &RedisServer) {
    progress(&format!("producing {} records", options.records));
    let load = Load::produce(kafka, PARTITIONS, options.records, SMALL).await;
    let mut meter = Meter::new(redis).await;
    let mut rows = WAYS.map(|(way, one_in)| Row { way, one_in, laps: Vec::new() });
    for (turn, counts) in options.turns() {
        for row in &mut rows {
            progress(&format!("rates, {turn}: {}", row.way.name()));
            let records = load.records / row.one_in / if counts { 1 } else { 10 };
            meter.flush().await;
            let lap = run(row.way, &load, records.max(100), redis, &mut meter).await;
            progress(&format!("  {} records/s", figure(lap.rate)));
            if counts {
                row.laps.push(lap);
            }
        }
    }
    show(&rows, &load, table);
}

async fn run(way: Way, load: &Load, records: u64, redis: &RedisServer, meter: &mut Meter) -> Lap {
    let (watch, url) = (Watch::for_records(records), redis.url());
    let before = meter.reading().await.0;
    match way {
        Way::Bare => bare::consume(load, &watch).await,
        Way::SetNx => set_nx::consume(load, &url, &watch).await,
        Way::Straight => straight::consume(load, &url, &watch).await,
        Way::Hapax(order, exposed) => {
            let ends = hapax::Ends { brokers: &load.brokers, topic: &load.topic, redis: &url };
            let settings = |builder: ConsumerBuilder| match exposed {
                Some(records) => builder.order(order).max_exposed(records).batch(1),
                None => builder.order(order),
            };
            hapax::consume(ends, &watch, settings, |_| std::future::ready(())).await;
        }
    }
    let redis_cpu = Duration::from_secs_f64((meter.reading().await.0 - before).max(0.0));
    way.check(load, records, &watch);
    let (elapsed, our_cpu) = watch.span();
    let per_record = |time: Duration| time.as_secs_f64() * 1e6 / records as f64;
    let rate = records as f64 / elapsed.as_secs_f64();
    Lap { rate, our_cpu: per_record(our_cpu), redis_cpu: per_record(redis_cpu) }
}

impl Way {
    fn name(self) -> String {
        let order = |order| match order {
            Order::Partition => "partition",
            Order::Key => "key",
            _ => "unordered",
        };
        match self {
            Self::Bare => "no de-duplication: poll, commit".to_owned(),
            Self::SetNx => "one SET NX per record, awaited".to_owned(),
            Self::Straight => "straight loop: two scripts per 500".to_owned(),
            Self::Hapax(kind, None) => format!("hapax, order {}", order(kind)),
            Self::Hapax(kind, Some(records)) => format!("hapax, order {}, max_exposed {records}", order(kind)),
        }
    }

    /// A rate of a way that does not de-duplicate, or loses something, would mean nothing.
    fn check(self, load: &Load, records: u64, watch: &Arc<Watch>) {
        if records == load.records {
            let wanted = if self == Self::Bare { load.records } else { load.distinct };
            assert_eq!(watch.effects(), wanted, "{}: effects", self.name());
        }
    }
}

fn show(rows: &[Row], load: &Load, table: &mut Table) {
    let title = format!("Rates: {} records on {PARTITIONS} partitions, {} IDs", load.records, load.distinct);
    let of = |row: &Row, other: Way, figure: fn(&Lap) -> f64| {
        let other = &rows.iter().find(|row| row.way == other).expect("a row").laps;
        median(row.laps.iter().zip(other).map(|(one, other)| figure(one) / figure(other)))
    };
    let columns = ["way", "records/s", "to the straight loop", "to SET NX", "our CPU µs/record", "Redis CPU µs/record"];
    table.section(&title, &columns);
    for row in rows {
        let median = |figure: fn(&Lap) -> f64| median(row.laps.iter().map(figure));
        table.row([
            row.way.name(),
            figure(median(|lap| lap.rate)),
            figure(of(row, Way::Straight, |lap| lap.rate)),
            figure(of(row, Way::SetNx, |lap| lap.rate)),
            figure(median(|lap| lap.our_cpu)),
            figure(median(|lap| lap.redis_cpu)),
        ]);
    }
    table.section("Rates: what is aimed at, each ratio of one turn", &["ratio", ""]);
    for order in [Order::Partition, Order::Key] {
        let row = rows.iter().find(|row| row.way == Way::Hapax(order, None)).expect("a row");
        let rate = of(row, Way::Straight, |lap| lap.rate);
        let name = row.way.name();
        table.row([format!("{name}, to the straight loop"), ratio(rate, |ratio| ratio >= 1.3, "1.3 or more")]);
        let rate = of(row, Way::SetNx, |lap| lap.rate);
        table.row([format!("{name}, to one SET NX per record"), ratio(rate, |ratio| ratio >= 8.0, "8 or more")]);
    }
}
