//! Orders: what runs side by side, how far ahead is claimed, whose turn it is.

use super::harness::*;
use crate::engine::{EngineConfig, Order};
use crate::observe::FailureKind;

/// Records by letter, each with its key; a space stands for none.
fn keyed(order: Order, change: impl FnOnce(&mut EngineConfig)) -> Bench {
    Bench::with(|config| {
        config.order = order;
        change(config);
    })
}

#[test]
fn in_the_order_of_keys_those_of_different_keys_run_side_by_side() {
    let mut bench = keyed(Order::Key, |_| {});
    let a = bench.assign(0);
    bench.deliver_keyed(&a, "abcdef", "kklk l");
    bench.claimed("abcdef");
    assert_eq!(bench.running(), "ace", "one of each key, and of those without");
    bench.handled("a");
    assert_eq!(bench.running(), "ceb", "its completion is under way");
    bench.fails('c', FailureKind::Retryable);
    bench.handled("b");
    assert_eq!(bench.running(), "ed", "f waits for c");
    bench.pass(ms(300));
    bench.handled("c");
    assert_eq!(bench.running(), "edf");
}

#[test]
fn without_an_order_everything_runs_at_once() {
    let mut bench = keyed(Order::Unordered, |_| {});
    let a = bench.assign(0);
    bench.deliver_keyed(&a, "abcd", "kkkk");
    bench.claimed("dcba");
    assert_eq!(bench.running(), "dcba");
    bench.whole("d");
    bench.pass(ms(2000));
    assert_eq!(bench.committing(), "", "a was delivered first and runs");
    bench.whole("a");
    bench.pass(ms(2000));
    assert_eq!(bench.committing(), "0:1");
}

#[test]
fn calls_are_bounded_in_the_process_and_in_the_partition() {
    let mut bench = keyed(Order::Unordered, |config| {
        (config.concurrency, config.partition_concurrency) = (3, Some(2));
    });
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "abcd");
    bench.claimed("abcd");
    assert_eq!(bench.running(), "ab", "two of a partition");
    bench.deliver(&b, "wxyz");
    bench.claimed("wxyz");
    assert_eq!(bench.running(), "abw", "three in all");
    bench.handled("a");
    assert_eq!(bench.running(), "bwc", "the first that waits");
    bench.handled("w");
    assert_eq!(bench.running(), "bcx", "its own partition's bound is reached");
    bench.handled("bcx");
    assert_eq!(bench.running(), "dyz");
}

#[test]
fn in_the_order_of_partitions_the_bound_on_calls_is_none() {
    let mut bench = keyed(Order::Partition, |config| config.concurrency = 1);
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "ab");
    bench.deliver(&b, "xy");
    bench.claimed("abxy");
    assert_eq!(bench.running(), "ax");
}

#[test]
fn heads_of_lanes_are_claimed_before_what_lies_behind_them() {
    let mut bench = keyed(Order::Key, |config| (config.concurrency, config.max_claims_ahead) = (2, 3));
    let a = bench.assign(0);
    bench.deliver_keyed(&a, "abcdef", "kkklmn");
    assert_eq!(bench.claiming(), "ade", "the first of three keys");
    bench.claimed("ade");
    assert_eq!(bench.running(), "ad");
    assert_eq!(bench.claiming(), "fb", "as those that run need none any more");
}

#[test]
fn the_bound_on_claims_lets_through_what_was_claimed_before() {
    let mut bench = keyed(Order::Key, |config| (config.concurrency, config.max_claims_ahead) = (1, 1));
    let a = bench.assign(0);
    bench.deliver_keyed(&a, "abc", "klm");
    assert_eq!(bench.claiming(), "a");
    bench.answer_claim('a', Ok(elsewhere(LEASE)));
    assert_eq!(bench.claiming(), "b", "a waits and claims nothing");
    bench.pass(ms(6));
    assert_eq!(bench.claiming(), "ba", "a is asked for again although b fills the bound");
}

#[test]
fn a_parked_head_gives_back_its_own_lane_only() {
    let mut bench = keyed(Order::Key, |_| {});
    let a = bench.assign(0);
    bench.deliver_keyed(&a, "abcd", "kkll");
    bench.claimed("bcd");
    bench.answer_claim('a', Ok(elsewhere(LEASE)));
    assert_eq!(bench.releasing(), "b");
    assert_eq!(bench.running(), "c");
}

#[test]
fn the_same_id_under_two_keys_waits_for_the_first() {
    let mut bench = keyed(Order::Key, |_| {});
    let a = bench.assign(0);
    bench.deliver_keyed(&a, "aab", "klm");
    assert_eq!(bench.claiming(), "ab");
    bench.claimed("ab");
    bench.whole("a");
    assert_eq!(bench.told("duplicate"), ["duplicate a Process"]);
}

#[test]
fn lanes_end_with_their_records() {
    for order in [Order::Partition, Order::Key, Order::Unordered] {
        let mut bench = keyed(order, |_| {});
        let a = bench.assign(0);
        for round in 0..3 {
            bench.deliver_keyed(&a, "abcdef", "klmkl ");
            bench.claimed("abcdef");
            "abcdef".chars().for_each(|id| bench.whole(&id.to_string()));
            assert_eq!(bench.engine.in_flight(), 0, "{order:?} {round}");
            assert_eq!(bench.engine.lanes.len(), 0, "{order:?} {round}");
        }
    }
}

#[test]
fn one_call_takes_what_is_ready_and_keeps_the_order() {
    let mut bench = keyed(Order::Partition, |config| config.batch = 3);
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "abcde");
    bench.deliver(&b, "xy");
    bench.claimed("bcdyxa");
    assert_eq!(bench.calls, ["xy", "abc"], "d waits for those before it");
    bench.handled("ab");
    assert_eq!(bench.running(), "xyc", "the call has not ended");
    bench.claimed("e");
    bench.handled("c");
    assert_eq!(bench.calls, ["xy", "abc", "de"]);
}

#[test]
fn one_call_takes_records_of_several_lanes_and_calls_are_bounded() {
    let mut bench = keyed(Order::Unordered, |config| (config.batch, config.concurrency) = (3, 1));
    let a = bench.assign(0);
    bench.deliver(&a, "abcdefg");
    bench.claimed("abcdefg");
    assert_eq!(bench.calls, ["a"], "whatever is ready");
    bench.handled("a");
    assert_eq!(bench.calls, ["a", "bcd"]);
    bench.fails('b', FailureKind::Retryable);
    bench.handled("c");
    assert_eq!(bench.calls.len(), 2);
    bench.handled("d");
    assert_eq!(bench.calls, ["a", "bcd", "efg"]);
    bench.handled("efg");
    bench.pass(ms(300));
    assert_eq!(bench.calls.last().map(String::as_str), Some("b"));
}
