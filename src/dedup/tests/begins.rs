use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::{Duration, Instant};

use super::scripted::{Op, Scripted};
use super::{Claimed, LEASE, Unstarted, builder, id, start};
use crate::dedup::coalesce::MAX_BATCH;
use crate::dedup::{Begin, BeginError, Deduplicator};

#[tokio::test(start_paused = true)]
async fn a_completed_id_is_a_duplicate() {
    let store = Scripted::new();
    let (dedup, seen) = start(&store);
    let guard = dedup.begin(&id("a")).await.claimed();
    assert_eq!((guard.attempt(), guard.is_suspect()), (1, false));
    guard.complete().await.unwrap();
    assert!(matches!(dedup.begin(&id("a")).await, Ok(Begin::Duplicate)));
    assert!(matches!(dedup.begin(&id("b")).await, Ok(Begin::Claimed(_))));
    assert_eq!(seen.count("duplicate Store"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_second_begin_of_an_id_in_flight_here_does_not_ask_the_store() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    let guard = dedup.begin(&id("a")).await.claimed();
    match dedup.begin(&id("a")).await {
        Ok(Begin::InFlight(remaining)) => assert!(remaining <= LEASE && remaining > LEASE / 2, "{remaining:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.batches(Op::Claim).len(), 1);
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn in_flight_elsewhere_is_no_duplicate() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    store.take(dedup.fingerprint(&id("a")), 0);
    match dedup.begin(&id("a")).await {
        Ok(Begin::InFlight(remaining)) => assert!(remaining <= LEASE && remaining > LEASE / 2, "{remaining:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_is_woken_by_the_end_of_the_first_and_not_by_time() {
    let store = Scripted::new();
    let (dedup, seen) = start(&store);
    let guard = dedup.begin(&id("a")).await.claimed();
    let waits = (0..10).map(|_| {
        let dedup = dedup.clone();
        tokio::spawn(async move { dedup.begin_wait(&id("a"), LEASE).await })
    });
    let waits: Vec<_> = waits.collect();
    tokio::task::yield_now().await;
    let before = Instant::now();
    guard.complete().await.unwrap();
    for wait in waits {
        assert!(matches!(wait.await.unwrap(), Ok(Begin::Duplicate)));
    }
    assert!(before.elapsed() < Duration::from_millis(20), "{:?}", before.elapsed());
    assert_eq!(store.batches(Op::Claim).len(), 1, "nobody had to ask");
    assert_eq!(seen.count("duplicate Process"), 10);
}

#[tokio::test(start_paused = true)]
async fn when_the_first_fails_one_of_those_that_wait_claims() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    let guard = dedup.begin(&id("a")).await.claimed();
    let first = tokio::spawn({
        let dedup = dedup.clone();
        async move { dedup.begin_wait(&id("a"), LEASE).await }
    });
    tokio::task::yield_now().await;
    guard.fail().await.unwrap();
    let guard = first.await.unwrap().claimed();
    assert_eq!(guard.attempt(), 2);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_its_limit() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    let _guard = dedup.begin(&id("here")).await.claimed();
    store.take(dedup.fingerprint(&id("elsewhere")), 0);
    for name in ["here", "elsewhere"] {
        let before = Instant::now();
        let limit = Duration::from_secs(3);
        assert!(matches!(dedup.begin_wait(&id(name), limit).await, Ok(Begin::InFlight(_))));
        assert!(before.elapsed() >= limit && before.elapsed() < limit + Duration::from_millis(50));
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_asks_again_long_before_a_lease_elsewhere_has_passed() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    let fingerprint = dedup.fingerprint(&id("a"));
    store.take(fingerprint, 0);
    let before = Instant::now();
    let wait = tokio::spawn({
        let dedup = dedup.clone();
        async move { dedup.begin_wait(&id("a"), LEASE * 2).await }
    });
    store.arrived(Op::Claim, 4).await;
    store.finish(fingerprint);
    assert!(matches!(wait.await.unwrap(), Ok(Begin::Duplicate)));
    assert!(before.elapsed() < LEASE / 10);
    let mut tokens: Vec<_> = store.leases(Op::Claim).into_iter().map(|lease| lease.token).collect();
    tokens.dedup();
    assert_eq!(tokens.len(), store.leases(Op::Claim).len(), "each claim has a token of its own");
}

#[tokio::test(start_paused = true)]
async fn concurrent_begins_share_few_batches() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    let names: Vec<&'static str> = (0..256).map(|n| &*Box::leak(format!("m{n}").into_boxed_str())).collect();
    let guards = join_all(names.iter().map(|name| dedup.begin_fingerprint(dedup.fingerprint(&id(name))))).await;
    let recorded = join_all(guards.into_iter().map(|begin| begin.claimed().complete())).await;
    assert!(recorded.iter().all(Result::is_ok));
    let (claims, completions) = (store.batches(Op::Claim), store.batches(Op::Complete));
    // The first may leave almost empty; each that leaves beside another is at least half full.
    let few = 1 + 256 / (MAX_BATCH / 2);
    assert!(claims.len() <= few && completions.len() <= few, "{} and {} batches", claims.len(), completions.len());
    assert_eq!(store.leases(Op::Complete).len(), 256);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_begin_leaves_its_batch_sound_and_gives_its_claim_back() {
    let store = Scripted::new();
    let (dedup, seen) = start(&store);
    store.close(Op::Claim);
    let begins: Vec<_> = ["a", "b", "c"]
        .map(|name| {
            let dedup = dedup.clone();
            tokio::spawn(async move { dedup.begin(&id(name)).await })
        })
        .into();
    store.arrived(Op::Claim, 1).await;
    begins[1].abort();
    tokio::task::yield_now().await;
    store.open(Op::Claim);
    let mut guards = Vec::new();
    for (n, begin) in begins.into_iter().enumerate() {
        match begin.await {
            Ok(begin) => guards.push(begin.claimed()),
            Err(cancelled) => assert!(cancelled.is_cancelled() && n == 1),
        }
    }
    assert_eq!(guards.len(), 2);
    store.arrived(Op::Release, 1).await;
    assert_eq!(store.given_back(), [Unstarted], "an attempt that never started does not count");
    let again = dedup.begin_wait(&id("b"), LEASE).await.claimed();
    assert_eq!(again.attempt(), 1);
    assert_eq!(seen.count("claim 0 false"), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_takes_is_given_back_uncounted() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    let mut begin = Box::pin({
        let dedup = dedup.clone();
        async move { dedup.begin(&id("a")).await }
    });
    assert!(begin.as_mut().now_or_never().is_none());
    // The answer waits to be taken: the guard exists, and nobody has seen it.
    store.arrived(Op::Claim, 1).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    drop(begin);
    store.arrived(Op::Release, 1).await;
    assert_eq!(store.given_back(), [Unstarted]);
}

#[tokio::test(start_paused = true)]
async fn begins_wait_for_room() {
    let store = Scripted::new();
    let dedup = builder(&store).0.max_in_flight(2).build().unwrap();
    let one = dedup.begin(&id("one")).await.claimed();
    let _two = dedup.begin(&id("two")).await.claimed();
    let mut three = Box::pin({
        let dedup = dedup.clone();
        async move { dedup.begin(&id("three")).await }
    });
    assert!(tokio::time::timeout(LEASE / 10, &mut three).await.is_err());
    one.complete().await.unwrap();
    three.await.claimed().complete().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_nothing_is_claimed() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    dedup.shutdown(LEASE).await.unwrap();
    let refused = dedup.begin(&id("a")).await.unwrap_err();
    assert!(matches!(refused, BeginError::ShutDown) && !refused.is_retryable());
    dedup.shutdown(LEASE).await.unwrap();
    assert!(store.batches(Op::Claim).is_empty());
}

#[test]
fn bad_settings_are_named() {
    let store = Scripted::new();
    let refused = |builder: super::Builder| builder.pair().map(|_| ()).unwrap_err().setting;
    assert_eq!(refused(builder(&store).0.max_in_flight(0)), "max_in_flight");
    assert_eq!(refused(builder(&store).0.claim_limit(Duration::ZERO)), "claim_limit");
    assert_eq!(refused(builder(&store).0.handler_limit(Duration::MAX)), "handler_limit");
    assert_eq!(refused(builder(&Scripted::with_lease(Duration::ZERO)).0), "lease");
    assert_eq!(Deduplicator::new(store).unwrap_err().setting, "runtime");
}
