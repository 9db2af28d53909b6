//! Records whose lease ran out: their last owner may have died of them.

use super::harness::*;
use crate::engine::Order;
use crate::observe::FailureKind;
use crate::store::ClaimOutcome;

const SUSPECT: fn(u32) -> ClaimOutcome = |attempts| ClaimOutcome::Suspect { attempts };

#[test]
fn only_a_claim_at_the_head_takes_over() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    assert!(!bench.claim('y').takes_over);
    bench.claimed("x");
    bench.answer_claim('y', Ok(SUSPECT(0)));
    assert_eq!((bench.claiming(), bench.running()), (String::new(), "x".into()));
    bench.handled("x");
    assert!(bench.claim('y').takes_over);
    bench.answer_claim('y', Ok(taken_over(1)));
    assert_eq!((bench.running(), bench.attempt('y')), ("y".into(), 2));
}

#[test]
fn the_head_takes_over_only_what_it_knows_to_be_a_suspect() {
    // A takeover counts an attempt, so it is asked for by name, when the handler may start directly.
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    assert!(!bench.claim('x').takes_over);
    bench.answer_claim('x', Ok(SUSPECT(0)));
    assert!(bench.claim('x').takes_over);
}

#[test]
fn a_suspect_that_does_not_start_leaves_its_turn_to_the_next() {
    let mut bench = Bench::with(|config| (config.order, config.max_exposed) = (Order::Unordered, 1));
    let a = bench.assign(0);
    bench.deliver(&a, "xyz");
    bench.claimed("x");
    bench.answer_claim('y', Ok(SUSPECT(0)));
    bench.answer_claim('z', Ok(SUSPECT(0)));
    assert_eq!((bench.running(), bench.claiming()), ("x".into(), String::new()), "both wait for their turn");
    bench.whole("x");
    bench.answer_claim('y', Ok(DONE));
    assert!(bench.claim('z').takes_over, "nobody ends any more who could give z its turn");
}

#[test]
fn from_the_second_takeover_on_it_runs_alone() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "vw");
    bench.deliver(&b, "xy");
    bench.claimed("vwy");
    bench.answer_claim('x', Ok(SUSPECT(1)));
    assert_eq!((bench.running(), bench.claiming()), ("v".into(), String::new()), "not even claimed meanwhile");
    bench.handled("v");
    assert_eq!((bench.running(), bench.claiming()), (String::new(), String::new()), "v is not recorded as done yet");
    bench.completed("v");
    assert_eq!((bench.running(), bench.claiming()), (String::new(), "x".into()), "nobody starts before it");
    bench.answer_claim('x', Ok(taken_over(2)));
    assert_eq!(bench.running(), "x");
    bench.pass(ms(1000));
    assert_eq!(bench.running(), "x");
    bench.handled("x");
    assert_eq!(bench.running(), "wy");
}

#[test]
fn a_suspect_that_runs_alone_is_exposed_like_any_other() {
    let mut bench = Bench::with(|config| config.max_exposed = 1);
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "v");
    bench.deliver(&b, "x");
    bench.claimed("v");
    bench.answer_claim('x', Ok(SUSPECT(1)));
    bench.handled("v");
    assert_eq!(bench.claiming(), "", "the effect of v is not recorded yet");
    bench.completed("v");
    bench.answer_claim('x', Ok(taken_over(2)));
    assert_eq!((bench.running(), bench.engine.exposed()), ("x".into(), 1));
}

#[test]
fn suspects_that_wait_are_not_counted_for_the_crash_of_the_one_that_runs() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x");
    bench.deliver(&b, "y");
    bench.answer_claim('x', Ok(SUSPECT(3)));
    bench.answer_claim('y', Ok(SUSPECT(3)));
    assert_eq!(bench.claiming(), "x");
    bench.answer_claim('x', Ok(taken_over(4)));
    assert_eq!((bench.running(), bench.claiming()), ("x".into(), String::new()));
    bench.handled("x");
    assert_eq!(bench.claiming(), "", "x would be counted for a crash of y until it is recorded");
    bench.completed("x");
    assert_eq!(bench.claiming(), "y");
}

#[test]
fn a_suspect_whose_store_does_not_answer_lets_the_others_run() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x");
    bench.deliver(&b, "y");
    bench.answer_claim('x', Ok(SUSPECT(1)));
    bench.claimed("y");
    assert_eq!(bench.running(), "");
    bench.answer_claim('x', Err(unknown()));
    assert_eq!(bench.running(), "y");
    bench.pass(ms(100));
    bench.answer_claim('x', Ok(taken_over(2)));
    assert_eq!(bench.running(), "y");
    bench.handled("y");
    bench.completed("y");
    assert_eq!(bench.running(), "x");
}

#[test]
fn it_is_condemned_after_the_limit_and_one_more_start() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(SUSPECT(4)));
    bench.answer_claim('x', Ok(taken_over(5)));
    assert_eq!(bench.attempt('x'), 6);
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.answer_claim('x', Ok(SUSPECT(5)));
    bench.answer_claim('x', Ok(taken_over(6)));
    assert_eq!((bench.running(), bench.told("stop").len()), (String::new(), 1));
    assert_eq!(bench.released("x"), [failed(6)], "the next owner must not start it either");
}

#[test]
fn one_crash_condemns_nobody() {
    let mut bench = Bench::with(|config| config.max_attempts = 2);
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(SUSPECT(0)));
    bench.answer_claim('x', Ok(taken_over(1)));
    bench.fails('x', FailureKind::Retryable);
    assert!(bench.told("stop").is_empty());
}

#[test]
fn given_back_unstarted_it_is_as_it_was_found() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "w");
    bench.claimed("w");
    bench.deliver(&b, "x");
    // Known to have been taken over once, but somebody else was quicker, and died of it as well.
    bench.answer_claim('x', Ok(SUSPECT(0)));
    bench.answer_claim('x', Ok(taken_over(3)));
    assert_eq!(bench.running(), "w", "it has to run alone");
    bench.revoke(&b, ms(5000));
    assert_eq!(bench.released("x"), [Unstarted]);
}

#[test]
fn given_back_unanswered_it_is_for_the_store_to_say_what_the_claim_found() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(SUSPECT(3)));
    bench.answer_claim('x', Err(unknown()));
    bench.revoke(&a, ms(5000));
    assert_eq!(bench.released("x"), [Unstarted]);
}

#[test]
fn a_suspect_that_somebody_else_took_over_is_parked() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x");
    bench.deliver(&b, "y");
    bench.answer_claim('x', Ok(SUSPECT(2)));
    bench.claimed("y");
    bench.answer_claim('x', Ok(elsewhere(ms(900))));
    assert_eq!(bench.running(), "y", "nothing runs alone here any more");
    bench.pass(ms(1000));
    assert!(!bench.claim('x').takes_over);
    bench.answer_claim('x', Ok(DONE));
    assert_eq!(bench.told("duplicate"), ["duplicate x Store"]);
}

#[test]
fn the_one_it_was_taken_over_from_may_still_complete_it() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(SUSPECT(0)));
    bench.answer_claim('x', Ok(taken_over(1)));
    bench.handled("x");
    bench.answer_completion('x', Err(unknown()));
    bench.pass(ms(100));
    bench.answer_completion('x', Ok(crate::store::CompletionOutcome::AlreadyDone));
    assert_eq!(bench.told("complete"), ["complete x PossibleOverrun"]);
}

#[test]
fn so_may_the_one_before_the_one_that_failed() {
    // Taken over by somebody whose handler failed: idle, and no suspect any more.
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(ClaimOutcome::Claimed { attempts: 1, suspect: false }));
    bench.handled("x");
    bench.answer_completion('x', Err(unknown()));
    bench.pass(ms(100));
    bench.answer_completion('x', Ok(crate::store::CompletionOutcome::AlreadyDone));
    assert_eq!(bench.told("complete"), ["complete x PossibleOverrun"]);
}

#[test]
fn a_takeover_that_was_not_available_is_a_suspect_as_before() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(SUSPECT(1)));
    bench.answer_claim('x', Ok(taken_over(2)));
    bench.fails('x', FailureKind::Unavailable);
    bench.revoke(&a, ms(5000));
    assert_eq!(bench.released("x"), [Unstarted]);
}

#[test]
fn a_takeover_that_failed_leaves_its_count() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(SUSPECT(1)));
    bench.answer_claim('x', Ok(taken_over(2)));
    bench.fails('x', FailureKind::Retryable);
    bench.revoke(&a, ms(5000));
    assert_eq!(bench.released("x"), [failed(2)]);
}

#[test]
fn a_suspect_whose_partition_is_revoked_while_it_runs_still_runs_alone() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x");
    bench.deliver(&b, "y");
    bench.answer_claim('x', Ok(SUSPECT(1)));
    bench.answer_claim('x', Ok(taken_over(2)));
    bench.claimed("y");
    bench.revoke(&a, ms(5000));
    assert_eq!(bench.running(), "x");
    bench.lose(&a);
    assert_eq!(bench.running(), "x");
    bench.handled("x");
    assert_eq!(bench.running(), "y");
}
