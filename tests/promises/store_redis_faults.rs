//! Redis away, slow, deaf, restarted, demoted: what a store says, and that it comes back.

use std::sync::Arc;
use std::time::Duration;

use hapax::id::{IdKey, Namespace};
use hapax::store::{Agreement, ClaimOutcome, CompletionOutcome, OpenError, RedisStore, Store, StoreError};
use tokio::time::Instant;

use crate::common::RedisServer;
use crate::conformance::{LONG, Worker, assert_in_flight, claim, claimed, completion, taken_over, until};
use crate::store_proxy::{Proxy, Step, is};
use crate::store_redis::{NAMESPACE, cli, exact, raw, worker};

fn agreement(store: &RedisStore) -> Agreement {
    Agreement::of(store, "header ce_id", &IdKey::default())
}

fn store(url: &str, connect: Duration, response: Duration) -> RedisStore {
    let builder = RedisStore::builder(url, Namespace::new(NAMESPACE).unwrap()).terms(LONG);
    builder.connect_limit(connect).response_limit(response).build().unwrap()
}

async fn one_claim(worker: &Worker, name: u8) -> Result<ClaimOutcome, StoreError> {
    worker.0.claim(vec![claim(1, name)]).await.pop().unwrap()
}

/// Claims until it is answered, as the engine does: with the same token.
async fn claim_until_answered(worker: &Worker, name: u8) -> ClaimOutcome {
    let mut answer = None;
    until(async || {
        answer = one_claim(worker, name).await.inspect_err(|error| assert!(error.is_retryable(), "{error:?}")).ok();
        answer.is_some()
    })
    .await;
    answer.unwrap()
}

pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(" {error} {error:?}");
        source = error.source();
    }
    text
}

#[tokio::test]
async fn a_lost_reply_is_unknown_and_the_same_token_finds_its_claim() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let (direct, worker) = (worker(&server.url()), worker(&proxy.url()));
    worker.inspect(9).await;
    proxy.rule(|command| if is(command, "SET", ":l:") { Step::LoseReply } else { Step::Pass });
    let error = one_claim(&worker, b'a').await.unwrap_err();
    assert!(error.may_have_executed(), "{error:?}");
    proxy.rule(|_| Step::Pass);
    assert_in_flight(&direct.inspect(1).await, 0);
    assert_eq!(claim_until_answered(&worker, b'a').await, claimed(0), "one's own claim is not a duplicate");
}

#[tokio::test]
async fn a_lost_reply_to_a_takeover_does_not_count_twice() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let worker = worker(&proxy.url());
    let terms = hapax::store::LeaseTerms { lease: crate::conformance::SOON, ..LONG };
    let brief = RedisStore::builder(server.url(), Namespace::new(NAMESPACE).unwrap()).terms(terms).build().unwrap();
    Worker(Arc::new(brief)).die_holding(1, b'a').await;
    // The script is known, so that its first sending is the one that is executed.
    worker.claim(1, b'b').await;
    proxy.rule(|command| if is(command, "EVALSHA", "") { Step::LoseReply } else { Step::Pass });
    let takes_over = hapax::store::Claim { takes_over: true, ..claim(1, b'b') };
    let error = worker.0.claim(vec![takes_over]).await.pop().unwrap().unwrap_err();
    assert!(error.may_have_executed(), "{error:?}");
    proxy.rule(|_| Step::Pass);
    assert_eq!(claim_until_answered(&worker, b'b').await, taken_over(1));
}

#[tokio::test]
async fn a_lost_reply_to_a_completion_is_found_already_done() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let worker = exact(&proxy.url());
    worker.claim(1, b'a').await;
    proxy.rule(|command| if is(command, "SET", ":d:") { Step::LoseReply } else { Step::Pass });
    let error = worker.0.complete(vec![completion(1, b'a')]).await.pop().unwrap().unwrap_err();
    assert!(error.may_have_executed(), "{error:?}");
    proxy.rule(|_| Step::Pass);
    let mut outcome = None;
    until(async || {
        outcome = worker.0.complete(vec![completion(1, b'a')]).await.pop().unwrap().ok();
        outcome.is_some()
    })
    .await;
    assert_eq!(outcome, Some(CompletionOutcome::AlreadyDone));
}

/// A full Redis refuses the plain write, which says that it was not executed; of the script that follows nobody knows.
#[tokio::test]
async fn a_lost_reply_to_a_completion_on_a_full_redis_is_unknown() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let proxy = Proxy::start(server.port()).await;
    let worker = worker(&proxy.url());
    worker.claim(1, b'a').await;
    cli::<()>(&mut redis, &["CONFIG", "SET", "maxmemory", "1"]).await;
    proxy.rule(|command| if is(command, "EVAL", "") { Step::LoseReply } else { Step::Pass });
    let error = worker.0.complete(vec![completion(1, b'a')]).await.pop().unwrap().unwrap_err();
    assert!(error.may_have_executed(), "{error:?}");
}

/// A half-open connection: nothing arrives and nobody says so. One connection is given up after three time-outs.
#[tokio::test]
async fn time_outs_in_a_row_make_a_new_connection() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let worker = Worker(Arc::new(store(&proxy.url(), Duration::from_secs(10), Duration::from_millis(100))));
    until(async || one_claim(&worker, b'a').await.is_ok()).await;
    let before = proxy.connections();
    proxy.rule(|command| if is(command, "SET", "") { Step::Swallow } else { Step::Pass });
    for _ in 0..3 {
        assert_eq!(proxy.connections(), before, "one time-out alone changes nothing");
        let error = one_claim(&worker, b'a').await.unwrap_err();
        assert!(error.may_have_executed(), "{error:?}");
    }
    proxy.rule(|_| Step::Pass);
    assert_eq!(claim_until_answered(&worker, b'a').await, claimed(0));
    assert_eq!(proxy.connections(), before + 1);
}

#[tokio::test]
async fn a_killed_connection_is_replaced() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let worker = worker(&server.url());
    worker.claim(1, b'a').await;
    cli::<u32>(&mut redis, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    assert_eq!(claim_until_answered(&worker, b'a').await, claimed(0));
}

#[tokio::test]
async fn a_killed_redis_is_unknown_or_away_and_comes_back() {
    let server = RedisServer::start();
    let worker = worker(&server.url());
    assert_eq!(worker.claim(1, b'a').await, claimed(0));
    server.kill();
    let mut kinds = Vec::new();
    until(async || {
        let error = one_claim(&worker, b'a').await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        kinds.push(error.kind());
        kinds.ends_with(&["unavailable"])
    })
    .await;
    assert!(kinds.iter().all(|kind| ["unknown", "unavailable"].contains(kind)), "{kinds:?}");
    // While it is away, the answer is quick: nobody waits for attempts to connect.
    let before = Instant::now();
    for _ in 0..20 {
        one_claim(&worker, b'a').await.unwrap_err();
    }
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    server.restart();
    assert_eq!(claim_until_answered(&worker, b'b').await, claimed(0), "it came back empty");
}

#[tokio::test]
async fn a_redis_that_lost_its_data_learns_the_agreement_again() {
    let server = RedisServer::start();
    let (ours, limit) = (store(&server.url(), Duration::from_secs(5), Duration::from_secs(5)), Duration::from_secs(5));
    ours.open(&agreement(&ours)).await.unwrap();
    server.kill();
    server.restart();
    claim_until_answered(&Worker(Arc::new(ours)), b'a').await;
    // Somebody with another rule comes after the loss, while the first still works: two who would be blind to each other.
    let theirs = store(&server.url(), limit, limit);
    let other = Agreement { id_rule: "key".to_owned(), ..agreement(&theirs) };
    let refused = theirs.open(&other).await.unwrap_err();
    assert!(matches!(refused, OpenError::Disagreement { .. }), "{refused:?}");
}

/// Data can be lost without the connection: who works notices within a reading, and writes it again.
#[tokio::test]
async fn a_flushed_redis_learns_the_agreement_again() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    for make in [worker as fn(&str) -> Worker, exact] {
        let ours = make(&server.url());
        ours.0.open(&Agreement::of(&*ours.0, "header ce_id", &IdKey::default())).await.unwrap();
        one_claim(&ours, b'a').await.unwrap();
        cli::<()>(&mut redis, &["FLUSHALL"]).await;
        let meta = format!("hapax:1:{{{NAMESPACE}}}:meta");
        until(async || {
            one_claim(&ours, b'a').await.unwrap();
            cli::<u32>(&mut redis, &["EXISTS", &meta]).await == 1
        })
        .await;
        cli::<()>(&mut redis, &["FLUSHALL"]).await;
    }
}

#[tokio::test]
async fn whoever_comes_back_to_another_agreement_claims_nothing() {
    let server = RedisServer::start();
    let limit = Duration::from_secs(5);
    let (ours, theirs) = (store(&server.url(), limit, limit), store(&server.url(), limit, limit));
    ours.open(&agreement(&ours)).await.unwrap();
    server.kill();
    server.restart();
    let other = Agreement { id_rule: "key".to_owned(), ..agreement(&theirs) };
    theirs.open(&other).await.unwrap();
    let worker = Worker(Arc::new(ours));
    until(async || {
        let error = one_claim(&worker, b'a').await.unwrap_err();
        matches!(error, StoreError::Refused(_)) && chain(&error).contains("ID rule")
    })
    .await;
}

#[tokio::test]
async fn many_callers_share_one_attempt_to_connect() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let worker = worker(&proxy.url());
    let claims = (0..50).map(|n| worker.0.claim(vec![claim(n, b'a')]));
    let answers = futures_util::future::join_all(claims).await;
    assert!(answers.iter().flatten().all(Result::is_ok));
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn a_demoted_master_is_left_until_there_is_one() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let worker = worker(&server.url());
    assert_eq!(worker.claim(1, b'a').await, claimed(0));
    cli::<()>(&mut redis, &["REPLICAOF", "127.0.0.1", "1"]).await;
    let error = one_claim(&worker, b'a').await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    // The new connection is checked, so writes are not even tried.
    until(async || chain(&one_claim(&worker, b'a').await.unwrap_err()).contains("is not a master")).await;
    cli::<()>(&mut redis, &["REPLICAOF", "NO", "ONE"]).await;
    assert_eq!(claim_until_answered(&worker, b'a').await, claimed(0));
}

#[tokio::test]
async fn nobody_there_is_unavailable_within_the_limit() {
    let server = RedisServer::start();
    let url = server.url();
    drop(server);
    let closed = store(&url, Duration::from_secs(20), Duration::from_secs(20));
    let agreed = agreement(&closed);
    let within = Duration::from_secs(10);
    let opened = tokio::time::timeout(within, closed.open(&agreed)).await;
    let error = opened.expect("a refused connection is no time-out").unwrap_err();
    assert!(matches!(error, OpenError::Store(StoreError::Unavailable(_))), "{error:?}");

    // Somebody who accepts and says nothing.
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/", deaf.local_addr().unwrap());
    let deaf = store(&url, Duration::from_millis(200), Duration::from_secs(20));
    let opened = tokio::time::timeout(within, deaf.open(&agreed)).await;
    let error = opened.expect("the limit is shorter").unwrap_err();
    assert!(matches!(error, OpenError::Store(StoreError::Unavailable(_))), "{error:?}");
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_never_shown() {
    let server = RedisServer::start_with(&["--requirepass", "correct"]);
    for credentials in [":geheim@", "somebody:geheim@", ""] {
        let url = server.url().replace("redis://", &format!("redis://{credentials}"));
        let store = store(&url, Duration::from_secs(10), Duration::from_secs(10));
        let agreed = agreement(&store);
        let opened = tokio::time::timeout(LONG.lease, store.open(&agreed)).await;
        let error = opened.expect("an answer, not another attempt").unwrap_err();
        assert!(matches!(error, OpenError::Store(StoreError::Refused(_))), "{error:?}");
        let text = chain(&error) + &format!("{store:?}");
        assert!(!text.contains("geheim") && !text.contains("somebody"), "{text}");
        assert!(text.contains(&format!("127.0.0.1:{}", server.port())), "which server: {text}");
    }
    let right = store(&server.url().replace("redis://", "redis://:correct@"), LONG.lease, LONG.lease);
    right.open(&agreement(&right)).await.unwrap();
}

#[tokio::test]
async fn missing_permissions_are_refused() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    cli::<()>(&mut redis, &["ACL", "SETUSER", "reader", "on", ">pw", "~*", "+info", "+get"]).await;
    let worker = worker(&server.url().replace("redis://", "redis://reader:pw@"));
    let error = one_claim(&worker, b'a').await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
}

/// What an operator has to allow, and no more, as the documentation lists it.
#[tokio::test]
async fn the_documented_permissions_suffice() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let allowed = format!("on >pw {}", RedisStore::PERMISSIONS);
    let words: Vec<&str> = ["ACL", "SETUSER", "hapax"].into_iter().chain(allowed.split(' ')).collect();
    cli::<()>(&mut redis, &words).await;
    let worker = worker(&server.url().replace("redis://", "redis://hapax:pw@"));
    let agreement = Agreement::of(&*worker.0, "header ce_id", &IdKey::default());
    worker.0.open(&agreement).await.unwrap();
    assert_eq!(worker.claim(1, b'a').await, claimed(0));
    worker.claim(1, b'b').await;
    worker.renew(1, b'a').await;
    worker.release(1, b'a', 2).await;
    assert_eq!(worker.claim(1, b'c').await, claimed(2));
    assert_eq!(worker.complete(1, b'c').await, CompletionOutcome::Recorded);
    worker.inspect(1).await;
    assert!(worker.forget(1).await);
    cli::<()>(&mut redis, &["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_eq!(worker.complete(1, b'c').await, CompletionOutcome::Recorded);
}
