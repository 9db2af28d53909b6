//! What the tests on faults of Redis share: a worker on the public API, and a count of the effects it had.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hapax::dedup::{Begin, Deduplicator, Guard, Recording};
use hapax::id::Namespace;
use hapax::observe::Observer;
use hapax::store::{LeaseTerms, RedisStore, State, Store, StoreError, Verdict};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::conformance::{LONG, id, only};

/// How long it may take to go on after a fault has passed: the longest pause of a deduplicator (2 s), that of a
/// connection (1 s), and what a busy machine needs.
pub const RECOVERY: Duration = Duration::from_secs(6);

/// Who never ends is noticed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a completion is recorded, and tells whether it was the first.
pub async fn recorded(recording: Recording) -> Verdict {
    let within = tokio::time::timeout(PATIENCE, recording).await;
    within.expect("finished work is recorded in the end").expect("the deduplicator was not shut down")
}

/// How often each ID was handled, by all workers of a test.
#[derive(Clone, Debug, Default)]
pub struct Effects(Arc<Mutex<BTreeMap<u32, u32>>>);

impl Effects {
    pub fn add(&self, n: u32) {
        *self.0.lock().entry(n).or_default() += 1;
    }

    pub fn of(&self, n: u32) -> u32 {
        self.0.lock().get(&n).copied().unwrap_or(0)
    }

    /// How many effects there were beyond the first of each ID.
    pub fn repeats(&self) -> u32 {
        self.0.lock().values().map(|effects| effects - 1).sum()
    }
}

/// What went wrong: operation, kind, and all that the error says.
type Error = (&'static str, &'static str, String);

/// Notes what goes wrong.
#[derive(Debug)]
pub struct Errors(watch::Sender<Vec<Error>>);

impl Observer for Errors {
    fn on_store_error(&self, operation: &'static str, error: &StoreError) {
        self.0.send_modify(|errors| errors.push((operation, error.kind(), said(error))));
    }
}

impl Errors {
    /// Waits until an operation failed that often.
    pub async fn until(&self, operation: &str, times: usize) {
        let enough = |errors: &Vec<Error>| errors.iter().filter(|(of, ..)| *of == operation).count() >= times;
        let mut errors = self.0.subscribe();
        tokio::time::timeout(PATIENCE, errors.wait_for(enough)).await.expect("an error").expect("its sender lives");
    }

    /// The kinds of an operation's errors, each once.
    pub fn kinds(&self, operation: &str) -> Vec<&'static str> {
        let mut kinds: Vec<_> =
            self.0.borrow().iter().filter(|(of, ..)| *of == operation).map(|(_, kind, _)| *kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// Whether some error says that.
    pub fn say(&self, text: &str) -> bool {
        self.0.borrow().iter().any(|(.., said)| said.contains(text))
    }
}

fn said(error: &StoreError) -> String {
    let (mut text, mut source) = (error.to_string(), std::error::Error::source(error));
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

/// One process that handles messages.
#[derive(Clone, Debug)]
pub struct Site {
    pub store: Arc<RedisStore>,
    pub dedup: Deduplicator,
    pub errors: Arc<Errors>,
}

/// What became of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    Effect(Verdict),
    Duplicate,
}

/// Limits that a test can wait for.
const RESPONSE: Duration = Duration::from_millis(200);
const CONNECT: Duration = Duration::from_millis(500);

impl Site {
    pub fn new(url: &str, namespace: &str) -> Self {
        Self::with(url, namespace, LONG, RESPONSE)
    }

    pub fn with(url: &str, namespace: &str, terms: LeaseTerms, response: Duration) -> Self {
        let builder = RedisStore::builder(url, Namespace::new(namespace).unwrap()).terms(terms);
        let store = Arc::new(builder.response_limit(response).connect_limit(CONNECT.max(response)).build().unwrap());
        let errors = Arc::new(Errors(watch::Sender::new(Vec::new())));
        let builder = Deduplicator::builder(store.clone()).observer(errors.clone()).claim_limit(PATIENCE);
        Self { store, dedup: builder.build().unwrap(), errors }
    }

    pub async fn begin(&self, n: u32) -> Begin {
        let begin = tokio::time::timeout(PATIENCE, self.dedup.begin_fingerprint(id(n))).await;
        begin.expect("an answer").expect("an answer that is no error")
    }

    /// Claims an ID that is free.
    pub async fn claim(&self, n: u32) -> Guard {
        match self.begin(n).await {
            Begin::Claimed(guard) => guard,
            other => panic!("{n}: {other:?}"),
        }
    }

    /// Handles a message as a loop does: waits while it is in flight elsewhere, and tries again.
    pub async fn handle(&self, effects: &Effects, n: u32) -> Handled {
        let handling = async {
            loop {
                match self.begin(n).await {
                    Begin::Claimed(guard) => {
                        effects.add(n);
                        return Handled::Effect(recorded(guard.complete()).await);
                    }
                    Begin::Duplicate => return Handled::Duplicate,
                    other @ Begin::Conflict { .. } => panic!("{other:?} of a message that told no details"),
                    Begin::InFlight(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, handling).await.unwrap_or_else(|_| panic!("{n} is never handled"))
    }

    pub async fn handle_all(&self, effects: &Effects, ids: impl IntoIterator<Item = u32>) -> Vec<Handled> {
        let mut handled = Vec::new();
        for n in ids {
            handled.push(self.handle(effects, n).await);
        }
        handled
    }

    /// The state of an ID; asked until Redis answers.
    pub async fn state(&self, n: u32) -> State {
        let mut state = None;
        crate::conformance::until(async || {
            state = self.store.inspect(vec![id(n)]).await.pop().and_then(Result::ok);
            state.is_some()
        })
        .await;
        state.expect("asked until there is one")
    }

    /// One claim on the store itself, without a deduplicator's repetitions.
    pub async fn one_claim(&self, n: u32, name: u8) -> Result<hapax::store::ClaimOutcome, StoreError> {
        self.store.claim(vec![crate::conformance::claim(n, name)]).await.pop().expect("one item, one answer")
    }

    pub async fn is_done(&self, n: u32) -> bool {
        matches!(only(self.store.inspect(vec![id(n)]).await), State::Done { .. })
    }
}
