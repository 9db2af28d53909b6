//! Claims: made ahead, parked, asked again, given back; the same ID twice.

use super::harness::*;
use crate::store::CompletionOutcome;

#[test]
fn a_batch_is_claimed_ahead_of_its_handlers() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xyz");
    assert_eq!(bench.claiming(), "xyz");
    bench.claimed("zyx");
    assert_eq!(bench.running(), "x", "one after the other, in the order of the partition");
    assert!(bench.claiming().is_empty());
}

#[test]
fn no_further_ahead_than_allowed() {
    let mut bench = Bench::with(|config| config.max_claims_ahead = 2);
    let a = bench.assign(0);
    bench.deliver(&a, "vwxyz");
    assert_eq!(bench.claiming(), "vw");
    bench.claimed("vw");
    assert_eq!((bench.running(), bench.claiming()), ("v".into(), "x".into()), "what runs does not count");
    bench.handled("v");
    assert_eq!((bench.running(), bench.claiming()), ("w".into(), "xy".into()));
}

#[test]
fn only_done_settles() {
    for (outcome, settles) in [(DONE, true), (elsewhere(ms(500)), false), (FRESH, false)] {
        let mut bench = Bench::new();
        let a = bench.assign(0);
        bench.deliver(&a, "x");
        bench.answer_claim('x', Ok(outcome));
        assert_eq!(bench.engine.in_flight(), usize::from(!settles));
        assert_eq!(bench.told("duplicate").len(), usize::from(settles));
    }
}

#[test]
fn an_id_in_the_cache_settles_without_the_store() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "Xy");
    assert_eq!(bench.claiming(), "y");
    assert_eq!(bench.told("duplicate"), ["duplicate X Cache"]);
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "0:1");
}

#[test]
fn without_an_id_the_policy_may_say_handle_it_all_the_same() {
    let mut bench = Bench::with(|config| config.commit_records = 1);
    let a = bench.assign(0);
    bench.deliver(&a, "-");
    assert_eq!((bench.running(), bench.claiming()), ("-".into(), String::new()));
    bench.handled("-");
    assert_eq!((bench.completing(), bench.committing()), (String::new(), "0:1".into()));
}

#[test]
fn in_flight_elsewhere_parks_the_head_gives_back_what_is_behind_it_and_claims_only_the_head() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xyz");
    bench.claimed("yz");
    bench.answer_claim('x', Ok(elsewhere(ms(500))));
    assert_eq!(bench.told("park"), ["park x elsewhere"]);
    assert_eq!(bench.releasing(), "yz");
    bench.released("yz");
    assert!(bench.claiming().is_empty(), "nothing behind a parked head is claimed");
    bench.pass(ms(600));
    assert_eq!(bench.claiming(), "x", "asked again, the head alone");
    bench.answer_claim('x', Ok(elsewhere(ms(500))));
    bench.pass(ms(600));
    assert_eq!(bench.claiming(), "x");
    bench.claimed("x");
    assert_eq!((bench.running(), bench.claiming()), ("x".into(), "yz".into()), "held: ahead again");
}

#[test]
fn a_parked_head_that_turns_out_done_lets_the_lane_go_on() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("y");
    bench.answer_claim('x', Ok(elsewhere(ms(100))));
    bench.released("y");
    bench.pass(ms(200));
    bench.answer_claim('x', Ok(DONE));
    assert_eq!(bench.claiming(), "y");
    bench.claimed("y");
    assert_eq!(bench.running(), "y");
}

#[test]
fn a_parked_record_is_asked_for_again_well_before_a_lease_has_passed() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(elsewhere(LEASE)));
    bench.pass(LEASE / 4);
    assert_eq!(bench.claiming(), "x");
}

#[test]
fn behind_the_head_in_flight_elsewhere_parks_nobody() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xyz");
    bench.claimed("x");
    bench.answer_claim('y', Ok(elsewhere(ms(500))));
    bench.claimed("z");
    assert_eq!((bench.running(), bench.releasing()), ("x".into(), String::new()));
    bench.handled("x");
    assert_eq!(bench.claiming(), "y", "asked again as soon as it is the head");
}

#[test]
fn a_claim_that_is_answered_while_the_head_is_parked_is_given_back() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.answer_claim('x', Ok(elsewhere(ms(500))));
    assert!(bench.releasing().is_empty());
    bench.claimed("y");
    assert_eq!(bench.releasing(), "y");
}

#[test]
fn the_same_id_twice_waits_for_the_first_and_settles_after_its_completion_was_answered() {
    let mut bench = Bench::with(|config| config.commit_records = 1);
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x");
    bench.deliver(&b, "x");
    assert_eq!(bench.claiming(), "x", "the store is asked once");
    bench.claimed("x");
    bench.handled("x");
    assert!(bench.told("duplicate").is_empty(), "the first may still have to be repeated");
    assert!(bench.committing().is_empty());
    bench.answer_completion('x', Err(unknown()));
    assert!(bench.told("duplicate").is_empty() && bench.committing().is_empty());
    bench.pass(ms(100));
    bench.completed("x");
    assert_eq!(bench.told("duplicate"), ["duplicate x Process"]);
    assert_eq!(bench.committing(), "1:1 0:1");
}

#[test]
fn the_second_of_an_id_takes_its_turn_when_the_first_gives_up() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "wx");
    bench.deliver(&b, "x");
    bench.claimed("wx");
    bench.revoke(&a, ms(5000));
    bench.released("x");
    assert_eq!(bench.claiming(), "x", "now for the second partition");
    bench.claimed("x");
    assert_eq!(bench.running(), "wx");
}

#[test]
fn a_neighbour_with_the_same_id_does_not_cost_the_claims_behind_it() {
    // A producer's retry lands right behind its original. The first has started and will end, so nobody can wait for
    // this lane's claims meanwhile in a circle: they stay.
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xxyz");
    bench.claimed("xyz");
    bench.handled("x");
    assert_eq!((bench.completing(), bench.releasing()), ("x".into(), String::new()));
    bench.completed("x");
    assert_eq!(bench.running(), "y");
}

/// Lane 0 holds [b, y, x] with x claimed ahead, lane 1 holds [a, x, y] with y claimed ahead: each head waits for what
/// the other lane has claimed behind its own.
#[test]
fn two_lanes_of_one_process_do_not_wait_for_each_other_for_ever() {
    let mut bench = Bench::new();
    let (l0, l1) = (bench.assign(0), bench.assign(1));
    bench.deliver(&l1, "axy");
    bench.claimed("ay");
    bench.answer_claim('x', Ok(elsewhere(ms(300))));
    bench.deliver(&l0, "byx");
    assert_eq!(bench.claiming(), "bx", "y is taken by the other lane");
    bench.claimed("bx");
    assert_eq!(bench.running(), "ab");
    bench.handled("ab");
    bench.completed("ab");
    // Both heads wait now; whoever was found waiting gave its claims back.
    assert!(!bench.releasing().is_empty(), "{:?}", bench.engine);
    for _ in 0..10 {
        for id in bench.releasing().chars() {
            bench.answer_release(id, Ok(crate::store::ReleaseOutcome::Released));
        }
        bench.claimed(&bench.claiming());
        bench.handled(&bench.running());
        bench.completed(&bench.completing());
    }
    assert_eq!(bench.engine.in_flight(), 0);
    assert_eq!(bench.told("handled").len(), 4);
    assert_eq!(bench.told("duplicate").len(), 2);
}

#[test]
fn an_unknown_outcome_is_asked_again_with_the_same_token() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    let token = bench.answer_claim('x', Err(unknown()));
    assert!(bench.claiming().is_empty() && bench.running().is_empty());
    bench.pass(ms(50));
    assert_eq!(bench.claim('x').lease.token, token);
    bench.claimed("x");
    assert_eq!(bench.running(), "x");
}

#[test]
fn a_token_is_never_used_again_once_its_release_was_sent() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    let first = bench.answer_claim('y', Ok(FRESH));
    bench.answer_claim('x', Ok(elsewhere(ms(300))));
    assert_eq!(bench.releasing(), "y");
    bench.answer_release('y', Err(unknown()));
    bench.pass(ms(400));
    bench.claimed("x");
    bench.pass(ms(3000));
    let second = bench.answer_release('y', Ok(crate::store::ReleaseOutcome::NotHeld)).lease.token;
    assert_eq!(first, second, "a release is repeated until it is answered");
    bench.handled("x");
    assert_ne!(bench.claim('y').lease.token, first);
}

#[test]
fn an_answer_to_a_forgotten_claim_changes_nothing() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    let (work, token) = (super::super::WorkId(1 << 24), bench.claim('x').lease.token);
    bench.lose(&a);
    bench.claimed("x");
    assert_eq!(bench.releasing(), "x", "the claim of a lost partition is given back when it is answered");
    bench.feed(super::super::Event::Claimed { work, token, sent_at: bench.now, result: Ok(FRESH) });
    assert!(bench.running().is_empty());
}

#[test]
fn a_waiting_duplicate_does_not_settle_by_a_failed_first() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x");
    bench.deliver(&b, "x");
    bench.claimed("x");
    bench.fails('x', crate::observe::FailureKind::Fatal);
    assert_eq!(bench.told("duplicate").len(), 0);
    bench.released("x");
    assert_eq!(bench.claiming(), "x", "the second tries itself");
    bench.claimed("x");
    bench.handled("x");
    bench.answer_completion('x', Ok(CompletionOutcome::Recorded));
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "1:1", "the first partition stays stopped");
}

/// The store's breaker answers at once that it is away: that must neither make the engine spin nor start anything, and
/// work goes on soon after the store is back.
#[test]
fn a_store_that_is_away_is_asked_now_and_then_and_nothing_starts() {
    const RECORDS: &str = "abcdefghijklmnopqrstuvwxyz";
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, RECORDS);
    let mut asked = 0;
    for _ in 0..6000 {
        for id in bench.claiming().chars() {
            asked += 1;
            bench.answer_claim(id, Err(unavailable()));
        }
        bench.pass(ms(10));
        assert_eq!(bench.running(), "");
    }
    // A minute: each about once a second, and the head about four times.
    assert!((1000..3000).contains(&asked), "{asked}");
    let back = bench.now;
    while bench.running().is_empty() {
        for id in bench.claiming().chars() {
            bench.answer_claim(id, Ok(FRESH));
        }
        bench.pass(ms(1));
        assert!(bench.now - back <= ms(510), "the head was not asked for");
    }
    assert_eq!(bench.running(), "a");
}
