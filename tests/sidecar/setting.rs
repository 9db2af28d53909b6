//! What hapax needs to deliver a topic of a test's own to an application.

use crate::beside::Beside;
use crate::common::{Client, RedisServer, unique};

/// A topic, a group, the services and the application. Message IDs stand in the header `id`.
pub struct Setting {
    pub group: String,
    pub topic: String,
    pub brokers: String,
    pub redis: String,
    pub url: String,
}

impl Setting {
    /// With a new topic of so many partitions.
    pub async fn new(kafka: &Client, partitions: i32, redis: &RedisServer, url: String) -> Self {
        let topic = unique("orders");
        kafka.create_topic(&topic, partitions).await;
        Self { group: unique("billing"), topic, brokers: kafka.bootstrap(), redis: redis.url(), url }
    }

    /// The environment that says so, and more.
    pub fn with<'s>(&'s self, more: &[(&'s str, &'s str)]) -> Vec<(&'s str, &'s str)> {
        let usual = [
            ("HAPAX_BROKERS", &*self.brokers),
            ("HAPAX_GROUP", &self.group),
            ("HAPAX_TOPICS", &self.topic),
            ("HAPAX_REDIS_URL", &self.redis),
            ("HAPAX_ID", "header:id"),
            ("HAPAX_PUSH_URL", &self.url),
        ];
        [&usual, more].concat()
    }

    /// Starts `hapax run` in it.
    pub fn start(&self, more: &[(&str, &str)]) -> Beside {
        Beside::start(&self.with(more))
    }
}
