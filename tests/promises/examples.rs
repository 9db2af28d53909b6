//! The examples do what they say. Each is named here; `.ci/rules` sees to it.

use std::process::Command;

use crate::common::{Kafka, Message, Program, RedisServer, unique};

/// An example with these variables, built first if need be.
fn example(name: &str, envs: &[(&str, String)]) -> Program {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--locked", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    // The profile of this test, whose dependencies are built.
    command.args(if cfg!(debug_assertions) { [].as_slice() } else { &["--release"] });
    command.args(["--example", name]).envs(envs.iter().map(|(name, value)| (name, value)));
    Program::start(&format!("the example {name}"), &command)
}

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
    let envs = [
        ("KAFKA", kafka.bootstrap()),
        ("REDIS_URL", redis.url()),
        ("TOPIC", topic.clone()),
        ("GROUP", group.clone()),
        ("MESSAGES", "20".to_owned()),
    ];
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
