//! What dashboard and alert rules ask for is in a scrape of a process that has handled messages.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::app::{App, Reply};
use crate::common::{Kafka, Message, RedisServer, await_until, tools, unique};
use crate::setting::Setting;

#[tokio::test]
async fn the_scrape_has_every_metric_that_is_queried() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    // One is refused for good, one is told to come again; the others are taken.
    let app = App::start(|request| match (&*request.body, request.header("hapax-attempt").as_str()) {
        (b"3", _) => Reply::answer(422, &[], "no such account"),
        (b"5", "1") => Reply::status(500),
        _ => Reply::status(204),
    })
    .await;
    let (setting, dead) = (Setting::new(kafka, 2, &redis, app.url()).await, unique("dead"));
    kafka.create_topic(&dead, 1).await;
    let order = |n: i32| Message::new().partition(n % 2).header("id", format!("order-{n}")).payload(format!("{n}"));
    kafka.produce(&setting.topic, (0..20).map(order).chain((0..10).map(order))).await;
    let more = [("HAPAX_DEAD_LETTER_TOPIC", &*dead), ("HAPAX_DEAD_LETTER_SHARE", "1")];
    let hapax = setting.start(&more);
    await_until("all are settled", Duration::from_secs(60), async || {
        hapax.metric("hapax_records_settled_total", "").await == 30
    })
    .await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operations/check");
    let url = format!("http://{}/metrics", hapax.health);
    let mut check = Command::new("python3");
    check.arg(script).args(["--no-promtool", "--against", &url]);
    let told = tokio::task::spawn_blocking(move || tools::output_of(&mut check)).await.unwrap();
    assert!(told.contains("queries of the dashboard"), "{told}");
    assert_eq!(hapax.end().await, 0, "{}", hapax.process.output());
}
