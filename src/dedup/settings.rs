//! How a deduplicator is set up.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::actor::Actor;
use super::batches::Batches;
use super::coalesce::MAX_BATCH;
use super::core::{Core, Handle as Keeper};
use super::deduplicator::{Deduplicator, Shared};
use super::desk::Desk;
use super::state::State;
use crate::id::IdKey;
use crate::observe::{Blind, Observer};
use crate::record::TopicPartition;
use crate::store::{SettingsError, Store};

/// No time limit may exceed it, so that no sum overflows.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// The most IDs in flight that make sense to ask for.
const MOST_IN_FLIGHT: usize = 1 << 24;

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) id_key: IdKey,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) claim_limit: Duration,
    pub(super) handler_limit: Duration,
    pub(super) max_in_flight: usize,
    pub(super) source: TopicPartition,
}

/// Builds a [`Deduplicator`] over a store that was opened ([`Store::open`]).
#[derive(Debug)]
#[must_use]
pub struct Builder {
    store: Arc<dyn Store>,
    settings: Settings,
}

impl Builder {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        let settings = Settings {
            id_key: IdKey::default(),
            observer: Arc::new(Blind),
            claim_limit: Duration::from_secs(5),
            handler_limit: Duration::from_secs(30),
            max_in_flight: 10_000,
            source: TopicPartition::new("begin", 0),
        };
        Self { store, settings }
    }

    /// The secret that keys all fingerprints; it must be the one the store was opened with. Default: none.
    pub fn id_key(mut self, id_key: IdKey) -> Self {
        self.settings.id_key = id_key;
        self
    }

    /// The observer of every decision. Default: none. It is called while the deduplicator's state is locked, so it must
    /// not block, begin an ID, or end a guard.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.settings.observer = observer;
        self
    }

    /// How long a claim is tried before `begin` fails. Default 5 s: longer than a fail-over takes to be noticed,
    /// shorter than most callers wait.
    pub fn claim_limit(mut self, limit: Duration) -> Self {
        self.settings.claim_limit = limit;
        self
    }

    /// How long the lease of a running handler is renewed. Default 30 s. A handler that runs longer loses its lease
    /// when that has run out, and [`Guard::cancelled`](super::Guard::cancelled) says so; one that hangs holds its ID
    /// no longer than this and one lease. Nothing is stopped by it: pair it with the handler's own time-out.
    pub fn handler_limit(mut self, limit: Duration) -> Self {
        self.settings.handler_limit = limit;
        self
    }

    /// How many IDs may be in flight at once, completions and releases under way among them. Default 10,000. Beyond
    /// that, `begin` waits for room, so a task that holds a guard while it begins others must stay below it.
    pub fn max_in_flight(mut self, ids: usize) -> Self {
        self.settings.max_in_flight = ids;
        self
    }

    /// Where messages come from that are begun without a record: the origin in reports of overruns, with a running
    /// number as offset. Default `begin-0`.
    pub fn source(mut self, source: TopicPartition) -> Self {
        self.settings.source = source;
        self
    }

    /// Starts the background work on the current runtime.
    ///
    /// # Errors
    ///
    /// Names the setting that cannot be as it is; `runtime`, where no tokio runtime runs.
    pub fn build(self) -> Result<Deduplicator, SettingsError> {
        let runtime = Handle::try_current().map_err(|_| SettingsError {
            setting: "runtime",
            problem: "no tokio runtime runs here; call `build` within one, or use `pair`".to_owned(),
        })?;
        let (deduplicator, actor) = self.pair()?;
        runtime.spawn(actor.run());
        Ok(deduplicator)
    }

    /// Gives the background work apart, for one who spawns it himself; nothing happens until it runs.
    ///
    /// # Errors
    ///
    /// Names the setting that cannot be as it is.
    pub fn pair(self) -> Result<(Deduplicator, Actor), SettingsError> {
        let Self { store, settings } = self;
        store.terms().check()?;
        settings.check()?;
        let room = Arc::new(Semaphore::new(settings.max_in_flight));
        let state = State::new(Desk::new(&store, &settings, Instant::now()), Arc::clone(&room));
        let core = Arc::new(Core::new(state, room));
        let actor = Actor::new(Arc::clone(&core), Batches::new(&store, MAX_BATCH));
        let Settings { id_key, observer, source, .. } = settings;
        let shared = Shared {
            handle: Arc::new(Keeper::new(core)),
            id_key,
            observer,
            source,
            begun: AtomicI64::new(0),
            keeps_details: store.keeps_details(),
        };
        Ok((Deduplicator::new_shared(shared), actor))
    }
}

impl Settings {
    fn check(&self) -> Result<(), SettingsError> {
        let limits = [("claim_limit", self.claim_limit), ("handler_limit", self.handler_limit)];
        if let Some((setting, limit)) = limits.into_iter().find(|(_, limit)| limit.is_zero() || *limit > LONGEST) {
            let problem = format!("{limit:?} is out of range; choose more than nothing and at most ten years");
            return Err(SettingsError { setting, problem });
        }
        if !(1..=MOST_IN_FLIGHT).contains(&self.max_in_flight) {
            let problem = format!("{} is out of range; choose 1 to {MOST_IN_FLIGHT}", self.max_in_flight);
            return Err(SettingsError { setting: "max_in_flight", problem });
        }
        Ok(())
    }
}
