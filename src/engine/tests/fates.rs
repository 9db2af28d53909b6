//! Records that are skipped, that wait in retry topics, or that are too old.

use std::time::Duration;

use super::harness::*;
use crate::engine::{Destination, EngineConfig, LONGEST_AFTER, Order};
use crate::observe::{FailureKind, Outcome};
use crate::store::ClaimOutcome;

const LATER: Duration = Duration::from_secs(10);

#[test]
fn a_skipped_record_is_recorded_as_done_and_so_are_its_twins() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "xy");
    bench.deliver(&b, "x");
    bench.claimed("xy");
    bench.fails('x', FailureKind::Skip);
    assert_eq!((bench.completing(), bench.running()), ("x".into(), "y".into()));
    bench.completed("x");
    assert_eq!(bench.outcomes('x'), [Outcome::Duplicate, Outcome::Skipped]);
    assert!(bench.told("complete").is_empty() && bench.told("retry").is_empty(), "it had no effect");
    bench.pass(ms(1000));
    assert!(bench.committing().contains("0:1"));
}

#[test]
fn a_skipped_record_without_an_id_settles_at_once() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "-");
    bench.fails('-', FailureKind::Skip);
    assert_eq!(bench.outcomes('-'), [Outcome::Skipped]);
}

#[test]
fn a_record_skipped_during_a_drain_is_recorded_and_committed() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.revoke(&a, ms(5000));
    bench.fails('x', FailureKind::Skip);
    bench.completed("x");
    assert_eq!((bench.revoked.as_slice(), bench.committing()), (&[a][..], "0:1".into()));
}

#[test]
fn every_outcome_tells_how_long_it_took() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.pass(ms(70));
    bench.deliver(&a, "xY");
    bench.claimed("x");
    bench.pass(ms(30));
    bench.whole("x");
    assert_eq!(bench.told("settle"), ["settle Y Duplicate 0ns", "settle x Handled 30ms"]);
}

#[test]
fn what_is_dropped_unsettled_is_told_once_per_partition() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "vwx");
    bench.deliver(&b, "yz");
    bench.claimed("vwxyz");
    bench.lose(&a);
    assert_eq!(bench.told("give back"), ["give back t-0 2"], "v still runs");
    bench.whole("v");
    bench.fails('y', FailureKind::Fatal);
    assert_eq!(bench.told("give back"), ["give back t-0 2"], "a stopped partition keeps what it has");
    bench.lose(&b);
    assert_eq!(bench.told("give back"), ["give back t-0 2", "give back t-1 2"]);
    assert_eq!((bench.outcomes('v'), bench.engine.in_flight()), (vec![Outcome::Handled], 0));
}

fn two_steps(config: &mut EngineConfig) {
    (config.retry_steps, config.order) = (2, Order::Unordered);
    config.dead_letter = true;
}

#[test]
fn a_failure_goes_to_the_retry_topic_and_settles_once_its_claim_is_given_back_with_its_count() {
    let mut bench = Bench::with(two_steps);
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    bench.fails('x', FailureKind::Retryable);
    assert_eq!(bench.copy('x'), (Destination::Retry { step: 0 }, 1));
    assert_eq!((bench.running(), bench.told("retry").len()), ("y".into(), 0));
    bench.published("x");
    assert_eq!((bench.completing(), bench.releasing()), (String::new(), "x".into()), "it is not done");
    assert!(bench.outcomes('x').is_empty());
    assert_eq!(bench.released("x"), [retried(1, 0)]);
    assert_eq!((bench.outcomes('x'), bench.running()), (vec![Outcome::Retried], "y".into()));
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "0:1");
}

#[test]
fn the_next_failure_goes_to_the_next_topic_and_the_last_to_the_dead_letters() {
    let mut bench = Bench::with(two_steps);
    let a = bench.assign(0);
    bench.deliver_with(&a, 'x', |arrival| arrival.step = 1);
    bench.answer_claim('x', Ok(ClaimOutcome::Claimed { attempts: 1, suspect: false }));
    bench.fails('x', FailureKind::TimedOut);
    assert_eq!(bench.copy('x'), (Destination::Retry { step: 1 }, 2));
    bench.deliver_with(&a, '-', |arrival| arrival.step = 2);
    bench.published("x");
    bench.released("x");
    assert_eq!(bench.attempt('-'), 3, "also where nobody else counts");
    bench.fails('-', FailureKind::Panicked);
    assert!(matches!(bench.copy('-'), (Destination::DeadLetter { .. }, 3)));
}

#[test]
fn a_fatal_failure_or_the_last_attempt_skips_the_retry_topics() {
    let mut bench = Bench::with(two_steps);
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(ClaimOutcome::Claimed { attempts: 4, suspect: false }));
    bench.fails('x', FailureKind::Retryable);
    assert!(matches!(bench.copy('x'), (Destination::DeadLetter { .. }, 5)));
    let b = bench.assign(1);
    bench.deliver(&b, "y");
    bench.claimed("y");
    bench.fails('y', FailureKind::Fatal);
    assert!(matches!(bench.copy('y'), (Destination::DeadLetter { .. }, 1)));
}

#[test]
fn not_available_waits_in_place() {
    let mut bench = Bench::with(two_steps);
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.fails('x', FailureKind::Unavailable);
    assert_eq!((bench.publishing(), bench.told("retry").len()), (String::new(), 1));
}

#[test]
fn without_a_dead_letter_topic_the_partition_stops_after_the_last_retry_topic() {
    let mut bench = Bench::with(|config| (config.retry_steps, config.order) = (1, Order::Unordered));
    let a = bench.assign(0);
    bench.deliver_with(&a, '-', |arrival| arrival.step = 1);
    bench.fails('-', FailureKind::Retryable);
    assert!(bench.told("stop")[0].contains("after the last retry topic"));
}

#[test]
fn a_retried_record_settles_during_a_drain_but_one_whose_copy_waits_to_be_sent_does_not() {
    let mut bench = Bench::with(two_steps);
    let (a, b, c) = (bench.assign(0), bench.assign(1), bench.assign(2));
    bench.deliver(&a, "x");
    bench.deliver(&b, "y");
    bench.deliver(&c, "z");
    bench.claimed("xyz");
    "xyz".chars().for_each(|id| bench.fails(id, FailureKind::Retryable));
    bench.published("x");
    bench.answer_copy('y', Err("away".into()));
    for assignment in [&a, &b, &c] {
        bench.revoke(assignment, ms(5000));
    }
    bench.published("z");
    assert_eq!(bench.released("xyz"), [retried(1, 0), given_up(1), retried(1, 0)]);
    assert_eq!((bench.outcomes('x'), bench.outcomes('z')), (vec![Outcome::Retried], vec![Outcome::Retried]));
    assert!(bench.outcomes('y').is_empty(), "nobody else has it");
    assert_eq!((bench.revoked.len(), bench.given_back()), (3, 1));
    assert_eq!(bench.committing().split(' ').count(), 2, "{}", bench.committing());
}

#[test]
fn a_record_is_not_claimed_before_it_is_due() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver_with(&a, 'x', |arrival| arrival.not_before = Some(LATER));
    bench.deliver_with(&a, 'y', |arrival| arrival.not_before = Some(LATER));
    bench.deliver_with(&a, '-', |arrival| arrival.not_before = Some(LATER));
    bench.pass(LATER - ms(1));
    assert_eq!((bench.claiming(), bench.running()), (String::new(), String::new()));
    bench.pass(ms(1));
    assert_eq!(bench.claiming(), "x");
    bench.claimed("x");
    bench.whole("x");
    bench.whole("y");
    bench.handled("-");
    assert_eq!(bench.engine.in_flight(), 0);
}

#[test]
fn what_is_due_already_is_claimed_at_once() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.pass(LATER);
    bench.deliver_with(&a, 'x', |arrival| arrival.not_before = Some(ms(1)));
    assert_eq!(bench.claiming(), "x");
}

#[test]
fn an_expired_record_settles_without_a_claim_once_it_is_its_turn() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.pass(LATER);
    bench.deliver_with(&a, 'x', |arrival| arrival.expires_at = Some(LATER - ms(5)));
    assert_eq!((bench.claiming(), bench.outcomes('x')), (String::new(), vec![Outcome::Expired]));
    assert_eq!(bench.told("expire"), ["expire x 5ms"]);
    bench.deliver_with(&a, '-', |arrival| arrival.expires_at = Some(ms(1)));
    assert_eq!((bench.running(), bench.outcomes('-')), (String::new(), vec![Outcome::Expired]));
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "0:2");
}

#[test]
fn one_that_expires_before_a_start_gives_its_claim_back_first() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "w");
    bench.deliver_with(&a, 'x', |arrival| arrival.expires_at = Some(LATER));
    bench.claimed("wx");
    bench.pass(LATER);
    assert!(bench.outcomes('x').is_empty(), "it is not its turn");
    bench.whole("w");
    assert_eq!((bench.releasing(), bench.running(), bench.outcomes('x').len()), ("x".into(), String::new(), 0));
    assert_eq!(bench.released("x"), [Unstarted]);
    assert_eq!((bench.outcomes('x'), bench.claiming()), (vec![Outcome::Expired], String::new()));
    assert_eq!(bench.told("expire").len(), 1);
}

#[test]
fn one_that_expires_between_two_attempts_leaves_its_count() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver_with(&a, 'x', |arrival| arrival.expires_at = Some(ms(1)));
    bench.claimed("x");
    bench.pass(ms(1));
    bench.fails('x', FailureKind::Retryable);
    bench.pass(ms(200));
    assert_eq!(bench.released("x"), [failed(1)]);
    assert_eq!(bench.outcomes('x'), [Outcome::Expired]);
}

#[test]
fn a_parked_record_may_expire() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver_with(&a, 'x', |arrival| arrival.expires_at = Some(LATER));
    bench.deliver(&a, "y");
    bench.answer_claim('x', Ok(elsewhere(LEASE)));
    bench.claimed("y");
    bench.released("y");
    while bench.outcomes('x').is_empty() && bench.now < LATER * 2 {
        bench.pass(ms(500));
        if bench.claiming().contains('x') {
            bench.answer_claim('x', Ok(elsewhere(LEASE)));
        }
    }
    assert_eq!(bench.outcomes('x'), [Outcome::Expired]);
    bench.whole("y");
}

#[test]
fn an_effect_that_happened_is_never_expired() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver_with(&a, 'x', |arrival| arrival.expires_at = Some(LATER));
    bench.claimed("x");
    bench.pass(LATER);
    bench.handled("x");
    bench.answer_completion('x', Err(unknown()));
    bench.pass(LATER);
    bench.completed("x");
    assert_eq!((bench.outcomes('x'), bench.told("expire").len()), (vec![Outcome::Handled], 0));
}

#[test]
fn an_expired_dead_letter_is_claimed_first_for_it_may_be_a_duplicate() {
    let mut bench = Bench::with(|config| {
        config.dead_letter = true;
        config.expired_to_dead_letter = true;
    });
    let a = bench.assign(0);
    bench.pass(LATER);
    for id in ['x', 'y'] {
        bench.deliver_with(&a, id, |arrival| arrival.expires_at = Some(ms(1)));
    }
    bench.answer_claim('x', Ok(DONE));
    assert_eq!(bench.outcomes('x'), [Outcome::Duplicate]);
    bench.claimed("y");
    assert_eq!((bench.publishing(), bench.copy('y').1), ("y".into(), 0));
    assert_eq!(bench.told("expire").len(), 1);
    bench.published("y");
    bench.completed("y");
    assert_eq!(bench.outcomes('y'), [Outcome::DeadLettered]);
}

#[test]
fn a_handler_that_asks_for_a_pause_gets_it_and_keeps_its_lease() {
    for kind in [FailureKind::Retryable, FailureKind::Unavailable] {
        let mut bench = Bench::new();
        let a = bench.assign(0);
        bench.deliver(&a, "x");
        bench.claimed("x");
        bench.fails_for('x', kind, LATER);
        bench.pass(LATER - ms(1));
        assert_eq!(bench.running(), "", "{kind:?}");
        bench.pass(ms(1));
        assert_eq!(bench.running(), "x", "{kind:?}");
    }
}

#[test]
fn a_pause_that_is_shorter_than_the_back_off_changes_nothing_and_one_without_end_is_bounded() {
    let back_off = |after: Option<Duration>| {
        let mut bench = Bench::with(|config| config.backoff_first = LATER);
        let a = bench.assign(0);
        bench.deliver(&a, "x");
        bench.claimed("x");
        match after {
            Some(after) => bench.fails_for('x', FailureKind::Retryable, after),
            None => bench.fails('x', FailureKind::Retryable),
        }
        let begun = bench.now;
        while bench.running().is_empty() {
            bench.pass(ms(10));
            if !bench.renewing().is_empty() {
                bench.renewed("x");
            }
        }
        bench.now - begun
    };
    let by_itself = back_off(None);
    assert!(by_itself > ms(100));
    assert_eq!(back_off(Some(ms(1))), by_itself);
    let longest = back_off(Some(Duration::MAX));
    assert!(longest >= LONGEST_AFTER && longest < LONGEST_AFTER + ms(100), "{longest:?}");
}

#[test]
fn a_pause_says_nothing_of_a_retry_topic_or_a_dead_letter() {
    let mut bench = Bench::with(two_steps);
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    bench.fails_for('x', FailureKind::Retryable, LATER);
    bench.fails_for('y', FailureKind::Fatal, LATER);
    assert_eq!(bench.publishing(), "xy");
}
