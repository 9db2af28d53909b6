//! The examples that have the sidecar or one of its commands beside them.

use std::process::Command;
use std::time::Duration;

use crate::beside::Beside;
use crate::common::{Kafka, Message, Program, RedisServer, Signal, await_until, example, tools, unique};

/// How many lines of the output are this one.
fn count(program: &Program, wanted: &str) -> usize {
    program.output().lines().filter(|line| *line == wanted).count()
}

#[tokio::test]
async fn a_service_that_remembers_keys_takes_each_order_once() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let (topic, dead) = (unique("orders"), unique("dead"));
    kafka.create_topic(&topic, 2).await;
    kafka.create_topic(&dead, 1).await;
    let order =
        |partition: i32, id: &str, payload: &str| Message::new().partition(partition).header("id", id).payload(payload);
    let (chair, table) = (r#"{"item":"a chair"}"#, r#"{"item":"a table"}"#);
    let orders = [
        order(0, "1", chair),
        order(0, "2", "nothing"),
        order(0, "3", table),
        order(1, "1", chair),
        order(1, "3", table),
    ];
    kafka.produce(&topic, orders).await;
    let service = example("axum_service", &[("LISTEN", "127.0.0.1:0"), ("LOSES", "a table")]);
    let address = service.line("listens on ").await.replace("listens on ", "");
    let (brokers, store, group) = (kafka.bootstrap(), redis.url(), unique("shop"));
    let hapax = Beside::start(&[
        ("HAPAX_BROKERS", &brokers),
        ("HAPAX_GROUP", &group),
        ("HAPAX_TOPICS", &topic),
        ("HAPAX_REDIS_URL", &store),
        ("HAPAX_ID", "header:id"),
        ("HAPAX_DEAD_LETTER_TOPIC", &dead),
        ("HAPAX_PUSH_URL", &format!("http://{address}/orders")),
    ]);
    await_until("all is committed", Duration::from_secs(60), async || {
        assert!(service.runs() && hapax.process.runs(), "{}\n{}", service.output(), hapax.process.output());
        kafka.committed_offsets(&group, &topic).await == kafka.end_offsets(&topic).await
    })
    .await;
    let printed = service.output();
    assert!(count(&service, "not yet") >= 1, "{printed}");
    assert_eq!((count(&service, "took a chair"), count(&service, "took a table")), (1, 1), "{printed}");
    assert_eq!(count(&service, "took a chair before"), 0, "hapax drops what it recorded: {printed}");
    assert_eq!(count(&service, "took a table before"), 1, "its first answer got lost: {printed}");
    let dead_letters = kafka.records(&dead).await;
    let payloads: Vec<_> = dead_letters.iter().filter_map(rdkafka::Message::payload).collect();
    assert_eq!(payloads, [b"nothing"]);
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
    service.signal(Signal::Term);
    assert_eq!(service.exit().await, 0, "{}", service.output());
}

#[tokio::test]
async fn dead_letters_are_paid_once_when_the_handler_was_mended() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let (topic, dead, group) = (unique("payments"), unique("payments-dlt"), unique("payments"));
    kafka.create_topic(&topic, 2).await;
    kafka.create_topic(&dead, 1).await;
    let payment = |n: i32| {
        let currency = if n % 4 == 3 { "USD" } else { "EUR" };
        Message::new().partition(n % 2).header("id", format!("{n}")).payload(format!("{n} {currency}"))
    };
    // Each twice, the second time in the other partition.
    let again = |n: i32| payment(n).partition((n + 1) % 2);
    kafka.produce(&topic, (0..8).map(payment).chain((0..8).map(again))).await;
    let (brokers, store) = (kafka.bootstrap(), redis.url());
    let start = |currencies: &str| {
        let envs = [
            ("KAFKA", &*brokers),
            ("REDIS_URL", &store),
            ("TOPIC", &topic),
            ("GROUP", &group),
            ("DEAD_LETTERS", &dead),
            ("CURRENCIES", currencies),
        ];
        example("dead_letters", &envs)
    };
    let done = async |program: &Program| {
        await_until("all is committed", Duration::from_secs(60), async || {
            assert!(program.runs(), "{}", program.output());
            kafka.committed_offsets(&group, &topic).await == kafka.end_offsets(&topic).await
        })
        .await;
    };
    let broken = start("EUR");
    done(&broken).await;
    broken.signal(Signal::Term);
    assert_eq!(broken.exit().await, 0, "{}", broken.output());
    assert_eq!(kafka.records(&dead).await.len(), 2, "each of the two once, though it came twice");

    let mended = start("EUR,USD");
    // As the example says it, run twice.
    for _ in 0..2 {
        let mut hapax = Command::new(env!("CARGO_BIN_EXE_hapax"));
        hapax.args(["replay", "--execute"]).env_clear();
        hapax.envs([("HAPAX_BROKERS", &brokers), ("HAPAX_GROUP", &group), ("HAPAX_TOPICS", &topic)]);
        hapax.envs([("HAPAX_DEAD_LETTER_TOPIC", &*dead), ("HAPAX_REDIS_URL", &store), ("HAPAX_ID", "header:id")]);
        hapax.env("HAPAX_PUSH_URL", "http://localhost:8000");
        let told = tokio::task::spawn_blocking(move || tools::output_of(&mut hapax)).await.unwrap();
        assert!(told.contains("sent 2 records back"), "{told}");
    }
    done(&mended).await;
    for n in 0..8 {
        let line = if n % 4 == 3 { format!("paid {n} USD") } else { format!("paid {n} EUR") };
        let paid = (count(&broken, &line), count(&mended, &line));
        assert_eq!(paid, if n % 4 == 3 { (0, 1) } else { (1, 0) }, "{line}");
    }
    mended.signal(Signal::Term);
    assert_eq!(mended.exit().await, 0, "{}", mended.output());
}
