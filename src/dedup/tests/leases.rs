use futures_util::FutureExt;
use tokio::time::{Duration, Instant};

use super::scripted::{Fault, Op, Scripted};
use super::{Claimed, LEASE, builder, id, soon};
use crate::store::Verdict;

#[tokio::test(start_paused = true)]
async fn renewal_keeps_a_running_handler_in_possession() {
    let store = Scripted::new();
    let (builder, seen) = builder(&store);
    let dedup = builder.handler_limit(LEASE * 10).build().unwrap();
    let fingerprint = dedup.fingerprint(&id("a"));
    let guard = dedup.begin(&id("a")).await.claimed();
    // A failure now and then leaves room for another try.
    store.fail(Op::Renew, [Fault::RequestLost, Fault::Unavailable]);
    for _ in 0..50 {
        tokio::time::sleep(LEASE / 10).await;
        assert!(store.is_held(fingerprint));
    }
    assert!(guard.cancelled().now_or_never().is_none());
    assert_eq!(seen.count("lost"), 0);
    let renewals = store.batches(Op::Renew).len();
    assert!((15..=18).contains(&renewals), "at a third of the lease: {renewals}");
    assert_eq!(guard.complete().await, Ok(Verdict::First));
    tokio::time::sleep(LEASE).await;
    assert_eq!(store.batches(Op::Renew).len(), renewals, "nothing is renewed after its end");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_renewed_is_cancelled_before_its_lease_ends() {
    for fault in [Fault::RequestLost, Fault::Unavailable, Fault::Refused] {
        let store = Scripted::new();
        let (builder, seen) = builder(&store);
        let dedup = builder.handler_limit(LEASE * 10).build().unwrap();
        store.outage(Op::Renew, fault);
        let before = Instant::now();
        let guard = dedup.begin(&id("a")).await.claimed();
        let token = guard.cancellation();
        soon(guard.cancelled()).await;
        assert!(before.elapsed() >= LEASE / 2 && before.elapsed() <= LEASE * 9 / 10, "{:?}", before.elapsed());
        assert!(store.is_held(guard.fingerprint()), "the lease still holds by the store's clock");
        assert!(token.is_cancelled());
        assert_eq!(seen.count("lost"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_never_arrives_does_not_put_the_cancellation_off() {
    let store = Scripted::new();
    let dedup = builder(&store).0.handler_limit(LEASE * 10).build().unwrap();
    let before = Instant::now();
    let guard = dedup.begin(&id("a")).await.claimed();
    store.close(Op::Renew);
    soon(guard.cancelled()).await;
    assert!(before.elapsed() <= LEASE * 9 / 10, "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_before_the_claim_was_sent() {
    let store = Scripted::new();
    let dedup = builder(&store).0.claim_limit(LEASE).build().unwrap();
    store.close(Op::Claim);
    store.outage(Op::Renew, Fault::Unavailable);
    let before = Instant::now();
    let begin = tokio::spawn({
        let dedup = dedup.clone();
        async move { dedup.begin(&id("a")).await }
    });
    tokio::time::sleep(LEASE / 4).await;
    store.open(Op::Claim);
    let guard = begin.await.unwrap().claimed();
    soon(guard.cancelled()).await;
    assert!(before.elapsed() <= LEASE * 9 / 10, "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_claim_answered_late_is_refreshed_before_its_handler_starts() {
    let store = Scripted::new();
    let dedup = builder(&store).0.claim_limit(LEASE).build().unwrap();
    store.close(Op::Claim);
    let begin = tokio::spawn({
        let dedup = dedup.clone();
        async move { dedup.begin(&id("a")).await }
    });
    tokio::time::sleep(LEASE / 2).await;
    store.open(Op::Claim);
    let guard = begin.await.unwrap().claimed();
    let claims = store.leases(Op::Claim);
    assert_eq!(claims.len(), 2);
    assert_eq!(claims[0], claims[1], "the same token");
    assert_eq!(guard.attempt(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_else_took_is_cancelled_at_once() {
    let store = Scripted::new();
    let dedup = builder(&store).0.handler_limit(LEASE * 10).build().unwrap();
    let before = Instant::now();
    let guard = dedup.begin(&id("a")).await.claimed();
    store.take(guard.fingerprint(), 1);
    soon(guard.cancelled()).await;
    assert!(before.elapsed() < LEASE / 2);
    tokio::time::sleep(LEASE).await;
    assert_eq!(store.batches(Op::Renew).len(), 1, "there is nothing left to renew");
    // The effect may have happened all the same, so it can still be recorded.
    assert_eq!(guard.complete().await, Ok(Verdict::First));
}

#[tokio::test(start_paused = true)]
async fn renewal_ends_at_the_handlers_time_limit() {
    let store = Scripted::new();
    let dedup = builder(&store).0.handler_limit(LEASE * 5 / 6).build().unwrap();
    let before = Instant::now();
    let guard = dedup.begin(&id("a")).await.claimed();
    soon(guard.cancelled()).await;
    assert!(before.elapsed() > LEASE && before.elapsed() < LEASE * 2, "{:?}", before.elapsed());
    assert_eq!(store.batches(Op::Renew).len(), 2, "at one and at two thirds");
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(!store.is_held(guard.fingerprint()), "a handler that hangs does not hold its ID for ever");
}

/// From the first sending of the claim, the one whose answer was lost, to each sending of the completion.
#[tokio::test(start_paused = true)]
async fn every_completion_tells_how_long_its_claim_is_held() {
    let store = Scripted::new();
    let (builder, _) = builder(&store);
    let dedup = builder.build().unwrap();
    store.fail(Op::Claim, [Fault::ReplyLost]);
    store.fail(Op::Complete, [Fault::RequestLost]);
    let before = Instant::now();
    let guard = dedup.begin(&id("a")).await.claimed();
    assert!(before.elapsed() > Duration::from_millis(1), "asked for twice");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let ended = before.elapsed();
    let recording = guard.complete();
    store.arrived(Op::Complete, 2).await;
    assert_eq!(store.held_for(), [ended, before.elapsed()]);
    recording.await.unwrap();

    // Waiting for the round trip before it counts, too.
    store.close(Op::Complete);
    let (first, second) = (dedup.begin(&id("b")).await.claimed(), dedup.begin(&id("c")).await.claimed());
    let begun = Instant::now();
    let first = first.complete();
    store.arrived(Op::Complete, 3).await;
    let second = second.complete();
    tokio::time::sleep(Duration::from_secs(5)).await;
    store.open(Op::Complete);
    first.await.unwrap();
    second.await.unwrap();
    assert!(store.held_for()[3] >= Duration::from_secs(5) && store.held_for()[3] <= begun.elapsed());
}
