//! What is measured: the public API, over a store that counts its batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_util::future::BoxFuture;
use hapax::dedup::{Begin, Deduplicator};
use hapax::id::{Fingerprint, Namespace};
use hapax::record::TopicPartition;
use hapax::store::{
    Agreement, Answers, Claim, ClaimOutcome, Completion, CompletionOutcome, Lease, LeaseTerms, OpenError, RedisStore,
    Release, ReleaseOutcome, RenewOutcome, State, Store,
};

/// How many tasks share a deduplicator.
pub const TASKS: u64 = 256;

/// Where messages pretend to come from: it stands in leases, and its length counts.
pub fn source() -> TopicPartition {
    TopicPartition::new("orders", 3)
}

/// A store of a namespace, as all its settings' defaults make it.
pub fn redis_store(url: &str, namespace: &str) -> RedisStore {
    RedisStore::builder(url, Namespace::new(namespace).expect("a namespace")).build().expect("a store")
}

/// A store that counts what it is asked; no local cache, so that every ID is asked for.
#[derive(Debug)]
pub struct Counted {
    store: RedisStore,
    claims: Batches,
    completions: Batches,
}

#[derive(Debug, Default)]
struct Batches {
    calls: AtomicU64,
    items: AtomicU64,
}

impl Batches {
    fn count(&self, items: usize) {
        self.calls.fetch_add(1, Relaxed);
        self.items.fetch_add(items as u64, Relaxed);
    }

    fn mean(&self) -> f64 {
        crate::meter::per(self.items.load(Relaxed) as f64, self.calls.load(Relaxed) as f64)
    }
}

impl Counted {
    pub fn new(store: RedisStore) -> Arc<Self> {
        Arc::new(Self { store, claims: Batches::default(), completions: Batches::default() })
    }

    /// Mean sizes of the batches of claims and of completions.
    pub fn mean_batches(&self) -> (f64, f64) {
        (self.claims.mean(), self.completions.mean())
    }

    /// Round trips: batches of either kind.
    pub fn round_trips(&self) -> u64 {
        self.claims.calls.load(Relaxed) + self.completions.calls.load(Relaxed)
    }
}

impl Store for Counted {
    fn open<'a>(&'a self, agreement: &'a Agreement) -> BoxFuture<'a, Result<(), OpenError>> {
        self.store.open(agreement)
    }
    fn mode(&self) -> &'static str {
        self.store.mode()
    }
    fn terms(&self) -> LeaseTerms {
        self.store.terms()
    }
    fn claim(&self, claims: Vec<Claim>) -> BoxFuture<'static, Answers<ClaimOutcome>> {
        self.claims.count(claims.len());
        self.store.claim(claims)
    }
    fn complete(&self, completions: Vec<Completion>) -> BoxFuture<'static, Answers<CompletionOutcome>> {
        self.completions.count(completions.len());
        self.store.complete(completions)
    }
    fn renew(&self, leases: Vec<Lease>) -> BoxFuture<'static, Answers<RenewOutcome>> {
        self.store.renew(leases)
    }
    fn release(&self, releases: Vec<Release>) -> BoxFuture<'static, Answers<ReleaseOutcome>> {
        self.store.release(releases)
    }
    fn inspect(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<State>> {
        self.store.inspect(ids)
    }
    fn forget(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<bool>> {
        self.store.forget(ids)
    }
}

/// A store that is open and connected, and a deduplicator over it.
pub async fn opened(url: &str, namespace: &str) -> (Arc<Counted>, Deduplicator) {
    let store = Counted::new(redis_store(url, namespace));
    let agreement = Agreement::of(&*store, "header ce_id", &hapax::id::IdKey::default());
    store.open(&agreement).await.expect("an agreement");
    let dedup = Deduplicator::builder(store.clone()).source(source()).build().expect("a deduplicator");
    (store, dedup)
}

/// 256 tasks begin and complete the IDs among them, each one after the other. All have to be answered as expected.
pub async fn handle(dedup: &Deduplicator, ids: &Arc<Vec<Fingerprint>>, duplicates: bool) {
    let next = Arc::new(AtomicU64::new(0));
    let task = |_| {
        let (dedup, ids, next) = (dedup.clone(), ids.clone(), next.clone());
        tokio::spawn(async move {
            while let Some(id) = ids.get(next.fetch_add(1, Relaxed) as usize) {
                match dedup.begin_fingerprint(*id).await.expect("an answer") {
                    Begin::Claimed(guard) if !duplicates => {
                        guard.complete().await.expect("an answer");
                    }
                    Begin::Duplicate if duplicates => {}
                    other => panic!("{other:?} was not expected"),
                }
            }
        })
    };
    for task in (0..TASKS).map(task).collect::<Vec<_>>() {
        task.await.expect("a task that ends");
    }
}

/// Claims and completes IDs, as messages come in: completions alone would come faster than they ever do.
pub async fn handle_in_batches(store: &RedisStore, ids: impl IntoIterator<Item = Fingerprint>) {
    let token = hapax::store::Token::from_bytes([8; 16]);
    let origin = hapax::record::Origin { partition: source(), offset: 42 };
    let claim = |fingerprint| Claim {
        lease: Lease { fingerprint, token },
        takes_over: true,
        origin: origin.clone(),
        message: None,
    };
    let mut ids = ids.into_iter().peekable();
    while let Some(first) = ids.peek().copied() {
        let batch: Vec<Fingerprint> = ids.by_ref().take(4_000).collect();
        for answer in store.claim(batch.iter().copied().map(claim).collect()).await {
            assert!(matches!(answer, Ok(ClaimOutcome::Claimed { .. })), "{answer:?}");
        }
        remember(store, batch).await;
        // The leases are gone when this is answered.
        store.inspect(vec![first]).await;
    }
}

/// Records IDs as done, as another worker would have.
pub async fn remember(store: &RedisStore, ids: impl IntoIterator<Item = Fingerprint>) {
    let token = hapax::store::Token::from_bytes([7; 16]);
    let origin = hapax::record::Origin { partition: source(), offset: 42 };
    let held_for = std::time::Duration::from_millis(1);
    let completion = |fingerprint| Completion {
        lease: Lease { fingerprint, token },
        origin: origin.clone(),
        held_for,
        message: None,
    };
    let mut ids = ids.into_iter().map(completion);
    loop {
        let batch: Vec<Completion> = ids.by_ref().take(4_000).collect();
        if batch.is_empty() {
            return;
        }
        store.complete(batch).await.into_iter().for_each(|answer| {
            answer.expect("an answer");
        });
    }
}
