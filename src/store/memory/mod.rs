//! The reference: a map behind a lock, with tokio's clock.

mod expiring;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use parking_lot::Mutex;
use tokio::time::Instant;

use self::table::Table;
use super::{
    Agreement, Answers, Claim, ClaimOutcome, Completion, CompletionOutcome, DoneRecord, GiveUp, GiveUpOutcome, Lease,
    LeaseTerms, OpenError, Release, ReleaseOutcome, RenewOutcome, State, Store, StoreHealth,
};
use crate::id::Fingerprint;

/// Remembers in this process: for tests, for the demo, and where a restart may repeat what was handled before.
///
/// It is also the reference that every other store is compared with. Time is tokio's, so tests with paused time need
/// not wait. Clones share one namespace; what is over leaves the memory with the calls that follow.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    terms: LeaseTerms,
    exact: bool,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    table: Mutex<Table>,
    agreement: Mutex<Option<Agreement>>,
}

impl MemoryStore {
    /// An empty namespace.
    pub fn new(terms: LeaseTerms) -> Self {
        Self { terms, exact: false, shared: Arc::default() }
    }

    /// An empty namespace that keeps a [`DoneRecord`] of each done ID: it tells a conflict, which is another payload
    /// under a done ID, and where the first one came from.
    pub fn exact(terms: LeaseTerms) -> Self {
        Self { terms, exact: true, shared: Arc::default() }
    }

    /// The same namespace, seen by a worker with other terms.
    #[must_use]
    pub fn with_terms(&self, terms: LeaseTerms) -> Self {
        Self { terms, exact: self.exact, shared: self.shared.clone() }
    }

    /// Asks the table about each item, all in one moment: when the future is first polled.
    fn each<T: Send + 'static, R: Send + 'static>(
        &self,
        items: Vec<T>,
        mut ask: impl FnMut(&mut Table, &T, LeaseTerms, Instant) -> R + Send + 'static,
    ) -> BoxFuture<'static, Answers<R>> {
        let Self { terms, shared, .. } = self.clone();
        future::lazy(move |_| {
            let now = Instant::now();
            let mut table = shared.table.lock();
            table.purge(now, items.len());
            items.iter().map(|item| Ok(ask(&mut table, item, terms, now))).collect()
        })
        .boxed()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(LeaseTerms::default())
    }
}

/// What is kept of a message that was handled.
fn done_record(completion: &Completion) -> Arc<DoneRecord> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let message = completion.message.as_deref();
    Arc::new(DoneRecord {
        message_id: message.and_then(|message| message.identity.clone()),
        origin: completion.origin.clone(),
        completed_at: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
        payload_hash: message.and_then(|message| message.payload_hash),
    })
}

impl Store for MemoryStore {
    fn open<'a>(&'a self, agreement: &'a Agreement) -> BoxFuture<'a, Result<(), OpenError>> {
        let differences = self.shared.agreement.lock().get_or_insert_with(|| agreement.clone()).clone();
        let differences = agreement.differences(&differences);
        let result = match differences.is_empty() {
            true => Ok(()),
            false => Err(OpenError::Disagreement { namespace: "in memory".to_owned(), differences }),
        };
        future::ready(result).boxed()
    }

    fn mode(&self) -> &'static str {
        if self.exact { "memory exact" } else { "memory" }
    }

    fn keeps_details(&self) -> bool {
        self.exact
    }

    fn terms(&self) -> LeaseTerms {
        self.terms
    }

    fn claim(&self, claims: Vec<Claim>) -> BoxFuture<'static, Answers<ClaimOutcome>> {
        self.each(claims, Table::claim)
    }

    fn complete(&self, completions: Vec<Completion>) -> BoxFuture<'static, Answers<CompletionOutcome>> {
        let exact = self.exact;
        self.each(completions, move |table, item, terms, now| {
            table.complete(item.lease.fingerprint, || exact.then(|| done_record(item)), terms, now)
        })
    }

    fn renew(&self, leases: Vec<Lease>) -> BoxFuture<'static, Answers<RenewOutcome>> {
        self.each(leases, |table, lease, terms, now| table.renew(*lease, terms, now))
    }

    fn give_up(&self, items: Vec<GiveUp>) -> BoxFuture<'static, Answers<GiveUpOutcome>> {
        self.each(items, Table::give_up)
    }

    fn release(&self, releases: Vec<Release>) -> BoxFuture<'static, Answers<ReleaseOutcome>> {
        self.each(releases, Table::release)
    }

    fn inspect(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<State>> {
        self.each(ids, |table, fingerprint, _, now| table.inspect(fingerprint, now))
    }

    fn forget(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<bool>> {
        self.each(ids, |table, fingerprint, _, now| table.forget(fingerprint, now))
    }

    fn health(&self) -> StoreHealth {
        StoreHealth::of("memory")
    }
}
