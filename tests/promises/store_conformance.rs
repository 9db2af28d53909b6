//! Every store answers the same questions the same way.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use hapax::id::Namespace;
use hapax::store::{Cached, DoneCache, LeaseTerms, MemoryStore, RedisStore};

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
}

pub static SERVER: LazyLock<RedisServer> = LazyLock::new(RedisServer::start);
static CLUSTER: LazyLock<RedisCluster> = LazyLock::new(RedisCluster::start);
static SENTINELS: LazyLock<RedisSentinels> = LazyLock::new(RedisSentinels::start);

impl Redis {
    pub fn new() -> Self {
        Self::at(SERVER.url())
    }

    fn cluster() -> Self {
        Self::at(CLUSTER.url())
    }

    fn sentinels() -> Self {
        Self::at(SENTINELS.url())
    }

    fn at(url: String) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("conformance-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { url, namespace: Namespace::new(&namespace).unwrap() }
    }
}

impl Bench for Redis {
    fn worker(&self, terms: LeaseTerms) -> Worker {
        Worker(Arc::new(RedisStore::builder(&self.url, self.namespace.clone()).terms(terms).build().unwrap()))
    }
}

conformance!(memory, #[tokio::test(start_paused = true)], crate::store_conformance::Memory(Default::default()));
conformance!(cached, #[tokio::test(start_paused = true)], crate::store_conformance::CachedMemory(Default::default()));
conformance!(redis, #[tokio::test], crate::store_conformance::Redis::new());
conformance!(cluster, #[tokio::test], crate::store_conformance::Redis::cluster());
conformance!(sentinel, #[tokio::test], crate::store_conformance::Redis::sentinels());
