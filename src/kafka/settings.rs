//! Settings of the consumer: what is forced and why, what is a default and why.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::{GroupProtocol, OffsetLost, SourceError, StartAt, scope};

/// How long the brokers may take to answer at the start.
pub const DEFAULT_START_LIMIT: Duration = Duration::from_secs(10);
/// How long a drain may take.
pub const DEFAULT_DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// How long the consumer may go without a poll before the group takes its partitions away: librdkafka's own default.
pub const DEFAULT_MAX_POLL_INTERVAL: Duration = Duration::from_secs(300);
/// Moves only the partitions that must move; the others keep their work in flight.
pub const DEFAULT_ASSIGNMENT_STRATEGY: &str = "cooperative-sticky";

/// librdkafka's own default of `session.timeout.ms`.
const DEFAULT_SESSION_MS: u64 = 45_000;

/// Statistics tell whether brokers answer; what comes more seldom would tell it late.
const STATISTICS: &str = "statistics.interval.ms";
const STATISTICS_MOST_MS: u64 = 10_000;

/// What a revoke may take beyond the drain: the last commit's answer, and some way to get there.
const REVOKE_MARGIN: Duration = Duration::from_secs(5);

/// Properties that have one safe value; another one is refused with the reason.
const FORCED: &[(&str, &str, &str)] = &[
    (
        "enable.auto.commit",
        "false",
        "offsets are committed by hand, after the work: committing by timer would lose records in a crash",
    ),
    ("auto.commit.enable", "false", "it is another name of `enable.auto.commit`, and offsets are committed by hand"),
    (
        "enable.auto.offset.store",
        "false",
        "an offset counts only once its record was handled: storing it on delivery would lose records in a crash",
    ),
    ("enable.partition.eof", "false", "the end of a partition is no record, and reporting it can move the position"),
];

/// Properties that are settings of their own; both would contradict each other.
const NAMED: &[(&str, &str)] = &[
    ("bootstrap.servers", "set `brokers` instead"),
    ("metadata.broker.list", "set `brokers` instead"),
    ("group.id", "set `group` instead"),
    ("group.instance.id", "set `static_member` instead"),
    (
        "group.protocol",
        "set `group_protocol` instead: it is classic by default, and what the other costs is told there",
    ),
    (
        "auto.offset.reset",
        "set `start_at` or `offset_lost` instead; by default it is `error`, since a silent reset would skip records, or \
         repeat those older than the window",
    ),
];

/// What the classic protocol alone knows; with the other one the brokers decide.
const CLASSIC_ONLY: &[&str] =
    &["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy", "group.protocol.type"];

/// Defaults that differ from librdkafka's; a property overrides each.
const DEFAULTS: &[(&str, &str)] = &[
    // Records of aborted transactions are no records.
    ("isolation.level", "read_committed"),
    // Finds a broker that vanished without closing its connections.
    ("socket.keepalive.enable", "true"),
    scope::RECONNECT,
    // How it is known whether Kafka is reached. Costs about a microsecond for each partition of the topics.
    (STATISTICS, "2000"),
    // A record damaged on its way would be handled, or its ID misread. Costs a few per cent of the fetch thread.
    ("check.crcs", "true"),
    // A pause throws away what was fetched ahead, and a resume fetches it again: so little is held ahead. 10,000
    // records are 20 ms of a fast consumer, more than a round trip to the broker.
    ("queued.min.messages", "10000"),
    // The bound on memory for what was fetched ahead, for all partitions together.
    ("queued.max.messages.kbytes", "16384"),
    // With so small a queue librdkafka's default of a whole second between two looks at a full queue would starve it.
    ("fetch.queue.backoff.ms", "10"),
    // What one fetch brings of one partition: this much is fetched again after a resume. Larger records still arrive.
    ("fetch.message.max.bytes", "524288"),
];

/// How to reach Kafka, what to read, and as which group.
///
/// `Debug` shows no secret.
#[derive(Clone)]
#[non_exhaustive]
pub struct KafkaSettings {
    /// The brokers to ask first: `host:port`, separated by commas.
    pub brokers: String,
    /// The consumer group.
    pub group: String,
    /// The topics to read, by their full names.
    pub topics: Vec<String>,
    /// Any other librdkafka property, of consumers and producers alike: each gets those that it knows. Some are refused:
    /// see the errors of [`Source::start`](super::Source::start).
    pub properties: BTreeMap<String, String>,
    /// Properties of the consumer alone; each stands before one of the same name in [`properties`](Self::properties).
    pub consumer_properties: BTreeMap<String, String>,
    /// Properties of the producer alone, which writes dead letters and retries; each stands before one of the same name
    /// in [`properties`](Self::properties).
    pub producer_properties: BTreeMap<String, String>,
    /// How the group deals out partitions; default [`DEFAULT_ASSIGNMENT_STRATEGY`]. The property
    /// `partition.assignment.strategy` overrides it.
    pub assignment_strategy: String,
    /// By which protocol members share partitions; default [`GroupProtocol::Classic`].
    pub group_protocol: GroupProtocol,
    /// Where a partition starts for which the group never committed an offset; default [`StartAt::Earliest`].
    pub start_at: StartAt,
    /// What happens where the offset to read next is not, or no longer, in the partition; default
    /// [`OffsetLost::Stop`].
    pub offset_lost: OffsetLost,
    /// The ID of a static member: a consumer that comes back with it within the session timeout gets its partitions
    /// back without a rebalance. No two consumers may run with the same one: the newer stops the older.
    pub static_member: Option<String>,
    /// How long the brokers may take to answer at the start; default [`DEFAULT_START_LIMIT`].
    pub start_limit: Duration,
    /// How long what runs may take to end when partitions are revoked; default [`DEFAULT_DRAIN_LIMIT`]. Other members
    /// of the group wait for it. At most half the poll interval.
    pub drain_limit: Duration,
    /// How long the consumer may go without a poll before the group takes its partitions away; default
    /// [`DEFAULT_MAX_POLL_INTERVAL`]. The property `max.poll.interval.ms` overrides it.
    pub max_poll_interval: Duration,
}

impl KafkaSettings {
    /// Settings with all defaults.
    pub fn new(
        brokers: impl Into<String>,
        group: impl Into<String>,
        topics: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            brokers: brokers.into(),
            group: group.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            properties: BTreeMap::new(),
            consumer_properties: BTreeMap::new(),
            producer_properties: BTreeMap::new(),
            assignment_strategy: DEFAULT_ASSIGNMENT_STRATEGY.to_owned(),
            group_protocol: GroupProtocol::default(),
            start_at: StartAt::default(),
            offset_lost: OffsetLost::default(),
            static_member: None,
            start_limit: DEFAULT_START_LIMIT,
            drain_limit: DEFAULT_DRAIN_LIMIT,
            max_poll_interval: DEFAULT_MAX_POLL_INTERVAL,
        }
    }

    /// Checks the settings, without any connection.
    ///
    /// # Errors
    /// The first of [`problems`](Self::problems).
    pub fn validate(&self) -> Result<(), SourceError> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that is missing, refused, unknown, or contradicts another setting, without any connection. What
    /// librdkafka notices only when it puts its properties together, [`Source::start`](super::Source::start) tells.
    pub fn problems(&self) -> Vec<SourceError> {
        let mut problems = self.check_own();
        let ours = |name: &str| FORCED.iter().any(|(forced, ..)| *forced == name) || NAMED.iter().any(|n| n.0 == name);
        for (name, value) in self.all_properties().filter(|(name, _)| !ours(name)) {
            // One by one: librdkafka's check of all of them ends with the first.
            let refused =
                ClientConfig::new().set(name, value).create_native_config().map_err(|e| refused(name, e)).err();
            problems.extend(refused);
        }
        if problems.is_empty() {
            problems.extend(self.client_config().err());
        }
        problems
    }

    /// The poll interval that is in force: the property overrides the setting.
    pub(super) fn poll_interval(&self) -> Result<Duration, SourceError> {
        match self.consumers("max.poll.interval.ms") {
            None => Ok(self.max_poll_interval),
            Some(value) => value
                .parse()
                .map(Duration::from_millis)
                .map_err(|_| SourceError::setting("max.poll.interval.ms", "it must be a whole number of milliseconds")),
        }
    }

    /// How long partitions are kept after a revoke was asked for, drained or not.
    pub(super) fn revoke_limit(&self, poll_interval: Duration) -> Duration {
        // Beyond the poll interval the group would take them away, and every offset with them.
        (self.drain_limit + REVOKE_MARGIN).min(poll_interval * 4 / 5)
    }

    /// The properties in force.
    pub(super) fn client_config(&self) -> Result<ClientConfig, SourceError> {
        if let Some(problem) = self.check_own().into_iter().next() {
            return Err(problem);
        }
        let mut config = ClientConfig::new();
        config.set_log_level(self.log_level());
        for (name, value) in DEFAULTS {
            config.set(*name, *value);
        }
        match self.group_protocol {
            GroupProtocol::Classic => {
                config.set("group.protocol", "classic").set("partition.assignment.strategy", &self.assignment_strategy)
            }
            GroupProtocol::Consumer => config.set("group.protocol", "consumer"),
        };
        config.set("auto.offset.reset", self.offset_lost.reset());
        config.set("max.poll.interval.ms", self.poll_interval()?.as_millis().to_string());
        let shared = self.properties.iter().filter(|(name, _)| scope::is_consumers(name));
        for (name, value) in shared.chain(&self.consumer_properties) {
            // Two names of one property: without this, which of the two holds would be left to chance.
            if name == "max.partition.fetch.bytes" {
                config.remove("fetch.message.max.bytes");
            }
            config.set(name, value);
        }
        scope::fit_reconnect(&mut config, |name| self.consumers(name).is_some());
        for (name, value, _) in FORCED.iter().filter(|(name, ..)| *name != "auto.commit.enable") {
            config.set(*name, *value);
        }
        config.remove("auto.commit.enable");
        config.set("bootstrap.servers", &self.brokers);
        config.set("group.id", &self.group);
        if let Some(id) = &self.static_member {
            config.set("group.instance.id", id);
        }
        config.create_native_config().map_err(|error| refused("the settings", error))?;
        Ok(config)
    }

    /// What librdkafka says is filtered by the subscriber, not here.
    pub(super) fn log_level(&self) -> RDKafkaLogLevel {
        if self.all_properties().any(|(name, _)| name == "debug") {
            RDKafkaLogLevel::Debug
        } else {
            RDKafkaLogLevel::Info
        }
    }

    /// What is wrong with our own settings, and with properties that are ours to decide.
    fn check_own(&self) -> Vec<SourceError> {
        let mut problems = Vec::new();
        let mut refuse = |name: &str, problem: String| problems.push(SourceError::setting(name, problem));
        let missing = [
            ("brokers", self.brokers.trim().is_empty()),
            ("group", self.group.trim().is_empty()),
            ("topics", self.topics.is_empty() || self.topics.iter().any(|topic| topic.is_empty())),
        ];
        for (name, _) in missing.iter().filter(|(_, missing)| *missing) {
            refuse(name, "it is empty".to_owned());
        }
        if self.topics.iter().any(|topic| topic.starts_with('^')) {
            let problem =
                "a pattern is not accepted, since nobody could tell whether a topic is missing: name each topic";
            refuse("topics", problem.to_owned());
        }
        // The bindings panic over it where they cannot answer with an error.
        let texts = [("brokers", &self.brokers), ("group", &self.group)].into_iter();
        let texts = texts.chain(self.topics.iter().map(|topic| ("topics", topic)));
        for (name, _) in texts.filter(|(_, text)| text.contains('\0')) {
            refuse(name, "it holds a NUL character".to_owned());
        }
        for (name, value, why) in FORCED {
            if self.all_properties().any(|(set, other)| set == name && other != value) {
                refuse(name, format!("it must be `{value}`: {why}"));
            }
        }
        for (name, value) in self.all_properties() {
            if let Some(problem) = scope::forced_problem(name, value) {
                refuse(name, problem);
            }
        }
        let seldom = |value: &String| !value.parse().is_ok_and(|each| (1..=STATISTICS_MOST_MS).contains(&each));
        if self.all_properties().any(|(name, value)| name == STATISTICS && seldom(value)) {
            let problem = format!(
                "it must be 1 to {STATISTICS_MOST_MS}: without statistics an outage of Kafka would not be noticed"
            );
            refuse(STATISTICS, problem);
        }
        for (name, problem) in self.on_the_wrong_side() {
            refuse(name, problem.to_owned());
        }
        for (name, instead) in NAMED {
            if self.all_properties().any(|(set, _)| set == name) {
                refuse(name, (*instead).to_owned());
            }
        }
        if self.group_protocol == GroupProtocol::Consumer {
            for name in CLASSIC_ONLY.iter().filter(|name| self.consumers(name).is_some()) {
                refuse(name, "the `consumer` protocol knows it not: the brokers decide; leave it out".to_owned());
            }
        }
        let poll_interval = self.poll_interval();
        let session = self.consumers("session.timeout.ms").map_or(Ok(DEFAULT_SESSION_MS), |set| set.parse());
        if let (Ok(poll_interval), Ok(session)) = (&poll_interval, session)
            && self.group_protocol == GroupProtocol::Classic
            && Duration::from_millis(session) > *poll_interval
        {
            let problem = "it may be at most the poll interval (max.poll.interval.ms), or librdkafka refuses both";
            refuse("session.timeout.ms", problem.to_owned());
        }
        match poll_interval {
            Ok(poll_interval) if self.drain_limit > poll_interval / 2 => refuse(
                "drain_limit",
                format!(
                    "it may be at most half the poll interval (max.poll.interval.ms, {} ms): a longer drain would cost \
                     the partitions before their last commit",
                    poll_interval.as_millis()
                ),
            ),
            Ok(_) => {}
            Err(problem) => problems.push(problem),
        }
        problems
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn shown(properties: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
            properties
                .iter()
                .map(|(name, value)| {
                    (name.as_str(), if is_secret_property(name) { "<hidden>" } else { value.as_str() })
                })
                .collect()
        }
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("group", &self.group)
            .field("topics", &self.topics)
            .field("properties", &shown(&self.properties))
            .field("consumer_properties", &shown(&self.consumer_properties))
            .field("producer_properties", &shown(&self.producer_properties))
            .field("assignment_strategy", &self.assignment_strategy)
            .field("group_protocol", &self.group_protocol)
            .field("start_at", &self.start_at)
            .field("offset_lost", &self.offset_lost)
            .field("static_member", &self.static_member)
            .field("start_limit", &self.start_limit)
            .field("drain_limit", &self.drain_limit)
            .field("max_poll_interval", &self.max_poll_interval)
            .finish()
    }
}

/// Whether a property's value must never be shown: by the words in its name, so that a property this version does not
/// know is covered too.
pub fn is_secret_property(name: &str) -> bool {
    ["pass", "secret", "token", ".pem", "jaas", "oauthbearer.config", "assertion"]
        .iter()
        .any(|word| name.contains(word))
}

/// librdkafka's answer to a property, without the value that it repeats.
pub(super) fn refused(what: &str, error: KafkaError) -> SourceError {
    match error {
        KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _, name, _) => {
            SourceError::setting(name, "librdkafka knows no such property")
        }
        KafkaError::ClientConfig(_, _, name, _) => {
            SourceError::setting(name, "librdkafka does not accept its value, or was built without what it needs")
        }
        // Its name or value cannot be passed on at all.
        _ => SourceError::setting(what, "it holds a NUL character"),
    }
}
