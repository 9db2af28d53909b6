//! What a store tells of its servers, and when.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use hapax::id::{IdKey, Namespace};
use hapax::store::{
    Agreement, Breaker, DoneMode, LeaseTerms, OpenError, RedisStore, RedisStoreBuilder, Severity, Store, StoreError,
};
use parking_lot::Mutex;

use crate::common::RedisServer;
use crate::conformance::{LONG, claim, until};
use crate::store_redis::{NAMESPACE, cli, raw};
use crate::store_redis_faults::chain;

fn builder(url: &str) -> RedisStoreBuilder {
    let builder = RedisStore::builder(url, Namespace::new(NAMESPACE).unwrap()).terms(LONG);
    builder.health_interval(Duration::from_millis(30))
}

fn agreement(store: &RedisStore) -> Agreement {
    Agreement::of(store, "header ce_id", &IdKey::default())
}

async fn opened(url: &str) -> RedisStore {
    let store = builder(url).build().unwrap();
    store.open(&agreement(&store)).await.unwrap();
    store
}

fn findings(store: &RedisStore) -> Vec<&'static str> {
    store.health().findings.iter().map(|finding| finding.name).collect()
}

/// The figures are read again while the store is in use.
async fn use_until(store: &RedisStore, mut holds: impl FnMut() -> bool) {
    until(async || {
        store.inspect(vec![crate::conformance::id(1)]).await;
        holds()
    })
    .await;
}

const SAVES: [&str; 2] = ["--appendonly", "yes"];

#[tokio::test]
async fn a_good_server_has_no_findings() {
    let server = RedisServer::start_with(&SAVES);
    let store = builder(&server.url()).build().unwrap();
    let before = store.health();
    assert_eq!((before.store, before.breaker, before.nodes.len()), ("redis", Breaker::Closed, 1));
    assert_eq!(before.nodes[0].server, None, "nothing was asked yet");
    store.open(&agreement(&store)).await.unwrap();
    let health = store.health();
    assert_eq!(health.findings, []);
    let told = health.nodes[0].server.clone().expect("asked by the new connection");
    assert!(told.version.starts_with(|digit: char| digit.is_ascii_digit()) && told.used_memory > 0);
    assert_eq!((told.role.as_str(), told.eviction_policy.as_str()), ("master", "noeviction"));
    assert_eq!((told.max_memory, told.persistence.log, told.persistence.snapshots), (None, true, Some(false)));
    let json = serde_json::to_value(&health).unwrap();
    assert_eq!(json["nodes"][0]["server"]["eviction_policy"], "noeviction");
}

#[tokio::test]
async fn persistence_off_and_eviction_are_found() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let store = opened(&server.url()).await;
    assert_eq!(findings(&store), ["no_persistence"]);
    cli::<()>(&mut redis, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    use_until(&store, || findings(&store).contains(&"eviction_policy")).await;
    assert!(store.health().is_free_of(Severity::Error));

    let used: u64 = store.health().nodes[0].server.as_ref().unwrap().used_memory;
    cli::<()>(&mut redis, &["CONFIG", "SET", "maxmemory", &(used + 300_000).to_string()]).await;
    let value = "x".repeat(10_000);
    for n in 0..200 {
        cli::<()>(&mut redis, &["SET", &format!("filler-{n}"), &value]).await;
    }
    use_until(&store, || findings(&store).first() == Some(&"evicting")).await;
    assert!(!store.health().is_free_of(Severity::Error));
    // It has stopped: what remains is that it happened.
    use_until(&store, || findings(&store).contains(&"evicted")).await;
    assert!(store.health().is_free_of(Severity::Error));
}

/// How often the plan is read depends on the window: a short one, so that the test is.
fn brief() -> LeaseTerms {
    let (lease, grace, window) = (Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(60));
    LeaseTerms { lease, grace, window }
}

#[tokio::test]
async fn everybody_is_told_that_records_were_lost() {
    for mode in [DoneMode::Compact, DoneMode::Exact] {
        let server = RedisServer::start_with(&SAVES);
        let mut redis = raw(&server).await;
        let mut workers = Vec::new();
        for _ in 0..2 {
            let store = builder(&server.url()).terms(brief()).mode(mode).build().unwrap();
            store.open(&agreement(&store)).await.unwrap();
            workers.push(store);
        }
        // Who comes and goes, and long work, is no loss.
        let since = tokio::time::Instant::now();
        use_until(&workers[0], || since.elapsed() > Duration::from_secs(4)).await;
        assert_eq!(findings(&workers[0]), [""; 0]);
        cli::<()>(&mut redis, &["FLUSHALL"]).await;
        for store in &workers {
            use_until(store, || findings(store).first() == Some(&"records_lost")).await;
            assert!(!store.health().is_free_of(Severity::Error));
        }
        // Who opens it afterwards has lost nothing.
        let late = builder(&server.url()).terms(brief()).mode(mode).build().unwrap();
        late.open(&agreement(&late)).await.unwrap();
        late.inspect(vec![crate::conformance::id(1)]).await;
        assert_eq!(findings(&late), [""; 0]);
    }
}

#[tokio::test]
async fn an_agreement_that_was_about_to_run_out_is_no_loss() {
    let server = RedisServer::start_with(&SAVES);
    let mut redis = raw(&server).await;
    drop(opened(&server.url()).await);
    // Nobody has worked for so long that it has little time left when somebody comes.
    let meta = format!("hapax:1:{{{NAMESPACE}}}:meta");
    cli::<()>(&mut redis, &["PEXPIRE", &meta, "2000"]).await;
    let store = opened(&server.url()).await;
    assert!(cli::<i64>(&mut redis, &["PTTL", &meta]).await > 2000, "opening keeps it");
    store.inspect(vec![crate::conformance::id(1)]).await;
    assert_eq!(findings(&store), [""; 0]);
}

#[tokio::test]
async fn snapshots_that_are_turned_off_are_missed() {
    let server = RedisServer::start_with(&["--save", "3600 1"]);
    let mut redis = raw(&server).await;
    let store = opened(&server.url()).await;
    assert_eq!(findings(&store), [""; 0]);
    cli::<()>(&mut redis, &["CONFIG", "SET", "save", ""]).await;
    use_until(&store, || findings(&store) == ["no_persistence"]).await;
}

#[tokio::test]
async fn strict_refuses_a_server_that_forgets() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "volatile-lru"]);
    let mut redis = raw(&server).await;
    let store = builder(&server.url()).strict(true).build().unwrap();
    let error = store.open(&agreement(&store)).await.unwrap_err();
    assert!(matches!(error, OpenError::Store(StoreError::Refused(_))), "{error:?}");
    assert!(chain(&error).contains("volatile-lru") && chain(&error).contains("Set it to noeviction"), "{error:?}");
    cli::<()>(&mut redis, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    until(async || store.open(&agreement(&store)).await.is_ok()).await;
    // Changed while it is in use.
    cli::<()>(&mut redis, &["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]).await;
    until(async || matches!(store.claim(vec![claim(1, b'a')]).await[0], Err(StoreError::Refused(_)))).await;
}

/// As with many a managed Redis.
#[tokio::test]
async fn a_server_without_config_is_still_read() {
    let server = RedisServer::start_with(&["--rename-command", "CONFIG", "", "--maxmemory-policy", "allkeys-lru"]);
    let store = opened(&server.url()).await;
    assert_eq!(findings(&store), ["eviction_policy"], "that is in INFO");
    assert_eq!(store.health().nodes[0].server.as_ref().unwrap().persistence.snapshots, None, "that is not");
}

#[tokio::test]
async fn the_breaker_opens_and_closes() {
    // On a busy disk Redis puts the writing of its log off, and what is lost with a kill is a finding.
    let server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = opened(&server.url()).await;
    server.kill();
    until(async || {
        drop(store.claim(vec![claim(1, b'a')]).await);
        store.health().breaker == Breaker::Open
    })
    .await;
    let health = store.health();
    assert_eq!(health.findings[0].name, "unreachable");
    assert!(health.nodes[0].problem.is_some());
    server.restart();
    // Nobody asks anything meanwhile: it closes by itself.
    until(async || store.health().breaker == Breaker::Closed).await;
    assert!(store.claim(vec![claim(1, b'a')]).await[0].is_ok());
    assert_eq!(store.health().findings, []);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines_with(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock()).lines().filter(|line| line.contains(text)).count()
    }
}

#[tokio::test]
async fn a_finding_is_logged_once_and_its_end_too() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = RedisServer::start_with(&SAVES);
    let mut redis = raw(&server).await;
    cli::<()>(&mut redis, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let store = opened(&server.url()).await;
    let asked = async |redis: &mut redis::aio::MultiplexedConnection| -> u64 {
        let stats: String = cli(redis, &["INFO", "commandstats"]).await;
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_info:calls=")).unwrap_or("0,");
        line.split(',').next().unwrap().parse().unwrap()
    };
    let before = asked(&mut redis).await;
    // Some readings later (each of ours counts one more).
    let mut ours = 0;
    until(async || {
        store.inspect(vec![crate::conformance::id(1)]).await;
        ours += 1;
        asked(&mut redis).await >= before + ours + 4
    })
    .await;
    assert_eq!(log.lines_with("finding=\"eviction_policy\""), 1);
    cli::<()>(&mut redis, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    use_until(&store, || findings(&store).is_empty()).await;
    assert_eq!(log.lines_with("this is no longer so"), 1);
}
