//! absent, idle, mine → in flight.

use super::*;

pub async fn absent_is_claimed(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    assert_eq!(worker.inspect(1).await, State::Absent);
    assert_eq!(worker.claim(1, b'a').await, claimed(0));
    let remaining = assert_in_flight(&worker.inspect(1).await, 0);
    assert!(remaining <= LONG.lease && remaining > LONG.lease / 2, "{remaining:?}");
    // A claim that may take over is the same where there is nothing to take.
    assert_eq!(worker.take_over(2, b'a').await, claimed(0));
}

pub async fn in_flight_elsewhere_is_not_a_duplicate(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.claim(1, b'a').await;
    let remaining = remaining_in_flight(&worker.claim(1, b'b').await);
    assert!(remaining <= LONG.lease && remaining > LONG.lease / 2, "{remaining:?}");
    assert_eq!(worker.renew(1, b'a').await, RenewOutcome::Renewed, "the holder keeps its lease");
    assert_eq!(worker.renew(1, b'b').await, RenewOutcome::NotHeld);
}

pub async fn a_held_lease_is_not_taken_over(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.claim(1, b'a').await;
    remaining_in_flight(&worker.take_over(1, b'b').await);
    assert_eq!(worker.renew(1, b'a').await, RenewOutcome::Renewed);
}

/// A lost reply is not a duplicate.
pub async fn the_same_token_is_mine_and_refreshes(bench: &impl Bench) {
    let brief = bench.worker(LeaseTerms { lease: LONG.lease / 4, ..LONG });
    let worker = bench.worker(LONG);
    assert_eq!(brief.claim(1, b'a').await, claimed(0));
    assert_eq!(worker.claim(1, b'a').await, claimed(0));
    let remaining = assert_in_flight(&worker.inspect(1).await, 0);
    assert!(remaining > LONG.lease / 2, "not refreshed: {remaining:?}");
    assert_eq!(worker.take_over(1, b'a').await, claimed(0), "one's own lease is not a suspect");
}

pub async fn the_same_token_is_told_the_same_after_a_takeover(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    bench.worker(SHORT_LEASE).die_holding(1, b'a').await;
    assert_eq!(worker.take_over(1, b'b').await, taken_over(1));
    assert_eq!(worker.take_over(1, b'b').await, taken_over(1), "asking again must not count twice");
    assert_eq!(worker.claim(1, b'b').await, taken_over(1));
    assert_in_flight(&worker.inspect(1).await, 1);
}

pub async fn the_same_token_is_told_the_same_after_idling(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.claim(1, b'a').await;
    worker.release(1, b'a', 2).await;
    assert_eq!(worker.claim(1, b'b').await, claimed(2));
    assert_eq!(worker.claim(1, b'b').await, claimed(2));
    assert_eq!(worker.take_over(1, b'b').await, claimed(2));
}

/// However many ask at once, each over a connection of its own, one gets it.
pub async fn one_of_many_is_told_claimed(bench: &impl Bench) {
    let workers: Vec<Worker> = (0..8).map(|_| bench.worker(LONG)).collect();
    for n in 0..20 {
        let claims = workers.iter().zip(b'a'..).map(|(worker, name)| worker.claim(n, name));
        let outcomes = futures_util::future::join_all(claims).await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == claimed(0)).count(), 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|o| matches!(o, ClaimOutcome::InFlight { .. })).count(), 7, "{outcomes:?}");
    }
}
