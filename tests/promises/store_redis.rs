//! What only Redis can get wrong: the order of commands, what stands in its keys, and a memory that is full.

use std::sync::Arc;
use std::time::Duration;

use hapax::id::Namespace;
use hapax::store::{
    ClaimOutcome, CompletionOutcome, DoneMode, LeaseTerms, OpenError, RedisStore, ReleaseOutcome, RenewOutcome, State,
    StoreError,
};

use crate::common::RedisServer;
use crate::conformance::{
    LONG, SOON, Worker, all, assert_done, assert_in_flight, claim, claimed, completion, id, lease, remaining_in_flight,
    until,
};
use crate::store_proxy::{Gate, Proxy, Step, is};

pub const NAMESPACE: &str = "orders";

pub fn worker(url: &str) -> Worker {
    worker_with(url, LONG)
}

fn worker_with(url: &str, terms: LeaseTerms) -> Worker {
    Worker(Arc::new(RedisStore::builder(url, Namespace::new(NAMESPACE).unwrap()).terms(terms).build().unwrap()))
}

/// One that keeps a key per done ID.
pub fn exact(url: &str) -> Worker {
    let builder = RedisStore::builder(url, Namespace::new(NAMESPACE).unwrap()).terms(LONG).mode(DoneMode::Exact);
    Worker(Arc::new(builder.build().unwrap()))
}

/// A plain connection, for what a test does behind the store's back.
pub async fn raw(server: &RedisServer) -> redis::aio::MultiplexedConnection {
    redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

pub async fn cli<T: redis::FromRedisValue>(redis: &mut redis::aio::MultiplexedConnection, words: &[&str]) -> T {
    redis::cmd(words[0]).arg(&words[1..]).query_async(redis).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

/// The key of an ID, as `layout` documents it.
pub fn key(kind: char, n: u32) -> String {
    let fingerprint = id(n);
    // The groups' names, in the order of the numbers that a fingerprint gives.
    const GROUPS: &str = "10 18 cc 03 29 21 32 f1 69 0b 1a b1 3c 58 a0 2d 11 19 cb 02 28 20 33 f0 68 0c 1d b0 3b 59 a1 2a \
                          12 bb 09 01 ac 23 30 38 c0 0d 1c 78 3a fb 49 2b 13 bc 08 00 ab 22 31 39 c1 0a 1b 79 3d fc 48 2c";
    let group = GROUPS.split(' ').nth(usize::from(fingerprint.as_bytes()[0] >> 2)).unwrap();
    format!("hapax:1:{{{NAMESPACE}.{group}}}:{kind}:{fingerprint}")
}

// ---- the order of commands ----

#[tokio::test]
async fn every_claim_takes_its_lease_before_it_looks_for_done() {
    let server = RedisServer::start();
    for (make, looks) in [(worker as fn(&str) -> Worker, ["SISMEMBER", "SISMEMBER"].as_slice()), (exact, &["GET"])] {
        let proxy = Proxy::start(server.port()).await;
        let worker = make(&proxy.url());
        worker.inspect(0).await;
        proxy.seen();
        worker.0.claim((0..3).map(|n| claim(n, b'a')).collect()).await;
        let seen = proxy.seen();
        let asked: Vec<(String, &Vec<u8>)> = seen
            .iter()
            .map(|words| (String::from_utf8_lossy(&words[0]).into_owned(), &words[1]))
            .filter(|(command, _)| command == "SET" || looks.contains(&command.as_str()))
            .collect();
        assert_eq!(asked.len(), 3 * (1 + looks.len()), "{asked:?}");
        for (n, commands) in (0..3).zip(asked.chunks(1 + looks.len())) {
            assert_eq!((commands[0].0.as_str(), commands[0].1.as_slice()), ("SET", key('l', n).as_bytes()));
            let names: Vec<&str> = commands[1..].iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, looks);
        }
        cli::<()>(&mut raw(&server).await, &["FLUSHALL"]).await;
    }
}

/// B's first command executes; then A completes and deletes its lease; then B's second command executes. With the
/// lease first, B meets A's lease and then A's done ID. Asked the other way round, B would find nothing done, then no
/// lease, and repeat the effect: `checking_first_would_repeat_the_effect` does it by hand.
#[tokio::test]
async fn a_completion_between_the_commands_of_a_claim_is_not_missed() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let (a, b) = (worker(&server.url()), worker(&proxy.url()));
    assert_eq!(a.claim(1, b'a').await, claimed(0));
    b.inspect(9).await;

    let gate = Arc::new(Gate::default());
    let second_command = {
        let (gate, mut commands) = (gate.clone(), 0);
        move |_: &Vec<Vec<u8>>| {
            commands += 1;
            if commands == 2 { Step::Hold(gate.clone()) } else { Step::Pass }
        }
    };
    proxy.rule(second_command);
    let claiming = tokio::spawn({
        let b = b.clone();
        async move { b.claim(1, b'b').await }
    });
    gate.reached().await;
    assert_eq!(a.complete(1, b'a').await, CompletionOutcome::Recorded);
    let mut redis = raw(&server).await;
    until(async || cli::<u32>(&mut redis, &["EXISTS", &key('l', 1)]).await == 0).await;
    gate.open();
    assert_done(&claiming.await.unwrap());
}

#[tokio::test]
async fn checking_first_would_repeat_the_effect() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let a = worker(&server.url());
    a.claim(1, b'a').await;
    // B checks first …
    let done: Option<Vec<u8>> = cli(&mut redis, &["GET", &key('d', 1)]).await;
    a.complete(1, b'a').await;
    until(async || cli::<u32>(&mut redis, &["EXISTS", &key('l', 1)]).await == 0).await;
    // … and takes the lease.
    let taken: Option<String> = cli(&mut redis, &["SET", &key('l', 1), "b", "NX"]).await;
    assert_eq!((done, taken.as_deref()), (None, Some("OK")), "B would start its handler, after A's effect");
}

/// The owner completes and deletes its lease between the claim's look-up and the script of the rare path: the script
/// finds no lease to wait for, and has to find the done ID.
#[tokio::test]
async fn the_rare_path_looks_for_done_itself() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let (a, b) = (worker(&server.url()), worker(&proxy.url()));
    assert_eq!(a.claim(1, b'a').await, claimed(0));
    b.inspect(9).await;

    let gate = Arc::new(Gate::default());
    let at_script = gate.clone();
    proxy.rule(move |command| if is(command, "EVALSHA", "") { Step::Hold(at_script.clone()) } else { Step::Pass });
    let claiming = tokio::spawn({
        let b = b.clone();
        async move { b.claim(1, b'b').await }
    });
    gate.reached().await;
    a.complete(1, b'a').await;
    let mut redis = raw(&server).await;
    until(async || cli::<u32>(&mut redis, &["EXISTS", &key('l', 1)]).await == 0).await;
    proxy.rule(|_| Step::Pass);
    gate.open();
    assert_done(&claiming.await.unwrap());
    assert_eq!(cli::<u32>(&mut redis, &["EXISTS", &key('l', 1)]).await, 0, "no lease is left behind");
}

// ---- what stands in the keys ----

#[tokio::test]
async fn leases_and_done_ids_leave_by_themselves() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let worker = exact(&server.url());
    worker.claim(1, b'a').await;
    let left: u64 = cli(&mut redis, &["PTTL", &key('l', 1)]).await;
    let term = u64::try_from((LONG.lease + LONG.grace).as_millis()).unwrap();
    assert!(left <= term && left > term - 30_000, "{left}");
    worker.complete(1, b'a').await;
    let left: u64 = cli(&mut redis, &["PTTL", &key('d', 1)]).await;
    assert!(left <= 3_600_000 && left > 3_570_000, "{left}");
    until(async || cli::<u32>(&mut redis, &["EXISTS", &key('l', 1)]).await == 0).await;
    // An ID found done leaves no lease either.
    assert_done(&worker.claim(1, b'b').await);
    until(async || cli::<u32>(&mut redis, &["EXISTS", &key('l', 1)]).await == 0).await;
}

#[tokio::test]
async fn done_counts_although_a_lease_exists() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let worker = exact(&server.url());
    worker.claim(1, b'a').await;
    cli::<()>(&mut redis, &["COPY", &key('l', 1), "lease"]).await;
    worker.complete(1, b'a').await;
    until(async || cli::<u32>(&mut redis, &["EXISTS", &key('l', 1)]).await == 0).await;
    cli::<()>(&mut redis, &["RENAME", "lease", &key('l', 1)]).await;
    assert_done(&worker.claim(1, b'b').await);
    assert_done(&worker.take_over(1, b'b').await);
    assert!(matches!(worker.inspect(1).await, State::Done { .. }));
    assert_eq!(worker.renew(1, b'a').await, RenewOutcome::Renewed, "a duplicate frees nobody's lease but its own");
}

/// Never absent, never a duplicate, never overwritten.
#[tokio::test]
async fn what_another_version_wrote_is_in_flight_elsewhere() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let worker = exact(&server.url());
    for (n, value) in [(1, "2f and something new"), (2, "1"), (3, "1x0123456789abcdef0123456789abcdef")] {
        cli::<()>(&mut redis, &["SET", &key('l', n), value, "PX", "5000"]).await;
        assert!(remaining_in_flight(&worker.claim(n, b'a').await) <= Duration::from_secs(5));
        assert!(remaining_in_flight(&worker.take_over(n, b'a').await) <= Duration::from_secs(5));
        assert_eq!(worker.renew(n, b'a').await, RenewOutcome::NotHeld);
        assert_eq!(worker.release(n, b'a', 1).await, ReleaseOutcome::NotHeld);
        assert_eq!(worker.inspect(n).await, State::Unreadable);
        assert_eq!(cli::<String>(&mut redis, &["GET", &key('l', n)]).await, value);
    }
    // A done ID of another version, found on the hot path …
    cli::<()>(&mut redis, &["SET", &key('d', 4), "2", "PX", "5000"]).await;
    assert!(remaining_in_flight(&worker.claim(4, b'a').await) <= LONG.lease);
    assert_eq!(worker.inspect(4).await, State::Unreadable);
    assert_eq!(cli::<u32>(&mut redis, &["EXISTS", &key('l', 4)]).await, 0, "the lease just taken was given back");
    // … and beside a lease.
    worker.claim(5, b'a').await;
    cli::<()>(&mut redis, &["SET", &key('d', 5), "2", "PX", "5000"]).await;
    remaining_in_flight(&worker.take_over(5, b'b').await);
    assert_eq!(cli::<String>(&mut redis, &["GET", &key('d', 5)]).await, "2");
}

#[tokio::test]
async fn a_lease_without_a_time_to_live_gets_one() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let worker = worker(&server.url());
    worker.claim(1, b'a').await;
    cli::<()>(&mut redis, &["PERSIST", &key('l', 1)]).await;
    assert!(remaining_in_flight(&worker.claim(1, b'b').await) <= LONG.lease);
    assert!(assert_in_flight(&worker.inspect(1).await, 0) <= LONG.lease);
}

#[tokio::test]
async fn a_foreign_key_is_refused_for_its_item_only() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let worker = exact(&server.url());
    cli::<()>(&mut redis, &["HSET", &key('l', 1), "a", "b"]).await;
    cli::<()>(&mut redis, &["HSET", &key('d', 2), "a", "b"]).await;
    let answers = worker.0.claim((0..4).map(|n| claim(n, b'a')).collect()).await;
    assert!(matches!(answers[0], Ok(ClaimOutcome::Claimed { .. })), "{answers:?}");
    assert!(matches!(answers[1], Err(StoreError::Refused(_))), "{answers:?}");
    assert!(matches!(answers[2], Err(StoreError::Refused(_))), "{answers:?}");
    assert!(matches!(answers[3], Ok(ClaimOutcome::Claimed { .. })), "{answers:?}");
    assert_eq!(cli::<u32>(&mut redis, &["EXISTS", &key('l', 2)]).await, 0, "the lease just taken was given back");
    let answers = worker.0.inspect((0..4).map(id).collect()).await;
    assert!(answers[0].is_ok() && answers[3].is_ok());
    assert!(matches!(answers[1], Err(StoreError::Refused(_))) && matches!(answers[2], Err(StoreError::Refused(_))));
}

#[tokio::test]
async fn a_meta_key_that_cannot_be_read_refuses_the_start() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let worker = worker(&server.url());
    let agreement = hapax::store::Agreement::of(&*worker.0, "header ce_id", &hapax::id::IdKey::default());
    let meta = format!("hapax:1:{{{NAMESPACE}}}:meta");
    for (value, says) in [("{\"format\":2,\"new\":true}", "format 2"), ("something", &meta), ("{\"format\":1}", &meta)]
    {
        cli::<()>(&mut redis, &["SET", &meta, value]).await;
        let error = worker.0.open(&agreement).await.expect_err(value);
        assert!(matches!(error, OpenError::Unreadable { .. }), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(cli::<String>(&mut redis, &["GET", &meta]).await, value, "left as it is");
    }
    cli::<()>(&mut redis, &["DEL", &meta]).await;
    worker.0.open(&agreement).await.unwrap();
    let json: String = cli(&mut redis, &["GET", &meta]).await;
    let groups = json.replace("\"groups\":64", "\"groups\":32");
    cli::<()>(&mut redis, &["SET", &meta, &groups]).await;
    assert!(worker.0.open(&agreement).await.unwrap_err().to_string().contains("group count is 32"));
}

#[tokio::test]
async fn forgotten_scripts_are_sent_again() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let worker = worker(&server.url());
    for round in 0..2 {
        let ids = round * 10..round * 10 + 3;
        all(worker.0.claim(ids.clone().map(|n| claim(n, b'a')).collect()).await);
        cli::<()>(&mut redis, &["SCRIPT", "FLUSH"]).await;
        let outcomes = all(worker.0.claim(ids.clone().map(|n| claim(n, b'b')).collect()).await);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, ClaimOutcome::InFlight { .. })), "{outcomes:?}");
        cli::<()>(&mut redis, &["SCRIPT", "FLUSH"]).await;
        let outcomes = all(worker.0.renew(ids.clone().map(|n| lease(n, b'a')).collect()).await);
        assert_eq!(outcomes, [RenewOutcome::Renewed; 3]);
        cli::<()>(&mut redis, &["SCRIPT", "FLUSH"]).await;
        assert_eq!(worker.release(ids.start, b'a', 1).await, ReleaseOutcome::Released);
    }
}

// ---- a full Redis ----

#[tokio::test]
async fn a_full_redis_starts_nothing_and_finishes_everything() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let worker = worker(&server.url());
    worker.complete(1, b'a').await;
    for n in 2..6 {
        assert_eq!(worker.claim(n, b'a').await, claimed(0));
    }
    let brief = worker_with(&server.url(), LeaseTerms { lease: SOON, ..LONG });
    brief.die_holding(6, b'a').await;
    cli::<()>(&mut redis, &["CONFIG", "SET", "maxmemory", "1"]).await;

    let answers = worker.0.claim([7, 1, 2, 6].map(|n| claim(n, b'b')).to_vec()).await;
    assert!(matches!(answers[0], Err(StoreError::Full(_))), "nothing new: {answers:?}");
    assert_done(answers[1].as_ref().expect("a duplicate is still dropped"));
    assert!(answers[2].is_err() && answers[3].is_err(), "{answers:?}");
    assert!(answers[2].as_ref().unwrap_err().is_retryable());

    let recorded = all(worker.0.complete(vec![completion(2, b'a'), completion(1, b'a'), completion(3, b'a')]).await);
    use CompletionOutcome::{AlreadyDone, Recorded};
    assert_eq!(recorded, [Recorded, AlreadyDone, Recorded]);
    assert_eq!(worker.renew(4, b'a').await, RenewOutcome::Renewed);
    assert_eq!(worker.release(4, b'a', 0).await, ReleaseOutcome::Released);
    assert_eq!(worker.release(5, b'a', 2).await, ReleaseOutcome::Released);
    assert_eq!(worker.inspect(5).await, State::Idle { attempts: 2 });
    assert!(matches!(worker.inspect(2).await, State::Done { .. }));

    cli::<()>(&mut redis, &["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_done(&worker.claim(2, b'b').await);
    assert_eq!(worker.claim(7, b'b').await, claimed(0));
}

/// Sent together, the refused write and the executed deletion would leave the ID neither done nor in flight.
#[tokio::test]
async fn a_refused_completion_keeps_its_lease() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    cli::<()>(&mut redis, &["ACL", "SETUSER", "half", "on", ">pw", "+@all", "~hapax:*"]).await;
    let worker = exact(&server.url().replace("redis://", "redis://half:pw@"));
    assert_eq!(worker.claim(1, b'a').await, claimed(0));
    // From now on it may not write done IDs, by any command.
    cli::<()>(&mut redis, &["ACL", "SETUSER", "half", "resetkeys", "~hapax:1:*:l:*", "%R~hapax:1:*:d:*"]).await;
    let answers = worker.0.complete(vec![completion(1, b'a')]).await;
    assert!(matches!(answers[..], [Err(StoreError::Refused(_))]), "{answers:?}");
    // Full, and the fallback refused too.
    cli::<()>(&mut redis, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let answers = worker.0.complete(vec![completion(1, b'a')]).await;
    assert!(matches!(answers[..], [Err(_)]), "{answers:?}");
    cli::<()>(&mut redis, &["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(worker.renew(1, b'a').await, RenewOutcome::Renewed, "the lease is still held");
}
