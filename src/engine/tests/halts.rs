//! A consumer that an operator pauses: what goes on, what waits, what is given back.

use super::harness::*;
use crate::engine::{Event, Order};
use crate::observe::FailureKind;
use crate::store::{ClaimOutcome, GivenBack};

impl Bench {
    fn pause(&mut self) {
        self.feed(Event::Pause);
    }

    fn resume(&mut self) {
        self.feed(Event::Resume);
    }
}

#[test]
fn what_runs_ends_and_is_committed_and_what_was_claimed_ahead_is_given_back() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "wxyz");
    bench.claimed("wxy");
    bench.pause();
    assert_eq!((bench.running(), bench.releasing()), ("w".into(), "xy".into()));
    bench.answer_claim('z', Ok(FRESH));
    assert_eq!(bench.releasing(), "xyz", "also what was under way");
    assert_eq!(bench.released("xyz"), [Unstarted; 3]);
    bench.whole("w");
    bench.pass(ms(5000));
    assert_eq!(bench.committing(), "0:1");
    assert_eq!((bench.running(), bench.claiming()), (String::new(), String::new()));
}

#[test]
fn after_the_pause_all_is_claimed_ahead_again_and_handled_in_its_order() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "wxyz");
    bench.claimed("wxyz");
    bench.pause();
    bench.released("xyz");
    bench.whole("w");
    bench.resume();
    assert_eq!(bench.claiming(), "xyz");
    bench.claimed("zyx");
    bench.whole("xyz");
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "0:4");
}

#[test]
fn what_arrives_during_a_pause_waits_and_what_the_cache_knows_settles() {
    let mut bench = Bench::new();
    bench.pause();
    let a = bench.assign(0);
    bench.deliver(&a, "Xy-");
    bench.pass(ms(5000));
    assert_eq!((bench.claiming(), bench.running(), bench.engine.in_flight()), (String::new(), String::new(), 2));
    assert_eq!(bench.committing(), "0:1");
    bench.resume();
    bench.whole("y");
    bench.handled("-");
    assert_eq!(bench.engine.in_flight(), 0);
}

#[test]
fn a_claim_under_way_that_turns_out_to_be_a_duplicate_settles() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.pause();
    bench.answer_claim('x', Ok(DONE));
    bench.answer_claim('y', Ok(elsewhere(ms(50))));
    bench.pass(ms(5000));
    assert_eq!((bench.engine.in_flight(), bench.claiming()), (1, String::new()));
    bench.resume();
    bench.whole("y");
}

#[test]
fn a_claim_without_an_answer_is_released_and_not_sent_again() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.answer_claim('x', Err(unavailable()));
    bench.pause();
    bench.answer_claim('y', Err(unknown()));
    assert_eq!(bench.releasing(), "xy", "either may have been executed");
    bench.released("xy");
    bench.pass(ms(5000));
    assert_eq!(bench.claiming(), "");
    bench.resume();
    bench.whole("xy");
}

#[test]
fn a_retry_that_is_due_waits_with_its_lease_renewed_and_its_count_kept() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.fails('x', FailureKind::Retryable);
    bench.pause();
    for _ in 0..10 {
        bench.pass(LEASE / 3);
        bench.renewed("x");
        assert_eq!((bench.running(), bench.releasing()), (String::new(), String::new()));
    }
    bench.resume();
    assert_eq!(bench.attempt('x'), 2);
}

#[test]
fn a_dead_letter_that_is_decided_on_waits_and_one_under_way_ends() {
    let mut bench = Bench::with(|config| config.dead_letter = true);
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x");
    bench.deliver(&b, "y");
    bench.claimed("xy");
    bench.fails('x', FailureKind::Fatal);
    bench.pause();
    bench.fails('y', FailureKind::Fatal);
    assert_eq!(bench.publishing(), "x");
    bench.published("x");
    bench.completed("x");
    bench.pass(ms(1000));
    assert_eq!((bench.committing(), bench.publishing()), ("0:1".into(), String::new()));
    bench.resume();
    assert_eq!(bench.publishing(), "y");
}

#[test]
fn a_renewal_before_a_start_ends_in_a_release() {
    let mut bench = Bench::with(|config| config.max_exposed = 1);
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x");
    bench.deliver(&b, "y");
    bench.claimed("xy");
    bench.sleep(LEASE / 2);
    bench.handled("x");
    bench.completed("x");
    assert_eq!(bench.renewing(), "y");
    bench.pause();
    bench.renewed("y");
    assert_eq!((bench.running(), bench.released("y")), (String::new(), vec![Unstarted]));
}

#[test]
fn a_suspect_that_waits_to_run_alone_waits_and_others_do_not_wait_for_it() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x");
    bench.deliver(&b, "y");
    bench.claimed("y");
    bench.answer_claim('x', Ok(ClaimOutcome::Suspect { attempts: 2 }));
    bench.pause();
    bench.whole("y");
    bench.deliver(&b, "z");
    assert_eq!((bench.running(), bench.claiming()), (String::new(), String::new()));
    bench.resume();
    bench.claimed("z");
    bench.answer_claim('x', Ok(taken_over(3)));
    assert_eq!(bench.running(), "x");
    bench.whole("x");
    assert_eq!(bench.running(), "z");
}

#[test]
fn a_paused_consumer_drains_and_ends_as_ever() {
    for shutdown in [false, true] {
        let mut bench = Bench::new();
        let a = bench.assign(0);
        bench.deliver(&a, "xy");
        bench.claimed("xy");
        bench.pause();
        if shutdown {
            bench.shut_down(ms(5000))
        } else {
            bench.revoke(&a, ms(5000))
        }
        bench.released("y");
        bench.whole("x");
        assert_eq!(bench.committing(), "0:1");
        bench.committed();
        assert!(if shutdown { bench.finished } else { bench.revoked == [a] });
        assert_eq!(bench.given_back(), 1);
    }
}

#[test]
fn a_paused_consumer_holds_back_the_source_when_it_is_full() {
    let mut bench = Bench::with(|config| config.max_in_flight = 4);
    bench.pause();
    let a = bench.assign(0);
    bench.deliver(&a, "wxyz");
    bench.pass(ms(200));
    assert_eq!(bench.paused, std::slice::from_ref(&a));
    bench.resume();
    bench.claimed("wxyz");
    bench.whole("wxyz");
    assert!(bench.paused.is_empty());
}

#[test]
fn a_pause_is_no_stall_and_a_handler_that_hangs_in_it_is_one() {
    let mut bench = Bench::with(|config| config.stall_after = ms(10_000));
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x");
    bench.deliver(&b, "y");
    bench.claimed("y");
    bench.pause();
    bench.answer_claim('x', Ok(FRESH));
    bench.released("x");
    assert_eq!(bench.engine.what_it_waits_for(0), None);
    assert!(bench.engine.what_it_waits_for(1).is_some());
}

#[test]
fn stall_does_not_count_the_time_that_the_process_stood_still() {
    let mut bench = Bench::with(|config| config.stall_after = ms(10_000));
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.pass(ms(1_000));
    let due = bench.engine.next_stall().expect("a record in flight");
    bench.sleep(ms(60_000));
    bench.feed(Event::StoodStill(ms(60_000)));
    assert_eq!(bench.engine.next_stall(), Some(due + ms(60_000)));
}

#[test]
fn a_second_pause_or_resume_changes_nothing() {
    let mut bench = Bench::with(|config| config.order = Order::Unordered);
    let a = bench.assign(0);
    bench.resume();
    bench.deliver(&a, "x");
    bench.pause();
    bench.pause();
    bench.claimed("x");
    assert_eq!(bench.released("x"), [Unstarted], "once");
    bench.resume();
    bench.resume();
    bench.whole("x");
}

#[test]
fn what_failed_and_is_claimed_anew_between_two_attempts_keeps_its_count() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.fails('x', FailureKind::Retryable);
    bench.sleep(LEASE);
    bench.feed(Event::Tick);
    bench.answer_renewal('x', Ok(crate::store::RenewOutcome::NotHeld));
    bench.pass(ms(30_000));
    assert_eq!(bench.claiming(), "x");
    bench.pause();
    bench.answer_claim('x', Ok(ClaimOutcome::Claimed { attempts: 1, suspect: false }));
    assert_eq!(bench.released("x"), [GivenBack::Unstarted], "the store knows of the one");
    bench.resume();
    bench.answer_claim('x', Ok(ClaimOutcome::Claimed { attempts: 1, suspect: false }));
    assert_eq!(bench.attempt('x'), 2);
}
