//! Records whose ID was handled before with another payload.

use std::sync::Arc;

use super::harness::*;
use crate::engine::{Arrival, ConflictPolicy, Event, Identified};
use crate::record::{Origin, TopicPartition};
use crate::store::{ClaimOutcome, MessageDetails, PayloadHash};

fn first() -> Origin {
    Origin { partition: TopicPartition::new("orders", 7), offset: 42 }
}

fn conflict() -> ClaimOutcome {
    ClaimOutcome::Conflict { first: first() }
}

fn message(payload: &str) -> Option<Arc<MessageDetails>> {
    let payload_hash = Some(PayloadHash::of(Some(payload.as_bytes())));
    Some(Arc::new(MessageDetails { identity: None, payload_hash }))
}

/// Delivers records of the ID x, with these payloads.
fn deliver_x(bench: &mut Bench, assignment: &crate::engine::Assignment, payloads: &[&str]) {
    let arrivals = (0..).zip(payloads).map(|(offset, payload)| {
        let Arrival { record, .. } = Bench::arrival(assignment, offset, 'x');
        Arrival::new(record, Identified::Id { fingerprint: fingerprint('x'), message: message(payload) })
    });
    let arrivals = arrivals.collect();
    bench.feed(Event::Records { assignment: assignment.clone(), arrivals });
}

#[test]
fn its_partition_stops_and_both_are_named() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "wxy");
    bench.deliver(&b, "z");
    bench.claimed("wyz");
    bench.answer_claim('x', Ok(conflict()));
    assert_eq!(bench.told("conflict"), ["conflict x orders-7@42"]);
    assert!(bench.told("stop").is_empty(), "what is before it goes on");
    bench.whole("w");
    let stops = bench.told("stop");
    assert_eq!(stops.len(), 1);
    for words in ["stop t-0@1: ", "t-0@1 ", "orders-7@42", "forget", "commit past it", "duplicate"] {
        assert!(stops[0].contains(words), "{words:?} is not in {:?}", stops[0]);
    }
    assert_eq!(bench.released("y"), [Unstarted], "nothing behind it is handled");
    assert_eq!((bench.running(), bench.paused.as_slice()), ("z".into(), &[a][..]));
    bench.pass(ms(2000));
    assert_eq!(bench.committing(), "0:1", "and nothing is skipped");
    assert_eq!(bench.told("conflict").len(), 1);
}

#[test]
fn as_a_duplicate_it_settles_and_is_told() {
    let mut bench = Bench::with(|config| config.conflict_policy = ConflictPolicy::Duplicate);
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("y");
    bench.answer_claim('x', Ok(conflict()));
    assert_eq!(bench.told("conflict"), ["conflict x orders-7@42"]);
    assert_eq!(bench.told("duplicate"), ["duplicate x Store"]);
    assert_eq!(bench.running(), "y");
    bench.whole("y");
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "0:2");
    assert!(bench.told("stop").is_empty());
}

#[test]
fn a_claim_and_its_completion_tell_what_the_message_says() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    deliver_x(&mut bench, &a, &["one"]);
    assert_eq!(bench.claim('x').message, message("one"));
    bench.claimed("x");
    bench.handled("x");
    assert_eq!(bench.completion('x').message, message("one"));
}

#[test]
fn waiting_in_one_process_does_not_hide_another_payload() {
    for policy in [ConflictPolicy::Stop, ConflictPolicy::Duplicate] {
        let mut bench = Bench::with(|config| config.conflict_policy = policy);
        let (a, b) = (bench.assign(0), bench.assign(1));
        deliver_x(&mut bench, &a, &["one", "one"]);
        deliver_x(&mut bench, &b, &["two"]);
        bench.claimed("x");
        bench.whole("x");
        assert_eq!(bench.told("duplicate"), ["duplicate x Process"], "the same payload is the same message");
        assert_eq!(bench.claiming(), "x", "the store names the first one");
        bench.answer_claim('x', Ok(conflict()));
        assert_eq!(bench.told("conflict").len(), 1);
        assert_eq!(bench.told("stop").len(), usize::from(policy == ConflictPolicy::Stop));
    }
}

#[test]
fn who_waits_for_a_conflict_asks_itself() {
    for policy in [ConflictPolicy::Stop, ConflictPolicy::Duplicate] {
        let mut bench = Bench::with(|config| config.conflict_policy = policy);
        let (a, b) = (bench.assign(0), bench.assign(1));
        deliver_x(&mut bench, &a, &["two"]);
        deliver_x(&mut bench, &b, &["two"]);
        bench.answer_claim('x', Ok(conflict()));
        assert_eq!(bench.claiming(), "x", "no conflict is silent");
        bench.answer_claim('x', Ok(conflict()));
        assert_eq!(bench.told("conflict").len(), 2);
        assert_eq!(bench.claiming(), "");
    }
}

#[test]
fn a_conflict_of_a_partition_that_went_away_is_forgotten() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "wx");
    bench.claimed("w");
    bench.answer_claim('x', Ok(conflict()));
    bench.revoke(&a, ms(5000));
    bench.whole("w");
    assert_eq!((bench.revoked.as_slice(), bench.engine.in_flight()), (&[a][..], 0));
    assert!(bench.told("stop").is_empty());
}
