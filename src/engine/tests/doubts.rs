//! Attempts of which it is not known whether they had their effect, and whose ID another has since.

use super::harness::*;
use crate::engine::Event;
use crate::observe::FailureKind::{self, Panicked, Retryable, TimedOut, Unavailable};
use crate::store::{ReleaseOutcome, RenewOutcome};

/// A handler ends after the process stood still for that long; its lease is found lost, and its ID done.
fn wakes_after(still: std::time::Duration, kind: FailureKind) -> Bench {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.sleep(still);
    bench.fails('x', kind);
    bench.sleep(LEASE);
    bench.feed(Event::Tick);
    bench.answer_renewal('x', Ok(RenewOutcome::NotHeld));
    bench.answer_claim('x', Ok(DONE));
    bench
}

#[test]
fn an_attempt_in_doubt_whose_id_another_did_is_reported() {
    let short = ms(1000);
    for (still, kind, doubted) in [
        (short, TimedOut, true),
        (short, Panicked, true),
        // A retry, wherever it comes.
        (short, Retryable, false),
        // Another may have run at the same time.
        (LEASE, Retryable, true),
        // It says that nothing was tried.
        (LEASE, Unavailable, false),
    ] {
        let told = wakes_after(still, kind).told("perhaps twice");
        assert_eq!(told.len(), usize::from(doubted), "{kind:?} after {still:?}");
    }
}

#[test]
fn an_attempt_in_doubt_that_this_process_repeats_is_a_retry() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.fails('x', TimedOut);
    bench.pass(ms(200));
    bench.whole("x");
    assert!(bench.told("perhaps twice").is_empty());
}

#[test]
fn an_attempt_in_doubt_of_a_lost_partition_is_reported_by_its_release() {
    for (lost_first, outcome, doubted) in [
        (true, ReleaseOutcome::NotHeld, true),
        (false, ReleaseOutcome::NotHeld, true),
        (true, ReleaseOutcome::Released, false),
    ] {
        let mut bench = Bench::new();
        let a = bench.assign(0);
        bench.deliver(&a, "x");
        bench.claimed("x");
        if lost_first {
            bench.lose(&a);
        }
        bench.fails('x', TimedOut);
        if !lost_first {
            bench.lose(&a);
        }
        bench.answer_release('x', Ok(outcome));
        assert_eq!(bench.told("perhaps twice").len(), usize::from(doubted), "{outcome:?}");
    }
}

/// "Not held" is then the answer to the second copy of its own release.
#[test]
fn a_release_whose_answer_was_lost_is_no_repeat() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.lose(&a);
    bench.fails('x', TimedOut);
    bench.answer_release('x', Err(unknown()));
    bench.pass(ms(2000));
    bench.answer_release('x', Ok(ReleaseOutcome::NotHeld));
    assert!(bench.told("perhaps twice").is_empty());
}

#[test]
fn an_attempt_in_doubt_whose_claim_is_known_to_be_lost_is_reported_with_its_partition() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.fails('x', TimedOut);
    bench.sleep(LEASE);
    bench.feed(Event::Tick);
    bench.answer_renewal('x', Ok(RenewOutcome::NotHeld));
    bench.answer_claim('x', Ok(elsewhere(LEASE)));
    bench.feed(Event::Lost(vec![a]));
    assert_eq!(bench.told("perhaps twice").len(), 1);
}

/// The answer comes too late, and another attempt may have the ID since the lease ran out.
#[test]
fn release_of_a_doubt_without_an_answer_is_told_at_the_end() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    bench.lose(&a);
    bench.fails('x', TimedOut);
    assert!(
        bench.engine.unanswered_doubts(bench.now).is_empty(),
        "the lease is held, so no other attempt has had the ID"
    );
    bench.sleep(LEASE);
    let doubts = bench.engine.unanswered_doubts(bench.now);
    assert_eq!(doubts.iter().map(|record| record.offset()).collect::<Vec<_>>(), [0]);
    bench.answer_release('x', Ok(ReleaseOutcome::NotHeld));
    assert!(bench.engine.unanswered_doubts(bench.now).is_empty());
    assert_eq!(bench.told("perhaps twice").len(), 1);
}
