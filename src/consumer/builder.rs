//! The settings of a consumer, checked together before anything is connected.

use std::sync::Arc;
use std::time::Duration;

use super::age::Age;
use super::consumer::Consumer;
use super::control::Control;
use super::topics::OtherTopics;
use crate::engine::{ConflictPolicy, EngineConfig};
use crate::error::{BuildError, Problem};
use crate::id::{Extract, IdKey, IdPolicy, Identifier, Namespace};
use crate::kafka::{GroupProtocol, KafkaSettings, OffsetLost, StartAt};
use crate::observe::Observer;
use crate::store::{Agreement, Store};
use crate::telemetry::Telemetry;

/// How many records a batch holds at most.
const DEFAULT_BATCH: usize = 100;

/// The settings of a [`Consumer`]. Brokers, group, topics and store have no default.
///
/// Every other one has, and none of the defaults can lose a message or hide a duplicate. Those that matter most:
///
/// | you want | set |
/// |---|---|
/// | other IDs than those of CloudEvents | [`extractor`](Self::extractor), [`id_key`](Self::id_key) |
/// | more at once than one record of each partition | [`order`](Self::order), [`concurrency`](Self::concurrency) |
/// | handlers that take many records | [`batch`](Self::batch) |
/// | as few repeats as possible after a crash | [`max_exposed`](Self::max_exposed) |
/// | no partition to stop at what cannot be handled | [`dead_letter_topic`](Self::dead_letter_topic), [`max_attempts`](Self::max_attempts) |
/// | handlers that take longer | [`handler_time_limit`](Self::handler_time_limit), [`drain_limit`](Self::drain_limit) |
#[derive(Debug)]
#[must_use]
pub struct ConsumerBuilder {
    pub(super) kafka: KafkaSettings,
    store: Option<Arc<dyn Store>>,
    namespace: Option<Namespace>,
    extractor: Option<Arc<dyn Extract>>,
    id_key: IdKey,
    pub(super) id_policy: Option<IdPolicy>,
    pub(super) topics: OtherTopics,
    pub(super) age: Age,
    observer: Option<Arc<dyn Observer>>,
    control: Control,
    pub(super) engine: EngineConfig,
    pub(super) batch: Option<usize>,
    handler_time_limit: Duration,
    drain_limit: Duration,
    start_timeout: Duration,
}

impl Default for ConsumerBuilder {
    fn default() -> Self {
        Self {
            kafka: KafkaSettings::new("", "", Vec::<String>::new()),
            store: None,
            namespace: None,
            extractor: None,
            id_key: IdKey::default(),
            id_policy: None,
            topics: OtherTopics::default(),
            age: Age::default(),
            observer: None,
            control: Control::new(),
            engine: EngineConfig::default(),
            batch: None,
            handler_time_limit: Duration::from_secs(30),
            drain_limit: Duration::from_secs(5),
            start_timeout: Duration::from_secs(30),
        }
    }
}

impl ConsumerBuilder {
    /// Where the brokers are: `host:port`, several separated by commas.
    pub fn brokers(mut self, brokers: impl Into<String>) -> Self {
        self.kafka.brokers = brokers.into();
        self
    }

    /// The consumer group: members share the partitions. It is the namespace, too, unless
    /// [`namespace`](Self::namespace) names another; a group of another name handles everything again.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.kafka.group = group.into();
        self
    }

    /// Adds a topic to read, by its full name. It must exist.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.kafka.topics.push(topic.into());
        self
    }

    /// Sets a property of librdkafka. Those that decide whether a message can be lost are hapax's own: they are refused
    /// when the consumer is built.
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.kafka.properties.insert(name.into(), value.into());
        self
    }

    /// All settings of Kafka at once, its drain limit among them, in place of those that were made before: for whoever
    /// has them at hand, and for properties of one side alone ([`KafkaSettings::consumer_properties`],
    /// [`KafkaSettings::producer_properties`]).
    pub fn kafka(mut self, settings: KafkaSettings) -> Self {
        self.drain_limit = settings.drain_limit;
        self.kafka = settings;
        self
    }

    /// The ID of a static member: a consumer that comes back with it within the session timeout gets its partitions
    /// back without a rebalance. No two consumers may run with the same one: the newer stops the older.
    pub fn static_member(mut self, id: impl Into<String>) -> Self {
        self.kafka.static_member = Some(id.into());
        self
    }

    /// By which protocol the members of the group share partitions; default [`GroupProtocol::Classic`], which every
    /// broker knows. The other has known faults in the bundled librdkafka: see there.
    pub fn group_protocol(mut self, protocol: GroupProtocol) -> Self {
        self.kafka.group_protocol = protocol;
        self
    }

    /// Where a partition starts for which the group never committed an offset; default [`StartAt::Earliest`], for the
    /// other leaves records out. On a long topic pair it with [`max_age`](Self::max_age).
    pub fn start_at(mut self, start: StartAt) -> Self {
        self.kafka.start_at = start;
        self
    }

    /// What happens where the offset to read next is not in the partition; default [`OffsetLost::Stop`]: records are
    /// missing, or it is another log, and somebody should know. It costs a stop of the whole consumer. With
    /// [`OffsetLost::Earliest`] set a [`max_age`](Self::max_age) below the store's window, or what is older than it
    /// remembers is handled again.
    pub fn offset_lost(mut self, policy: OffsetLost) -> Self {
        self.kafka.offset_lost = policy;
        self
    }

    /// How long the brokers may take to answer one attempt to start; default 10 s. See
    /// [`start_timeout`](Self::start_timeout) for all attempts together.
    pub fn start_limit(mut self, limit: Duration) -> Self {
        self.kafka.start_limit = limit;
        self
    }

    /// How long the start may wait for services that are away; default 30 s. Zero makes one attempt.
    ///
    /// * *Waited for*, because time can mend it: a store that does not answer or still loads its data, brokers that do not
    ///   answer, a topic that does not exist yet.
    /// * *Returned at once*, because it cannot: settings that cannot work, access that is denied, other settings than those
    ///   of the namespace.
    ///
    /// Pauses between two attempts grow from 0.2 s to 5 s. A failed attempt is logged, one line in ten seconds at most.
    /// After the time the error of the last attempt is returned; it is
    /// [retryable](crate::error::RunError::is_retryable). A shutdown ends the wait at once.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// Where the states of IDs are kept: [`RedisStore`](crate::store::RedisStore), or for a trial
    /// [`MemoryStore`](crate::store::MemoryStore), which forgets all at the end of the process. Its lease, its window
    /// and its grace are set there.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Who handles the records; default: the group. Two groups never share one, or each would take for handled what the
    /// other handled. Another namespace remembers nothing: how to move without repeats is told in
    /// [guarantees](crate::docs::guarantees).
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Where IDs come from; default: the `id` of a CloudEvent within its `source`. See [`id`](crate::id) for the
    /// others. All processes of a namespace have the same; one that has another refuses to start.
    pub fn extractor(mut self, extractor: impl Extract) -> Self {
        self.extractor = Some(Arc::new(extractor));
        self
    }

    /// The secret that keys fingerprints; default: none. Set one where not every producer is trusted: without it one
    /// could search for two IDs that collide in the compact mode. It costs nothing; another key is another rule, as
    /// with [`extractor`](Self::extractor).
    pub fn id_key(mut self, key: IdKey) -> Self {
        self.id_key = key;
        self
    }

    /// What happens to records without a usable ID; default: they go to the dead-letter topic where there is one, and
    /// their partition stops where there is none. [`IdPolicy::Coordinates`] and [`IdPolicy::Process`] go on, and cost
    /// the recognition of what producers send twice, or all of it.
    pub fn id_policy(mut self, policy: IdPolicy) -> Self {
        self.id_policy = Some(policy);
        self
    }

    /// What happens to a record whose ID was handled before with another payload; default: its partition stops. Only a
    /// store that [keeps details](Store::keeps_details) can tell. [`ConflictPolicy::DeadLetter`] loses neither message
    /// and needs a [dead-letter topic](Self::dead_letter_topic).
    pub fn conflict_policy(mut self, policy: ConflictPolicy) -> Self {
        self.engine.conflict_policy = policy;
        self
    }

    /// How many done IDs the local cache holds, and for how long; default 100,000 and 10 min, for duplicates mostly
    /// follow soon. It saves the round trip of a duplicate and costs up to 150 bytes per ID. The lifetime also bounds
    /// for how long the consumer remembers an ID that was forgotten elsewhere; see
    /// [`Control::forget`](super::Control::forget). Zero entries: no cache; nor is there one for a store that [keeps
    /// details](Store::keeps_details), which is asked every time.
    pub fn cache(mut self, entries: usize, lifetime: Duration) -> Self {
        (self.engine.cache_entries, self.engine.cache_lifetime) = (entries, lifetime);
        self
    }

    /// Who sees every decision; default: [`Telemetry`], metrics and logs. One of your own replaces it: pass on to a
    /// [`Telemetry`] what it should count, too. It is called in the engine's turn, so it must not block.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The handle by which the consumer can be paused, resumed and looked at while it runs; default: one that nobody has.
    /// Give each consumer its own.
    pub fn control(mut self, control: Control) -> Self {
        self.control = control;
        self
    }

    /// How long one attempt of the handler may take, with [`run_batches`](Consumer::run_batches) one call; default 30
    /// s. Its future is dropped then, and the attempt failed; the effect may have happened. Choose it well above what a
    /// handler takes, and the time limits of what it calls below it.
    pub fn handler_time_limit(mut self, limit: Duration) -> Self {
        self.handler_time_limit = limit;
        self
    }

    /// Whether leases of running handlers are renewed; default true: so a lease may be short, and what a dead worker
    /// held is soon taken over, although handlers take long. Without it the lease must outlast the handler's time
    /// limit.
    pub fn renewal(mut self, renewal: bool) -> Self {
        self.engine.renewal = renewal;
        self
    }

    /// How long running handlers may take to end when a partition is given back or the consumer ends; default 5 s.
    /// Other members of the group wait meanwhile. What runs longer is not committed: when a partition is given back it
    /// may end and is recorded, at the end of the consumer it is dropped, and may be repeated. At most half the poll
    /// interval. Set the grace period of whatever ends the process to more than twice as long.
    pub fn drain_limit(mut self, deadline: Duration) -> Self {
        self.drain_limit = deadline;
        self
    }

    /// Checks everything and builds the consumer; connects to nothing.
    ///
    /// # Errors
    ///
    /// [`BuildError`] lists every setting that is missing or contradicts another, each with the way out. Not retryable.
    pub fn build(mut self) -> Result<Consumer, BuildError> {
        let mut problems = Vec::new();
        self.kafka.drain_limit = self.drain_limit;
        let id_policy = self.set_topics(&mut problems);
        let written = self.topics.all(&self.kafka.topics);
        self.kafka.topics.extend(self.topics.retries.iter().map(|retry| retry.topic.to_string()));
        problems.extend(self.kafka.problems().into_iter().map(Problem::from));
        let namespace = self.namespace.clone().map_or_else(|| Namespace::new(&self.kafka.group), Ok);
        // A group that is missing was named above.
        if let Err(problem) = &namespace
            && !self.kafka.group.trim().is_empty()
        {
            problems.push(Problem::new("namespace", problem.to_string()));
        }
        match &self.store {
            None => {
                problems.push(Problem::new("store", "is missing; give it a RedisStore, or a MemoryStore for a trial"))
            }
            Some(store) => self.engine.terms = store.terms(),
        }
        // A batch that was asked for must fit; the default makes itself fit.
        self.engine.batch = self.batch.unwrap_or_else(|| DEFAULT_BATCH.min(self.engine.max_exposed.max(1)));
        problems.extend(self.engine.problems().into_iter().map(Problem::from));
        problems.extend(self.check_times());
        let (Ok(namespace), Some(store), []) = (namespace, self.store, problems.as_slice()) else {
            return Err(BuildError { problems });
        };
        let mut identifier = Identifier::new(namespace).key(self.id_key.clone()).policy(id_policy);
        if let Some(extractor) = self.extractor {
            identifier = identifier.extractor(extractor);
        }
        let agreement = Agreement::of(&*store, identifier.rule(), &self.id_key);
        if store.keeps_details() {
            // A cached fact would hide a conflict from a store that can report one.
            self.engine.cache_entries = 0;
        }
        Ok(Consumer {
            kafka: self.kafka,
            topics: self.topics,
            written,
            age: self.age,
            identifier,
            agreement,
            store,
            observer: self.observer.unwrap_or_else(|| Arc::new(Telemetry::new())),
            control: self.control,
            engine: self.engine,
            handler_time_limit: self.handler_time_limit,
            drain_limit: self.drain_limit,
            start_timeout: self.start_timeout,
        })
    }

    /// Settings of time that contradict each other.
    fn check_times(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let (lease, limit) = (self.engine.terms.lease, self.handler_time_limit);
        if limit.is_zero() {
            problems.push(Problem::new("handler_time_limit", "must be longer than zero"));
        }
        if !self.engine.renewal && self.engine.surely_held() <= limit {
            problems.push(Problem::new(
                "lease",
                format!(
                    "{lease:?}, less a tenth, does not outlast the handler's time limit of {limit:?}, and renewal is \
                     off: another worker would take over what still runs; lengthen the lease or switch renewal on"
                ),
            ));
        }
        problems
    }
}
