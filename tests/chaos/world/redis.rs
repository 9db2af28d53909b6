//! The Redis of a run, of any kind.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use crate::common::{Proxy, RedisCluster, RedisSentinels, RedisServer, tools};
use crate::mode::{Mode, RedisKind};

/// More workers than a run ever has share the last proxy.
const PROXIES: usize = 8;

/// A Redis and the ways to it.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

enum Inner {
    One { server: RedisServer, clock: TempDir, keeps: bool, proxies: Vec<Proxy> },
    Sentinels(RedisSentinels),
    Cluster(RedisCluster),
}

impl Redis {
    pub async fn start(mode: &Mode) -> Self {
        let kind = mode.redis;
        let started = tokio::task::spawn_blocking(move || match kind {
            RedisKind::Sentinel => Inner::Sentinels(RedisSentinels::start()),
            RedisKind::Cluster => Inner::Cluster(RedisCluster::start()),
            RedisKind::Aof | RedisKind::Volatile => {
                let clock = tempfile::Builder::new().prefix("hapax-clock-").tempdir().expect("a directory");
                let file = clock.path().join("clock");
                std::fs::write(&file, "+0").expect("a writable directory");
                // As in the tests of the clock: without the C library's own malloc before jemalloc Redis does not start.
                let preload = format!("{}:libc.so.6", tools::faketime().display());
                let environment = [
                    ("LD_PRELOAD", preload.as_str()),
                    ("FAKETIME_TIMESTAMP_FILE", file.to_str().expect("a plain path")),
                    ("FAKETIME_NO_CACHE", "1"),
                    ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                    ("DONT_FAKE_MONOTONIC", "1"),
                ];
                let keeps = kind == RedisKind::Aof;
                let arguments: &[&str] = if keeps { &["--appendonly", "yes", "--appendfsync", "always"] } else { &[] };
                let server = RedisServer::start_in(&environment, arguments);
                let proxies = (0..PROXIES).map(|_| Proxy::to_port(server.port())).collect();
                Inner::One { server, clock, keeps, proxies }
            }
        });
        Self(Arc::new(started.await.expect("a Redis")))
    }

    /// Its address for the worker with this number.
    pub fn url(&self, worker: usize) -> String {
        match &*self.0 {
            Inner::One { proxies, .. } => proxies[worker.min(PROXIES - 1)].redis_url(),
            Inner::Sentinels(sentinels) => sentinels.url(),
            Inner::Cluster(cluster) => cluster.url(),
        }
    }

    /// All its servers.
    pub fn servers(&self) -> Vec<&RedisServer> {
        match &*self.0 {
            Inner::One { server, .. } => vec![server],
            Inner::Sentinels(sentinels) => sentinels.servers().iter().collect(),
            Inner::Cluster(cluster) => cluster.nodes().iter().collect(),
        }
    }

    /// The ways to it: there are none to several servers.
    pub fn proxies(&self) -> &[Proxy] {
        match &*self.0 {
            Inner::One { proxies, .. } => proxies,
            _ => &[],
        }
    }

    /// Whether a kill loses what it had acknowledged.
    pub fn forgets(&self) -> bool {
        !matches!(&*self.0, Inner::One { keeps: true, .. })
    }

    /// Whether a replica takes over.
    pub fn is_replicated(&self) -> bool {
        !matches!(&*self.0, Inner::One { .. })
    }

    pub fn sentinels(&self) -> Option<&RedisSentinels> {
        match &*self.0 {
            Inner::Sentinels(sentinels) => Some(sentinels),
            _ => None,
        }
    }

    /// Turns its clock, where it has one that can be turned.
    pub fn turn(&self, by: &str) -> bool {
        let Inner::One { clock, .. } = &*self.0 else { return false };
        let (next, file): (PathBuf, PathBuf) = (clock.path().join("next"), clock.path().join("clock"));
        std::fs::write(&next, by).and_then(|()| std::fs::rename(&next, file)).expect("a writable directory");
        true
    }
}
