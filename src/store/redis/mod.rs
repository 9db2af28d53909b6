//! The store that all workers of a namespace share: Redis, 7.0 or later.
//!
//! Which line decides what: a claim's answer, `claim` (hot path) and `scripts` (rare path); what is written where,
//! `layout`; what a fault means, `faults`; when a connection is given up, `connection`.
//!
//! The least that an operator has to allow (tests keep this true; what is missing is named by the error):
//!
//! | where | to whom |
//! |---|---|
//! | one server, a master that sentinels watch | [`RedisStore::PERMISSIONS`], and `+select` where the URL names a database |
//! | every node of a cluster | the same, `+cluster\|slots` and `+asking` |
//! | sentinels, where they have users at all | `+sentinel\|get-master-addr-by-name` |
//!
//! With `+config\|get` two things more are known: whether the server takes snapshots, and how large its compact sets may
//! be, where that is not the usual 512.
//!
//! Redis' `maxmemory-policy` has to be `noeviction`, its default: any other silently forgets what was handled.
//!
//! Valkey is expected to work and is untested.

mod asking;
mod batch;
mod builder;
mod claim;
mod commands;
mod complete;
mod connection;
mod deletions;
mod done;
mod duplicates;
mod estimate;
mod faults;
mod give_back;
mod groups;
mod holding;
mod layout;
mod loss;
mod meta;
mod probe;
mod rights;
mod runs;
mod scripts;
mod slices;
mod value;

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Future};
use futures_util::stream::{self, StreamExt};

use self::batch::{Batch, Reply};
pub use self::builder::RedisStoreBuilder;
pub(in crate::store) use self::commands::ALLOW_THEM;
use self::connection::Link;
use self::deletions::Deletions;
pub use self::done::DoneMode;
use self::duplicates::Duplicates;
pub use self::estimate::Estimate;
use self::layout::Layout;
use self::loss::Missing;
pub use self::probe::Probe;
use self::runs::Runs;
use self::slices::{Expiries, Reader};
use super::{
    Agreement, Answers, Claim, ClaimOutcome, Completion, CompletionOutcome, GiveUp, GiveUpOutcome, Lease, LeaseTerms,
    OpenError, Release, ReleaseOutcome, RenewOutcome, State, Store, StoreHealth,
};
use crate::id::{Fingerprint, Namespace};

/// The most items that share a pipeline. The rate of claims and completions is flat from 500 to 2000 items per batch
/// (measured, Redis 7.0.15), and 1000 claims hold Redis up for about 4 ms.
const CHUNK: usize = 1000;

/// How many chunks of one batch are under way at once: enough to keep Redis busy while answers travel, few enough
/// that the last one's time limit is not spent waiting for the others.
const CHUNKS_UNDER_WAY: usize = 4;

/// Remembers in Redis, for all workers of one namespace.
///
/// Clones share one connection. Nothing is sent before [`Store::open`] or the first question, which also need a tokio
/// runtime. How long an ID's lease holds is decided by Redis' clock alone.
#[derive(Clone)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

/// What every request needs.
struct Inner {
    link: Link,
    layout: Layout,
    terms: LeaseTerms,
    mode: DoneMode,
    reader: Reader,
    expiries: Expiries,
    duplicates: Duplicates,
    deletions: Deletions,
    runs: Runs,
}

impl RedisStore {
    /// Starts a store of `namespace` in the Redis at `url`:
    ///
    /// | `url` | what it is |
    /// |---|---|
    /// | `redis://[user[:password]@]host[:port][/database]` | one server |
    /// | `redis+sentinel://[user[:password]@]host[:port][,host[:port]…]/<master name>[/database]` | the master that these sentinels name, whichever it is now; user and password are those of the servers |
    /// | `redis+cluster://[user[:password]@]host[:port][,host[:port]…]` | a cluster; a few of its nodes are enough, the others are learnt |
    ///
    /// With `rediss` instead of `redis` everything goes by TLS, and every certificate is checked: see
    /// [`tls_ca`](RedisStoreBuilder::tls_ca).
    pub fn builder(url: impl Into<String>, namespace: Namespace) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url.into(), namespace)
    }

    /// The least that an operator has to allow the user of one server, as `ACL SETUSER` takes it. A cluster and sentinels
    /// need a little more; the error of what is missing says what.
    ///
    /// Every connection is asked whether all that this store sends is allowed. Until it is, nothing is claimed, and
    /// [`Store::open`] fails and names the commands.
    pub const PERMISSIONS: &str = commands::PERMISSIONS;

    /// Which namespace the store is of.
    pub fn namespace(&self) -> &Namespace {
        self.inner.layout.namespace()
    }

    /// How the servers are doing, as it was last seen; sends nothing.
    pub fn health(&self) -> StoreHealth {
        let mut health = self.inner.link.health();
        // For as long as something may come again that was remembered then.
        if self.inner.reader.lost_for().is_some_and(|lost| lost < self.inner.terms.window) {
            health.findings.insert(0, Missing::All.finding(self.namespace(), self.inner.link.address()));
        }
        if self.inner.runs.replaced_for().is_some_and(|replaced| replaced < self.inner.terms.window) {
            health.findings.push(Missing::TheLast.finding(self.namespace(), self.inner.link.address()));
        }
        health
    }

    /// Asks in chunks, a few at once, and answers in the order of the items.
    fn in_chunks<T, R, F>(&self, items: Vec<T>, ask: fn(Arc<Inner>, Vec<T>) -> F) -> BoxFuture<'static, Answers<R>>
    where
        T: Send + 'static,
        R: Send + 'static,
        F: Future<Output = Answers<R>> + Send + 'static,
    {
        let inner = self.inner.clone();
        if items.len() <= CHUNK {
            return match items.is_empty() {
                true => futures_util::future::ready(Vec::new()).boxed(),
                false => ask(inner, items).boxed(),
            };
        }
        let chunks = stream::iter(split(items)).map(move |chunk| ask(inner.clone(), chunk));
        chunks.buffered(CHUNKS_UNDER_WAY).concat().boxed()
    }
}

impl Inner {
    async fn open(&self, agreement: &Agreement) -> Result<(), OpenError> {
        self.link.check().await?;
        let mut batch = Batch::default();
        meta::ask(&mut batch, &self.layout, agreement, self.reader.kept_for())?;
        let replies = <[Reply; 2]>::try_from(self.link.ask(batch).await);
        let replies = replies.map_err(|_| faults::of_misfit("SET and GET"))?;
        let written = meta::judge(&self.layout, agreement, replies)?;
        // Not before: who disagrees must not keep it alive. It may have had little time left, and who finds another one in
        // its place later takes that for a loss.
        let mut batch = Batch::default();
        meta::keep(&mut batch, &self.layout, self.reader.kept_for());
        let kept = self.link.ask(batch).await.pop().unwrap_or_else(|| Err(faults::of_misfit("PEXPIRE").into()));
        faults::read("PEXPIRE", kept, |_| Some(()))?;
        self.reader.agree_on(agreement.clone(), written);
        Ok(())
    }
}

/// Splits into vectors of at most [`CHUNK`] items.
fn split<T>(items: Vec<T>) -> Vec<Vec<T>> {
    let mut chunks = Vec::with_capacity(items.len().div_ceil(CHUNK));
    let mut items = items.into_iter();
    loop {
        let chunk: Vec<T> = items.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            return chunks;
        }
        chunks.push(chunk);
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("address", &self.inner.link.address())
            .field("namespace", self.namespace())
            .field("terms", &self.inner.terms)
            .finish_non_exhaustive()
    }
}

impl Store for RedisStore {
    fn open<'a>(&'a self, agreement: &'a Agreement) -> BoxFuture<'a, Result<(), OpenError>> {
        self.inner.open(agreement).boxed()
    }

    fn mode(&self) -> &'static str {
        match self.inner.mode {
            DoneMode::Compact => "compact",
            DoneMode::Exact => "exact",
        }
    }

    fn keeps_details(&self) -> bool {
        self.inner.mode == DoneMode::Exact
    }

    fn terms(&self) -> LeaseTerms {
        self.inner.terms
    }

    fn claim(&self, claims: Vec<Claim>) -> BoxFuture<'static, Answers<ClaimOutcome>> {
        self.in_chunks(claims, claim::claim)
    }

    fn complete(&self, completions: Vec<Completion>) -> BoxFuture<'static, Answers<CompletionOutcome>> {
        self.in_chunks(completions, complete::complete)
    }

    fn renew(&self, leases: Vec<Lease>) -> BoxFuture<'static, Answers<RenewOutcome>> {
        self.in_chunks(leases, holding::renew)
    }

    fn release(&self, releases: Vec<Release>) -> BoxFuture<'static, Answers<ReleaseOutcome>> {
        self.in_chunks(releases, holding::release)
    }

    fn give_up(&self, items: Vec<GiveUp>) -> BoxFuture<'static, Answers<GiveUpOutcome>> {
        self.in_chunks(items, holding::give_up)
    }

    fn inspect(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<State>> {
        self.in_chunks(ids, asking::inspect)
    }

    fn forget(&self, ids: Vec<Fingerprint>) -> BoxFuture<'static, Answers<bool>> {
        self.in_chunks(ids, asking::forget)
    }

    fn health(&self) -> StoreHealth {
        Self::health(self)
    }
}
