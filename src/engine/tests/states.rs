//! What is told of partitions to people.

use super::harness::*;
use crate::engine::{PartitionPhase, PartitionState};
use crate::observe::{FailureKind, WaitsFor};

impl Bench {
    pub(super) fn states(&self) -> Vec<PartitionState> {
        self.engine.states(self.now)
    }
}

#[test]
fn every_assigned_partition_is_told_in_order() {
    let mut bench = Bench::new();
    for number in [2, 0, 1] {
        bench.assign(number);
    }
    let numbers: Vec<_> = bench.states().iter().map(|state| state.partition.partition()).collect();
    assert_eq!(numbers, [0, 1, 2]);
    let state = &bench.states()[0];
    assert_eq!((state.watermark, state.committed, &state.phase), (None, None, &PartitionPhase::Active));
    assert_eq!((state.in_flight, state.settled, state.waiting.is_some()), (0, 0, false));
}

#[test]
fn a_partition_tells_what_its_first_record_waits_for() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "vwx");
    let waits = |bench: &Bench| bench.states()[0].waiting.clone().map(|waiting| (waiting.offset, waiting.waits_for));
    assert_eq!(waits(&bench), Some((0, WaitsFor::Claim)));
    bench.claimed("vwx");
    bench.whole("v");
    bench.pass(ms(700));
    assert_eq!(waits(&bench), Some((1, WaitsFor::Handler(ms(700)))));
    assert_eq!(bench.states()[0].waiting.as_ref().map(|waiting| waiting.since), Some(ms(700)));
    bench.fails('w', FailureKind::Retryable);
    assert_eq!(waits(&bench), Some((1, WaitsFor::Backoff(1))));
    let state = &bench.states()[0];
    assert_eq!((state.watermark, state.in_flight, state.running, state.settled), (Some(1), 2, 0, 1));
}

#[test]
fn what_was_committed_is_told_once_it_was_answered() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.whole("x");
    bench.pass(ms(1000));
    assert_eq!(bench.states()[0].committed, None);
    bench.committed();
    assert_eq!((bench.states()[0].committed, bench.states()[0].watermark), (Some(1), Some(1)));
}

#[test]
fn a_stopped_partition_tells_where_and_why_and_a_draining_one_that_it_drains() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x!");
    bench.claimed("x");
    bench.whole("x");
    bench.deliver(&b, "y");
    bench.claimed("y");
    bench.revoke(&b, ms(5000));
    let states = bench.states();
    let PartitionPhase::Stopped(stop) = &states[0].phase else { panic!("{states:?}") };
    let (offset, reason) = (stop.offset, &stop.reason);
    assert_eq!((offset, states[0].held_back, states[0].waiting.is_none()), (1, true, true));
    assert!(reason.contains("the ID is empty"), "{reason}");
    assert_eq!(states[1].phase, PartitionPhase::Draining);
}
