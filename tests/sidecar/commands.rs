//! `doctor`, `inspect`, `forget` and `replay`, as somebody on call types them.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::app::{App, Reply, Step};
use crate::beside::{Beside, free_port};
use crate::common::{Kafka, Message, RedisServer, await_until, unique};
use crate::setting::Setting;

/// Runs a command to its end.
pub async fn hapax(arguments: &[&str], settings: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hapax"));
    command.args(arguments).env_clear().envs(settings.iter().copied());
    let Output { status, stdout, stderr } =
        tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// What the doctor finds, by name, with its exit code.
pub async fn doctor(settings: &[(&str, &str)]) -> (i32, Vec<(String, String)>) {
    let (code, out, err) = hapax(&["doctor", "--json"], settings).await;
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("no JSON: {out}{err}"));
    let findings = report["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (code, findings.map(|finding| (text(&finding["severity"]), text(&finding["name"]))).collect())
}

pub fn has(findings: &[(String, String)], severity: &str, name: &str) -> bool {
    findings.iter().any(|(found, named)| found == severity && named == name)
}

#[tokio::test]
async fn the_doctor_finds_what_is_wrong_with_real_services() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]));
    let app = App::start(|_| Reply::status(204)).await;
    let (topic, dead) = (unique("orders"), unique("dead"));
    let wrong = [("unclean.leader.election.enable", "true"), ("retention.ms", "-1"), ("min.insync.replicas", "1")];
    kafka.create_topic_with(&topic, 2, &wrong).await;
    kafka.create_topic_with(&dead, 1, &[("cleanup.policy", "compact"), ("max.message.bytes", "1000000")]).await;
    let (group, brokers, url, store) = (unique("billing"), kafka.bootstrap(), app.url(), redis.url());
    let settings = [
        ("HAPAX_BROKERS", &*brokers),
        ("HAPAX_GROUP", &group),
        ("HAPAX_TOPICS", &topic),
        ("HAPAX_REDIS_URL", &store),
        ("HAPAX_DEAD_LETTER_TOPIC", &dead),
        ("HAPAX_PUSH_URL", &url),
    ];
    let (code, findings) = doctor(&settings).await;
    for (severity, name) in [
        ("warning", "one_broker"),
        ("warning", "unclean_leader_election"),
        ("warning", "retention_beyond_window"),
        ("warning", "max_message_bytes"),
        ("error", "dead_letters_compacted"),
        ("warning", "eviction_policy"),
        ("warning", "no_persistence"),
        ("note", "version"),
        ("note", "clock"),
        ("note", "namespace"),
        ("note", "reached"),
        ("note", "lag"),
    ] {
        assert!(has(&findings, severity, name), "{severity} {name} is not in {findings:?}");
    }
    assert_eq!(code, 2);
    // It opened nothing.
    assert_eq!(redis.cli(&["DBSIZE"]).trim(), "0");
}

#[tokio::test]
async fn the_doctor_says_what_it_cannot_reach() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let topic = unique("nowhere");
    let (group, brokers, store) = (unique("billing"), kafka.bootstrap(), redis.url());
    let nobody = format!("127.0.0.1:{}", free_port());
    let (away, url) = (format!("redis://{nobody}"), format!("http://{nobody}/"));
    let usual =
        [("HAPAX_GROUP", &*group), ("HAPAX_TOPICS", &topic), ("HAPAX_PUSH_URL", &url), ("HAPAX_START_LIMIT", "500ms")];
    let (code, findings) =
        doctor(&[&usual[..], &[("HAPAX_BROKERS", &brokers), ("HAPAX_REDIS_URL", &store)]].concat()).await;
    assert!(has(&findings, "error", "topic") && has(&findings, "warning", "unreachable"), "{findings:?}");
    assert_eq!(code, 2, "a topic that is missing is an error");
    let (code, findings) =
        doctor(&[&usual[..], &[("HAPAX_BROKERS", &nobody), ("HAPAX_REDIS_URL", &away)]].concat()).await;
    assert_eq!(findings.iter().filter(|(severity, name)| severity == "error" && name == "unreachable").count(), 2);
    assert_eq!(code, 69);
}

#[tokio::test]
async fn the_doctor_finds_settings_that_others_do_not_share() {
    let redis = RedisServer::start();
    let namespace = unique("billing");
    let store = redis.url();
    let settings = [("HAPAX_DELIVERY", "pull"), ("HAPAX_NAMESPACE", &*namespace), ("HAPAX_REDIS_URL", &store)];
    let running = Beside::start(&settings);
    running.ready().await;
    let (_, findings) = doctor(&settings).await;
    assert!(has(&findings, "note", "namespace"), "{findings:?}");
    let (code, findings) = doctor(&[&settings[..], &[("HAPAX_WINDOW", "1h")]].concat()).await;
    assert!(has(&findings, "error", "namespace"), "{findings:?}");
    assert_eq!(code, 2);
}

#[tokio::test]
async fn dead_letters_go_back_once_and_are_handled() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    // It refuses what it does not know yet; after it was mended it takes everything.
    let broken = App::start(|_| Reply::answer(422, &[], "no such account")).await;
    let (setting, dead) = (Setting::new(kafka, 2, &redis, broken.url()).await, unique("dead"));
    let topic = &setting.topic;
    kafka.create_topic(&dead, 1).await;
    let order = |n: i32| Message::new().partition(n % 2).header("id", format!("order-{n}")).payload(format!("{n}"));
    kafka.produce(topic, (0..10).map(order)).await;
    let settings = setting.with(&[
        ("HAPAX_ID_SCOPE", "topic"),
        ("HAPAX_DEAD_LETTER_TOPIC", &dead),
        ("HAPAX_DEAD_LETTER_SHARE", "1"),
    ]);
    let running = Beside::start(&settings);
    await_until("all are given up", Duration::from_secs(60), async || {
        kafka.end_offsets(&dead).await.values().sum::<i64>() == 10
    })
    .await;
    assert_eq!(running.end().await, 0);

    let (code, out, _) = hapax(&["replay"], &settings).await;
    assert!(code == 0 && out.contains("run it again with --execute") && out.contains("no such account"), "{out}");
    assert_eq!(kafka.end_offsets(topic).await.values().sum::<i64>(), 10, "a dry run sends nothing");
    let (code, out, err) = hapax(&["replay", "--execute", "--limit", "4"], &settings).await;
    assert!(code == 0 && out.contains("sent 4 records back"), "{out}{err}");
    // What went back already is sent again, and recognised.
    let (code, out, err) = hapax(&["replay", "--execute", "--reason", "account"], &settings).await;
    assert!(code == 0 && out.contains("sent 10 records back"), "{out}{err}");
    let (_, out, _) = hapax(&["replay", "--reason", "something else"], &settings).await;
    assert!(out.contains("nothing to send back"), "{out}");

    let address = broken.kill().await;
    let mended = App::start_at(address, |_| Reply::status(204)).await;
    let running = Beside::start(&settings);
    await_until("all are settled", Duration::from_secs(60), async || {
        running.metric("hapax_records_settled_total", "").await == 14
    })
    .await;
    let mut bodies: Vec<_> =
        mended.requests().into_iter().map(|request| String::from_utf8(request.body).unwrap()).collect();
    bodies.sort();
    assert_eq!(bodies, (0..10).map(|n| n.to_string()).collect::<Vec<_>>(), "each once");
    assert_eq!(running.metric("hapax_records_settled_total", "duplicate").await, 4);
    assert_eq!(running.end().await, 0);
}

#[tokio::test]
async fn what_is_known_of_an_id_is_told_and_can_be_forgotten() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let app = App::start(|_| Reply::status(204)).await;
    let setting = Setting::new(kafka, 1, &redis, app.url()).await;
    let topic = &setting.topic;
    kafka.produce(topic, [Message::new().header("id", "a7").payload("x")]).await;
    let settings = setting.with(&[("HAPAX_ID_SCOPE", "topic")]);
    let (scope, place) = (format!("topic:{topic}"), format!("{topic}/0/0"));
    let by_id = ["inspect", "a7", "--scope", &scope];
    let (code, out, err) = hapax(&by_id, &settings).await;
    assert!(code == 0 && out.contains("nothing is known of this ID"), "{out}{err}");
    let running = Beside::start(&settings);
    app.until(1).await;
    await_until("it is settled", Duration::from_secs(60), async || {
        running.metric("hapax_records_settled_total", "").await == 1
    })
    .await;
    assert_eq!(running.end().await, 0);

    let (_, out, _) = hapax(&by_id, &settings).await;
    assert!(out.contains("dropped as a duplicate"), "{out}");
    let (code, by_record, err) = hapax(&["inspect", "--record", &place], &settings).await;
    assert!(code == 0 && by_record.contains("dropped as a duplicate"), "{by_record}{err}");
    let fingerprint = |out: &str| out.split(['(', ')']).nth(1).unwrap().to_owned();
    assert_eq!(fingerprint(&out), fingerprint(&by_record));
    let (_, json, _) = hapax(&["inspect", "--json", "--fingerprint", &fingerprint(&out)], &settings).await;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["found"]["state"], "done", "{json}");

    let (_, out, _) = hapax(&["forget", "a7", "--scope", &scope], &settings).await;
    assert!(out.contains("nothing was forgotten"), "{out}");
    let (code, out, err) = hapax(&["forget", "--execute", "a7", "--scope", &scope], &settings).await;
    assert!(code == 0 && out.contains("forgotten") && err.contains("HAPAX_CACHE_LIFETIME"), "{out}{err}");
    let (_, out, _) = hapax(&by_id, &settings).await;
    assert!(out.contains("nothing is known of this ID"), "{out}");
    let (code, _, err) = hapax(&["inspect", "a7"], &settings).await;
    assert!(code == 64 && err.contains("--scope"), "{err}");
    let (code, _, err) = hapax(&["inspect", "a7", "--scope", "orders"], &settings).await;
    assert!(code == 64 && err.contains("topic:<topic>"), "{err}");
}

#[tokio::test]
async fn a_running_hapax_is_asked_paused_and_resumed() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    // Each request takes a second.
    let slowly = Step::Trickle(b"HTTP/1.1 204 done\r\n\r\n".to_vec(), Duration::from_millis(50));
    let app = App::start(move |_| Reply::steps([slowly.clone()])).await;
    let setting = Setting::new(kafka, 1, &redis, app.url()).await;
    let token = ("HAPAX_TOKEN", "sixteen-characters-at-least");
    let running = setting.start(&[token]);
    running.ready().await;
    let listen = running.address.to_string();
    let settings = setting.with(&[("HAPAX_LISTEN", &listen), token]);
    kafka.produce(&setting.topic, [Message::new().header("id", "1").payload("1")]).await;
    app.until(1).await;
    // What runs is waited for, and nothing starts after it.
    let (code, out, err) = hapax(&["pause", "--reason", "a look", "--wait", "0"], &settings).await;
    assert_eq!(code, 1, "{out}{err}");
    let (code, out, err) = hapax(&["pause", "--reason", "a look", "--wait", "30"], &settings).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("paused: a look") && out.contains("no handler runs"), "{out}");
    kafka.produce(&setting.topic, [Message::new().header("id", "2").payload("2")]).await;
    let (code, out, err) = hapax(&["status"], &settings).await;
    assert!(code == 0 && out.contains("a look") && out.contains("-0: active, "), "{out}{err}");
    let (code, out, err) = hapax(&["status", "--json"], &settings).await;
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["paused"], &told["partitions"][0]["running"]), (&"a look".into(), &0.into()), "{told}");
    assert_eq!(app.requests().len(), 1);
    let (code, out, err) = hapax(&["resume"], &settings).await;
    assert_eq!((code, out.trim()), (0, "not paused"), "{err}");
    app.until(2).await;
    // Its own token is asked for, as of anybody.
    let other = setting.with(&[("HAPAX_LISTEN", &listen), ("HAPAX_TOKEN", "another-token-of-sixteen")]);
    let (code, _, err) = hapax(&["resume"], &other).await;
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("401") && !err.contains("another-token"), "{err}");
    assert_eq!(running.end().await, 0);
    let (code, _, err) = hapax(&["pause"], &settings).await;
    assert_eq!(code, 69, "nobody listens: {err}");
}

#[test]
fn whoever_stops_reading_is_told_of_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_hapax"));
    let output = command.args(["config", "--markdown"]).env_clear().stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(0), String::new()));
}
