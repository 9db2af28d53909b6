//! The workers: each a whole consumer, of which one is killed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Result;
use super::cluster::{Cluster, GROUP, TOPIC};
use super::effects::{Effects, Worker};
use crate::consumer::{Consumer, Failure};
use crate::error::RunError;
use crate::record::Record;
use crate::store::{LeaseTerms, MemoryStore};

/// Short, so that what the killed worker held is taken over while one watches.
const TERMS: LeaseTerms =
    LeaseTerms { lease: Duration::from_secs(3), grace: Duration::from_secs(60), window: Duration::from_secs(3600) };

/// One in so many messages takes a while.
const SLOW: u64 = 64;

pub(super) struct Workers {
    brokers: String,
    effects: Effects,
    store: Arc<MemoryStore>,
    running: BTreeMap<Worker, JoinHandle<std::result::Result<(), RunError>>>,
    started: Worker,
    killed: Option<Worker>,
    shutdown: CancellationToken,
}

impl Workers {
    pub(super) fn new(cluster: &Cluster, effects: &Effects) -> Self {
        Self {
            brokers: cluster.brokers(),
            effects: effects.clone(),
            store: Arc::new(MemoryStore::new(TERMS)),
            running: BTreeMap::new(),
            started: 0,
            killed: None,
            shutdown: CancellationToken::new(),
        }
    }

    /// Starts one more.
    pub(super) fn start(&mut self) -> Result<()> {
        self.started += 1;
        let (worker, effects) = (self.started, self.effects.clone());
        let consumer = Consumer::builder()
            .brokers(&self.brokers)
            .group(GROUP)
            .topic(TOPIC)
            // So that the group notices the kill while one watches.
            .property("session.timeout.ms", "3000")
            .property("heartbeat.interval.ms", "300")
            .store(Arc::clone(&self.store) as _)
            .commit_every(Duration::from_millis(100), 1000)
            .build()?;
        let handler = move |record: Record| {
            let effects = effects.clone();
            async move {
                let payload = record.payload().map(|payload| String::from_utf8_lossy(payload).into_owned());
                let message = payload.unwrap_or_default().parse::<u64>().map_err(Failure::fatal)?;
                effects.happen(message, worker);
                // Now and then the answer takes a while, so that the kill finds effects that nobody has recorded yet.
                match message % SLOW {
                    0 => tokio::time::sleep(Duration::from_millis(2)).await,
                    _ => tokio::task::yield_now().await,
                }
                Ok::<(), Failure>(())
            }
        };
        let shutdown = self.shutdown.clone();
        self.running.insert(worker, tokio::spawn(consumer.run_until(handler, shutdown)));
        Ok(())
    }

    /// Ends one as a crash would: no drain, no commit, no release.
    pub(super) fn kill(&mut self) {
        if let Some((worker, task)) = self.running.pop_first() {
            task.abort();
            self.killed = Some(worker);
        }
    }

    pub(super) fn has_killed(&self) -> bool {
        self.killed.is_some()
    }

    /// The worker that was killed, if one was.
    pub(super) fn killed(&self) -> Option<Worker> {
        self.killed
    }

    /// Fails if a worker ended by itself.
    pub(super) fn check(&self) -> Result<()> {
        match self.running.values().any(JoinHandle::is_finished) {
            true => Err("a worker ended by itself; HAPAX_LOG=warn shows why".into()),
            false => Ok(()),
        }
    }

    /// Ends all of them in order.
    pub(super) async fn stop(&mut self) -> Result<()> {
        self.shutdown.cancel();
        while let Some((_, task)) = self.running.pop_first() {
            task.await??;
        }
        Ok(())
    }
}
