//! A record that failed waits in a retry topic while what lies behind it goes on, and stays the message that it was.

use std::sync::Arc;
use std::time::Duration;

use hapax::consumer::{Attempt, ConsumerBuilder, Failure, Handler};
use hapax::engine::Order;
use hapax::id::HeaderId;
use hapax::record::Record;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::common::unique;
use super::super::consuming::Running;
use super::{Topic, event, headers, payloads, text};

const SOON: Duration = Duration::from_millis(300);
const LATER: Duration = Duration::from_millis(700);

struct Retries {
    topic: Topic,
    soon: String,
    later: String,
}

impl Retries {
    async fn create() -> Self {
        let topic = Topic::create().await;
        let (soon, later) = (unique("soon"), unique("later"));
        topic.kafka.create_topic(&soon, 1).await;
        topic.kafka.create_topic(&later, 1).await;
        Self { topic, soon, later }
    }

    fn settings(&self) -> ConsumerBuilder {
        // Unique within its topic: in a retry topic it must not become another message.
        let settings = self.topic.settings().extractor(HeaderId::new("ce_id"));
        settings.order(Order::Unordered).retry_topic(&self.soon, SOON).retry_topic(&self.later, LATER)
    }

    /// Everything is settled where it lies.
    async fn all_committed(&self, running: &mut Running) {
        for topic in [&self.topic.name, &self.soon, &self.later] {
            let mut ends = self.topic.kafka.end_offsets(topic).await;
            // Of a partition without records nothing is committed.
            ends.retain(|_, end| *end > 0);
            running.until_committed(self.topic.kafka, &self.topic.group, topic, &ends).await;
        }
    }
}

/// When each attempt at a record that begins with `bad` began, and its number; it succeeds at this one.
#[derive(Clone)]
struct SucceedsAt(u32, Arc<Mutex<Vec<(u32, Instant)>>>);

impl Handler for SucceedsAt {
    async fn handle(&self, record: Record, attempt: Attempt) -> Result<(), Failure> {
        if text(&record).starts_with("bad") {
            self.1.lock().push((attempt.number, Instant::now()));
            if attempt.number < self.0 {
                return Err(Failure::retryable("not yet"));
            }
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_through_the_retry_topics_while_the_others_go_on() {
    let retries = Retries::create().await;
    retries.topic.produce(&["bad", "a"]).await;
    let attempts = SucceedsAt(3, Arc::default());
    let mut running = Running::start(retries.settings(), attempts.clone());
    running.until(retries.topic.notes.until(1, "Handled bad")).await;
    retries.all_committed(&mut running).await;
    running.stop().await;
    assert_eq!(retries.topic.notes.of(""), ["Retried bad", "Handled a", "Retried bad", "Handled bad"]);
    let attempts = attempts.1.lock().clone();
    assert_eq!(attempts.iter().map(|attempt| attempt.0).collect::<Vec<_>>(), [1, 2, 3]);
    // Due times are in whole milliseconds of the wall clock.
    let slack = Duration::from_millis(50);
    assert!(attempts[1].1 - attempts[0].1 >= SOON - slack && attempts[2].1 - attempts[1].1 >= LATER - slack);
    assert!(retries.topic.kafka.records(&retries.topic.letters()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_last_retry_topic_it_is_a_dead_letter_of_its_first_topic() {
    let retries = Retries::create().await;
    retries.topic.produce(&["bad", "a"]).await;
    let mut running = Running::start(retries.settings().max_attempts(9), SucceedsAt(99, Arc::default()));
    running.until(retries.topic.notes.until(1, "DeadLettered bad")).await;
    retries.all_committed(&mut running).await;
    running.stop().await;
    let letters = retries.topic.kafka.records(&retries.topic.letters()).await;
    assert_eq!(payloads(&letters), ["bad"]);
    let found = headers(&letters[0]);
    let value = |name: &str| found.iter().find(|(header, _)| header == name).and_then(|(_, value)| value.clone());
    assert_eq!(value("kafka_dlt-original-topic"), Some(retries.topic.name.clone().into_bytes()));
    assert_eq!(value("kafka_dlt-original-offset"), Some(0_i64.to_be_bytes().to_vec()));
    assert_eq!(value("hapax-attempts"), Some(b"3".to_vec()));
    assert!(found.iter().all(|(name, _)| !name.starts_with("hapax-retry") && !name.starts_with("hapax-original")));
}

/// The producer sends it again while its copy waits: the two are one message, whichever is handled first.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_sent_again_meanwhile_is_handled_once() {
    let retries = Retries::create().await;
    retries.topic.produce(&["bad"]).await;
    let attempts = SucceedsAt(2, Arc::default());
    let mut running = Running::start(retries.settings(), attempts.clone());
    running.until(retries.topic.notes.until(1, "Retried bad")).await;
    retries.topic.kafka.produce(&retries.topic.name, [event("bad")]).await;
    running.until(retries.topic.notes.until(1, "Duplicate bad")).await;
    retries.all_committed(&mut running).await;
    running.stop().await;
    assert_eq!(retries.topic.notes.of("Handled"), ["Handled bad"]);
    let numbers: Vec<_> = attempts.1.lock().iter().map(|attempt| attempt.0).collect();
    assert_eq!(numbers, [1, 2], "its count goes along");
}
