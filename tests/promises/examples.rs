//! The examples do what they say. Each is named here; `.ci/rules` sees to it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::common::{Kafka, Message, PostgresServer, Program, RedisServer, Signal, await_until, example, unique};

/// How many lines of the output contain `text`.
fn count(program: &Program, text: &str) -> usize {
    program.output().lines().filter(|line| line.contains(text)).count()
}

#[tokio::test]
async fn an_existing_loop_is_wrapped() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let topic = unique("payments");
    kafka.create_topic(&topic, 2).await;
    let payment = |number: i32| {
        Message::new().partition(number % 2).header("payment-id", format!("p-{number}")).payload(format!("€{number}"))
    };
    // Each payment twice, the second time in the other partition.
    let again = |number: i32| payment(number).partition((number + 1) % 2);
    kafka.produce(&topic, (0..10).map(payment).chain((0..10).map(again))).await;
    let group = unique("billing");
    let (brokers, store) = (kafka.bootstrap(), redis.url());
    let envs = [("KAFKA", &*brokers), ("REDIS_URL", &store), ("TOPIC", &topic), ("GROUP", &group), ("MESSAGES", "20")];
    let program = example("consumer_loop", &envs);
    assert_eq!(program.exit().await, 0, "{}", program.output());
    for number in 0..10 {
        assert_eq!(count(&program, &format!("paid €{number}")), 1, "{}", program.output());
    }
    assert_eq!(count(&program, "dropped a duplicate"), 10, "{}", program.output());
    assert_eq!(kafka.committed_offsets(&group, &topic).await, kafka.end_offsets(&topic).await);
}

#[tokio::test]
async fn a_tower_stack_handles_each_message_once() {
    let program = example("tower_stack", &[]);
    assert_eq!(program.exit().await, 0, "{}", program.output());
    assert_eq!(count(&program, "the bank is closed"), 1, "{}", program.output());
    assert_eq!(count(&program, ": paid"), 5, "{}", program.output());
    assert_eq!(count(&program, "a duplicate, dropped"), 4, "{}", program.output());
}

/// A topic of its own for a service that is told by the usual variables where its services are.
struct Setting {
    kafka: &'static Kafka,
    redis: RedisServer,
    brokers: String,
    topic: String,
    group: String,
}

impl Setting {
    async fn new(partitions: i32) -> Self {
        let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
        let (topic, group) = (unique("orders"), unique("shop"));
        kafka.create_topic(&topic, partitions).await;
        Self { kafka, redis, brokers: kafka.bootstrap(), topic, group }
    }

    fn start(&self, name: &str, more: &[(&str, &str)]) -> Program {
        let store = self.redis.url();
        let usual = [("KAFKA", &*self.brokers), ("REDIS_URL", &store), ("TOPIC", &self.topic), ("GROUP", &self.group)];
        example(name, &[&usual, more].concat())
    }

    async fn committed(&self, program: &Program, offsets: BTreeMap<i32, i64>) {
        await_until("what can be handled is committed", Duration::from_secs(60), async || {
            assert!(program.runs(), "{}", program.output());
            self.kafka.committed_offsets(&self.group, &self.topic).await == offsets
        })
        .await;
    }

    /// Waits until nothing is left to do, and ends the program in order.
    async fn end(&self, program: &Program) {
        self.committed(program, self.kafka.end_offsets(&self.topic).await).await;
        program.signal(Signal::Term);
        assert_eq!(program.exit().await, 0, "{}", program.output());
    }
}

/// Messages with these IDs and payloads, then all of them again in the other of two partitions.
fn twice(messages: &[(&str, &str)]) -> Vec<Message> {
    let message = |(n, (id, payload)): (usize, &(&str, &str))| {
        Message::new().partition(n as i32 % 2).header("id", *id).payload(*payload)
    };
    let first = messages.iter().enumerate().map(message);
    first.chain(messages.iter().enumerate().map(|(n, it)| message((n + 1, it)))).collect()
}

/// What was printed how often.
fn counts(program: &Program) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    program.output().lines().for_each(|line| *counts.entry(line.to_owned()).or_default() += 1);
    counts
}

fn expected<const N: usize>(counts: [(&str, usize); N]) -> HashMap<String, usize> {
    counts.map(|(line, count)| (line.to_owned(), count)).into()
}

#[tokio::test]
async fn a_crash_after_a_mail_sends_no_second_one() {
    // In one partition, one after the other, so that it is known which mail the crash comes after.
    let setting = Setting::new(1).await;
    let mail = |id: &str, to: &str| Message::new().header("id", id).payload(to);
    let mails = [("1", "ann"), ("2", "bea"), ("1", "ann"), ("3", "cem"), ("2", "bea"), ("1", "ann")];
    setting.kafka.produce(&setting.topic, mails.map(|(id, to)| mail(id, to))).await;
    let program = setting.start("email", &[]);
    setting.end(&program).await;
    let lines = [
        ("a mail to ann", 1),
        ("crashed before it was recorded", 1),
        ("no second mail to ann", 1),
        ("a mail to bea", 1),
        ("a mail to cem", 1),
    ];
    assert_eq!(counts(&program), expected(lines));
}

/// Lets the service die at its first order, there, and start again.
async fn each_order_has_one_effect(postgres: &PostgresServer, dies: &str, sold_before: usize) {
    let setting = Setting::new(2).await;
    let item = |name: &str| format!("{name} {dies}");
    let (chair, table) = (item("chair"), item("table"));
    let orders = [("1", &*chair), ("2", &table), ("3", &chair), ("4", &chair)];
    // A dead letter that came back although its effect had happened: for the store it is a new message.
    let replayed =
        Message::new().header("id", "2").header("hapax-replay", format!("{} 1", setting.group)).payload(&*table);
    setting.kafka.produce(&setting.topic, twice(&orders).into_iter().chain([replayed])).await;
    let database = postgres.address();
    let killed = setting.start("orders_postgres", &[("DATABASE", &database), ("CRASH", dies)]);
    assert_eq!(killed.exit().await, 128 + 6, "{}", killed.output());
    let program = setting.start("orders_postgres", &[("DATABASE", &database)]);
    setting.end(&program).await;
    let sold = format!("select item, pieces from sold where item like '%{dies}' order by item");
    assert_eq!(postgres.ask(&sold), format!("{chair}|3\n{table}|1"));
    let rows = format!("select count(*) from orders where item like '%{dies}'");
    assert_eq!(postgres.ask(&rows), "4");
    assert_eq!(count(&program, "was sold before"), sold_before, "{}", program.output());
}

#[tokio::test]
async fn a_unique_key_in_the_transaction_leaves_no_second_effect() {
    let postgres = PostgresServer::start();
    // The one sold before is the dead letter; after the commit, it is the window that the store alone leaves open, too:
    // the effect is there, and its ID is not recorded.
    tokio::join!(
        each_order_has_one_effect(&postgres, "before-commit", 1),
        each_order_has_one_effect(&postgres, "after-commit", 2)
    );
}

#[tokio::test]
async fn an_id_of_two_fields_tells_messages_apart_and_copies_not() {
    let setting = Setting::new(2).await;
    let dead = unique("dead");
    setting.kafka.create_topic(&dead, 1).await;
    let order = |partition: i32, payload: &str| Message::new().partition(partition).payload(payload);
    let orders = [
        order(0, r#"{"shop":"a","number":11}"#),
        order(1, r#"{ "number": 11, "note": "again", "shop": "a" }"#),
        // Written one after the other, shop and number would be the same as above.
        order(0, r#"{"shop":"a1","number":1}"#),
        order(1, r#"{"shop":"a1","number":1}"#),
        order(0, r#"{"shop":"b"}"#),
        order(0, r#"{"shop":"b","number":11}"#),
    ];
    setting.kafka.produce(&setting.topic, orders).await;
    // Without a topic for dead letters the partition stops at the one without an ID, and the other goes on.
    let stopped = setting.start("custom_id", &[]);
    setting.committed(&stopped, [(0, 2), (1, 2)].into()).await;
    stopped.signal(Signal::Term);
    assert_eq!(stopped.exit().await, 0, "{}", stopped.output());
    let lines = [("shipped order 11 of a", 1), ("shipped order 1 of a1", 1)];
    assert_eq!(counts(&stopped), expected(lines));
    let program = setting.start("custom_id", &[("DEAD_LETTERS", &dead)]);
    setting.end(&program).await;
    assert_eq!(counts(&program), expected([("shipped order 11 of b", 1)]));
    let dead_letters = setting.kafka.records(&dead).await;
    let payloads: Vec<_> = dead_letters.iter().filter_map(rdkafka::Message::payload).collect();
    assert_eq!(payloads, [br#"{"shop":"b"}"#]);
}
