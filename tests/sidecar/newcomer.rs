//! The README's way from nothing to messages that come once, command by command as it stands there.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::beside::free_port;
use crate::common::{Kafka, Program, RedisServer, tools, unique};

/// The section, from its title to the next one.
fn section(title: &str) -> &'static str {
    let readme = include_str!("../../README.md");
    let start = readme.find(title).unwrap_or_else(|| panic!("the README has no section {title}"));
    let section = &readme[start + title.len()..];
    &section[..section.find("\n## ").unwrap_or(section.len())]
}

/// Everything that a section tells to type in.
fn commands(section: &str) -> String {
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// A directory with the programs that a reader has installed.
fn programs(directory: &Path) {
    let kafka = |class: &str| {
        let (java, lib) = (tools::java(), tools::kafka_lib());
        format!("#!/bin/sh\nexec {} -Xmx256m -cp '{}/*' {class} \"$@\"\n", java.display(), lib.display())
    };
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a program");
    };
    write("kafka-topics.sh", &kafka("org.apache.kafka.tools.TopicCommand"));
    write("kafka-console-producer.sh", &kafka("org.apache.kafka.tools.ConsoleProducer"));
    symlink(env!("CARGO_BIN_EXE_hapax"), directory.join("hapax")).expect("a link");
}

#[tokio::test]
async fn a_newcomer_gets_from_nothing_to_messages_that_come_once() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let directory = tempfile::tempdir().expect("a directory");
    programs(directory.path());
    let typed = commands(section("## Put it beside an application\n"));
    assert!(typed.contains("hapax run"), "{typed}");
    let (app, admin, health) = (free_port(), free_port(), free_port());
    // The same commands, with what is fixed in the README replaced by what is this test's own.
    let replacements = [
        // The binary of this run is the one on the path.
        ("cargo install --locked --features sidecar --path .", "hapax --version".to_owned()),
        ("localhost:9092", kafka.bootstrap()),
        ("localhost:6379", format!("127.0.0.1:{}", redis.port())),
        ("localhost:8000", format!("127.0.0.1:{app}")),
        ("app.py 8000", format!("app.py {app}")),
        ("localhost:7171", format!("127.0.0.1:{admin}")),
        ("localhost:7172", format!("127.0.0.1:{health}")),
        ("HAPAX_GROUP=billing", format!("HAPAX_GROUP={}", unique("billing"))),
    ];
    let mut script = replacements.iter().fold(typed, |script, (fixed, own)| {
        assert!(script.contains(fixed), "the README does not say {fixed}");
        script.replace(fixed, own)
    });
    let topic = unique("orders");
    script = script.replace("--topic orders", &format!("--topic {topic}"));
    script = script.replace("HAPAX_TOPICS=orders", &format!("HAPAX_TOPICS={topic}"));
    script = script.replace("orders/0/1", &format!("{topic}/0/1"));
    let mut bash = Command::new("bash");
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap_or_default());
    bash.args([
        "-euo",
        "pipefail",
        "-c",
        &format!("cd {}\n{script}\nkill %2; wait %2; echo finished; kill %1", env!("CARGO_MANIFEST_DIR")),
    ]);
    bash.env("PATH", path);
    bash.env("HAPAX_LISTEN", format!("127.0.0.1:{admin}")).env("HAPAX_HEALTH_LISTEN", format!("127.0.0.1:{health}"));
    let program = Program::start("what a newcomer types", &bash);
    program.line("finished").await;
    let output = program.output();
    let printed = |text: &str| output.lines().filter(|line| line.contains(text)).count();
    assert_eq!(printed("{\"order\":7}"), 1, "the effect of an order that was sent twice:\n{output}");
    assert_eq!(printed("{\"order\":8}"), 1, "{output}");
    assert!(printed("It would be dropped as a duplicate") == 1, "{output}");
}
