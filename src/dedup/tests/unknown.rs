//! Unknown outcomes: lost replies, a store that is away.

use tokio::time::{Duration, Instant};

use super::scripted::{Fault, Op, Scripted};
use super::{Claimed, LEASE, Unstarted, failed, id, start};
use crate::dedup::{Begin, BeginError};
use crate::store::{StoreError, Verdict};

#[tokio::test(start_paused = true)]
async fn a_lost_claim_is_asked_for_again_with_the_same_token() {
    for fault in [Fault::ReplyLost, Fault::RequestLost, Fault::Short] {
        let store = Scripted::new();
        let (dedup, seen) = start(&store);
        store.fail(Op::Claim, [fault, fault]);
        let guard = dedup.begin(&id("a")).await.claimed();
        let claims = store.leases(Op::Claim);
        assert_eq!(claims.len(), 3, "{fault:?}");
        assert!(claims.iter().all(|claim| *claim == claims[0]), "{claims:?}");
        assert_eq!((guard.attempt(), guard.is_suspect()), (1, false));
        assert_eq!(seen.count("claim unknown"), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_takeover_counts_once() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    store.take(dedup.fingerprint(&id("a")), 2);
    tokio::time::sleep(LEASE).await;
    store.fail(Op::Claim, [Fault::ReplyLost]);
    assert_eq!(dedup.begin(&id("a")).await.claimed().attempt(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_to_a_completion_is_no_overrun_before_the_deadline() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    store.fail(Op::Complete, [Fault::ReplyLost]);
    let guard = dedup.begin(&id("a")).await.claimed();
    assert_eq!(guard.complete().await, Ok(Verdict::First));
    assert_eq!(store.leases(Op::Complete).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_to_the_completion_of_a_takeover_is_a_possible_overrun_at_any_time() {
    // Whoever it was taken over from may be alive, and have completed in between.
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    store.take(dedup.fingerprint(&id("a")), 1);
    tokio::time::sleep(LEASE).await;
    let guard = dedup.begin(&id("a")).await.claimed();
    assert!(guard.is_suspect());
    store.fail(Op::Complete, [Fault::ReplyLost]);
    assert_eq!(guard.complete().await, Ok(Verdict::PossibleOverrun));
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_to_a_completion_is_a_possible_overrun_after_the_deadline() {
    let store = Scripted::new();
    let (dedup, seen) = start(&store);
    let guard = dedup.begin(&id("a")).await.claimed();
    store.fail(Op::Complete, [Fault::ReplyLost]);
    store.outage(Op::Complete, Fault::Unavailable);
    store.outage(Op::Renew, Fault::Unavailable);
    let recording = guard.complete();
    tokio::time::sleep(LEASE).await;
    store.outage(Op::Complete, None);
    assert_eq!(recording.await, Ok(Verdict::PossibleOverrun));
    assert_eq!(seen.count("complete PossibleOverrun"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_effect_of_another_attempt_is_told() {
    // At the first sending nothing else explains it.
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    let guard = dedup.begin(&id("a")).await.claimed();
    store.finish(guard.fingerprint());
    assert_eq!(guard.complete().await, Ok(Verdict::Overrun));

    // A sending that was certainly not executed explains nothing either.
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    let guard = dedup.begin(&id("a")).await.claimed();
    store.finish(guard.fingerprint());
    store.fail(Op::Complete, [Fault::Unavailable]);
    assert_eq!(guard.complete().await, Ok(Verdict::Overrun));
}

#[tokio::test(start_paused = true)]
async fn a_store_away_for_a_while_delays() {
    let store = Scripted::new();
    let (dedup, seen) = start(&store);
    store.outage(Op::Claim, Fault::Unavailable);
    let begin = tokio::spawn({
        let dedup = dedup.clone();
        async move { dedup.begin(&id("a")).await }
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    store.outage(Op::Claim, None);
    begin.await.unwrap().claimed().complete().await.unwrap();
    let tries = seen.count("claim unavailable");
    assert!((3..=15).contains(&tries), "with back-off: {tries}");
}

#[tokio::test(start_paused = true)]
async fn a_store_away_for_long_fails_the_begin_and_nothing_stays() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    store.outage(Op::Claim, Fault::Unavailable);
    let before = Instant::now();
    let failed = dedup.begin(&id("a")).await.unwrap_err();
    assert!(matches!(&failed, BeginError::Store(StoreError::Unavailable(_))) && failed.is_retryable());
    assert!(before.elapsed() >= Duration::from_secs(5) && before.elapsed() < Duration::from_secs(6));
    store.outage(Op::Claim, None);
    let guard = dedup.begin(&id("a")).await.claimed();
    let claims = store.leases(Op::Claim);
    assert_ne!(claims.first().map(|claim| claim.token), claims.last().map(|claim| claim.token));
    assert!(store.batches(Op::Release).is_empty(), "nothing can have been taken");
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn a_claim_given_up_is_given_back_with_the_count_it_found() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    let fingerprint = dedup.fingerprint(&id("a"));
    dedup.begin(&id("a")).await.claimed().fail().await.unwrap();
    assert_eq!(store.idle(fingerprint), Some(1));
    store.outage(Op::Claim, Fault::ReplyLost);
    let error = dedup.begin(&id("a")).await.unwrap_err();
    assert!(matches!(error, BeginError::Store(StoreError::Unknown(_))));
    assert!(store.is_held(fingerprint), "it was taken without our knowing");
    store.outage(Op::Claim, None);
    let guard = dedup.begin_wait(&id("a"), LEASE).await.claimed();
    assert_eq!(guard.attempt(), 2);
    assert_eq!(store.given_back(), [failed(1), Unstarted]);
    let claims = store.leases(Op::Claim);
    let (last, before) = claims.split_last().unwrap();
    assert!(before.iter().all(|claim| claim.token != last.token), "no token lives on after its release was sent");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_fails_the_begin_at_its_limit() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    store.close(Op::Claim);
    let before = Instant::now();
    assert!(matches!(dedup.begin(&id("a")).await, Err(BeginError::Store(StoreError::Unknown(_)))));
    assert_eq!(before.elapsed(), Duration::from_secs(5));
    store.open(Op::Claim);
    store.arrived(Op::Release, 1).await;
    assert_eq!(store.given_back(), [Unstarted]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_fails_at_once() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    store.outage(Op::Claim, Fault::Refused);
    let before = Instant::now();
    let failed = dedup.begin(&id("a")).await.unwrap_err();
    assert!(matches!(&failed, BeginError::Store(StoreError::Refused(_))) && !failed.is_retryable());
    assert!(before.elapsed() < Duration::from_millis(10));
    assert_eq!(store.batches(Op::Claim).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_can_never_be_known_is_let_go_when_its_lease_is_over() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    store.outage(Op::Claim, Fault::RequestLost);
    dedup.begin(&id("a")).await.unwrap_err();
    assert!(matches!(dedup.begin(&id("a")).await, Ok(Begin::InFlight(_))));
    let before = Instant::now();
    dedup.shutdown(LEASE * 10).await.unwrap();
    assert!(before.elapsed() > LEASE && before.elapsed() < LEASE * 2);
}
