//! The settings of a consumer, checked together before anything is connected.

use std::sync::Arc;
use std::time::Duration;

use super::age::Age;
use super::consumer::Consumer;
use super::topics::OtherTopics;
use crate::engine::{ConflictPolicy, EngineConfig, Order};
use crate::error::{BuildError, Problem};
use crate::id::{Extract, IdKey, IdPolicy, Identifier, Namespace};
use crate::kafka::{GroupProtocol, KafkaSettings, OffsetLost, StartAt};
use crate::observe::Observer;
use crate::store::{Agreement, Cached, DoneCache, Store};
use crate::telemetry::Telemetry;

/// The settings of a [`Consumer`]. Brokers, group, topics and store have no default.
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
    cache_entries: u64,
    cache_lifetime: Duration,
    observer: Option<Arc<dyn Observer>>,
    pub(super) engine: EngineConfig,
    handler_time_limit: Duration,
    drain_limit: Duration,
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
            cache_entries: 100_000,
            cache_lifetime: Duration::from_secs(600),
            observer: None,
            engine: EngineConfig { batch: 100, ..EngineConfig::default() },
            handler_time_limit: Duration::from_secs(30),
            drain_limit: Duration::from_secs(5),
        }
    }
}

impl ConsumerBuilder {
    /// Where the brokers are: `host:port`, several separated by commas.
    pub fn brokers(mut self, brokers: impl Into<String>) -> Self {
        self.kafka.brokers = brokers.into();
        self
    }

    /// The consumer group. It is the namespace, too, unless [`namespace`](Self::namespace) names another.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.kafka.group = group.into();
        self
    }

    /// Adds a topic to read.
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

    /// The ID of a static member: a consumer that comes back with it within the session timeout gets its partitions
    /// back without a rebalance. No two consumers may run with the same one: the newer stops the older.
    pub fn static_member(mut self, id: impl Into<String>) -> Self {
        self.kafka.static_member = Some(id.into());
        self
    }

    /// By which protocol the members of the group share partitions; default [`GroupProtocol::Classic`].
    pub fn group_protocol(mut self, protocol: GroupProtocol) -> Self {
        self.kafka.group_protocol = protocol;
        self
    }

    /// Where a partition starts for which the group never committed an offset; default [`StartAt::Earliest`].
    pub fn start_at(mut self, start: StartAt) -> Self {
        self.kafka.start_at = start;
        self
    }

    /// What happens where the offset to read next is not in the partition; default [`OffsetLost::Stop`].
    pub fn offset_lost(mut self, policy: OffsetLost) -> Self {
        self.kafka.offset_lost = policy;
        self
    }

    /// How long the brokers may take to answer at the start; default 10 s.
    pub fn start_limit(mut self, limit: Duration) -> Self {
        self.kafka.start_limit = limit;
        self
    }

    /// Where the states of IDs are kept.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Who handles the records; default: the group. Two groups never share one.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Where IDs come from; default: CloudEvents' header `ce_id` within `ce_source`.
    pub fn extractor(mut self, extractor: impl Extract) -> Self {
        self.extractor = Some(Arc::new(extractor));
        self
    }

    /// The secret that keys fingerprints; default: none. Set one where not every producer is trusted.
    pub fn id_key(mut self, key: IdKey) -> Self {
        self.id_key = key;
        self
    }

    /// What happens to records without a usable ID; default: they go to the dead-letter topic where there is one, and
    /// their partition stops where there is none.
    pub fn id_policy(mut self, policy: IdPolicy) -> Self {
        self.id_policy = Some(policy);
        self
    }

    /// What happens to a record whose ID was handled before with another payload; default: its partition stops. Only a
    /// store that [keeps details](Store::keeps_details) can tell.
    pub fn conflict_policy(mut self, policy: ConflictPolicy) -> Self {
        self.engine.conflict_policy = policy;
        self
    }

    /// How many done IDs the local cache holds, and for how long; default 100,000 and 10 min. The lifetime also bounds
    /// how long a `forget` elsewhere goes unseen. Zero entries: no cache; nor is there one for a store that
    /// [keeps details](Store::keeps_details), which is asked every time.
    pub fn cache(mut self, entries: u64, lifetime: Duration) -> Self {
        (self.cache_entries, self.cache_lifetime) = (entries, lifetime);
        self
    }

    /// Who sees every decision; default: [`Telemetry`].
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// How long one attempt of the handler may take; default 30 s. Its future is dropped then, and the attempt failed.
    pub fn handler_time_limit(mut self, limit: Duration) -> Self {
        self.handler_time_limit = limit;
        self
    }

    /// Whether leases of running handlers are renewed; default true. Without it the lease must outlast the handler's
    /// time limit.
    pub fn renewal(mut self, renewal: bool) -> Self {
        self.engine.renewal = renewal;
        self
    }

    /// How long running handlers may take to end when a partition is given back or the consumer ends; default 5 s.
    /// Other members of the group wait meanwhile.
    pub fn drain_limit(mut self, deadline: Duration) -> Self {
        self.drain_limit = deadline;
        self
    }

    /// Which records are handled one after the other; default: those of a partition.
    pub fn order(mut self, order: Order) -> Self {
        self.engine.order = order;
        self
    }

    /// How many calls of the handler run at once, where the order is by key or none; default 64. In the order of
    /// partitions there is one for each.
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.engine.concurrency = calls;
        self
    }

    /// The same bound for each partition; default: none of its own.
    pub fn partition_concurrency(mut self, calls: usize) -> Self {
        self.engine.partition_concurrency = Some(calls);
        self
    }

    /// How many records one call takes at most in [`Consumer::run_batches`]; default 100. [`Consumer::run`] always takes
    /// one.
    pub fn batch(mut self, records: usize) -> Self {
        self.engine.batch = records;
        self
    }

    /// How many records of a partition may have been delivered since the first that is not settled, before the partition
    /// is held back; default 10,000. So many are read again, and recognised, after a crash.
    pub fn max_span(mut self, records: usize) -> Self {
        self.engine.max_span = records;
        self
    }

    /// After which time without progress a partition is reported, with what it waits for; default 60 s.
    pub fn stall_after(mut self, time: Duration) -> Self {
        self.engine.stall_after = time;
        self
    }

    /// Handlers running and completions under way at once: what one crash can repeat. Default 256; 1 is strict and
    /// costs a round trip per record.
    pub fn max_exposed(mut self, records: usize) -> Self {
        self.engine.max_exposed = records;
        self
    }

    /// Records and bytes in flight at once; default 10,000 and 64 MiB. Up to a batch of the source more may be held.
    pub fn max_in_flight(mut self, records: usize, bytes: usize) -> Self {
        (self.engine.max_in_flight, self.engine.max_in_flight_bytes) = (records, bytes);
        self
    }

    /// Counted starts until a failing record is given up; default 5, at least 2. It goes to the
    /// [dead-letter topic](Self::dead_letter_topic), or its partition stops.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.engine.max_attempts = attempts;
        self
    }

    /// The longest delay before the second attempt, which doubles from there, and before any; default 200 ms and 30 s.
    pub fn backoff(mut self, first: Duration, cap: Duration) -> Self {
        (self.engine.backoff_first, self.engine.backoff_cap) = (first, cap);
        self
    }

    /// How often offsets are committed, or after how many settled records of a partition; default 1 s and 10,000.
    pub fn commit_every(mut self, interval: Duration, records: usize) -> Self {
        (self.engine.commit_interval, self.engine.commit_records) = (interval, records);
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
        // A cached fact would hide a conflict from a store that can tell one.
        let cache = (self.cache_entries > 0 && !store.keeps_details())
            .then(|| DoneCache::new(self.cache_entries, self.cache_lifetime, self.engine.terms.window));
        let store = match &cache {
            Some(cache) => Arc::new(Cached::new(store, cache.clone())),
            None => store,
        };
        Ok(Consumer {
            kafka: self.kafka,
            topics: self.topics,
            written,
            age: self.age,
            identifier,
            agreement,
            store,
            cache,
            observer: self.observer.unwrap_or_else(|| Arc::new(Telemetry::new())),
            engine: self.engine,
            handler_time_limit: self.handler_time_limit,
            drain_limit: self.drain_limit,
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
