//! Whether Kafka is reached is known and shown: while all brokers are dead, while they stand still, and once they are back.

use std::sync::Arc;
use std::time::Duration;

use hapax::consumer::ConsumerBuilder;
use hapax::observe::{GroupState, KafkaClients, KafkaHealth, KafkaState, Observer};
use hapax::store::{LeaseTerms, MemoryStore};
use tokio::sync::watch;
use tokio::time::Instant;

use super::common::{Client, Kafka, Message, Signal, unique};
use super::consuming::{Journal, PATIENCE, Running, consumer, effects};

/// The limit of ten seconds, the interval of the statistics, and what a busy machine may need.
const NOTICED: Duration = Duration::from_secs(20);
/// From a broker that answers again to the first record: a reconnect per second, the group, a fetch.
const RESUMED: Duration = Duration::from_secs(6);

/// Sees how the clients stand; passes nothing else on.
#[derive(Clone, Debug, Default)]
struct Eyes(Arc<watch::Sender<KafkaClients>>);

impl Observer for Eyes {
    fn on_kafka_health(&self, clients: &KafkaClients) {
        self.0.send_replace(clients.clone());
    }
}

impl Eyes {
    fn now(&self) -> KafkaClients {
        self.0.borrow().clone()
    }

    /// Waits until they stand so.
    async fn until(&self, what: &str, limit: Duration, enough: impl Fn(&KafkaClients) -> bool) {
        let mut clients = self.0.subscribe();
        let waiting = tokio::time::timeout(limit, clients.wait_for(&enough)).await.map(|found| drop(found.unwrap()));
        waiting.unwrap_or_else(|_| panic!("not within {limit:?}: {what} in {:?}", self.now()));
    }

    async fn until_joined(&self) {
        let joined = |clients: &KafkaClients| {
            let producer = clients.producer.as_ref().is_none_or(|producer| producer.state == KafkaState::Reachable);
            clients.consumer.group == Some(GroupState::Joined)
                && clients.consumer.state == KafkaState::Reachable
                && producer
        };
        self.until("joined, and the brokers answer", PATIENCE, joined).await;
    }

    async fn until_away(&self, state: KafkaState) {
        self.until("Kafka is away", NOTICED, |clients| clients.consumer.state == state).await;
    }
}

fn settings(brokers: &Client, group: &str, topic: &str, journal: &Journal, eyes: &Eyes) -> ConsumerBuilder {
    let store = Arc::new(MemoryStore::new(LeaseTerms::default()));
    let seen = hapax::observe::Fan::new([Arc::new(journal.clone()) as Arc<dyn Observer>, Arc::new(eyes.clone())]);
    consumer(brokers, group, topic, journal).observer(Arc::new(seen)).store(store)
}

fn message(number: usize) -> Message {
    let message = Message::new().partition(0).payload(number.to_string());
    message.header("ce_id", number.to_string()).header("ce_source", "/")
}

/// One broker for all of it, since each takes seconds to start. The second consumer has no partition: it only hears
/// from the group.
#[tokio::test(flavor = "multi_thread")]
async fn kafka_dead_or_frozen_is_reported_and_its_return_noticed() {
    let kafka = Kafka::own().await;
    let (topic, group, journal) = (unique("orders"), unique("billing"), Journal::default());
    kafka.create_topic(&topic, 1).await;
    kafka.create_topic(&format!("{topic}-dlt"), 1).await;
    let eyes = [Eyes::default(), Eyes::default()];
    let consumers = eyes.each_ref().map(|eyes| {
        let settings = settings(&kafka, &group, &topic, &journal, eyes).dead_letter_auto();
        Running::start(settings, effects(&journal))
    });
    let [mut first, mut second] = consumers;
    for (eyes, running) in eyes.iter().zip([&mut first, &mut second]) {
        running.until(eyes.until_joined()).await;
        assert_eq!(eyes.now().consumer.problem, None);
    }
    kafka.produce(&topic, [message(0)]).await;
    first.until(journal.until_effects(1)).await;

    for signal in [Signal::Kill, Signal::Stop] {
        kafka.signal(signal);
        let before = Instant::now();
        for (eyes, running) in eyes.iter().zip([&mut first, &mut second]) {
            running.until(eyes.until_away(KafkaState::Unreachable)).await;
            let producer_away = |clients: &KafkaClients| {
                clients.producer.as_ref().is_some_and(|producer| producer.state == KafkaState::Unreachable)
            };
            // A producer without records looks less often.
            running.until(eyes.until("the producer is away, too", 2 * NOTICED, producer_away)).await;
            let KafkaHealth { since, last_answer, problem, .. } = eyes.now().consumer;
            assert!(since - last_answer >= 10_000, "{since} - {last_answer}");
            // A broker that stands still keeps its connections: there is no error before its requests time out.
            assert!(problem.is_some() || signal == Signal::Stop, "{problem:?}");
        }
        println!("{signal:?}: noticed within {:?}", before.elapsed());
        match signal {
            Signal::Kill => kafka.restart().await,
            _ => kafka.signal(Signal::Continue),
        }
        // Without any new record.
        let back = Instant::now();
        for (eyes, running) in eyes.iter().zip([&mut first, &mut second]) {
            running.until(eyes.until_joined()).await;
        }
        println!("{signal:?}: joined again after {:?}", back.elapsed());
    }
    first.stop().await;
    second.stop().await;
}

/// A broker is away for so long that pauses between two attempts to connect have grown.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_goes_on_soon_after_its_broker_is_back() {
    let kafka = Kafka::own().await;
    let (topic, group, journal, eyes) = (unique("orders"), unique("billing"), Journal::default(), Eyes::default());
    kafka.create_topic(&topic, 1).await;
    let settings = settings(&kafka, &group, &topic, &journal, &eyes);
    let mut running = Running::start(settings, effects(&journal));
    for round in 0..2 {
        kafka.produce(&topic, [message(2 * round)]).await;
        running.until(journal.until_effects(2 * round + 1)).await;
        kafka.kill();
        running.until(eyes.until_away(KafkaState::Unreachable)).await;
        kafka.restart().await;
        kafka.produce(&topic, [message(2 * round + 1)]).await;
        let back = Instant::now();
        running.until(journal.until_effects(2 * round + 2)).await;
        println!("resumed after {:?}", back.elapsed());
        assert!(back.elapsed() < RESUMED, "{:?}", back.elapsed());
    }
    running.stop().await;
}

/// A password that was changed is named as such, not as brokers that are away.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_refused_later_on_is_reported_as_such() {
    let kafka = Kafka::own().await;
    let (topic, group, journal, eyes) = (unique("orders"), unique("billing"), Journal::default(), Eyes::default());
    kafka.create_topic(&topic, 1).await;
    let settings = settings(&kafka.login(), &group, &topic, &journal, &eyes)
        .property("security.protocol", "sasl_plaintext")
        .property("sasl.mechanisms", "PLAIN")
        .property("sasl.username", "billing")
        .property("sasl.password", "right");
    let mut running = Running::start(settings, effects(&journal));
    running.until(eyes.until_joined()).await;
    kafka.kill();
    kafka.change_password("right", "another");
    kafka.restart().await;
    running.until(eyes.until_away(KafkaState::Denied)).await;
    let problem = eyes.now().consumer.problem.unwrap_or_default();
    assert!(problem.contains("Authentication failed") && !problem.contains("right"), "{problem}");
    kafka.kill();
    kafka.change_password("another", "right");
    kafka.restart().await;
    running.until(eyes.until_joined()).await;
    running.stop().await;
}
