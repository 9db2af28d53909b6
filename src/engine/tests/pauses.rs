//! Back-pressure: pause and resume with hysteresis.

use super::harness::*;
use crate::observe::FailureKind;

fn letters(count: usize) -> String {
    ('a'..='z').cycle().take(count).collect()
}

#[test]
fn a_lane_that_cannot_move_is_paused_and_resumed_at_half_of_that() {
    let mut bench = Bench::with(|config| config.max_in_flight = 20);
    let a = bench.assign(0);
    bench.deliver(&a, &letters(15));
    assert!(bench.paused.is_empty(), "it moves");
    bench.claimed(&letters(15));
    bench.fails('a', FailureKind::Retryable);
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
fn the_engine_says_when_it_has_no_room() {
    let mut bench = Bench::with(|config| config.max_in_flight = 4);
    let a = bench.assign(0);
    bench.deliver(&a, "wxy");
    assert!(bench.engine.has_room());
    bench.deliver(&a, "z");
    assert!(!bench.engine.has_room());
    bench.claimed("wxyz");
    bench.whole("w");
    assert!(bench.engine.has_room());
}

#[test]
fn bytes_count_as_well() {
    let mut bench = Bench::with(|config| config.max_in_flight_bytes = 3);
    let a = bench.assign(0);
    bench.deliver(&a, "xyz");
    assert!(!bench.engine.has_room());
}

#[test]
fn one_partition_does_not_take_all_the_room() {
    let mut bench = Bench::with(|config| config.max_in_flight = 20);
    let (a, _b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, &letters(11));
    assert_eq!(bench.paused, [a]);
    assert!(bench.engine.has_room(), "for the other one");
}

#[test]
fn one_record_that_does_not_settle_pins_what_is_behind_it_and_holds_back_the_source() {
    let mut bench = Bench::with(|config| config.max_in_flight = 10);
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
