//! Handlers: completions behind, exposed bounded, failures, back-off, stop.

use super::harness::*;
use crate::engine::{Event, Order};
use crate::observe::FailureKind;
use crate::store::{Cause, CompletionOutcome, StoreError};

#[test]
fn the_next_handler_starts_before_the_completion_is_answered() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xyz");
    bench.claimed("xyz");
    bench.handled("xy");
    assert_eq!((bench.completing(), bench.running()), ("xy".into(), "z".into()));
    assert_eq!(bench.engine.exposed(), 3);
}

#[test]
fn one_exposed_is_strict() {
    let mut bench = Bench::with(|config| config.max_exposed = 1);
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "xy");
    bench.deliver(&b, "z");
    bench.claimed("xyz");
    assert_eq!(bench.running(), "x");
    bench.handled("x");
    assert_eq!(bench.running(), "", "the effect of x is not recorded yet");
    bench.completed("x");
    assert_eq!(bench.running(), "z", "first come, first served");
    bench.handled("z");
    bench.completed("z");
    assert_eq!(bench.running(), "y");
}

#[test]
fn what_an_old_epoch_still_does_counts_as_exposed() {
    let mut bench = Bench::with(|config| config.max_exposed = 1);
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.lose(&a);
    let b = bench.assign(1);
    bench.deliver(&b, "y");
    bench.claimed("y");
    assert_eq!(bench.running(), "x");
    bench.handled("x");
    bench.completed("x");
    assert_eq!(bench.running(), "y");
}

#[test]
fn a_completion_is_tried_again_without_limit() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.handled("x");
    for _ in 0..200 {
        let error = if bench.now.as_secs().is_multiple_of(2) { unknown() } else { unavailable() };
        bench.answer_completion('x', Err(error));
        bench.pass(ms(2000));
        assert_eq!(bench.completing(), "x");
    }
    bench.completed("x");
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "0:1");
}

#[test]
fn a_completion_is_tried_again_after_the_partition_is_gone() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.handled("x");
    bench.answer_completion('x', Err(unknown()));
    bench.lose(&a);
    bench.pass(ms(3000));
    assert_eq!(bench.completing(), "x");
    bench.answer_completion('x', Ok(CompletionOutcome::AlreadyDone));
    bench.pass(ms(3000));
    assert_eq!((bench.engine.exposed(), bench.committing()), (0, String::new()));
}

#[test]
fn a_second_effect_is_told() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xyz");
    bench.claimed("xyz");
    bench.handled("xyz");
    bench.answer_completion('x', Ok(CompletionOutcome::AlreadyDone));
    bench.answer_completion('y', Err(unknown()));
    bench.answer_completion('z', Err(unknown()));
    bench.pass(ms(100));
    bench.answer_completion('y', Ok(CompletionOutcome::AlreadyDone));
    bench.sleep(LEASE);
    bench.answer_completion('z', Ok(CompletionOutcome::AlreadyDone));
    assert_eq!(bench.told("complete"), ["complete x Overrun", "complete y First", "complete z PossibleOverrun"]);
}

#[test]
fn a_failing_record_is_tried_again_with_back_off_then_its_partition_stops_and_the_others_go_on() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "wxy");
    bench.deliver(&b, "z");
    bench.claimed("wxyz");
    bench.whole("w");
    for attempt in 1..=5 {
        assert_eq!(bench.attempt('x'), attempt);
        assert!(!bench.running().contains('y'), "nothing overtakes a failing record");
        bench.fails('x', FailureKind::Retryable);
        assert!(!bench.running().contains('x'), "not at once");
        bench.pass(ms(200) * 2_u32.pow(attempt - 1));
    }
    assert_eq!(bench.told("stop"), ["stop t-0@1: its handler failed 5 times"]);
    assert_eq!(bench.paused, [a]);
    assert_eq!(bench.released("xy"), [failed(5), Unstarted], "the count outlives the process");
    bench.whole("z");
    bench.pass(ms(20_000));
    assert_eq!(bench.running(), "");
    bench.deliver(&b, "-");
    assert_eq!(bench.running(), "-");
    let mut commits: Vec<_> = bench.committing().split(' ').map(str::to_owned).collect();
    commits.sort();
    assert_eq!(commits, ["0:1", "1:1"], "nothing at or behind the failing record");
}

#[test]
fn counts_of_earlier_processes_count() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(crate::store::ClaimOutcome::Claimed { attempts: 4, suspect: false }));
    assert_eq!(bench.attempt('x'), 5);
    bench.fails('x', FailureKind::Panicked);
    assert_eq!(bench.told("stop").len(), 1);
    assert_eq!(bench.released("x"), [failed(5)]);
}

#[test]
fn a_partition_that_stopped_tries_its_record_once_more_in_the_next_process() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(crate::store::ClaimOutcome::Claimed { attempts: 5, suspect: false }));
    assert_eq!(bench.running(), "x");
    bench.fails('x', FailureKind::Retryable);
    assert_eq!(bench.told("stop").len(), 1);
    assert_eq!(bench.released("x"), [failed(5)], "the count does not grow beyond the limit, or nobody could try again");
}

#[test]
fn not_available_counts_no_attempt() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    for _ in 0..50 {
        assert_eq!(bench.attempt('x'), 1);
        bench.fails('x', FailureKind::Unavailable);
        for _ in 0..12 {
            bench.pass(ms(2500));
            bench.renewed(&bench.renewing());
        }
    }
    assert!(bench.told("stop").is_empty());
    bench.fails('x', FailureKind::Retryable);
    bench.lose(&a);
    assert_eq!(bench.released("x"), [failed(1)]);
}

#[test]
fn fatal_stops_at_once() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    bench.fails('x', FailureKind::Fatal);
    assert_eq!(bench.told("stop").len(), 1);
    bench.pass(ms(60_000));
    assert_eq!((bench.running(), bench.committing()), (String::new(), String::new()));
}

#[test]
fn a_record_without_an_id_stops_its_partition_only_when_it_is_its_turn() {
    let mut bench = Bench::with(|config| config.commit_records = 1);
    let a = bench.assign(0);
    bench.deliver(&a, "x!y");
    bench.claimed("xy");
    assert!(bench.told("stop").is_empty());
    bench.handled("x");
    assert!(bench.told("stop")[0].starts_with("stop t-0@1: the ID is empty"));
    bench.completed("x");
    assert_eq!(bench.committing(), "0:1", "what settled before it is still committed");
    assert_eq!((bench.running(), bench.releasing()), (String::new(), "y".into()));
}

#[test]
fn a_failure_during_a_drain_is_left_to_the_next_owner_with_its_count() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.revoke(&a, ms(5000));
    bench.fails('x', FailureKind::Retryable);
    assert!(bench.revoked.is_empty(), "the release is awaited, or it would hold up the next owner");
    assert_eq!(bench.released("x"), [failed(1)]);
    assert_eq!(bench.revoked, [a]);
}

#[test]
fn a_completion_tells_since_when_its_claim_is_held() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    let sent_at = bench.now;
    bench.pass(ms(30));
    bench.answer_claim('x', Err(unknown()));
    bench.pass(ms(100));
    bench.claimed("x");
    bench.pass(ms(5000));
    bench.handled("x");
    let ended_at = bench.now;
    assert_eq!(bench.completion('x').held_for, ended_at - sent_at, "since the first sending, whose answer was lost");
    bench.pass(ms(50));
    bench.answer_completion('x', Err(unknown()));
    bench.pass(ms(100));
    let held_for = bench.completion('x').held_for;
    assert!(held_for > ended_at - sent_at && held_for <= bench.now - sent_at, "{held_for:?}");
}

/// What could not be recorded must not be begun: a crash would repeat all of it.
#[test]
fn refused_completion_starts_no_handler() {
    let refusals = [refused(), unavailable(), StoreError::Full(Cause::new("no room"))];
    for refusal in refusals {
        let mut bench = Bench::with(|config| config.order = Order::Unordered);
        let a = bench.assign(0);
        bench.deliver(&a, "xyz");
        bench.claimed("x");
        bench.handled("x");
        bench.answer_completion('x', Err(refusal));
        bench.claimed("yz");
        bench.pass(ms(3000));
        assert_eq!((bench.running(), bench.completing()), ("".into(), "x".into()));
        // Whether that one arrived is not known, and so is not whether the next would.
        bench.answer_completion('x', Err(unknown()));
        assert_eq!(bench.running(), "yz");
    }
}

#[test]
fn a_completion_that_is_taken_again_lets_handlers_start() {
    let mut bench = Bench::with(|config| config.order = Order::Unordered);
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("x");
    bench.handled("x");
    bench.answer_completion('x', Err(refused()));
    bench.claimed("y");
    assert_eq!(bench.running(), "");
    bench.pass(ms(1000));
    bench.completed("x");
    assert_eq!(bench.running(), "y");
}

#[test]
fn a_store_that_refuses_starts_no_handler() {
    let mut bench = Bench::with(|config| config.order = Order::Unordered);
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.feed(Event::StoreRefuses(true));
    bench.claimed("xy");
    assert_eq!(bench.running(), "", "claimed before that was known");
    bench.feed(Event::StoreRefuses(false));
    assert_eq!(bench.running(), "xy");
}
