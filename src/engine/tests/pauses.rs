//! Back-pressure: who has to wait, pause and resume with hysteresis.

use super::harness::*;
use crate::engine::Assignment;
use crate::observe::FailureKind;

fn letters(count: usize) -> String {
    ('a'..='z').cycle().take(count).collect()
}

impl Bench {
    fn admits(&mut self, assignment: &Assignment) -> bool {
        self.engine.admits(self.now, assignment)
    }
}

#[test]
fn a_partition_that_stands_still_is_paused_and_resumed_at_half_of_its_reserve() {
    let mut bench = Bench::with(|config| config.max_in_flight = 20);
    let a = bench.assign(0);
    bench.deliver(&a, &letters(15));
    bench.claimed(&letters(15));
    bench.fails('a', FailureKind::Retryable);
    assert!(bench.paused.is_empty(), "it may go on soon");
    bench.pass(ms(100));
    assert_eq!(bench.paused, [a]);
    bench.pass(ms(200));
    let mut left = 15;
    for id in letters(15).chars() {
        assert_eq!(bench.paused.is_empty(), left <= 5, "{left} in flight");
        bench.whole(&id.to_string());
        left -= 1;
    }
}

#[test]
fn a_partition_that_moves_is_not_paused() {
    let mut bench = Bench::with(|config| config.max_in_flight = 20);
    let a = bench.assign(0);
    bench.deliver(&a, &letters(20));
    bench.claimed(&letters(20));
    for id in letters(5).chars() {
        bench.pass(ms(90));
        bench.whole(&id.to_string());
    }
    assert!(bench.paused.is_empty());
}

#[test]
fn a_partition_alone_may_take_everything() {
    let mut bench = Bench::with(|config| config.max_in_flight = 4);
    let a = bench.assign(0);
    bench.deliver(&a, "wxy");
    assert!(bench.admits(&a));
    bench.deliver(&a, "z");
    assert!(!bench.admits(&a));
    bench.claimed("wxyz");
    bench.whole("w");
    assert!(bench.admits(&a));
}

#[test]
fn bytes_count_as_well() {
    let mut bench = Bench::with(|config| config.max_in_flight_bytes = 3);
    let a = bench.assign(0);
    bench.deliver(&a, "xyz");
    assert!(!bench.admits(&a));
}

#[test]
fn however_many_partitions_stand_still_the_others_have_room() {
    for standing in 1..8 {
        let mut bench = Bench::with(|config| config.max_in_flight = 160);
        let parts: Vec<_> = (0..8).map(|number| bench.assign(number)).collect();
        let (stuck, moving) = parts.split_at(standing);
        // Each takes whatever it gets, one after the other, and does not move.
        for assignment in stuck {
            while bench.admits(assignment) && !bench.paused.contains(assignment) {
                bench.deliver(assignment, "-");
            }
        }
        assert!(bench.engine.in_flight() <= 160, "{standing} stand still");
        for assignment in moving {
            for record in 0..10 {
                assert!(bench.admits(assignment), "{standing} stand still: {assignment:?} gets {record}");
                bench.deliver(assignment, "-");
            }
        }
        assert!(bench.engine.in_flight() <= 160);
    }
}

#[test]
fn a_partition_that_lets_others_wait_is_paused_and_then_admits_what_was_on_its_way() {
    let mut bench = Bench::with(|config| config.max_in_flight = 40);
    let (a, b) = (bench.assign(0), bench.assign(1));
    while bench.admits(&a) {
        bench.deliver(&a, "-");
    }
    // It moves, and stays full all the same.
    for _ in 0..3 {
        bench.pass(ms(40));
        assert!(bench.paused.is_empty());
        bench.handled("-");
        bench.deliver(&a, "-");
        assert!(!bench.admits(&a));
    }
    bench.pass(ms(100));
    assert_eq!(bench.paused, std::slice::from_ref(&a));
    assert!(bench.admits(&a), "or the other one would never get what waits behind it");
    assert!(bench.admits(&b));
}

#[test]
fn one_record_that_does_not_settle_pins_what_is_behind_it_and_holds_back_the_source() {
    let mut bench = Bench::with(|config| config.max_span = 10);
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.handled("x");
    bench.deliver(&a, "ABCDEFGHIJ");
    assert_eq!(bench.engine.in_flight(), 1, "all duplicates: settled");
    assert_eq!(bench.paused, [a], "but each is remembered until x settles");
    bench.completed("x");
    assert!(bench.paused.is_empty());
}
