//! From the start of the process to its being ready, and what it takes when it has nothing to do.

use std::time::Duration;

use tokio::time::sleep;

use crate::application::Application;
use crate::beside::Beside;
use crate::service::{Kafka, RedisServer, unique};
use crate::table::{Table, figure, progress, ratio};
use crate::{Amounts, median};

pub async fn measure(amounts: Amounts, table: &mut Table, kafka: &Kafka, redis: &RedisServer) {
    let application = Application::start().await;
    let (topic, url, brokers, redis) = (unique("idle"), application.url(), kafka.bootstrap(), redis.url());
    kafka.create_topic(&topic, 12).await;
    let (mut ready, mut memory) = (Vec::new(), Vec::new());
    for round in 1..=amounts.rounds {
        progress(&format!("start, round {round} of {}", amounts.rounds));
        let group = unique("idle");
        let beside = Beside::start(&[
            ("HAPAX_BROKERS", &brokers),
            ("HAPAX_GROUP", &group),
            ("HAPAX_TOPICS", &topic),
            ("HAPAX_REDIS_URL", &redis),
            ("HAPAX_PUSH_URL", &url),
        ]);
        ready.push(beside.ready().await.as_secs_f64());
        // It joins the group, gets its partitions and fetches nothing.
        sleep(Duration::from_secs(5)).await;
        memory.push(beside.memory());
    }
    let (ready, memory) = (median(ready), median(memory));
    table.section("Start and idle", &["what", "figure", "to the aim"]);
    table.row(["start to ready, s".to_owned(), figure(ready), ratio(ready, |it| it < 1.0, "below 1 s")]);
    table.row([
        "idle memory, MiB".to_owned(),
        figure(memory),
        ratio(memory / 50.0, |it| it < 1.0, "of 50 MiB, below 1"),
    ]);
}
