//! IDs that are known to be done.

use std::time::Duration;

use super::harness::*;
use crate::engine::{EngineConfig, Event};

fn remembering(entries: usize) -> Bench {
    Bench::with(|config: &mut EngineConfig| {
        (config.cache_entries, config.cache_lifetime) = (entries, Duration::from_secs(60));
    })
}

/// Handles records with these IDs, one after the other.
fn handle(bench: &mut Bench, assignment: &crate::engine::Assignment, ids: &str) {
    for id in ids.chars() {
        let id = id.to_string();
        bench.deliver(assignment, &id);
        bench.whole(&id);
    }
}

#[test]
fn id_recorded_here_is_a_duplicate_without_the_store() {
    let mut bench = remembering(10);
    let a = bench.assign(0);
    handle(&mut bench, &a, "x");
    bench.deliver(&a, "x");
    assert_eq!((bench.claiming(), bench.engine.in_flight()), (String::new(), 0));
    assert_eq!(bench.told("duplicate"), ["duplicate x Cache"]);
}

#[test]
fn id_found_done_is_a_duplicate_without_the_store_next_time() {
    let mut bench = remembering(10);
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(DONE));
    bench.deliver(&a, "x");
    assert_eq!((bench.claiming(), bench.engine.in_flight()), (String::new(), 0));
    assert_eq!(bench.told("duplicate"), ["duplicate x Store", "duplicate x Cache"]);
}

/// The second was delivered before the first was done.
#[test]
fn id_done_before_its_claim_is_sent_is_a_duplicate() {
    let mut bench = Bench::with(|config| (config.cache_entries, config.max_claims_ahead) = (10, 0));
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "yx");
    bench.deliver(&b, "x");
    bench.whole("x");
    bench.whole("y");
    assert_eq!((bench.claiming(), bench.engine.in_flight()), (String::new(), 0));
    assert_eq!(bench.told("duplicate"), ["duplicate x Cache"]);
}

#[test]
fn done_id_counts_for_its_lifetime() {
    let mut bench = remembering(10);
    let a = bench.assign(0);
    handle(&mut bench, &a, "x");
    bench.pass(Duration::from_millis(59_900));
    bench.deliver(&a, "x");
    assert_eq!(bench.claiming(), "");
    bench.pass(Duration::from_millis(200));
    bench.deliver(&a, "x");
    assert_eq!(bench.claiming(), "x");
}

/// The store forgets it then, and a message with that ID is a new one.
#[test]
fn done_id_counts_no_longer_than_the_window() {
    let mut bench = Bench::with(|config| {
        (config.cache_entries, config.cache_lifetime) = (10, Duration::from_secs(3 * 24 * 3600));
    });
    let a = bench.assign(0);
    handle(&mut bench, &a, "x");
    let window = EngineConfig::default().terms.window;
    bench.sleep(window);
    bench.deliver(&a, "x");
    assert_eq!(bench.claiming(), "x");
}

#[test]
fn latest_done_ids_are_kept() {
    let mut bench = remembering(2);
    let a = bench.assign(0);
    handle(&mut bench, &a, "xyz");
    bench.deliver(&a, "zyx");
    assert_eq!(bench.claiming(), "x");
}

#[test]
fn forgotten_id_is_asked_for_again() {
    let mut bench = remembering(10);
    let a = bench.assign(0);
    handle(&mut bench, &a, "xy");
    bench.feed(Event::Forgot(vec![fingerprint('x')]));
    bench.deliver(&a, "xy");
    assert_eq!(bench.claiming(), "x");
}

/// The store may have executed it before it forgot the ID.
#[test]
fn answer_to_what_was_asked_before_a_forget_is_not_remembered() {
    let mut bench = remembering(10);
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.handled("x");
    bench.feed(Event::Forgot(vec![fingerprint('x')]));
    bench.completed("x");
    bench.deliver(&a, "x");
    assert_eq!(bench.claiming(), "x");
}
