//! Records per second, with a handler that does nothing.

use std::sync::Arc;
use std::time::Duration;

use ::hapax::consumer::ConsumerBuilder;
use ::hapax::engine::Order;

use crate::load::{Load, Repeats, SMALL, Shape};
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
    Owned,
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
    allocations: f64,
}

const WAYS: [(Way, u64); 10] = [
    (Way::Bare, 1),
    (Way::Owned, 1),
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
    let usual = rows.iter().find(|row| row.way == Way::Hapax(Order::Partition, None)).expect("a row");
    let usual = median(usual.laps.iter().map(|lap| lap.rate));
    let (records, large) = (options.records, options.records / 20);
    let mostly = Shape { repeats: Repeats::AllButOneIn(100), ..SMALL };
    let mostly = Load::produce(kafka, PARTITIONS, records, mostly).await;
    beside_owned(options, table, "99 % duplicates", &mostly, Some(usual), redis, &mut meter).await;
    let large = Load::produce(kafka, PARTITIONS, large.max(1_000), Shape { payload: 10_240, ..SMALL }).await;
    beside_owned(options, table, "payloads of 10 KiB", &large, None, redis, &mut meter).await;
}

/// Measures another load, against bare consumption of owned records only. `usual` is the rate of the usual load.
async fn beside_owned(
    options: &Options,
    table: &mut Table,
    title: &str,
    load: &Load,
    usual: Option<f64>,
    redis: &RedisServer,
    meter: &mut Meter,
) {
    let ways = [Way::Owned, Way::Hapax(Order::Partition, None)];
    let mut laps = [Vec::new(), Vec::new()];
    for (turn, counts) in options.turns() {
        for (way, laps) in ways.iter().zip(&mut laps) {
            progress(&format!("rates, {title}, {turn}: {}", way.name()));
            meter.flush().await;
            let lap = run(*way, load, load.records, redis, meter).await;
            if counts {
                laps.push(lap);
            }
        }
    }
    let columns = ["way", "records/s", "to bare, owned", "our CPU µs/record", "Redis CPU µs/record"];
    table.section(&format!("Rates, {title}: {} records", load.records), &columns);
    let of_owned = |laps: &[Lap; 2]| laps[1].rate / laps[0].rate;
    let pairs: Vec<[Lap; 2]> = laps[0].iter().zip(&laps[1]).map(|(owned, ours)| [*owned, *ours]).collect();
    let ratio_of_owned = median(pairs.iter().map(of_owned));
    for ((way, laps), to_owned) in ways.iter().zip(&laps).zip([1.0, ratio_of_owned]) {
        let median = |figure: fn(&Lap) -> f64| median(laps.iter().map(figure));
        let cells = [median(|lap| lap.rate), to_owned, median(|lap| lap.our_cpu), median(|lap| lap.redis_cpu)];
        let [rate, to_owned, our_cpu, redis_cpu] = cells.map(figure);
        table.row([way.name(), rate, to_owned, our_cpu, redis_cpu]);
    }
    let aim = match usual {
        Some(usual) => {
            let ratio = median(laps[1].iter().map(|lap| lap.rate)) / usual;
            let met = ratio >= 2.0 || ratio_of_owned >= 0.85;
            let met = if met { "met" } else { "MISSED" };
            format!("{} (2 or more, or 0.85 of bare, owned: {met})", figure(ratio))
        }
        None => ratio(ratio_of_owned, |ratio| ratio >= 0.8, "0.8 or more"),
    };
    let what = if usual.is_some() { "to 10 % duplicates" } else { "bytes/s, to bare, owned" };
    table.row([what.to_owned(), aim, String::new(), String::new(), String::new()]);
}

async fn run(way: Way, load: &Load, records: u64, redis: &RedisServer, meter: &mut Meter) -> Lap {
    let (watch, url) = (Watch::for_records(records), redis.url());
    let before = meter.reading().await.0;
    match way {
        Way::Bare => bare::consume(load, &watch).await,
        Way::Owned => bare::own(load, &watch).await,
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
    let allocations = watch.allocations() as f64 / records as f64;
    Lap { rate, our_cpu: per_record(our_cpu), redis_cpu: per_record(redis_cpu), allocations }
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
            Self::Owned => "bare, owned".to_owned(),
            Self::SetNx => "one SET NX per record, awaited".to_owned(),
            Self::Straight => "straight loop: two scripts per 500".to_owned(),
            Self::Hapax(kind, None) => format!("hapax, order {}", order(kind)),
            Self::Hapax(kind, Some(records)) => format!("hapax, order {}, max_exposed {records}", order(kind)),
        }
    }

    /// A rate of a way that does not de-duplicate, or loses something, would mean nothing.
    fn check(self, load: &Load, records: u64, watch: &Arc<Watch>) {
        if records == load.records {
            let wanted = if matches!(self, Self::Bare | Self::Owned) { load.records } else { load.distinct };
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
    let columns = [
        "way",
        "records/s",
        "to the straight loop",
        "to SET NX",
        "our CPU µs/record",
        "Redis CPU µs/record",
        "allocations/record",
    ];
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
            figure(median(|lap| lap.allocations)),
        ]);
    }
    table.section("Rates: what is aimed at, each ratio of one turn", &["ratio", ""]);
    let row = |order, exposed| rows.iter().find(|row| row.way == Way::Hapax(order, exposed)).expect("a row");
    let plain = row(Order::Partition, None);
    let mut show = |what: &str, cell| table.row([what.to_owned(), cell]);
    for (order, least, aim) in
        [(Order::Partition, 1.1, "1.1 or more"), (Order::Key, 1.0, "1 or more"), (Order::Unordered, 1.0, "1 or more")]
    {
        let row = row(order, None);
        let rate = of(row, Way::Straight, |lap| lap.rate);
        show(&format!("{}, to the straight loop", row.way.name()), ratio(rate, |ratio| ratio >= least, aim));
    }
    let rate = of(plain, Way::SetNx, |lap| lap.rate);
    show("hapax, order partition, to one SET NX per record", ratio(rate, |ratio| ratio >= 11.0, "11 or more"));
    let cpu = median(plain.laps.iter().map(|lap| lap.our_cpu));
    show("our CPU, order partition, µs/record", ratio(cpu, |cpu| cpu <= 4.5, "4.5 or less"));
    let cpu = of(plain, Way::Straight, |lap| lap.redis_cpu);
    show("Redis CPU per record, to the straight loop", ratio(cpu, |ratio| ratio <= 1.05, "1.05 or less"));
    // The allocations of an owned record are not counted.
    let owned = rows.iter().find(|row| row.way == Way::Owned).expect("a row");
    let beside = median(plain.laps.iter().zip(&owned.laps).map(|(ours, bare)| ours.allocations - bare.allocations));
    show("allocations per record beside the record", ratio(beside, |count| count <= 3.0, "3 or less"));
    let rate = of(row(Order::Partition, Some(16)), Way::Straight, |lap| lap.rate);
    show("max_exposed 16, to the straight loop", ratio(rate, |ratio| ratio >= 0.5, "0.5 or more"));
    let rate = of(row(Order::Partition, Some(1)), Way::SetNx, |lap| lap.rate);
    show("max_exposed 1, to one SET NX per record", ratio(rate, |ratio| ratio >= 0.9, "0.9 or more"));
}
