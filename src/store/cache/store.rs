//! A store with the local cache in front.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::DoneCache;
use crate::id::Fingerprint;
use crate::store::{
    Agreement, Answers, Claim, ClaimOutcome, Completion, CompletionOutcome, GiveUp, GiveUpOutcome, Lease, LeaseTerms,
    OpenError, Release, ReleaseOutcome, RenewOutcome, State, Store, StoreHealth,
};

/// A store behind a [`DoneCache`]: a claim of an ID that is known to be done is answered without asking the store.
///
/// A store that [keeps details](Store::keeps_details) is asked every time: a cached fact knows neither the payload that
/// was handled nor where it came from, so it would hide a conflict. There the cache stays empty.
///
/// The store's answers and this process's own completions feed the cache; [`Store::forget`] empties it for the ID
/// here, and within the cache's lifetime elsewhere.
#[derive(Clone, Debug)]
pub struct Cached {
    store: Arc<dyn Store>,
    cache: DoneCache,
    /// How many forgets have begun. An answer that was under way meanwhile may be of the time before, and does not
    /// feed the cache.
    forgets: Arc<AtomicU64>,
}

impl Cached {
    /// Puts `cache` in front of `store`.
    pub fn new(store: Arc<dyn Store>, cache: DoneCache) -> Self {
        Self { store, cache, forgets: Arc::default() }
    }

    /// The cache, for who wants to ask it before making a claim.
    pub fn cache(&self) -> &DoneCache {
        &self.cache
    }

    /// Feeds the cache with what is done, by `insert`, unless something was forgotten after `forgets` was read.
    fn learn<T>(&self, forgets: u64, done: impl Iterator<Item = T>, insert: impl Fn(&DoneCache, T)) {
        if self.forgets.load(Ordering::Acquire) == forgets {
            done.for_each(|item| insert(&self.cache, item));
        }
    }
}

/// What the cache answers.
const KNOWN: ClaimOutcome = ClaimOutcome::Done { cached: true, first: None };

impl Store for Cached {
    fn open<'a>(&'a self, agreement: &'a Agreement) -> BoxFuture<'a, Result<(), OpenError>> {
        self.store.open(agreement)
    }

    fn mode(&self) -> &'static str {
        self.store.mode()
    }

    fn keeps_details(&self) -> bool {
        self.store.keeps_details()
    }

    fn terms(&self) -> LeaseTerms {
        self.store.terms()
    }

    fn claim(&self, claims: Vec<Claim>) -> BoxFuture<'static, Answers<ClaimOutcome>> {
        if self.store.keeps_details() {
            return self.store.claim(claims);
        }
        let this = self.clone();
        async move {
            let known: Vec<bool> = claims.iter().map(|claim| this.cache.contains(&claim.lease.fingerprint)).collect();
            let unknown: Vec<Claim> =
                claims.into_iter().zip(&known).filter(|(_, known)| !**known).map(|(claim, _)| claim).collect();
            if unknown.is_empty() {
                return known.iter().map(|_| Ok(KNOWN)).collect();
            }
            let (forgets, since) = (this.forgets.load(Ordering::Acquire), Instant::now());
            let asked: Vec<Fingerprint> = unknown.iter().map(|claim| claim.lease.fingerprint).collect();
            let answers = this.store.claim(unknown).await;
            let done = asked.into_iter().zip(&answers);
            let done = done.filter(|(_, answer)| matches!(answer, Ok(ClaimOutcome::Done { .. })));
            this.learn(forgets, done, |cache, (fingerprint, _)| cache.insert(fingerprint, since));
            let mut answers = answers.into_iter();
            let answer = |known| if known { Some(Ok(KNOWN)) } else { answers.next() };
            known.into_iter().map_while(answer).collect()
        }
        .boxed()
    }

    fn complete(&self, completions: Vec<Completion>) -> BoxFuture<'static, Answers<CompletionOutcome>> {
        if self.store.keeps_details() {
            return self.store.complete(completions);
        }
        let this = self.clone();
        async move {
            // The time before the request: the cache must not remember for longer than the store.
            let (forgets, since) = (this.forgets.load(Ordering::Acquire), Instant::now());
            let asked: Vec<Fingerprint> = completions.iter().map(|item| item.lease.fingerprint).collect();
            let answers = this.store.complete(completions).await;
            let done = asked.into_iter().zip(&answers).filter(|(_, answer)| answer.is_ok());
            this.learn(forgets, done, |cache, (fingerprint, answer)| match answer {
                Ok(CompletionOutcome::Recorded | CompletionOutcome::RecordedAfterLoss) => {
                    cache.insert_first(fingerprint, since);
                }
                _ => cache.insert(fingerprint, since),
            });
            answers
        }
        .boxed()
    }

    fn renew(&self, leases: Vec<Lease>) -> BoxFuture<'static, Answers<RenewOutcome>> {
        self.store.renew(leases)
    }

    fn give_up(&self, items: Vec<GiveUp>) -> BoxFuture<'static, Answers<GiveUpOutcome>> {
        self.store.give_up(items)
    }

    fn release(&self, releases: Vec<Release>) -> BoxFuture<'static, Answers<ReleaseOutcome>> {
        self.store.release(releases)
    }

    fn inspect(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<State>> {
        self.store.inspect(ids)
    }

    fn forget(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<bool>> {
        let this = self.clone();
        async move {
            this.forgets.fetch_add(1, Ordering::AcqRel);
            let forgotten = this.store.forget(ids.clone()).await;
            // Whatever the store answered: not to know is always right. The count moves once more, for an answer that
            // was asked for after the first and executed before the store forgot.
            this.forgets.fetch_add(1, Ordering::AcqRel);
            ids.iter().for_each(|fingerprint| this.cache.remove(fingerprint));
            forgotten
        }
        .boxed()
    }

    fn health(&self) -> StoreHealth {
        self.store.health()
    }
}
