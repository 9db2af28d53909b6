//! A Redis that refuses a command: every place that a person looks at names it with its remedy, and nothing is delivered
//! that could not be recorded.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::app::{App, Reply};
use crate::beside::Beside;
use crate::commands::{doctor, hapax, has};
use crate::common::{Kafka, Message, RedisServer, await_until, unique};
use crate::serving::{client, post};
use crate::setting::Setting;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_refused_command_ends_the_start_and_is_named() {
    let redis = RedisServer::start_with(&["--rename-command", "EVALSHA", ""]);
    let kafka = Kafka::shared().await;
    let app = App::start(|_| Reply::status(204)).await;
    let setting = Setting::new(kafka, 1, &redis, app.url()).await;
    let listen = crate::beside::free().to_string();
    let health = crate::beside::free().to_string();
    let settings = setting.with(&[("HAPAX_LISTEN", &listen), ("HAPAX_HEALTH_LISTEN", &health)]);
    let (code, out, err) = hapax(&["run"], &settings).await;
    assert_eq!(code, 64, "starting again does not help: {out}{err}");
    let log = out + &err;
    for part in ["EVALSHA", "rename-command", &redis.port().to_string()] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
    let (code, findings) = doctor(&settings).await;
    assert!(code == 2 && has(&findings, "error", "commands_refused"), "{code}: {findings:?}");
    let (_, out, err) = hapax(&["doctor"], &settings).await;
    assert!(out.contains("EVALSHA") && out.contains("rename-command"), "{out}{err}");
    assert_eq!(redis.cli(&["DBSIZE"]).trim(), "0", "nothing is left behind");
    assert_eq!(app.requests().len(), 0);
}

#[tokio::test]
async fn a_right_taken_away_stops_delivery_and_is_named_everywhere() {
    const IDS: usize = 1500;
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start_with(&["--appendonly", "yes"]));
    let app = App::start(|_| Reply::status(204)).await;
    let setting = Setting::new(kafka, 1, &redis, app.url()).await;
    let running = setting.start(&[("HAPAX_ORDER", "unordered"), ("HAPAX_MAX_EXPOSED", "1000")]);
    running.ready().await;
    let order = |n: usize| Message::new().header("id", format!("{n}")).payload(format!("{n}"));
    kafka.produce(&setting.topic, [order(0)]).await;
    await_until("the first is settled", PATIENCE, async || {
        running.metric("hapax_records_settled_total", "").await == 1
    })
    .await;

    redis.cli(&["ACL", "SETUSER", "default", "-sadd"]);
    kafka.produce(&setting.topic, (1..IDS).map(order)).await;
    await_until("the status says it", PATIENCE, async || {
        let status = running.get("/v1/status").await;
        let says = status["says"].as_str().unwrap();
        status["severity"] == "error"
            && ["SADD", "NOPERM", "ACL SETUSER", &redis.port().to_string()].iter().all(|part| says.contains(part))
    })
    .await;
    // What was under way when it was taken away, and nothing after that.
    let begun = app.requests().len();
    assert!(begun < 500, "{begun} of {IDS} were delivered before the first refusal was known");
    let status = running.get("/v1/status").await;
    assert_eq!(status["store"]["nodes"][0]["refuses"]["commands"], json!(["SADD"]), "{status}");
    // What observers get is a second old at most.
    await_until("the probe names the part that failed", PATIENCE, async || {
        let (code, body) = running.health("/ready").await;
        let ready: Value = serde_json::from_str(&body).unwrap();
        code == 200 && ready["parts"]["store"]["reason"] == json!("refuses commands")
    })
    .await;
    assert_eq!(running.metric("hapax_store_finding", "commands_refused").await, 1);
    let errors = running.process.output();
    let errors = errors.lines().filter(|line| line.contains("ERROR") && line.contains("SADD")).count();
    assert_eq!(errors, 1, "once: {}", running.process.output());
    let listen = running.address.to_string();
    let settings = setting.with(&[("HAPAX_LISTEN", &listen)]);
    let (_, out, err) = hapax(&["status"], &settings).await;
    assert!(out.contains("SADD"), "{out}{err}");
    let (_, findings) = doctor(&settings).await;
    assert!(has(&findings, "error", "commands_refused"), "{findings:?}");
    assert_eq!(app.requests().len(), begun, "nothing starts while nothing can be recorded");

    redis.cli(&["ACL", "SETUSER", "default", "+@all"]);
    await_until("all are settled", PATIENCE, async || {
        running.metric("hapax_records_settled_total", "").await == IDS as u64
    })
    .await;
    let bodies: Vec<_> = app.requests().into_iter().map(|request| request.body).collect();
    assert_eq!((bodies.len(), bodies.iter().collect::<BTreeSet<_>>().len()), (IDS, IDS), "each once");
    await_until("the status is well", PATIENCE, async || running.get("/v1/status").await["severity"] != "error").await;
    assert_eq!(running.end().await, 0);
}

#[tokio::test]
async fn the_pull_api_names_what_is_refused() {
    let (redis, namespace) = (RedisServer::start(), unique("billing"));
    let url = redis.url();
    let settings = [("HAPAX_DELIVERY", "pull"), ("HAPAX_NAMESPACE", &*namespace), ("HAPAX_REDIS_URL", &url)];
    let running = Beside::start(&settings);
    running.ready().await;
    let (client, call) = (client(), json!({"ids": [{"id": "a"}]}));
    let claims = format!("http://{}/v1/claim", running.address);
    let (status, answer) = post(&client, claims.clone(), &call).await;
    assert_eq!(status, 200, "{answer}");
    redis.cli(&["ACL", "SETUSER", "default", "-evalsha"]);
    // A claim of what is in flight needs the script.
    let mut said = String::new();
    await_until("it is refused", PATIENCE, async || {
        let (status, answer) = post(&client, claims.clone(), &json!({"ids": [{"id": "a"}]})).await;
        said = answer.to_string();
        status == 503 && said.contains("EVALSHA")
    })
    .await;
    let (status, answer) = post(&client, claims, &json!({"ids": [{"id": "fresh"}]})).await;
    let reason = answer["results"][0]["reason"].as_str().unwrap();
    assert_eq!(status, 503, "{answer}");
    for part in ["EVALSHA", "ACL SETUSER", &redis.port().to_string()] {
        assert!(reason.contains(part), "{part} is not in {reason}");
    }
}
