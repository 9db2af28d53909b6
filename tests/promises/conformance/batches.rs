//! Many items at once: an answer per item, in their order.

use super::*;

pub async fn mixed_outcomes_keep_their_order(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.complete(1, b'a').await;
    worker.claim(2, b'a').await;
    worker.claim(3, b'a').await;
    worker.release(3, b'a', 2).await;
    bench.worker(SHORT_LEASE).die_holding(4, b'a').await;
    bench.worker(SHORT_LEASE).die_holding(5, b'a').await;
    worker.claim(7, b'b').await;
    let mut claims: Vec<Claim> = (0..8).map(|n| claim(n, b'b')).collect();
    claims[5].takes_over = true;
    let outcomes = all(worker.0.claim(claims).await);
    assert_eq!(outcomes[0], claimed(0));
    assert_done(&outcomes[1]);
    remaining_in_flight(&outcomes[2]);
    assert_eq!(outcomes[3], claimed(2));
    assert_eq!(outcomes[4], ClaimOutcome::Suspect { attempts: 0 });
    assert_eq!(outcomes[5], taken_over(1));
    assert_eq!(outcomes[6], claimed(0));
    assert_eq!(outcomes[7], claimed(0), "mine");

    let states = all(worker.0.inspect((0..8).map(id).collect()).await);
    assert!(matches!(states[1], State::Done { .. }));
    assert_eq!(states[4], State::Expired { attempts: 0 });
    assert_in_flight(&states[5], 1);
    let forgotten = all(worker.0.forget((0..3).map(id).collect()).await);
    assert_eq!(forgotten, [false, true, false]);
}

pub async fn one_id_twice_in_a_batch_is_claimed_once(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    let outcomes = all(worker.0.claim(vec![claim(1, b'a'), claim(1, b'b'), claim(1, b'a')]).await);
    let winners: Vec<u8> =
        [b'a', b'b'].into_iter().zip(&outcomes).filter(|(_, o)| **o == claimed(0)).map(|(name, _)| name).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    assert_eq!(outcomes[0], outcomes[2], "the same token is told the same");
    assert_eq!(worker.renew(1, winners[0]).await, RenewOutcome::Renewed);
}

pub async fn one_id_twice_in_a_batch_is_recorded_once(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    let outcomes = all(worker.0.complete(vec![completion(1, b'a'), completion(1, b'b')]).await);
    assert_eq!(outcomes.iter().filter(|o| **o == CompletionOutcome::Recorded).count(), 1, "{outcomes:?}");
}

pub async fn renewals_and_releases_keep_their_order(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    all(worker.0.claim(vec![claim(1, b'a'), claim(2, b'b'), claim(3, b'a')]).await);
    let renewed = all(worker.0.renew((0..4).map(|n| lease(n, b'a')).collect()).await);
    use RenewOutcome::{NotHeld, Renewed};
    assert_eq!(renewed, [NotHeld, Renewed, NotHeld, Renewed]);
    let releases = (0..4)
        .map(|n| Release { lease: lease(n, b'a'), given_back: GivenBack::Failed { attempts: n - n % 2 } })
        .collect();
    let released = all(worker.0.release(releases).await);
    use ReleaseOutcome as Is;
    assert_eq!(released, [Is::NotHeld, Is::Released, Is::NotHeld, Is::Released]);
    assert_eq!(worker.inspect(1).await, State::Absent);
    assert_eq!(worker.inspect(3).await, State::Idle { attempts: 2 });
}

pub async fn great_batches_are_answered_whole(bench: &impl Bench) {
    const ITEMS: u32 = 3000;
    let worker = bench.worker(LONG);
    // Every third is done, so that an answer in the wrong place shows.
    let third: Vec<Completion> = (0..ITEMS).step_by(3).map(|n| completion(n, b'a')).collect();
    assert!(all(worker.0.complete(third).await).iter().all(|o| *o == CompletionOutcome::Recorded));
    let outcomes = all(worker.0.claim((0..ITEMS).map(|n| claim(n, b'b')).collect()).await);
    assert_eq!(outcomes.len(), ITEMS as usize);
    for (n, outcome) in outcomes.iter().enumerate() {
        match n % 3 {
            0 => assert_done(outcome),
            _ => assert_eq!(*outcome, claimed(0), "item {n}"),
        }
    }
    let outcomes = all(worker.0.complete((0..ITEMS).map(|n| completion(n, b'b')).collect()).await);
    for (n, outcome) in outcomes.iter().enumerate() {
        let expected = if n % 3 == 0 { CompletionOutcome::AlreadyDone } else { CompletionOutcome::Recorded };
        assert_eq!(*outcome, expected, "item {n}");
    }
    let states = all(worker.0.inspect((0..ITEMS).map(id).collect()).await);
    assert!(states.iter().all(|state| matches!(state, State::Done { .. })));
}

pub async fn empty_batches_have_empty_answers(bench: &impl Bench) {
    let store = bench.worker(LONG).0;
    assert!(store.claim(Vec::new()).await.is_empty());
    assert!(store.complete(Vec::new()).await.is_empty());
    assert!(store.renew(Vec::new()).await.is_empty());
    assert!(store.release(Vec::new()).await.is_empty());
    assert!(store.inspect(Vec::new()).await.is_empty());
    assert!(store.forget(Vec::new()).await.is_empty());
}
