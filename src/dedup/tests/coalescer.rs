use std::sync::Arc;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::dedup::coalesce::{Coalescer, MAX_BATCH, MAX_UNDER_WAY};
use crate::store::{Answers, StoreError};

/// Doubles each item when a permit is there; notes the batches' sizes when they leave.
struct Doubler {
    sizes: Arc<Mutex<Vec<usize>>>,
    permits: Arc<Semaphore>,
    coalescer: Coalescer<usize, usize, usize>,
}

fn doubler(permits: usize) -> Doubler {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let permits = Arc::new(Semaphore::new(permits));
    let (seen, gate) = (Arc::clone(&sizes), Arc::clone(&permits));
    let coalescer = Coalescer::new(move |batch: Vec<usize>| {
        seen.lock().push(batch.len());
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            batch.into_iter().map(|item| Ok(item * 2)).collect::<Answers<usize>>()
        }
        .boxed()
    });
    Doubler { sizes, permits, coalescer }
}

#[tokio::test]
async fn gathers_while_a_round_trip_is_under_way() {
    let mut test = doubler(0);
    test.coalescer.push(1, 1);
    assert!(test.coalescer.next().now_or_never().is_none());
    (2..=4).for_each(|item| test.coalescer.push(item, item));
    assert!(test.coalescer.next().now_or_never().is_none());
    assert_eq!(*test.sizes.lock(), [1]);
    assert_eq!(test.coalescer.len(), 4);

    test.permits.add_permits(2);
    assert_eq!(test.coalescer.next().await.len(), 1);
    let answers: Vec<_> = test.coalescer.next().await.into_iter().map(|(tag, answer)| (tag, answer.unwrap())).collect();
    assert_eq!(answers, [(2, 4), (3, 6), (4, 8)]);
    assert_eq!(*test.sizes.lock(), [1, 3]);
    assert!(test.coalescer.is_idle());
}

#[tokio::test]
async fn pushes_of_one_turn_travel_together_up_to_the_cap() {
    let mut test = doubler(9);
    test.coalescer = test.coalescer.max_batch(4);
    (0..10).for_each(|item| test.coalescer.push(item, item));
    let mut answered = Vec::new();
    while !test.coalescer.is_idle() {
        answered.extend(test.coalescer.next().await.into_iter().map(|(tag, _)| tag));
    }
    assert_eq!(*test.sizes.lock(), [4, 4, 2]);
    assert_eq!(answered, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn several_round_trips_may_overlap() {
    let mut test = doubler(0);
    test.coalescer = test.coalescer.max_batch(1).max_under_way(2);
    (0..3).for_each(|item| test.coalescer.push(item, item));
    assert!(test.coalescer.next().now_or_never().is_none());
    assert_eq!(*test.sizes.lock(), [1, 1]);
}

/// What gathers behind the first is either worth a round trip of its own or waits for an answer.
#[tokio::test]
async fn a_further_round_trip_has_to_be_half_full() {
    let mut test = doubler(0);
    test.coalescer = test.coalescer.max_batch(4).max_under_way(2);
    let push = |test: &mut Doubler, item| {
        test.coalescer.push(item, item);
        assert!(test.coalescer.next().now_or_never().is_none());
        test.sizes.lock().clone()
    };
    assert_eq!(push(&mut test, 1), [1], "the first waits for nobody");
    assert_eq!(push(&mut test, 2), [1]);
    assert_eq!(push(&mut test, 3), [1, 2]);
    for item in 4..9 {
        assert_eq!(push(&mut test, item), [1, 2], "no more than two");
    }
    test.permits.add_permits(9);
    let mut answered = 0;
    while !test.coalescer.is_idle() {
        answered += test.coalescer.next().await.len();
    }
    assert_eq!(answered, 8);
    assert_eq!(*test.sizes.lock(), [1, 2, 4, 1]);
}

/// Whoever asks alone behind a crowd waits for the crowd before it, never for those that come after it.
#[tokio::test]
async fn a_small_caller_is_answered_in_its_turn() {
    let mut test = doubler(99);
    (0..crowd()).for_each(|item| test.coalescer.push(item, item));
    test.coalescer.push(usize::MAX, 0);
    (0..crowd()).for_each(|item| test.coalescer.push(item, item));
    let (mut round_trips, mut found) = (0, false);
    while !found {
        found = test.coalescer.next().await.iter().any(|(tag, _)| *tag == usize::MAX);
        round_trips += 1;
    }
    assert!(round_trips <= crowd() / MAX_BATCH + MAX_UNDER_WAY, "{round_trips}");
    assert!(test.sizes.lock().iter().all(|size| *size <= MAX_BATCH));
}

const fn crowd() -> usize {
    10 * MAX_BATCH
}

#[tokio::test]
async fn idle_it_is_pending_and_wakes_for_later_pushes() {
    let mut test = doubler(1);
    assert!(test.coalescer.next().now_or_never().is_none());
    test.coalescer.push(7, 7);
    assert_eq!(test.coalescer.next().await.len(), 1);
    assert!(test.coalescer.next().now_or_never().is_none());
}

#[tokio::test]
async fn dropping_next_loses_nothing() {
    let mut test = doubler(0);
    test.coalescer.push(1, 1);
    for _ in 0..3 {
        assert!(test.coalescer.next().now_or_never().is_none());
    }
    test.permits.add_permits(1);
    assert_eq!(test.coalescer.next().await.len(), 1);
    assert_eq!(*test.sizes.lock(), [1]);
}

#[tokio::test]
async fn answers_of_the_wrong_number_are_unknown() {
    for answers in [0, 1, 3] {
        let mut coalescer: Coalescer<usize, (), ()> =
            Coalescer::new(move |_| async move { (0..answers).map(|_| Ok(())).collect() }.boxed());
        coalescer.push(1, ());
        coalescer.push(2, ());
        let answered = coalescer.next().await;
        assert_eq!(answered.len(), 2);
        assert!(answered.iter().all(|(_, answer)| matches!(answer, Err(StoreError::Unknown(_)))));
    }
}
