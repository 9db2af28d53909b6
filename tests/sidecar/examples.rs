//! The complete consumers in other languages, against the real services: each message once, also when one of them is killed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::beside::Beside;
use crate::common::{Kafka, Message, Program, RedisServer, Signal, await_until, tools, unique};

/// A directory beside this program in which a language's packages are installed once.
fn packages(of: &str) -> PathBuf {
    let program = std::env::current_exe().expect("this program");
    let target = program.ancestors().find(|directory| directory.ends_with("release") || directory.ends_with("debug"));
    target.and_then(Path::parent).expect("the target directory").join("services").join(of)
}

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(path)
}

fn python() -> Command {
    let packages = packages("python-example");
    let wanted = std::fs::read_to_string(example("python/requirements.txt")).expect("its requirements");
    let installed = packages.join("installed");
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        // As it should be.
    } else {
        let interpreter = packages.join("bin/python3");
        tools::output_of(Command::new("python3").args(["-m", "venv"]).arg(&packages));
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        tools::output_of(Command::new(&interpreter).args(pip).arg(example("python/requirements.txt")));
        std::fs::write(&installed, wanted).expect("a note");
    }
    let mut command = Command::new(packages.join("bin/python3"));
    command.arg(example("python/consumer.py"));
    command
}

fn node() -> Command {
    let packages = packages("node-example");
    let wanted = std::fs::read_to_string(example("node/package.json")).expect("its packages");
    std::fs::create_dir_all(&packages).expect("a directory");
    let installed = packages.join("installed");
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        // As it should be.
    } else {
        std::fs::write(packages.join("package.json"), &wanted).expect("a copy");
        let install = ["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"];
        tools::output_of(Command::new("npm").args(install).current_dir(&packages));
        std::fs::write(&installed, wanted).expect("a note");
    }
    // Node looks for packages beside the file.
    std::fs::copy(example("node/consumer.js"), packages.join("consumer.js")).expect("a copy");
    let mut command = Command::new("node");
    command.arg(packages.join("consumer.js"));
    command
}

/// How often the effect of each message happened, by what all of them printed.
fn effects(programs: &[&Program], messages: usize) -> Vec<usize> {
    let outputs: Vec<_> = programs.iter().map(|program| program.output()).collect();
    let count = |n| {
        let line = format!("handled order-{n}");
        outputs.iter().map(|output| output.lines().filter(|printed| *printed == line).count()).sum()
    };
    (0..messages).map(count).collect()
}

async fn each_message_once(consumer: fn() -> Command) {
    const MESSAGES: usize = 300;
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let (topic, group, brokers) = (unique("orders"), unique("billing"), kafka.bootstrap());
    // kafkajs knows gzip alone.
    kafka.create_topic_with(&topic, 2, &[("compression.type", "uncompressed")]).await;
    // Each twice, the second time in the other partition.
    let order = |n: usize, partition: usize| {
        Message::new().partition((partition % 2) as i32).header("id", format!("order-{n}")).payload("{}")
    };
    let (first, again) = ((0..MESSAGES).map(|n| order(n, n)), (0..MESSAGES).map(|n| order(n, n + 1)));
    kafka.produce(&topic, first.chain(again)).await;
    let hapax = Beside::start(&[
        ("HAPAX_DELIVERY", "pull"),
        ("HAPAX_NAMESPACE", &group),
        ("HAPAX_REDIS_URL", &redis.url()),
        ("HAPAX_LEASE", "5s"),
    ]);
    hapax.ready().await;
    let start = |what: &str| {
        let mut command = consumer();
        command.env("KAFKA", &brokers).env("TOPIC", &topic).env("GROUP", &group);
        command.env("HAPAX", format!("http://{}", hapax.address));
        Program::start(what, &command)
    };
    let killed = start("the consumer that is killed");
    killed.line("handled").await;
    killed.signal(Signal::Kill);
    let second = start("the consumer that goes on");
    await_until("every message is handled and committed", Duration::from_secs(120), async || {
        assert!(second.runs(), "{}", second.output());
        kafka.committed_offsets(&group, &topic).await == kafka.end_offsets(&topic).await
    })
    .await;
    second.signal(Signal::Term);
    assert_eq!(second.exit().await, 0, "{}", second.output());
    let effects = effects(&[&killed, &second], MESSAGES);
    assert!(effects.iter().all(|count| *count >= 1), "a message is lost: {effects:?}");
    let repeated: usize = effects.iter().map(|count| count - 1).sum();
    assert!(repeated <= 100, "more than one call of the killed one: {effects:?}");
}

#[tokio::test]
async fn a_python_loop_handles_each_message_once() {
    each_message_once(python).await;
}

#[tokio::test]
async fn a_node_loop_handles_each_message_once() {
    each_message_once(node).await;
}
