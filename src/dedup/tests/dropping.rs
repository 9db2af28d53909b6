//! Futures and guards that are dropped at any time leave no claim, no entry and no place behind.

use futures_util::FutureExt;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::timeout;

use super::scripted::Op;
use super::*;
use crate::id::Fingerprint;

/// The time in which everything must have ended, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn begin_dropped_while_it_waits_takes_no_place() {
    let store = Scripted::new();
    let dedup = builder(&store).0.max_in_flight(1).build().unwrap();
    let held = dedup.begin(&id("held")).await.claimed();
    for name in ["one", "two", "three"] {
        let identity = id(name);
        let mut waiting = Box::pin(dedup.begin(&identity));
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    // One more is given the place and dropped before it takes it.
    let (last, next) = (id("last"), id("next"));
    let mut waiting = Box::pin(dedup.begin(&last));
    assert!(waiting.as_mut().now_or_never().is_none());
    held.complete().await.unwrap();
    drop(waiting);
    dedup.begin(&next).await.claimed().complete().await.unwrap();
    assert_eq!(dedup.room(), 1);
    assert_eq!(store.leases(Op::Claim).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn begin_dropped_at_each_await_gives_its_place_back() {
    let store = Scripted::new();
    let dedup = builder(&store).0.max_in_flight(4).build().unwrap();
    for polls in 0..4 {
        let fingerprint = Fingerprint::from_bytes([polls; 16]);
        let mut begin = Box::pin(dedup.begin_fingerprint(fingerprint));
        for _ in 0..polls {
            if let Some(begun) = begin.as_mut().now_or_never() {
                drop(begun);
                begin = Box::pin(dedup.begin_fingerprint(fingerprint));
            }
            tokio::time::sleep(Duration::from_micros(700)).await;
        }
        drop(begin);
        tokio::time::sleep(LEASE * 2).await;
        assert_eq!(dedup.room(), 4, "after {polls} polls");
        assert!(!store.is_held(fingerprint));
    }
    dedup.shutdown(LEASE).await.unwrap();
}

/// Callers on several threads change the state while the background work answers them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn begins_and_guards_dropped_at_any_time_leave_nothing() {
    const ROOM: usize = 24;
    const TASKS: u8 = 32;
    let store = Scripted::new();
    let dedup = builder(&store).0.max_in_flight(ROOM).build().unwrap();
    let callers = (0..TASKS).map(|task| {
        let dedup = dedup.clone();
        tokio::spawn(async move {
            let mut rng = StdRng::seed_from_u64(task.into());
            for round in 0..150_u8 {
                let mut bytes = [task; 16];
                bytes[1] = round;
                let begin = dedup.begin_fingerprint(Fingerprint::from_bytes(bytes));
                match rng.random_range(0..5) {
                    0 => drop(timeout(Duration::from_millis(rng.random_range(0..4)), begin).await),
                    1 => {
                        let begin = tokio::spawn({
                            let (dedup, fingerprint) = (dedup.clone(), Fingerprint::from_bytes(bytes));
                            async move { drop(dedup.begin_fingerprint(fingerprint).await) }
                        });
                        (0..rng.random_range(0..4)).for_each(|_| std::thread::yield_now());
                        begin.abort();
                    }
                    2 => drop(begin.await.claimed()),
                    3 => drop(begin.await.claimed().complete()),
                    _ => assert!(begin.await.claimed().complete().await.is_ok()),
                }
            }
        })
    });
    for caller in timeout(LIMIT, join_all(callers.collect::<Vec<_>>())).await.expect("no caller hangs") {
        caller.unwrap();
    }
    timeout(LIMIT, dedup.shutdown(LIMIT)).await.expect("the background work does not hang").unwrap();
    assert_eq!(dedup.room(), ROOM);
    for task in 0..TASKS {
        for round in 0..150 {
            let mut bytes = [task; 16];
            bytes[1] = round;
            assert!(!store.is_held(Fingerprint::from_bytes(bytes)), "task {task}, round {round}");
        }
    }
}

/// The last handle goes while the background work answers, with the lock held.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn last_handles_dropped_at_any_time_end_the_actor() {
    for round in 0..200_u8 {
        let store = Scripted::new();
        let (dedup, actor) = builder(&store).0.pair().unwrap();
        let actor = tokio::spawn(actor.run());
        let begin = tokio::spawn(async move {
            let begun = dedup.begin_fingerprint(Fingerprint::from_bytes([round; 16])).await;
            drop(dedup);
            if round % 2 == 0 { drop(begun) } else { drop(begun.claimed().complete()) }
        });
        if round % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            begin.abort();
        }
        timeout(LIMIT, actor).await.expect("the background work ends").unwrap();
        assert!(!store.is_held(Fingerprint::from_bytes([round; 16])));
    }
}
