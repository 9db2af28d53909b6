//! What the administration is told of the process around it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::ids::ScopeKind;
use super::tally::Tally;
use crate::consumer::Control;
use crate::id::{Fingerprint, IdKey, Namespace};
use crate::store::{Answers, Store};

/// Everything that the administration looks at.
#[derive(Clone, Debug)]
pub struct AdminState {
    /// Who handles the messages.
    pub namespace: Namespace,
    /// How they are delivered: `push` or `pull`.
    pub delivery: &'static str,
    /// Where the states of IDs are kept.
    pub store: Arc<dyn Store>,
    /// The secret that keys the fingerprints.
    pub id_key: IdKey,
    /// What kind of scope a plain text stands for, by the rule of the namespace.
    pub scope: ScopeKind,
    /// How long other processes may remember a forgotten ID in their caches.
    pub cache_lifetime: Duration,
    /// What counts.
    pub tally: Arc<Tally>,
    /// The consumer, where there is one.
    pub consumer: Option<Control>,
    /// The application, where messages are posted to one.
    pub target: Option<Target>,
}

impl AdminState {
    /// Makes the store forget IDs, and the local cache of this process, too.
    pub(super) async fn forget(&self, ids: Vec<Fingerprint>) -> Answers<bool> {
        if let Some(consumer) = &self.consumer
            && let Some(answers) = consumer.forget(ids.clone()).await
        {
            return answers;
        }
        self.store.forget(ids).await
    }
}

/// Asks for the state of the application that messages are posted to, as it was last seen; called for every look at the
/// status, so it must answer at once.
#[derive(Clone)]
pub struct Target {
    ask: Arc<dyn Fn() -> TargetState + Send + Sync>,
    reopen: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Target {
    /// Asks by calling a closure.
    pub fn new(ask: impl Fn() -> TargetState + Send + Sync + 'static) -> Self {
        Self { ask: Arc::new(ask), reopen: Arc::new(|| false) }
    }

    /// Lets messages be delivered again, by a closure, after the application asked for an end of delivery. The closure
    /// returns whether they are.
    #[must_use]
    pub fn reopened_by(mut self, reopen: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.reopen = Arc::new(reopen);
        self
    }

    pub(super) fn reopen(&self) -> bool {
        (self.reopen)()
    }

    pub(super) fn state(&self) -> TargetState {
        (self.ask)()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Target(…)")
    }
}

/// The application that messages are posted to, as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetState {
    /// Its URL, which holds no credentials.
    pub url: String,
    /// How it is.
    pub condition: TargetCondition,
    /// What is wrong, and the way out, where something is. Never holds what the application answered.
    pub says: Option<String>,
}

/// How the application is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetCondition {
    /// It takes messages, or nothing was delivered yet.
    Ready,
    /// The start waits for it.
    Starting,
    /// It does not answer, or says that it cannot take messages now.
    Unavailable,
    /// Its answers, or the way to it, show that the URL, the credentials or the protocol are wrong.
    Misconfigured,
    /// It asked for an end of delivery.
    Gone,
}
