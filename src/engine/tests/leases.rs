//! Leases: renewed for what started, refreshed before a start, given back when they grow old.

use super::harness::*;
use crate::observe::FailureKind;
use crate::store::{ClaimOutcome, RenewOutcome};

#[test]
fn a_running_handler_is_renewed_at_a_third_of_the_lease_and_claims_ahead_are_not() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    bench.pass(LEASE / 3 - ms(1));
    assert_eq!(bench.renewing(), "");
    bench.pass(ms(5001));
    assert_eq!(bench.renewing(), "x");
    bench.renewed("x");
    bench.pass(ms(5000));
    assert_eq!(bench.renewing(), "", "renewed leases are young again");
}

#[test]
fn what_backs_off_and_what_completes_is_renewed() {
    let mut bench = Bench::with(|config| config.backoff_first = std::time::Duration::from_secs(29));
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x");
    bench.deliver(&b, "y");
    bench.claimed("xy");
    bench.handled("y");
    bench.sleep(LEASE / 3);
    bench.fails('x', FailureKind::Retryable);
    bench.pass(ms(10));
    assert_eq!(bench.renewing().len(), 2);
    bench.renewed("xy");
}

#[test]
fn a_head_that_waits_for_its_turn_is_renewed() {
    let mut bench = Bench::with(|config| config.max_exposed = 1);
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x");
    bench.deliver(&b, "y");
    bench.claimed("xy");
    bench.pass(LEASE / 3 + ms(5000));
    assert_eq!(bench.renewing().len(), 2);
}

#[test]
fn an_old_claim_is_refreshed_before_its_handler_starts() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    bench.sleep(LEASE / 3);
    bench.handled("x");
    assert_eq!((bench.running(), bench.renewing()), (String::new(), "y".into()));
    bench.renewed("y");
    assert_eq!(bench.running(), "y");
}

#[test]
fn a_refresh_that_finds_the_lease_gone_claims_anew() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("x");
    let old = bench.answer_claim('y', Ok(FRESH));
    bench.sleep(LEASE / 3);
    bench.handled("x");
    bench.answer_renewal('y', Ok(RenewOutcome::NotHeld));
    assert_ne!(bench.claim('y').lease.token, old);
    bench.answer_claim('y', Ok(DONE));
    assert_eq!((bench.running(), bench.told("duplicate").len()), (String::new(), 1));
}

#[test]
fn a_refresh_without_an_answer_asks_with_the_same_token() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("x");
    let old = bench.answer_claim('y', Ok(FRESH));
    bench.sleep(LEASE / 3);
    bench.handled("x");
    bench.answer_renewal('y', Err(unknown()));
    assert_eq!(bench.running(), "");
    bench.pass(ms(5000));
    assert_eq!(bench.answer_claim('y', Ok(FRESH)), old);
    assert_eq!(bench.running(), "y");
}

#[test]
fn a_refresh_without_an_answer_does_not_lose_the_count() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("x");
    bench.answer_claim('y', Ok(ClaimOutcome::Claimed { attempts: 3, suspect: false }));
    bench.sleep(LEASE / 3);
    bench.handled("x");
    bench.answer_renewal('y', Err(unknown()));
    bench.revoke(&a, ms(5000));
    assert_eq!(bench.released("y"), [Unstarted]);
}

#[test]
fn a_refresh_that_fails_during_a_drain_is_given_back_like_any_claim() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    bench.sleep(LEASE / 3);
    bench.handled("x");
    bench.revoke(&a, ms(5000));
    bench.completed("x");
    assert!(bench.revoked.is_empty());
    bench.answer_renewal('y', Err(unknown()));
    bench.released("y");
    assert_eq!(bench.revoked, [a]);
}

#[test]
fn a_claim_ahead_is_given_back_rather_than_let_run_out() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("x");
    bench.answer_claim('y', Ok(ClaimOutcome::Claimed { attempts: 2, suspect: false }));
    for _ in 0..9 {
        bench.pass(ms(5000));
        bench.renewed(&bench.renewing());
    }
    assert_eq!(bench.running(), "x");
    assert_eq!(bench.released("y"), [Unstarted]);
    bench.handled("x");
    assert_eq!(bench.claiming(), "y");
}

#[test]
fn a_handler_is_told_when_its_lease_could_not_be_renewed_in_time() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    while bench.now + ms(5000) < LEASE - LEASE / 10 {
        bench.pass(ms(5000));
        if bench.renewing() == "x" {
            bench.answer_renewal('x', Err(unavailable()));
        }
    }
    assert_eq!(bench.cancelled(), "");
    bench.pass(LEASE - ms(1) - bench.now);
    assert_eq!(bench.cancelled(), "x", "before another worker can have it");
    bench.handled("x");
    assert_eq!(bench.completing(), "x", "the effect did happen");
}

#[test]
fn the_deadline_counts_from_before_the_request() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.sleep(ms(50_000));
    bench.claimed("x");
    assert_eq!((bench.running(), bench.renewing()), (String::new(), "x".into()), "too old to start by");
    bench.answer_renewal('x', Ok(RenewOutcome::Renewed));
    assert_eq!(bench.running(), "x");
    bench.pass(ms(9000));
    assert_eq!(bench.cancelled(), "");
}

#[test]
fn a_handler_is_told_when_somebody_else_has_its_lease() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.pass(LEASE / 3 + ms(5000));
    bench.answer_renewal('x', Ok(RenewOutcome::NotHeld));
    assert_eq!(bench.cancelled(), "x");
}

#[test]
fn no_further_attempt_under_a_lease_that_may_have_run_out() {
    let mut bench = Bench::with(|config| config.backoff_first = std::time::Duration::from_secs(30));
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    // The store is away while the handler runs, and while its back-off lasts.
    for _ in 0..12 {
        bench.pass(ms(5000));
        if bench.renewing() == "x" {
            bench.answer_renewal('x', Err(unavailable()));
        }
    }
    bench.fails('x', FailureKind::Retryable);
    bench.pass(ms(30_000));
    assert_eq!((bench.running(), bench.renewing()), (String::new(), "x".into()));
    bench.answer_renewal('x', Ok(RenewOutcome::NotHeld));
    bench.pass(ms(30_000));
    bench.answer_claim('x', Ok(DONE));
    assert_eq!((bench.running(), bench.told("duplicate").len()), (String::new(), 1));
}

#[test]
fn a_lease_lost_during_the_back_off_does_not_shorten_it() {
    let mut bench = Bench::with(|config| config.backoff_first = std::time::Duration::from_secs(30));
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.sleep(LEASE / 3);
    bench.fails('x', FailureKind::Retryable);
    bench.pass(ms(1));
    bench.answer_renewal('x', Ok(RenewOutcome::NotHeld));
    assert_eq!((bench.running(), bench.claiming()), (String::new(), String::new()));
    bench.pass(ms(30_000));
    assert_eq!(bench.claiming(), "x");
    bench.claimed("x");
    assert_eq!((bench.running(), bench.attempt('x')), ("x".into(), 2), "and does not reset the count");
}
