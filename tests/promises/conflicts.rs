//! Two messages under one ID, as an exact store can tell them: the partition of the second one stops and names both, or
//! it is dropped by a policy that was chosen; it is never dropped in silence.

use std::sync::Arc;
use std::time::Duration;

use hapax::consumer::ConsumerBuilder;
use hapax::engine::ConflictPolicy;
use hapax::id::HeaderId;
use hapax::store::{MemoryStore, Store};

use super::common::{Kafka, Message, unique};
use super::consuming::{Entry, Journal, Running, TERMS, consumer, effects};

const SECRET: &str = "hunter2";

fn order(id: &str, payload: &str) -> Message {
    Message::new().header("id", id).payload(payload).partition(0)
}

struct Orders {
    kafka: &'static Kafka,
    topic: String,
    group: String,
    journal: Journal,
}

impl Orders {
    /// a, b, a once more, another message under the ID of a, c.
    async fn produce() -> Self {
        let (kafka, topic) = (Kafka::shared().await, unique("orders"));
        kafka.create_topic(&topic, 1).await;
        let orders = [order("a", "1"), order("b", "1"), order("a", "1"), order("a", SECRET), order("c", "1")];
        kafka.produce(&topic, orders).await;
        Self { kafka, topic, group: unique("billing"), journal: Journal::default() }
    }

    fn settings(&self, store: &MemoryStore) -> ConsumerBuilder {
        let settings = consumer(self.kafka, &self.group, &self.topic, &self.journal);
        // The cache has to be out of the way by itself.
        settings.cache(1000, Duration::from_secs(600)).store(Arc::new(store.clone())).extractor(HeaderId::new("id"))
    }

    fn conflicts(&self) -> Vec<Entry> {
        self.journal.entries().into_iter().filter(|entry| matches!(entry, Entry::Conflict(..))).collect()
    }

    fn conflict(&self) -> Entry {
        Entry::Conflict((0, 3), format!("{}-0@0", self.topic))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_partition_stops_until_a_person_decides() {
    let orders = Orders::produce().await;
    let store = MemoryStore::exact(TERMS);
    assert!(store.keeps_details());
    let mut running = Running::start(orders.settings(&store), effects(&orders.journal));
    running.until(orders.journal.until_stops(1)).await;
    running.until_committed(orders.kafka, &orders.group, &orders.topic, &[(0, 3)].into()).await;
    running.stop().await;
    assert_eq!(orders.conflicts(), [orders.conflict()]);
    assert_eq!(orders.journal.effects_of(0), [0, 1]);
    let [(place, reason)] = orders.journal.stops().try_into().unwrap();
    assert_eq!(place, (0, 3));
    for words in [&format!("{}-0@3", orders.topic), &format!("{}-0@0", orders.topic), "duplicate", "forget"] {
        assert!(reason.contains(words), "{words:?} is not in {reason:?}");
    }
    assert!(!reason.contains(SECRET), "the reason shows the record: {reason}");

    let settings = orders.settings(&store).conflict_policy(ConflictPolicy::Duplicate);
    let mut running = Running::start(settings, effects(&orders.journal));
    running.until_all_committed(orders.kafka, &orders.group, &orders.topic).await;
    running.stop().await;
    assert_eq!(orders.journal.effects_of(0), [0, 1, 4]);
    assert_eq!(orders.conflicts(), [orders.conflict(), orders.conflict()], "dropped, but not in silence");
    let dropped = orders.journal.count(|entry| *entry == Entry::Duplicate((0, 3)));
    assert_eq!(dropped, 1);
}

/// The same records and a store that keeps no details: it cannot know.
#[tokio::test(flavor = "multi_thread")]
async fn without_details_it_is_a_duplicate_like_any_other() {
    let orders = Orders::produce().await;
    let mut running = Running::start(orders.settings(&MemoryStore::new(TERMS)), effects(&orders.journal));
    running.until_all_committed(orders.kafka, &orders.group, &orders.topic).await;
    running.stop().await;
    assert_eq!(orders.journal.effects_of(0), [0, 1, 4]);
    assert!(orders.conflicts().is_empty());
}
