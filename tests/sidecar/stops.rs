//! Partitions that stop, and what goes on then: by itself, by `hapax retry`, by `hapax skip`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use serde_json::{Value, json};

use crate::admin::browser;
use crate::app::{App, Reply};
use crate::beside::Beside;
use crate::commands::hapax;
use crate::common::{Kafka, Message, RedisServer, await_until};
use crate::serving::{client, post};
use crate::setting::Setting;

const PATIENCE: Duration = Duration::from_secs(60);
/// The first try by itself comes within a second.
const SOON: [(&str, &str); 3] =
    [("HAPAX_MAX_ATTEMPTS", "2"), ("HAPAX_BACKOFF_FIRST", "10ms"), ("HAPAX_BACKOFF_CAP", "100ms")];
/// The first try by itself comes so late that no test sees it.
const LATE: [(&str, &str); 3] =
    [("HAPAX_MAX_ATTEMPTS", "2"), ("HAPAX_BACKOFF_FIRST", "10ms"), ("HAPAX_BACKOFF_CAP", "5m")];

/// An application that fails at every body that begins with `bad`, until it is mended.
async fn failing(mended: &Arc<AtomicBool>) -> App {
    let mended = Arc::clone(mended);
    App::start(move |request| match request.body.starts_with(b"bad") && !mended.load(SeqCst) {
        true => Reply::answer(500, &[], "no such customer\nat line 7 of a trace"),
        false => Reply::status(204),
    })
    .await
}

fn order(body: &str) -> Message {
    Message::new().partition(0).header("id", body).payload(body)
}

/// The bodies that came so far.
fn bodies(app: &App) -> Vec<String> {
    app.requests().into_iter().map(|request| String::from_utf8(request.body).unwrap()).collect()
}

/// Delivers these records to an application, with these settings.
async fn delivering(app: &App, records: &[&str], settings: &[(&str, &str)]) -> (RedisServer, Setting, Beside) {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let setting = Setting::new(kafka, 1, &redis, app.url()).await;
    kafka.produce(&setting.topic, records.iter().copied().map(order)).await;
    let hapax = setting.start(settings);
    hapax.ready().await;
    (redis, setting, hapax)
}

/// Waits until the only partition is as wanted, and returns it.
async fn until(hapax: &Beside, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = json!(null);
    await_until(what, PATIENCE, async || {
        last = hapax.get("/v1/status").await["partitions"][0].clone();
        wanted(&last)
    })
    .await;
    last
}

async fn stopped_at(hapax: &Beside, offset: i64) -> Value {
    let stands = |part: &Value| part["stopped"]["offset"] == offset && part["stopped"]["trying"] == false;
    until(hapax, &format!("it stands stopped at {offset}"), stands).await
}

async fn goes_on(hapax: &Beside, committed: i64) {
    let active = |part: &Value| part["phase"] == "active" && part["committed"] == committed;
    until(hapax, &format!("it is active and committed to {committed}"), active).await;
}

#[tokio::test]
async fn stopped_partition_tries_again_by_itself() {
    let mended = Arc::default();
    let app = failing(&mended).await;
    let (_redis, _setting, hapax) = delivering(&app, &["bad", "good"], &SOON).await;
    let tries = |part: &Value| part["stopped"]["tries"].as_u64() >= Some(2) && part["stopped"]["trying"] == false;
    until(&hapax, "it stopped and tried twice", tries).await;
    assert!(bodies(&app).iter().all(|body| body == "bad"), "nothing overtakes it: {:?}", bodies(&app));
    mended.store(true, SeqCst);
    goes_on(&hapax, 2).await;
    assert_eq!(bodies(&app).iter().filter(|body| *body == "good").count(), 1);
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
    let log = hapax.process.output();
    for line in
        ["the partition stops here; nothing is skipped", "\"by_operator\":false", "the stopped partition goes on"]
    {
        assert!(log.contains(line), "{line} is not in {log}");
    }
}

#[tokio::test]
async fn stop_shows_what_the_application_answered_last() {
    let app = failing(&Arc::default()).await;
    let (_redis, setting, hapax) = delivering(&app, &["bad"], &LATE).await;
    let part = stopped_at(&hapax, 0).await;
    let shows = |place: &str, text: &str| {
        for said in ["500", "no such customer"] {
            assert!(text.contains(said), "{said} is not in {place}: {text}");
        }
        assert!(!text.contains("of a trace"), "{place} has more than the first line: {text}");
    };
    shows("the status", part["stopped"]["answered"].as_str().unwrap());
    let listen = hapax.address.to_string();
    let (_, out, err) = crate::commands::hapax(&["status"], &setting.with(&[("HAPAX_LISTEN", &listen)])).await;
    let line = out.lines().find(|line| line.contains("stopped")).unwrap_or_else(|| panic!("{out}{err}"));
    shows("the command", line);
    let page = browser::open(&format!("http://{}/", hapax.address), "answered").await;
    assert!(page.contains("Stopped at offset 0"), "{page}");
    shows("the page", &page);
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
    let log = hapax.process.output();
    shows("the log", log.lines().find(|line| line.contains("the partition stops here")).expect("the line"));
}

#[tokio::test]
async fn stopped_record_is_tried_at_once_when_asked() {
    let mended = Arc::default();
    let app = failing(&mended).await;
    let (_redis, setting, running) = delivering(&app, &["bad", "good"], &LATE).await;
    stopped_at(&running, 0).await;
    let before = app.requests().len();
    let listen = running.address.to_string();
    let settings = setting.with(&[("HAPAX_LISTEN", &listen)]);
    // By the command: it fails once more, and stands again.
    let (code, out, err) = hapax(&["retry", "--partition", &format!("{}/0", setting.topic)], &settings).await;
    assert!(code == 0 && out.contains("offset 0 is tried again"), "{code}: {out}{err}");
    until(&running, "the try failed", |part| part["stopped"]["tries"] == 1 && part["stopped"]["trying"] == false).await;
    assert_eq!(bodies(&app)[before..], ["bad"], "one attempt, and nothing behind it");
    // By the API: it is handled, and what lies behind it.
    mended.store(true, SeqCst);
    let retry = format!("http://{}/v1/retry", running.address);
    let (status, answer) = post(&client(), retry.clone(), &json!({})).await;
    assert_eq!((status, &answer["retried"][0]["offset"]), (200, &json!(0)), "{answer}");
    goes_on(&running, 2).await;
    assert_eq!(bodies(&app)[before + 1..], ["bad", "good"]);
    let nothing = json!({ "topic": setting.topic, "partition": 0 });
    let (status, answer) = post(&client(), retry, &nothing).await;
    assert!(status == 409 && answer.to_string().contains("does not stand stopped"), "{status} {answer}");
    assert_eq!(running.end().await, 0, "{}", running.process.output());
}

#[tokio::test]
async fn skip_settles_exactly_the_named_record() {
    let app = failing(&Arc::default()).await;
    let (_redis, setting, running) = delivering(&app, &["bad", "good", "bad too", "good too"], &LATE).await;
    stopped_at(&running, 0).await;
    let before = app.requests().len();
    let listen = running.address.to_string();
    let settings = setting.with(&[("HAPAX_LISTEN", &listen)]);
    let place = |offset: u32| format!("{}/0/{offset}", setting.topic);
    let (code, out, _) = hapax(&["skip", "--record", &place(0), "--execute"], &settings).await;
    assert!(code != 0, "without a reason: {out}");
    let reason = "the customer was deleted";
    // A dry run changes nothing.
    let (code, out, err) = hapax(&["skip", "--record", &place(0), "--reason", reason], &settings).await;
    assert_eq!(code, 0, "{out}{err}");
    for part in ["no such customer", "settles this record alone", "nothing was skipped; run it again with --execute"] {
        assert!(out.contains(part), "{part} is not in {out}");
    }
    // A neighbour that waits behind it cannot be skipped.
    let (code, out, err) = hapax(&["skip", "--record", &place(1), "--reason", reason, "--execute"], &settings).await;
    assert!(code != 0 && err.contains("cannot be skipped"), "{code}: {out}{err}");
    assert_eq!(stopped_at(&running, 0).await["settled"], 0);
    assert_eq!(running.metric("hapax_records_settled_total", "skipped").await, 0);

    let (code, out, err) = hapax(&["skip", "--record", &place(0), "--reason", reason, "--execute"], &settings).await;
    assert!(code == 0 && out.contains("skipped: it is settled and not handled"), "{code}: {out}{err}");
    stopped_at(&running, 2).await;
    assert_eq!(bodies(&app)[before..], ["good", "bad too", "bad too"], "it goes on behind it, to the next");
    assert_eq!(running.metric("hapax_records_settled_total", "skipped").await, 1);
    let (code, out, err) = hapax(&["skip", "--record", &place(2), "--reason", reason, "--execute"], &settings).await;
    assert_eq!(code, 0, "{out}{err}");
    goes_on(&running, 4).await;
    // The operator has decided about the message, not about one copy.
    Kafka::shared().await.produce(&setting.topic, [order("bad")]).await;
    goes_on(&running, 5).await;
    assert_eq!(bodies(&app)[before + 3..], ["good too"]);
    assert_eq!(running.metric("hapax_records_settled_total", "duplicate").await, 1);
    assert_eq!(running.end().await, 0, "{}", running.process.output());
    let log = running.process.output();
    let skips: Vec<_> = log.lines().filter(|line| line.contains("an operator skips a record")).collect();
    assert!(skips.len() == 2 && skips.iter().all(|line| line.contains(reason)), "{skips:#?}");
}

#[tokio::test]
async fn delivery_that_ended_with_410_goes_on_when_asked() {
    let open = Arc::<AtomicBool>::default();
    let opened = Arc::clone(&open);
    let app = App::start(move |_| match opened.load(SeqCst) {
        true => Reply::status(204),
        false => Reply::answer(410, &[], "closed for good"),
    })
    .await;
    // Should it be tried again by itself, then soon.
    let (_redis, setting, running) = delivering(&app, &["first", "second"], &SOON).await;
    await_until("the status reports it", PATIENCE, async || {
        let status = running.get("/v1/status").await;
        status["severity"] == "error" && status["says"].as_str().unwrap().contains("asked for an end of delivery")
    })
    .await;
    assert_eq!(bodies(&app), ["first"], "nothing more is sent");
    open.store(true, SeqCst);
    let listen = running.address.to_string();
    let (code, out, err) = hapax(&["retry"], &setting.with(&[("HAPAX_LISTEN", &listen)])).await;
    assert!(code == 0 && out.contains("messages are delivered again"), "{code}: {out}{err}");
    goes_on(&running, 2).await;
    assert_eq!(bodies(&app), ["first", "first", "second"], "nothing was skipped");
    assert_eq!(running.end().await, 0, "{}", running.process.output());
}
