//! A master that sentinels watch: killed, demoted, asked for by a wrong name.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hapax::id::{IdKey, Namespace};
use hapax::store::{Agreement, OpenError, RedisStore, Store, StoreError};
use tokio::time::Instant;

use crate::common::{RedisSentinels, RedisServer, await_until};
use crate::conformance::{LONG, Worker, claim, claimed};
use crate::store_redis::NAMESPACE;
use crate::store_redis_faults::chain;

const WHILE: Duration = Duration::from_secs(60);

fn store(url: &str) -> RedisStore {
    RedisStore::builder(url, Namespace::new(NAMESPACE).unwrap()).terms(LONG).build().unwrap()
}

async fn refused(store: &RedisStore) -> String {
    let error = store.open(&Agreement::of(store, "header ce_id", &IdKey::default())).await.unwrap_err();
    assert!(matches!(error, OpenError::Store(StoreError::Refused(_))), "{error:?}");
    chain(&error)
}

/// Claims with one token until it is answered by a server other than this one; how long that took, and what was told.
async fn recovered(worker: &Worker, not_by: u16) -> (Duration, BTreeSet<&'static str>) {
    let (before, mut kinds) = (Instant::now(), BTreeSet::new());
    await_until("the new master answers", WHILE, async || {
        let answer = worker.0.claim(vec![claim(1, b'a')]).await.pop().unwrap();
        if let Err(error) = &answer {
            assert!(error.is_retryable(), "{error:?}");
            kinds.insert(error.kind());
        }
        answer.is_ok() && !worker.0.health().nodes[0].address.ends_with(&format!(":{not_by}"))
    })
    .await;
    (before.elapsed(), kinds)
}

#[tokio::test]
async fn a_killed_master_is_followed_by_its_replica() {
    let sentinels = RedisSentinels::start();
    let worker = Worker(Arc::new(store(&sentinels.url())));
    assert_eq!(worker.claim(1, b'a').await, claimed(0));
    assert!(worker.0.health().findings.iter().all(|finding| finding.name != "failed_over"));
    let [master, replica] = sentinels.servers();
    await_until("the replica has it", WHILE, async || replica.cli(&["DBSIZE"]) != "0").await;
    // One of the sentinels is gone as well.
    sentinels.kill(0);
    master.kill();
    let (took, kinds) = recovered(&worker, master.port()).await;
    println!("recovered after {took:?} (down-after 1 s), told {kinds:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(worker.claim(1, b'a').await, claimed(0), "the lease was passed on in time");
    let health = worker.0.health();
    let names: Vec<&str> = health.findings.iter().map(|finding| finding.name).collect();
    assert!(names.contains(&"failed_over") && !names.contains(&"records_lost"), "{names:?}");

    // Back as a replica of the other, it is left alone.
    master.restart();
    assert_eq!(worker.claim(2, b'a').await, claimed(0));
}

#[tokio::test]
async fn a_demoted_master_leads_to_the_new_one() {
    let sentinels = RedisSentinels::start();
    let worker = Worker(Arc::new(store(&sentinels.url())));
    assert_eq!(worker.claim(1, b'a').await, claimed(0));
    sentinels.fail_over();
    let (took, kinds) = recovered(&worker, sentinels.servers()[0].port()).await;
    println!("moved after {took:?}, told {kinds:?}");
    // The old one is told only after about ten seconds that it is a master no more: until then it takes writes, which are
    // lost.
    assert!(took < Duration::from_secs(6), "{took:?}");
}

/// Without any help by the sentinels' clean-up: the server says by itself that it is no master any more.
#[tokio::test]
async fn a_readonly_master_is_asked_for_anew() {
    let sentinels = RedisSentinels::start();
    let worker = Worker(Arc::new(store(&sentinels.url())));
    assert_eq!(worker.claim(1, b'a').await, claimed(0));
    let [master, replica] = sentinels.servers();
    // Behind the sentinels' back, who take some seconds to set it right.
    replica.cli(&["REPLICAOF", "NO", "ONE"]);
    master.cli(&["REPLICAOF", "127.0.0.1", &replica.port().to_string()]);
    let error = worker.0.claim(vec![claim(2, b'a')]).await.pop().unwrap().unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    await_until("there is a master again", WHILE, async || {
        worker.0.claim(vec![claim(2, b'a')]).await.pop().unwrap().is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_server_are_explained() {
    let server = RedisServer::start();
    let plain = server.url().replace("redis://", "redis+sentinel://") + "watched";
    let text = refused(&store(&plain)).await;
    assert!(text.contains("is not a sentinel"), "{text}");
    let sentinels = RedisSentinels::start();
    let text = refused(&store(&sentinels.url().replace("watched", "unknown"))).await;
    assert!(text.contains("no master named unknown"), "{text}");
    let first = sentinels.url().replace("+sentinel", "").replace("/watched", "");
    let text = refused(&store(first.split(',').next().unwrap())).await;
    assert!(text.contains("redis+sentinel://"), "{text}");
}

/// Sentinels have users of their own.
#[tokio::test]
async fn the_documented_permissions_suffice_for_sentinels() {
    let sentinels = RedisSentinels::start();
    sentinels.each(&["ACL", "SETUSER", "asker", "on", ">secret", "+sentinel|get-master-addr-by-name"]);
    sentinels.each(&["ACL", "SETUSER", "nobody", "on", ">secret"]);
    let build = |user, password| {
        let builder = RedisStore::builder(sentinels.url(), Namespace::new(NAMESPACE).unwrap()).terms(LONG);
        builder.sentinel_login(Some(user), password).build().unwrap()
    };
    assert_eq!(Worker(Arc::new(build("asker", "secret"))).claim(1, b'a').await, claimed(0));
    let text = refused(&build("nobody", "secret")).await;
    assert!(text.contains("+sentinel|get-master-addr-by-name"), "what to allow: {text}");
    let text = refused(&build("asker", "geheim")).await;
    assert!(!text.contains("geheim"), "{text}");
}
