//! Records of a kilobyte from Kafka to the application, beside a generator that only posts.

use tokio::time::Instant;

use crate::application::Application;
use crate::beside::Beside;
use crate::service::{Client, Kafka, Message, RedisServer, unique};
use crate::table::{Table, figure, progress, ratio};
use crate::{Amounts, generator, median};

const AT_ONCE: u64 = 64;
const PAYLOAD: usize = 1024;
const CHUNK: u64 = 20_000;

pub async fn measure(amounts: Amounts, table: &mut Table, kafka: &Kafka, redis: &RedisServer) {
    let application = Application::start().await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 12).await;
    produce(kafka, &topic, amounts.records).await;
    let (mut bare, mut single, mut batched) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=amounts.rounds {
        progress(&format!("push, round {round} of {}", amounts.rounds));
        bare.push(generator::rate(application.address, AT_ONCE, amounts.records, PAYLOAD).await);
        single.push(through(&application, kafka, redis, &topic, amounts.records, "1").await);
        batched.push(through(&application, kafka, redis, &topic, amounts.records, "100").await);
    }
    let (bare, single, batched) = (median(bare), median(single), median(batched));
    table.section("Push, 1 KiB, 64 at once, records/s", &["way", "records/s", "ratio"]);
    table.row(["bare generator".to_owned(), figure(bare), String::new()]);
    table.row(["hapax, one by one".to_owned(), figure(single), ratio(single / bare, |it| it >= 0.7, "of bare, 0.7")]);
    let times = ratio(batched / single, |it| it >= 5.0, "of one by one, 5");
    table.row(["hapax, batches of 100".to_owned(), figure(batched), times]);
}

/// Records per second, from ready to the last one handled: the start is another matter.
async fn through(
    application: &Application,
    kafka: &Client,
    redis: &RedisServer,
    topic: &str,
    records: u64,
    batch: &str,
) -> f64 {
    let (group, url, brokers, redis) = (unique("bench"), application.url(), kafka.bootstrap(), redis.url());
    let beside = Beside::start(&[
        ("HAPAX_BROKERS", &brokers),
        ("HAPAX_GROUP", &group),
        ("HAPAX_TOPICS", topic),
        ("HAPAX_REDIS_URL", &redis),
        ("HAPAX_ID", "header:id"),
        ("HAPAX_ORDER", "unordered"),
        ("HAPAX_CONCURRENCY", if batch == "1" { "64" } else { "8" }),
        ("HAPAX_MAX_EXPOSED", "1024"),
        ("HAPAX_BATCH", batch),
        ("HAPAX_PUSH_URL", &url),
    ]);
    beside.handled(1).await;
    let begun = Instant::now();
    beside.handled(records).await;
    records as f64 / begun.elapsed().as_secs_f64()
}

async fn produce(kafka: &Client, topic: &str, records: u64) {
    let mut from = 0;
    while from < records {
        let to = records.min(from + CHUNK);
        let message = |n: u64| Message::new().header("id", format!("order-{n}")).payload(format!("{n:0PAYLOAD$}"));
        kafka.produce(topic, (from..to).map(message)).await;
        from = to;
    }
}
