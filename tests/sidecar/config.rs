//! `hapax config` and `hapax completions`, as somebody types them: what is in force, where it came from, and every mistake
//! at once, never with its value.

use std::fs;
use std::process::Command;

use serde_json::Value;

const SECRET: &str = "hunter2hunter2hunter2";

const SETTINGS: &[(&str, &str)] = &[
    ("HAPAX_BROKERS", "127.0.0.1:1"),
    ("HAPAX_GROUP", "billing"),
    ("HAPAX_TOPICS", "orders"),
    ("HAPAX_REDIS_URL", "redis://:hunter2hunter2hunter2@127.0.0.1:1"),
    ("HAPAX_PUSH_URL", "http://127.0.0.1:1/orders"),
    ("HAPAX_DEAD_LETTER_TOPIC", "orders-dlt"),
];

/// Runs the binary to its end with these variables and no others; answers its code, its output and its errors.
fn hapax(arguments: &[&str], settings: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hapax"));
    let output = command.args(arguments).env_clear().envs(settings.iter().copied()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn with<'s>(more: &[(&'s str, &'s str)]) -> Vec<(&'s str, &'s str)> {
    SETTINGS.iter().chain(more).copied().collect()
}

#[test]
fn it_prints_what_is_in_force_and_where_it_came_from() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, SECRET).unwrap();
    let more = [
        ("HAPAX_TOKEN_FILE", token.to_str().unwrap()),
        ("HAPAX_KAFKA_CONSUMER_CLIENT_ID", "reader"),
        ("HAPAX_KAFKA_SASL_PASSWORD", SECRET),
        ("HAPAX_KAFKA_PORT_9092_TCP", "tcp://10.0.0.1:9092"),
    ];
    let (code, out, err) = hapax(&["config", "--json", "--group", "shipping"], &with(&more));
    assert_eq!(code, 0, "{err}");
    let shown: Value = serde_json::from_str(&out).unwrap();
    let entry = |name: &str| {
        let entry = &shown["settings"][name];
        (entry["value"].as_str().map(str::to_owned), entry["from"].as_str().unwrap().to_owned())
    };
    let is = |value: &str, from: &str| (Some(value.to_owned()), from.to_owned());
    assert_eq!(entry("HAPAX_GROUP"), is("shipping", "flag"));
    assert_eq!(entry("HAPAX_TOPICS"), is("orders", "environment"));
    assert_eq!(entry("HAPAX_WINDOW"), is("24h", "default"));
    assert_eq!(entry("HAPAX_TOKEN"), is("<hidden>", "file"));
    assert_eq!(entry("HAPAX_REDIS_URL"), is("<hidden>", "environment"));
    assert_eq!(entry("HAPAX_KAFKA_CONSUMER_CLIENT_ID"), is("reader", "environment"));
    assert_eq!(entry("HAPAX_KAFKA_SASL_PASSWORD"), is("<hidden>", "environment"));
    assert_eq!(entry("HAPAX_PUSH_READY_URL"), (None, "default".to_owned()));
    assert_eq!(shown["ignored"], serde_json::json!(["HAPAX_KAFKA_PORT_9092_TCP"]));
    let tried = "a message that keeps failing is given up after 10 attempts, with 2 min 1 s to 4 min 3 s of back-off between them";
    assert_eq!(shown["notes"], serde_json::json!([tried]));

    let (_, text, _) = hapax(&["config"], &with(&more));
    for line in ["HAPAX_GROUP ", "HAPAX_WINDOW ", "HAPAX_KAFKA_CONSUMER_CLIENT_ID "] {
        assert!(text.lines().any(|shown| shown.contains(line)), "{line}: {text}");
    }
    assert!(!out.contains(SECRET) && !text.contains(SECRET), "{out}{text}");
}

#[test]
fn every_mistake_is_told_at_once_without_its_value_and_ends_with_64() {
    let wrong = [("HAPAX_GROPU", SECRET), ("HAPAX_LEASE", SECRET), ("HAPAX_KAFKA_SASL_PASSWORT", SECRET)];
    for command in ["config", "run", "doctor"] {
        let (code, out, err) = hapax(&[command, "--window", "24"], &with(&wrong));
        assert_eq!((code, out.as_str()), (64, ""), "{command}: {err}");
        for words in [
            "HAPAX_GROPU is not known; HAPAX_GROUP is meant perhaps",
            "HAPAX_LEASE is not a duration; write a whole number with its unit",
            "HAPAX_WINDOW has no unit",
            "HAPAX_KAFKA_SASL_PASSWORT names no property",
        ] {
            assert!(err.contains(words), "{command}: {words:?} is not said: {err}");
        }
        assert!(!err.contains(SECRET), "{command}: {err}");
    }
}

#[test]
fn flags_are_those_of_the_variables_and_none_takes_a_secret() {
    let (code, help, _) = hapax(&["run", "--help"], &[]);
    assert_eq!(code, 0);
    for flag in ["--group ", "--push-url ", "--token-file ", "--redis-url-file ", "--health-listen "] {
        assert!(help.contains(flag), "{flag} is missing: {help}");
    }
    for (flag, name) in [("--token", "HAPAX_TOKEN"), ("--redis-url", "HAPAX_REDIS_URL"), ("--id-key", "HAPAX_ID_KEY")] {
        let (code, _, err) = hapax(&["config", flag, SECRET], SETTINGS);
        assert!(code == 64 && !err.contains(SECRET), "{name} has a flag: {err}");
    }
}

#[test]
fn the_page_needs_no_settings_and_completions_know_the_flags() {
    let (code, page, _) = hapax(&["config", "--markdown"], &[]);
    assert!(code == 0 && include_str!("../../src/docs/configuration.md").contains(page.trim()));
    for shell in ["bash", "fish", "zsh", "powershell", "elvish"] {
        let (code, script, err) = hapax(&["completions", shell], &[]);
        assert!(code == 0 && script.contains("push-url"), "{shell}: {err}");
    }
}

#[test]
fn config_prints_how_long_a_failing_message_is_tried() {
    let fewer = [("HAPAX_MAX_ATTEMPTS", "3"), ("HAPAX_BACKOFF_FIRST", "10s")];
    let (code, out, err) = hapax(&["config"], &with(&fewer));
    assert_eq!(code, 0, "{err}");
    let note = "a message that keeps failing is given up after 3 attempts, with 15 s to 30 s of back-off between them";
    assert!(out.contains(note), "{out}");
    let retried = [("HAPAX_RETRY_TOPICS", "orders-1m=1m"), ("HAPAX_ORDER", "unordered")];
    let (code, out, err) = hapax(&["config"], &with(&retried));
    assert_eq!((code, out.contains("of back-off")), (0, false), "{out}{err}");
}
