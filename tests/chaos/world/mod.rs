//! Everything around hapax in a run, and what is read from outside.

mod fleet;
mod process;
mod producer;
mod redis;
mod sampler;
mod telling;

use std::time::Duration;

use super::common::{KafkaCluster, unique};
use super::history::Journal;
use super::mode::{MAX_ATTEMPTS, Mode, PARTITIONS, RETRY_PARTITIONS};

pub use fleet::Fleet;
pub use producer::{Place, Producer, Sendings};
pub use redis::Redis;
pub use sampler::{Sampler, copies, unwritten};

/// Topics and group of a run.
#[derive(Clone, Debug)]
pub struct Names {
    pub topic: String,
    pub dead: String,
    /// One after the other; none, where records are tried again in place.
    pub retries: Vec<String>,
    pub group: String,
}

/// Brokers, Redis and names.
pub struct World {
    pub kafka: KafkaCluster,
    pub redis: Redis,
    pub names: Names,
}

impl World {
    pub async fn start(mode: &Mode) -> Self {
        let (kafka, redis) = tokio::join!(KafkaCluster::start(mode.brokers), Redis::start(mode));
        let names = Names {
            topic: unique("orders"),
            dead: unique("orders-dead"),
            retries: (1..MAX_ATTEMPTS).filter(|_| mode.retry).map(|n| unique(&format!("orders-retry-{n}"))).collect(),
            group: unique("billing"),
        };
        kafka.create_topic(&names.topic, PARTITIONS).await;
        // The clocks of workers are turned, those of brokers are not.
        let times = [("message.timestamp.type", "LogAppendTime")];
        kafka.create_topic_with(&names.dead, 2, &times).await;
        for retry in &names.retries {
            kafka.create_topic_with(retry, RETRY_PARTITIONS, &times).await;
        }
        Self { kafka, redis, names }
    }
}

/// A journal of the harness itself.
pub fn journal(out: &std::path::Path, name: &str) -> Journal {
    Journal::open(out, name).expect("a writable history")
}

/// Ends this process when the script that started it has ended: what it started ends with it.
pub fn end_with_the_caller() {
    let Some(caller) = std::env::var("CHAOS").ok().and_then(|pid| pid.parse::<u32>().ok()) else { return };
    std::thread::spawn(move || {
        while std::fs::exists(format!("/proc/{caller}")).unwrap_or(true) {
            std::thread::sleep(Duration::from_millis(500));
        }
        std::process::exit(70);
    });
}
