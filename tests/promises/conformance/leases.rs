//! in flight → run out, idle, absent; what only the holder may do.

use super::*;

pub async fn a_lease_that_ran_out_is_taken_over_only_on_purpose(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    bench.worker(SHORT_LEASE).die_holding(1, b'a').await;
    assert_eq!(worker.claim(1, b'b').await, ClaimOutcome::Suspect { attempts: 0 });
    assert_eq!(worker.inspect(1).await, State::Expired { attempts: 0 }, "asking ahead changes nothing");
    assert_eq!(worker.take_over(1, b'b').await, taken_over(1));
    assert_in_flight(&worker.inspect(1).await, 1);
    remaining_in_flight(&worker.take_over(1, b'c').await);
}

pub async fn every_takeover_counts(bench: &impl Bench) {
    let worker = bench.worker(SHORT_LEASE);
    worker.die_holding(1, b'a').await;
    for count in 1..=3 {
        assert_eq!(worker.take_over(1, b'a' + count).await, taken_over(u32::from(count)));
        worker.until(1, State::Expired { attempts: u32::from(count) }).await;
    }
    assert_eq!(worker.claim(1, b'z').await, ClaimOutcome::Suspect { attempts: 3 });
}

pub async fn the_count_ends_with_the_grace(bench: &impl Bench) {
    let worker = bench.worker(LeaseTerms { lease: SOON, grace: SOON, ..LONG });
    worker.claim(1, b'a').await;
    worker.until(1, State::Absent).await;
    assert_eq!(bench.worker(LONG).claim(1, b'b').await, claimed(0));
}

pub async fn renewal_holds_for_a_whole_term(bench: &impl Bench) {
    let brief = bench.worker(LeaseTerms { lease: LONG.lease / 4, ..LONG });
    brief.claim(1, b'a').await;
    assert_eq!(bench.worker(LONG).renew(1, b'a').await, RenewOutcome::Renewed);
    let remaining = assert_in_flight(&brief.inspect(1).await, 0);
    assert!(remaining > LONG.lease / 2 && remaining <= LONG.lease, "{remaining:?}");
}

pub async fn renewal_reaches_a_lease_that_ran_out(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    bench.worker(SHORT_LEASE).die_holding(1, b'a').await;
    assert_eq!(worker.renew(1, b'a').await, RenewOutcome::Renewed);
    assert_in_flight(&worker.inspect(1).await, 0);
    remaining_in_flight(&worker.take_over(1, b'b').await);
}

pub async fn renewal_with_a_stale_token_changes_nothing(bench: &impl Bench) {
    let brief = bench.worker(LeaseTerms { lease: LONG.lease / 4, ..LONG });
    bench.worker(SHORT_LEASE).die_holding(1, b'a').await;
    brief.take_over(1, b'b').await;
    assert_eq!(bench.worker(LONG).renew(1, b'a').await, RenewOutcome::NotHeld);
    let remaining = assert_in_flight(&brief.inspect(1).await, 1);
    assert!(remaining <= LONG.lease / 4, "the other's lease was renewed: {remaining:?}");
}

pub async fn renewal_of_what_is_not_in_flight(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    assert_eq!(worker.renew(1, b'a').await, RenewOutcome::NotHeld, "absent");
    assert_eq!(worker.inspect(1).await, State::Absent);
    worker.claim(1, b'a').await;
    worker.release(1, b'a', 1).await;
    assert_eq!(worker.renew(1, b'a').await, RenewOutcome::NotHeld, "idle");
    assert_eq!(worker.inspect(1).await, State::Idle { attempts: 1 });
    worker.claim(1, b'b').await;
    worker.complete(1, b'b').await;
    assert_eq!(worker.renew(1, b'b').await, RenewOutcome::NotHeld, "done");
}

pub async fn release_without_attempts_leaves_nothing(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.claim(1, b'a').await;
    assert_eq!(worker.release(1, b'a', 0).await, ReleaseOutcome::Released);
    assert_eq!(worker.inspect(1).await, State::Absent);
    assert_eq!(worker.claim(1, b'b').await, claimed(0));
}

pub async fn release_with_attempts_keeps_the_count(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.claim(1, b'a').await;
    assert_eq!(worker.release(1, b'a', 4).await, ReleaseOutcome::Released);
    assert_eq!(worker.inspect(1).await, State::Idle { attempts: 4 });
    assert_eq!(worker.claim(1, b'b').await, claimed(4), "an idle ID is not a suspect");
    assert_in_flight(&worker.inspect(1).await, 4);
    remaining_in_flight(&worker.claim(1, b'c').await);
}

/// An old release may find a lease that a late copy of its claim took anew, from somebody who counted further.
pub async fn release_with_fewer_attempts_lowers_no_count(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    assert_eq!(worker.claim(1, b'a').await, claimed(0));
    worker.release(1, b'a', 3).await;
    assert_eq!(worker.claim(1, b'b').await, claimed(3));
    worker.release(1, b'b', 1).await;
    assert_eq!(worker.claim(1, b'c').await, claimed(3));
    worker.release(1, b'c', 0).await;
    assert_eq!(worker.claim(1, b'd').await, claimed(3));
}

pub async fn unstarted_restores_absence(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.claim(1, b'a').await;
    assert_eq!(worker.give_back(1, b'a').await, ReleaseOutcome::Released);
    assert_eq!(worker.inspect(1).await, State::Absent);
    // Whether it was renewed meanwhile, or ran out, makes no difference: no handler has started.
    bench.worker(SHORT_LEASE).die_holding(2, b'a').await;
    worker.renew(2, b'a').await;
    assert_eq!(worker.give_back(2, b'a').await, ReleaseOutcome::Released);
    assert_eq!(worker.inspect(2).await, State::Absent);
    bench.worker(SHORT_LEASE).die_holding(3, b'a').await;
    assert_eq!(worker.give_back(3, b'a').await, ReleaseOutcome::Released);
    assert_eq!(worker.inspect(3).await, State::Absent);
}

pub async fn unstarted_restores_the_idle_count(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.claim(1, b'a').await;
    worker.release(1, b'a', 2).await;
    assert_eq!(worker.claim(1, b'b').await, claimed(2));
    assert_eq!(worker.claim(1, b'b').await, claimed(2));
    assert_eq!(worker.give_back(1, b'b').await, ReleaseOutcome::Released);
    assert_eq!(worker.inspect(1).await, State::Idle { attempts: 2 });
    assert_eq!(worker.claim(1, b'c').await, claimed(2), "an idle ID is not a suspect");
}

/// The takeover counted an attempt that was not made; and whoever comes next has to know that an owner before may have
/// died of the record, or may be alive.
pub async fn unstarted_restores_a_lease_that_ran_out(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    for (n, count) in [(1, 0), (2, 3)] {
        bench.worker(LONG).claim(n, b'a').await;
        worker.release(n, b'a', count).await;
        let brief = bench.worker(SHORT_LEASE);
        assert_eq!(brief.claim(n, b'b').await, claimed(count));
        let ran_out = State::Expired { attempts: count };
        brief.until(n, ran_out.clone()).await;
        assert_eq!(worker.take_over(n, b'c').await, taken_over(count + 1));
        assert_eq!(worker.take_over(n, b'c').await, taken_over(count + 1), "asking again must not count twice");
        assert_eq!(worker.renew(n, b'c').await, RenewOutcome::Renewed);
        assert_eq!(worker.give_back(n, b'c').await, ReleaseOutcome::Released);
        assert_eq!(worker.inspect(n).await, ran_out);
        assert_eq!(worker.renew(n, b'c').await, RenewOutcome::NotHeld);
        assert_eq!(worker.renew(n, b'b').await, RenewOutcome::NotHeld, "nobody holds it");
        assert_eq!(worker.claim(n, b'd').await, ClaimOutcome::Suspect { attempts: count });
        assert_eq!(worker.take_over(n, b'd').await, taken_over(count + 1), "not counted twice");
        assert_in_flight(&worker.inspect(n).await, count + 1);
        assert_eq!(worker.give_back(n, b'd').await, ReleaseOutcome::Released);
        assert_eq!(worker.inspect(n).await, ran_out);
        // Its handler fails: that is counted, and the ID is idle like any other.
        assert_eq!(worker.take_over(n, b'e').await, taken_over(count + 1));
        assert_eq!(worker.release(n, b'e', count + 1).await, ReleaseOutcome::Released);
        assert_eq!(worker.inspect(n).await, State::Idle { attempts: count + 1 });
    }
}

pub async fn a_takeover_given_back_is_forgotten_after_the_grace(bench: &impl Bench) {
    let worker = bench.worker(LeaseTerms { grace: SOON, ..LONG });
    bench.worker(SHORT_LEASE).die_holding(1, b'a').await;
    assert_eq!(worker.take_over(1, b'b').await, taken_over(1));
    assert_eq!(worker.give_back(1, b'b').await, ReleaseOutcome::Released);
    worker.until(1, State::Absent).await;
    assert_eq!(worker.claim(1, b'c').await, claimed(0));
}

pub async fn a_takeover_given_back_runs_out_for_workers_with_other_terms(bench: &impl Bench) {
    let patient = bench.worker(LeaseTerms { grace: 100 * LONG.grace, ..LONG });
    let worker = bench.worker(LONG);
    for (n, taker, giver) in [(1, &patient, &worker), (2, &worker, &patient)] {
        bench.worker(SHORT_LEASE).die_holding(n, b'a').await;
        assert_eq!(taker.take_over(n, b'b').await, taken_over(1));
        assert_eq!(giver.give_back(n, b'b').await, ReleaseOutcome::Released);
        assert_eq!(taker.inspect(n).await, State::Expired { attempts: 0 });
        assert_eq!(giver.take_over(n, b'c').await, taken_over(1));
        assert!(assert_in_flight(&taker.inspect(n).await, 1) <= LONG.lease);
    }
}

pub async fn a_delayed_second_release_of_a_takeover_changes_nothing(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    bench.worker(SHORT_LEASE).die_holding(1, b'a').await;
    worker.take_over(1, b'b').await;
    assert_eq!(worker.give_back(1, b'b').await, ReleaseOutcome::Released);
    assert_eq!(worker.give_back(1, b'b').await, ReleaseOutcome::NotHeld);
    assert_eq!(worker.inspect(1).await, State::Expired { attempts: 0 });
    worker.take_over(1, b'c').await;
    assert_eq!(worker.give_back(1, b'b').await, ReleaseOutcome::NotHeld);
    assert_eq!(worker.renew(1, b'c').await, RenewOutcome::Renewed);
}

pub async fn an_idle_count_ends_with_the_grace(bench: &impl Bench) {
    let worker = bench.worker(LeaseTerms { grace: SOON, ..LONG });
    worker.claim(1, b'a').await;
    assert_eq!(worker.release(1, b'a', 3).await, ReleaseOutcome::Released);
    worker.until(1, State::Absent).await;
    assert_eq!(worker.claim(1, b'b').await, claimed(0));
}

pub async fn release_with_a_stale_token_changes_nothing(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    bench.worker(SHORT_LEASE).die_holding(1, b'a').await;
    worker.take_over(1, b'b').await;
    assert_eq!(worker.release(1, b'a', 0).await, ReleaseOutcome::NotHeld);
    assert_eq!(worker.release(1, b'a', 5).await, ReleaseOutcome::NotHeld);
    assert_in_flight(&worker.inspect(1).await, 1);
    assert_eq!(worker.renew(1, b'b').await, RenewOutcome::Renewed);
}

/// A release is repeated until answered; a copy that arrives late must not free whoever claimed meanwhile.
pub async fn a_delayed_second_release_frees_nobody(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.claim(1, b'a').await;
    worker.release(1, b'a', 0).await;
    worker.claim(1, b'b').await;
    assert_eq!(worker.release(1, b'a', 0).await, ReleaseOutcome::NotHeld);
    assert_eq!(worker.renew(1, b'b').await, RenewOutcome::Renewed);
}

pub async fn release_of_an_idle_id_is_not_held(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.claim(1, b'a').await;
    worker.release(1, b'a', 2).await;
    assert_eq!(worker.release(1, b'a', 0).await, ReleaseOutcome::NotHeld);
    assert_eq!(worker.inspect(1).await, State::Idle { attempts: 2 });
    assert_eq!(worker.release(2, b'a', 2).await, ReleaseOutcome::NotHeld, "absent");
    assert_eq!(worker.inspect(2).await, State::Absent);
}

pub async fn release_reaches_a_lease_that_ran_out(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    bench.worker(SHORT_LEASE).die_holding(1, b'a').await;
    assert_eq!(worker.release(1, b'a', 1).await, ReleaseOutcome::Released);
    assert_eq!(worker.claim(1, b'b').await, claimed(1), "given back, so not a suspect");
}

/// A claim that executes after its release is held by nobody, and ends by itself.
pub async fn a_claim_that_executes_after_its_release_is_a_ghost(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    assert_eq!(worker.release(1, b'a', 0).await, ReleaseOutcome::NotHeld);
    bench.worker(SHORT_LEASE).die_holding(1, b'a').await;
    assert_eq!(worker.take_over(1, b'b').await, taken_over(1));
}

/// While settings change, workers of one namespace differ in their lease and grace. A lease holds as long as whoever
/// took it was told.
pub async fn workers_with_other_terms_agree_when_a_lease_runs_out(bench: &impl Bench) {
    let patient = bench.worker(LeaseTerms { grace: 100 * LONG.grace, ..LONG });
    let hasty = bench.worker(LeaseTerms { grace: SOON, ..LONG });
    hasty.claim(1, b'a').await;
    remaining_in_flight(&patient.take_over(1, b'b').await);
    patient.claim(2, b'a').await;
    let remaining = remaining_in_flight(&hasty.take_over(2, b'b').await);
    assert!(remaining <= LONG.lease, "{remaining:?}");
    assert!(assert_in_flight(&hasty.inspect(2).await, 0) <= LONG.lease);
}
