//! The watermark: what was delivered and is not settled yet.
//!
//! What concerns a tracker and more than it is tested beside that: what settles during a commit, and a refused one, in
//! `commits.rs`; work of an old epoch in `drains.rs`; a stuck record that holds the source back in `pauses.rs`.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::tracker::{Regression, Tracker};
use super::harness::*;
use crate::record::Offset;

fn delivered(offsets: &[Offset]) -> Tracker {
    let mut tracker = Tracker::default();
    for offset in offsets {
        tracker.deliver(*offset).expect("ascending");
    }
    tracker
}

#[test]
fn an_empty_partition_has_nothing_to_commit() {
    assert_eq!(Tracker::default().watermark(), None);
}

#[test]
fn out_of_order_settling_moves_the_watermark_only_over_settled_records() {
    let mut tracker = delivered(&[0, 1, 2]);
    tracker.settle(2);
    tracker.settle(1);
    assert_eq!(tracker.watermark(), Some(0));
    tracker.settle(0);
    assert_eq!(tracker.watermark(), Some(3));
}

#[test]
fn gaps_of_compaction_and_transaction_markers_hold_nothing_back() {
    let mut tracker = delivered(&[3, 7, 8, 20]);
    tracker.settle(3);
    assert_eq!(tracker.watermark(), Some(7));
    tracker.settle(7);
    tracker.settle(8);
    assert_eq!(tracker.watermark(), Some(20));
    tracker.settle(20);
    assert_eq!(tracker.watermark(), Some(21), "the marker behind the last record is not known, and need not be");
}

#[test]
fn the_first_delivery_may_be_anywhere() {
    // Retention may have removed what was committed; a group that never committed begins where it is told.
    assert_eq!(delivered(&[1_000_000]).watermark(), Some(1_000_000));
}

#[test]
fn retention_may_remove_what_was_due_next() {
    let mut tracker = delivered(&[4, 5]);
    tracker.settle(5);
    tracker.deliver(1_000_000).expect("ascending");
    assert_eq!(tracker.watermark(), Some(4), "what was delivered before is not removed by that");
    tracker.settle(4);
    assert_eq!(tracker.watermark(), Some(1_000_000));
}

/// Somebody reset the group's offsets: the next assignment begins behind what was committed, and commits from there.
#[test]
fn an_assignment_after_a_rewind_starts_anew() {
    let mut bench = Bench::new();
    let before = bench.assign(0);
    bench.deliver_at(&before, 50, "x");
    bench.claimed("x");
    bench.whole("x");
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "0:51");
    bench.committed();
    bench.lose(&before);
    let rewound = bench.assign(0);
    bench.deliver_at(&rewound, 7, "yz");
    bench.claimed("yz");
    bench.whole("y");
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "0:8");
}

#[test]
fn an_offset_that_goes_back_is_refused_and_changes_nothing() {
    let mut tracker = delivered(&[5, 6]);
    assert_eq!(tracker.deliver(6), Err(Regression { expected: 7 }));
    assert_eq!(tracker.deliver(0), Err(Regression { expected: 7 }));
    assert_eq!((tracker.watermark(), tracker.len()), (Some(5), 2));
}

#[test]
fn one_stuck_record_pins_everything_behind_it() {
    let mut tracker = delivered(&(0..100).collect::<Vec<_>>());
    (1..100).for_each(|offset| {
        tracker.settle(offset);
    });
    assert_eq!((tracker.watermark(), tracker.len()), (Some(0), 100));
    tracker.settle(0);
    assert_eq!((tracker.watermark(), tracker.len()), (Some(100), 0));
}

#[test]
fn settling_twice_or_what_was_never_delivered_is_no_news() {
    let mut tracker = delivered(&[1, 3]);
    assert!(tracker.settle(3));
    assert!(!tracker.settle(3));
    assert!(!tracker.settle(2));
    assert!(!tracker.settle(9));
    assert!(tracker.settle(1));
    assert!(!tracker.settle(1), "already behind the watermark");
    assert_eq!(tracker.watermark(), Some(4));
}

proptest! {
    /// Against the plainest model there is: the set of offsets delivered and not settled.
    #[test]
    fn the_watermark_is_the_first_incomplete_offset(
        first in 0_i64..1000,
        gaps in prop::collection::vec(1_i64..4, 1..80),
        steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), -2_i64..3), 0..200),
    ) {
        let mut offsets = gaps.iter().scan(first, |at, gap| { *at += gap; Some(*at) }).collect::<Vec<_>>().into_iter();
        let (mut tracker, mut incomplete, mut seen) = (Tracker::default(), BTreeSet::new(), Vec::new());
        let mut last_watermark = None;
        for (deliver, which, beside) in steps {
            if deliver {
                if let Some(offset) = offsets.next() {
                    prop_assert_eq!(tracker.deliver(offset), Ok(()));
                    incomplete.insert(offset);
                    seen.push(offset);
                }
            } else if !seen.is_empty() {
                let offset = which.get(&seen) + beside;
                prop_assert_eq!(tracker.settle(offset), incomplete.remove(&offset));
            }
            let expected = incomplete.first().copied().or(seen.last().map(|last| last + 1));
            prop_assert_eq!(tracker.watermark(), expected);
            prop_assert!(last_watermark <= expected, "a watermark never goes back");
            prop_assert!(tracker.len() >= incomplete.len());
            last_watermark = expected;
        }
    }
}
