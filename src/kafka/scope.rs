//! One set of properties serves the consumer and the producer. librdkafka knows which belong to one of the two alone, but
//! tells nobody: it ignores them with a warning at every start. So they are kept apart here.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::settings::refused;
use super::{KafkaSettings, SourceError};

/// What only a consumer knows. The settings refuse some of them anyway.
const CONSUMER_ONLY: &[&str] = &[
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "check.crcs",
    "consume.callback.max.messages",
    "coordinator.query.interval.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.protocol.type",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "isolation.level",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "offset.store.method",
    "offset.store.path",
    "offset.store.sync.interval.ms",
    "partition.assignment.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "session.timeout.ms",
];

/// What only a producer knows.
const PRODUCER_ONLY: &[&str] = &[
    "acks",
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "linger.ms",
    "message.send.max.retries",
    "message.timeout.ms",
    "partitioner",
    "produce.offset.report",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queuing.strategy",
    "request.required.acks",
    "request.timeout.ms",
    "retries",
    "sticky.partitioning.linger.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

/// Properties of the producer that have safe values only; another one is refused with the reason.
const FORCED: &[(&str, &[&str], &str)] = &[
    ("enable.idempotence", &["true"], "without it a request that is repeated on its way writes a record twice"),
    ("acks", ALL, "a record counts as written only when every replica in sync has it"),
    ("request.required.acks", ALL, "it is another name of `acks`: every replica in sync has to have the record"),
    ("delivery.report.only.error", &["false"], "a record that was written would never be answered"),
    ("transactional.id", &[], "nobody begins or ends a transaction here"),
];
const ALL: &[&str] = &["all", "-1"];

/// Defaults of the producer that differ from librdkafka's; a property overrides each.
const DEFAULTS: &[(&str, &str)] = &[
    ("socket.keepalive.enable", "true"),
    RECONNECT,
    // How it is known whether Kafka is reached. A producer without records asks for it, so more seldom than a consumer.
    ("statistics.interval.ms", "5000"),
    // Keys go to the partitions to which Kafka's own clients send them.
    ("partitioner", "murmur2_random"),
    // Whoever waits for an acknowledgement has a limit of its own: five minutes are beyond all of them.
    ("delivery.timeout.ms", "30000"),
    // What was read can be written again, with some headers more. The broker's own limit decides.
    ("message.max.bytes", "67108864"),
    // The bound on memory for what waits: more than one of the largest.
    ("queue.buffering.max.kbytes", "131072"),
];

/// A broker that is back is noticed within about a second: librdkafka's own limit of 10 s would keep partitions standing
/// for that long after each restart of a broker. It costs at most one attempt to connect per second and broker.
pub(super) const RECONNECT: (&str, &str) = ("reconnect.backoff.max.ms", "1000");

/// Takes the default limit away where only the first pause was set, for librdkafka refuses a longer pause than the limit.
pub(super) fn fit_reconnect(config: &mut ClientConfig, is_set: impl Fn(&str) -> bool) {
    if is_set("reconnect.backoff.ms") && !is_set(RECONNECT.0) {
        config.remove(RECONNECT.0);
    }
}

/// Two names of one property: without this, which of the two holds would be left to chance.
const ALIASES: &[(&str, &str)] = &[("message.timeout.ms", "delivery.timeout.ms")];

/// Whether a property goes to the consumer.
pub(super) fn is_consumers(name: &str) -> bool {
    !PRODUCER_ONLY.contains(&name)
}

fn is_producers(name: &str) -> bool {
    !CONSUMER_ONLY.contains(&name)
}

/// Whether librdkafka knows a property, whatever values it takes; librdkafka itself is asked.
pub fn knows_property(name: &str) -> bool {
    let asked = ClientConfig::new().set(name, "").create_native_config();
    match asked {
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => false,
        Err(KafkaError::ClientConfig(..)) | Ok(_) => true,
        // The name cannot be passed on at all.
        Err(_) => false,
    }
}

/// Whether a property is the producer's, and may not be set to this value.
pub(super) fn forced_problem(name: &str, value: &str) -> Option<String> {
    let (_, safe, why) = FORCED.iter().find(|(forced, safe, _)| *forced == name && !safe.contains(&value))?;
    Some(match safe.first() {
        Some(safe) => format!("it must be `{safe}`: {why}"),
        None => format!("it may not be set: {why}"),
    })
}

impl KafkaSettings {
    /// Every property that was set, for whichever side.
    pub(super) fn all_properties(&self) -> impl Iterator<Item = (&String, &String)> {
        self.properties.iter().chain(&self.consumer_properties).chain(&self.producer_properties)
    }

    /// The value of a property for the consumer.
    pub(super) fn consumers(&self, name: &str) -> Option<&String> {
        self.consumer_properties.get(name).or_else(|| self.properties.get(name))
    }

    /// Properties that were set for one side, and that only the other one knows.
    pub(super) fn on_the_wrong_side(&self) -> Vec<(&str, &'static str)> {
        let of_consumer = self.consumer_properties.keys().filter(|name| !is_consumers(name));
        let of_consumer =
            of_consumer.map(|name| (name.as_str(), "only a producer knows it: set it for the producer, or for both"));
        let of_producer = self.producer_properties.keys().filter(|name| !is_producers(name));
        let of_producer =
            of_producer.map(|name| (name.as_str(), "only a consumer knows it: set it for the consumer, or for both"));
        of_consumer.chain(of_producer).collect()
    }

    /// The properties in force for a producer: it shares brokers, security and network with the consumer.
    pub(super) fn producer_config(&self) -> Result<ClientConfig, SourceError> {
        if let Some(problem) = self.problems().into_iter().next() {
            return Err(problem);
        }
        let mut config = ClientConfig::new();
        config.set_log_level(self.log_level());
        for (name, value) in DEFAULTS {
            config.set(*name, *value);
        }
        let shared = self.properties.iter().filter(|(name, _)| is_producers(name));
        for (name, value) in shared.chain(&self.producer_properties) {
            if let Some((_, other)) = ALIASES.iter().find(|(alias, _)| alias == name) {
                config.remove(other);
            }
            config.set(name, value);
        }
        let is_set = |name: &str| self.producer_properties.contains_key(name) || self.properties.contains_key(name);
        fit_reconnect(&mut config, is_set);
        config.remove("request.required.acks");
        config.set("acks", "all").set("enable.idempotence", "true").set("bootstrap.servers", &self.brokers);
        config.create_native_config().map_err(|error| refused("the settings", error))?;
        Ok(config)
    }
}
