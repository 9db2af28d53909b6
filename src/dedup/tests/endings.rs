use futures_util::FutureExt;
use tokio::time::{Duration, Instant};

use super::scripted::{Fault, Op, Scripted};
use super::{Claimed, LEASE, Unstarted, builder, failed, id, start};
use crate::dedup::{Begin, Ended, Unfinished};
use crate::store::Verdict;

#[tokio::test(start_paused = true)]
async fn a_dropped_guard_releases_and_counts() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    drop(dedup.begin(&id("a")).await.claimed());
    store.arrived(Op::Release, 1).await;
    let again = dedup.begin_wait(&id("a"), LEASE).await.claimed();
    assert_eq!(again.attempt(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_handler_releases_and_counts() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    let guard = dedup.begin(&id("a")).await.claimed();
    let handler = tokio::spawn(async move {
        let _guard = guard;
        panic!("a handler's mistake");
    });
    assert!(handler.await.unwrap_err().is_panic());
    assert_eq!(dedup.begin_wait(&id("a"), LEASE).await.claimed().attempt(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_counts_and_one_given_back_does_not() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    for attempt in 1..=3 {
        let guard = dedup.begin(&id("a")).await.claimed();
        assert_eq!(guard.attempt(), attempt);
        guard.give_back().await.unwrap();
        let guard = dedup.begin(&id("a")).await.claimed();
        assert_eq!(guard.attempt(), attempt);
        guard.fail().await.unwrap();
    }
    assert_eq!(store.given_back(), [Unstarted, failed(1), Unstarted, failed(2), Unstarted, failed(3)]);
}

#[tokio::test(start_paused = true)]
async fn a_takeover_counts_itself_once() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    let fingerprint = dedup.fingerprint(&id("a"));
    for (attempts, give_back) in [(0, true), (2, true), (2, false)] {
        store.take(fingerprint, attempts);
        tokio::time::sleep(LEASE).await;
        let guard = dedup.begin(&id("a")).await.claimed();
        assert_eq!((guard.attempt(), guard.is_suspect()), (attempts + 1, true));
        if give_back {
            guard.give_back().await.unwrap()
        } else {
            guard.fail().await.unwrap()
        }
        // Given back it is a suspect as before; failed, only the count is kept.
        let (run_out, idle) = if give_back { (Some(attempts), None) } else { (None, Some(3)) };
        assert_eq!((store.run_out(fingerprint), store.idle(fingerprint)), (run_out, idle));
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_is_repeated_until_it_is_answered() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    store.fail(Op::Release, [Fault::RequestLost, Fault::Unavailable, Fault::ReplyLost]);
    let guard = dedup.begin(&id("a")).await.claimed();
    guard.fail().await.unwrap();
    assert_eq!(store.given_back(), [failed(1); 4]);
    assert_eq!(store.idle(dedup.fingerprint(&id("a"))), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_release_ends_when_the_lease_has_surely_run_out() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    let guard = dedup.begin(&id("a")).await.claimed();
    store.outage(Op::Release, Fault::RequestLost);
    let before = Instant::now();
    guard.fail().await.unwrap();
    assert!(before.elapsed() > LEASE && before.elapsed() < LEASE * 2);
    assert!(!store.is_held(dedup.fingerprint(&id("a"))));
    let again = dedup.begin(&id("a")).await.claimed();
    assert!(again.is_suspect(), "what could not be released is a suspect");
    let tokens: Vec<_> = store.leases(Op::Claim);
    assert_ne!(tokens[0].token, tokens[1].token, "no token lives on after its release was sent");
}

#[tokio::test(start_paused = true)]
async fn a_completion_begun_and_dropped_is_recorded_all_the_same() {
    let store = Scripted::new();
    let (dedup, seen) = start(&store);
    store.fail(Op::Complete, [Fault::Unavailable, Fault::RequestLost]);
    // Not even polled once.
    drop(dedup.begin(&id("a")).await.claimed().complete());
    seen.until("complete First").await;
    assert!(store.is_done(dedup.fingerprint(&id("a"))));
    assert!(store.batches(Op::Release).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_completion_never_releases_whatever_the_store_does() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    let fingerprint = dedup.fingerprint(&id("a"));
    store.outage(Op::Complete, Fault::Refused);
    let guard = dedup.begin(&id("a")).await.claimed();
    let mut recording = guard.complete();
    assert!(tokio::time::timeout(LEASE * 10, &mut recording).await.is_err());
    assert!(store.batches(Op::Release).is_empty());
    assert!(store.is_held(fingerprint), "the lease is renewed until the completion is answered");
    // This process knows of the effect and does not claim the ID again.
    assert!(matches!(dedup.begin(&id("a")).await, Ok(Begin::InFlight(_))));
    assert_eq!(store.leases(Op::Claim).len(), 1);
    store.outage(Op::Complete, None);
    assert_eq!(recording.await, Ok(Verdict::First));
}

#[tokio::test(start_paused = true)]
async fn an_effect_is_not_repeated_here_though_its_lease_was_lost() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    store.outage(Op::Complete, Fault::RequestLost);
    store.outage(Op::Renew, Fault::RequestLost);
    let recording = dedup.begin(&id("a")).await.claimed().complete();
    tokio::time::sleep(LEASE * 3).await;
    assert!(!store.is_held(dedup.fingerprint(&id("a"))));
    assert!(matches!(dedup.begin(&id("a")).await, Ok(Begin::InFlight(_))));
    assert_eq!(store.leases(Op::Claim).len(), 1);
    store.outage(Op::Complete, None);
    assert_eq!(recording.await, Ok(Verdict::First));
    assert!(matches!(dedup.begin(&id("a")).await, Ok(Begin::Duplicate)));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_what_is_under_way() {
    let store = Scripted::new();
    let (dedup, seen) = start(&store);
    store.fail(Op::Complete, [Fault::RequestLost; 3]);
    store.fail(Op::Release, [Fault::RequestLost; 3]);
    let running = dedup.begin(&id("running")).await.claimed();
    drop(dedup.begin(&id("done")).await.claimed().complete());
    drop(dedup.begin(&id("failed")).await.claimed());
    let shutdown = tokio::spawn({
        let dedup = dedup.clone();
        async move { dedup.shutdown(LEASE).await }
    });
    seen.until("complete First").await;
    assert_eq!(running.complete().await, Ok(Verdict::First));
    assert_eq!(shutdown.await.unwrap(), Ok(()));
    assert_eq!(store.idle(dedup.fingerprint(&id("failed"))), Some(1));
    assert!(store.is_done(dedup.fingerprint(&id("done"))));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_claims_under_way_back() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    store.close(Op::Claim);
    let begin = tokio::spawn({
        let dedup = dedup.clone();
        async move { dedup.begin(&id("a")).await }
    });
    store.arrived(Op::Claim, 1).await;
    let mut shutdown = Box::pin(dedup.shutdown(LEASE));
    assert!(shutdown.as_mut().now_or_never().is_none());
    assert!(matches!(begin.await.unwrap(), Err(crate::dedup::BeginError::ShutDown)));
    store.open(Op::Claim);
    assert_eq!(shutdown.await, Ok(()));
    assert_eq!(store.given_back(), [Unstarted]);
    assert!(!store.is_held(dedup.fingerprint(&id("a"))));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_at_its_deadline_and_says_what_is_left() {
    let store = Scripted::new();
    let (dedup, _) = start(&store);
    store.outage(Op::Complete, Fault::Unavailable);
    let recording = dedup.begin(&id("a")).await.claimed().complete();
    let _running = dedup.begin(&id("b")).await.claimed();
    assert_eq!(dedup.shutdown(Duration::from_secs(5)).await, Err(Unfinished { ids: 2 }));
    assert_eq!(recording.await, Err(Ended));
}

#[tokio::test(start_paused = true)]
async fn without_handles_the_actor_ends_when_everything_was_answered() {
    let store = Scripted::new();
    let (dedup, actor) = builder(&store).0.pair().unwrap();
    let fingerprint = dedup.fingerprint(&id("a"));
    store.fail(Op::Complete, [Fault::RequestLost; 3]);
    let actor = tokio::spawn(actor.run());
    let guard = dedup.begin(&id("a")).await.claimed();
    drop(dedup);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!actor.is_finished(), "a guard still needs it");
    drop(guard.complete());
    actor.await.unwrap();
    assert!(store.is_done(fingerprint));
}
