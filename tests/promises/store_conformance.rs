//! Every store answers the same questions the same way.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use hapax::id::Namespace;
use hapax::store::{Cached, DoneCache, DoneMode, LeaseTerms, MemoryStore, RedisStore};

use crate::common::{RedisCluster, RedisSentinels, RedisServer};
use crate::conformance::{Bench, Worker, conformance};

struct Memory(MemoryStore);

impl Bench for Memory {
    fn worker(&self, terms: LeaseTerms) -> Worker {
        Worker(Arc::new(self.0.with_terms(terms)))
    }
}

/// Each worker has a cache of its own, as each is a process.
struct CachedMemory(MemoryStore);

impl Bench for CachedMemory {
    fn worker(&self, terms: LeaseTerms) -> Worker {
        let store = Arc::new(self.0.with_terms(terms));
        Worker(Arc::new(Cached::new(store, DoneCache::with_window(terms.window))))
    }
}

/// A namespace of its own in servers that the tests share.
pub struct Redis {
    url: String,
    namespace: Namespace,
    mode: DoneMode,
}

pub static SERVER: LazyLock<RedisServer> = LazyLock::new(RedisServer::start);
/// With a user who may do what the store needs, and nothing else.
static LEAST: LazyLock<RedisServer> = LazyLock::new(|| {
    let server = RedisServer::start();
    let allowed = format!("on >pw {}", RedisStore::PERMISSIONS);
    server.cli(&["ACL", "SETUSER", "least"].into_iter().chain(allowed.split(' ')).collect::<Vec<_>>());
    server
});
static CLUSTER: LazyLock<RedisCluster> = LazyLock::new(RedisCluster::start);
static SENTINELS: LazyLock<RedisSentinels> = LazyLock::new(RedisSentinels::start);

impl Redis {
    pub fn new(mode: DoneMode) -> Self {
        Self::at(SERVER.url(), mode)
    }

    fn least(mode: DoneMode) -> Self {
        Self::at(LEAST.url().replace("://", "://least:pw@"), mode)
    }

    fn cluster(mode: DoneMode) -> Self {
        Self::at(CLUSTER.url(), mode)
    }

    fn sentinels(mode: DoneMode) -> Self {
        Self::at(SENTINELS.url(), mode)
    }

    fn at(url: String, mode: DoneMode) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("conformance-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { url, namespace: Namespace::new(&namespace).unwrap(), mode }
    }
}

impl Bench for Redis {
    fn worker(&self, terms: LeaseTerms) -> Worker {
        let builder = RedisStore::builder(&self.url, self.namespace.clone()).terms(terms).mode(self.mode);
        Worker(Arc::new(builder.build().unwrap()))
    }
}

conformance!(memory, #[tokio::test(start_paused = true)], crate::store_conformance::Memory(Default::default()));
conformance!(cached, #[tokio::test(start_paused = true)], crate::store_conformance::CachedMemory(Default::default()));
conformance!(
    memory_exact,
    #[tokio::test(start_paused = true)],
    crate::store_conformance::Memory(hapax::store::MemoryStore::exact(Default::default()))
);
conformance!(
    cached_exact,
    #[tokio::test(start_paused = true)],
    crate::store_conformance::CachedMemory(hapax::store::MemoryStore::exact(Default::default()))
);
conformance!(redis_compact, #[tokio::test], crate::store_conformance::Redis::new(hapax::store::DoneMode::Compact));
conformance!(redis_exact, #[tokio::test], crate::store_conformance::Redis::new(hapax::store::DoneMode::Exact));
conformance!(least_rights, #[tokio::test], crate::store_conformance::Redis::least(hapax::store::DoneMode::Compact));
conformance!(least_rights_exact, #[tokio::test], crate::store_conformance::Redis::least(hapax::store::DoneMode::Exact));
conformance!(cluster, #[tokio::test], crate::store_conformance::Redis::cluster(hapax::store::DoneMode::Compact));
conformance!(cluster_exact, #[tokio::test], crate::store_conformance::Redis::cluster(hapax::store::DoneMode::Exact));
conformance!(sentinel, #[tokio::test], crate::store_conformance::Redis::sentinels(hapax::store::DoneMode::Compact));
