//! A Redis that answers and refuses: full, loading, busy, unable to save, other permissions, another password, keys
//! evicted. Each has its class; what is finished is recorded in the end, what was done is never handled again unless
//! Redis forgot it.

use std::time::Duration;

use futures_util::FutureExt;
use hapax::dedup::Guard;
use hapax::store::{State, StoreError, Verdict};
use tokio::time::Instant;

use crate::common::RedisServer;
use crate::conformance::until;
use crate::store_faults::{Effects, Handled, RECOVERY, Site, recorded};
use crate::store_redis::{cli, raw};

/// A worker that has handled one message (0) and has another in flight (1).
async fn at_work(server: &RedisServer) -> (Site, Effects, Guard) {
    let (site, effects) = (Site::new(&server.url(), "refused"), Effects::default());
    site.handle(&effects, 0).await;
    let guard = site.claim(1).await;
    (site, effects, guard)
}

/// While `server` refuses: a claim fails by this kind and says why, and a completion waits. Once `ends` was done both go
/// on, with one effect each.
async fn refuses((site, effects, guard): (Site, Effects, Guard), kind: &str, why: &str, ends: impl AsyncFnOnce()) {
    effects.add(1);
    let mut recording = guard.complete();
    site.errors.until("complete", 2).await;
    // A machine that is busy may be too slow with an answer now and then: that is told as unknown.
    let (refused, other): (Vec<_>, Vec<_>) = site.errors.kinds("complete").into_iter().partition(|told| *told == kind);
    assert!(!refused.is_empty() && other.iter().all(|told| *told == "unknown"), "certainly not executed: {other:?}");
    assert!(site.errors.say(why), "it says {why}: {:?}", site.errors);
    let error = site.one_claim(2, b'a').await.expect_err("nothing is claimed");
    assert_eq!((error.kind(), error.may_have_executed()), (kind, false));
    assert!((&mut recording).now_or_never().is_none(), "an effect is not forgotten because Redis refuses");
    ends().await;
    let over = Instant::now();
    assert_eq!(recorded(recording).await, Verdict::First);
    until(async || site.one_claim(2, b'a').await.is_ok()).await;
    assert!(over.elapsed() < RECOVERY, "{:?}", over.elapsed());
    assert_eq!(site.handle_all(&effects, [0, 1]).await, [Handled::Duplicate; 2]);
    assert_eq!(effects.repeats(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn loading_is_waited_for() {
    // Its load is made slow, and told of while it goes on.
    let slow = ["--enable-debug-command", "yes", "--key-load-delay", "1000"];
    let told = ["--loading-process-events-interval-bytes", "1024"];
    let server = RedisServer::start_with(&[&slow[..], &told].concat());
    let at_work = at_work(&server).await;
    server.cli(&["DEBUG", "POPULATE", "4000", "filler", "100"]);
    std::thread::scope(|threads| {
        let loading = threads.spawn(|| server.cli(&["DEBUG", "RELOAD"]));
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let info = || server.cli(&["INFO", "persistence"]);
                until(async || info().contains("loading:1")).await;
                refuses(at_work, "unavailable", "load", async || {
                    until(async || !info().contains("loading:1")).await;
                })
                .await;
            });
        });
        loading.join().unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_is_waited_for() {
    let server = RedisServer::start_with(&["--busy-reply-threshold", "20"]);
    let at_work = at_work(&server).await;
    let mut other = raw(&server).await;
    let endless = tokio::spawn(async move {
        redis::cmd("EVAL").arg("while true do end").arg(0).exec_async(&mut other).await.is_err()
    });
    // Busy is said only after the threshold; what comes before waits for it.
    until(async || matches!(at_work.0.one_claim(9, b'z').await, Err(StoreError::Unavailable(_)))).await;
    refuses(at_work, "unavailable", "BUSY", async || {
        server.cli(&["SCRIPT", "KILL"]);
    })
    .await;
    assert!(endless.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn unable_to_save_is_waited_for_and_duplicates_are_known() {
    let server = RedisServer::start_with(&["--enable-protected-configs", "yes"]);
    let (directory, at_work) = (server.directory(), at_work(&server).await);
    server.cli(&["CONFIG", "SET", "save", "3600 1000000", "dir", "/proc"]);
    server.cli(&["BGSAVE"]);
    let saved = || server.cli(&["INFO", "persistence"]).contains("rdb_last_bgsave_status:ok");
    until(async || !saved()).await;
    assert_eq!(at_work.0.handle(&at_work.1, 0).await, Handled::Duplicate, "what needs no write is answered");
    refuses(at_work, "unavailable", "MISCONF", async || {
        server.cli(&["CONFIG", "SET", "dir", directory.to_str().unwrap()]);
        server.cli(&["BGSAVE"]);
        until(async || saved()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_taken_away_are_a_setting_to_be_changed() {
    let server = RedisServer::start();
    let at_work = at_work(&server).await;
    server.cli(&["ACL", "SETUSER", "default", "-@write", "-@scripting"]);
    refuses(at_work, "refused", "no permissions", async || {
        server.cli(&["ACL", "SETUSER", "default", "+@all"]);
    })
    .await;
}

/// The password is changed and connections are closed, as an operator does.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_changed_is_a_setting_to_be_changed() {
    let server = RedisServer::start();
    let (site, effects, guard) = at_work(&server).await;
    // The operator's own connection stays.
    let mut operator = raw(&server).await;
    cli::<()>(&mut operator, &["ACL", "SETUSER", "default", "resetpass", ">secret"]).await;
    cli::<u32>(&mut operator, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    // What was sent on the old connection is unknown; every new one is refused.
    until(async || matches!(site.one_claim(2, b'a').await, Err(StoreError::Refused(_)))).await;
    refuses((site, effects, guard), "refused", "uth", async || {
        cli::<()>(&mut operator, &["ACL", "SETUSER", "default", "nopass"]).await;
    })
    .await;
}

/// A full Redis starts nothing new, knows every duplicate, and records what is finished at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_holds_claims_back_and_records_what_is_finished() {
    let server = RedisServer::start();
    let (site, effects, guard) = at_work(&server).await;
    let failed = site.claim(3).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(site.handle(&effects, 0).await, Handled::Duplicate);
    let waiting = tokio::spawn({
        let (site, effects) = (site.clone(), effects.clone());
        async move { site.handle(&effects, 2).await }
    });
    site.errors.until("claim", 2).await;
    assert_eq!(site.errors.kinds("claim"), ["full"]);
    effects.add(1);
    assert_eq!(recorded(guard.complete()).await, Verdict::First, "recorded while it is full");
    failed.fail().await.unwrap();
    assert_eq!(site.state(3).await, State::Idle { attempts: 1 }, "a failed attempt is counted while it is full");
    assert_eq!((effects.of(2), site.errors.kinds("complete").len()), (0, 0));
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    let room = Instant::now();
    assert_eq!(waiting.await.unwrap(), Handled::Effect(Verdict::First));
    assert!(room.elapsed() < RECOVERY, "{:?}", room.elapsed());
    assert_eq!(site.handle_all(&effects, 0..3).await, [Handled::Duplicate; 3]);
    assert_eq!(effects.repeats(), 0);
}

/// The wrong policy: Redis throws away what it likes. Whatever that was may be repeated; nothing is lost or stuck.
#[tokio::test(flavor = "multi_thread")]
async fn evicted_ids_are_repeated_and_nothing_is_lost() {
    const IDS: u32 = 400;
    let server = RedisServer::start();
    let (site, effects) = (Site::new(&server.url(), "evicted"), Effects::default());
    site.handle_all(&effects, 0..IDS).await;
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    server.cli(&["CONFIG", "SET", "maxmemory", &used(&server).to_string()]);
    // Room for this has to be made from what is there.
    for n in 0..40 {
        server.cli(&["SET", &format!("filler-{n}"), &"x".repeat(4096)]);
    }
    assert!(!server.cli(&["INFO", "stats"]).contains("evicted_keys:0"), "something was evicted");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    let mut absent = 0;
    for n in 0..IDS {
        absent += u32::from(!site.is_done(n).await);
    }
    assert!(absent > 0, "some of it was remembered IDs");
    let handled = site.handle_all(&effects, 0..IDS).await;
    let repeated = handled.iter().filter(|handled| matches!(handled, Handled::Effect(_))).count();
    assert_eq!((repeated, effects.repeats()), (absent as usize, absent), "each that was forgotten, and no other");
    assert!(site.handle_all(&effects, 0..IDS).await.iter().all(|handled| *handled == Handled::Duplicate));
}

fn used(server: &RedisServer) -> u64 {
    let info = server.cli(&["INFO", "memory"]);
    info.lines().find_map(|line| line.trim().strip_prefix("used_memory:")).unwrap().parse().unwrap()
}

/// Scripts serve the rare paths; that Redis forgot them is nobody's concern.
#[tokio::test(flavor = "multi_thread")]
async fn forgotten_scripts_are_no_error() {
    let server = RedisServer::start();
    let (site, effects, guard) = at_work(&server).await;
    let other = Site::new(&server.url(), "refused");
    for attempts in 1..3 {
        server.cli(&["SCRIPT", "FLUSH"]);
        other.claim(5).await.fail().await.unwrap();
        assert_eq!(other.state(5).await, State::Idle { attempts });
    }
    server.cli(&["SCRIPT", "FLUSH"]);
    drop(other.begin(1).await);
    effects.add(1);
    assert_eq!(recorded(guard.complete()).await, Verdict::First);
    assert_eq!(other.handle_all(&effects, [0, 1]).await, [Handled::Duplicate; 2]);
    assert!(
        ["claim", "complete", "release"]
            .iter()
            .all(|operation| { site.errors.kinds(operation).is_empty() && other.errors.kinds(operation).is_empty() })
    );
}

/// How long one of our scripts holds Redis up is counted by Redis itself.
#[tokio::test(flavor = "multi_thread")]
async fn no_script_holds_redis_up() {
    let server = RedisServer::start();
    server.cli(&["CONFIG", "SET", "slowlog-log-slower-than", "20000", "slowlog-max-len", "100"]);
    let (site, effects) = (Site::new(&server.url(), "scripts"), Effects::default());
    let other = Site::with(&server.url(), "scripts", crate::conformance::LONG, Duration::from_secs(5));
    for n in 0..50 {
        let guard = site.claim(n).await;
        drop(other.begin(n).await);
        guard.fail().await.unwrap();
        site.handle(&effects, n).await;
        other.handle(&effects, n).await;
    }
    let slow = server.cli(&["SLOWLOG", "GET", "100"]);
    assert!(!slow.to_uppercase().contains("EVAL"), "20 ms of Redis' time, on a machine that does other things: {slow}");
}
