//! Commits: the watermark, only forward, again when refused.

use super::harness::*;
use crate::observe::CommitRefused;

#[test]
fn a_commit_never_passes_an_unsettled_record() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver_at(&a, 5, "wxyz");
    bench.claimed("wxyz");
    bench.handled("wxy");
    bench.completed("w");
    bench.completed("y");
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "0:6");
    bench.committed();
    bench.completed("x");
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "0:8", "behind the last one in order");
}

#[test]
fn nothing_is_committed_before_a_record_was_delivered() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.pass(ms(10_000));
    bench.revoke(&a, ms(100));
    assert_eq!((bench.committing(), bench.revoked.len()), (String::new(), 1));
}

#[test]
fn commits_go_out_by_the_interval_or_by_the_number_of_records() {
    let mut bench = Bench::with(|config| config.commit_records = 2);
    let a = bench.assign(0);
    bench.deliver(&a, "wxyz");
    bench.claimed("wxyz");
    bench.whole("w");
    assert_eq!(bench.committing(), "");
    bench.whole("x");
    assert_eq!(bench.committing(), "0:2");
    bench.committed();
    bench.whole("y");
    bench.pass(ms(999));
    assert_eq!(bench.committing(), "");
    bench.pass(ms(1));
    assert_eq!(bench.committing(), "0:3");
}

#[test]
fn what_settles_during_a_commit_is_committed_next() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    bench.whole("x");
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "0:1");
    bench.whole("y");
    bench.pass(ms(2000));
    assert_eq!(bench.committing(), "0:1", "one at a time");
    bench.committed();
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "0:2");
}

#[test]
fn a_refused_commit_is_tried_again_and_never_goes_back() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xyz");
    bench.claimed("xyz");
    bench.whole("x");
    bench.pass(ms(1000));
    for expected in ["0:1", "0:1", "0:2"] {
        assert_eq!(bench.committing(), expected);
        if expected == "0:1" && bench.running() == "y" && bench.now > ms(1500) {
            bench.whole("y");
        }
        bench.answer_commit(Err(CommitRefused::failed("not now")));
        assert_eq!(bench.committing(), "", "not at once");
        bench.pass(ms(1000));
    }
    assert_eq!(bench.committing(), "0:2");
    bench.answer_commit(Ok(()));
    bench.pass(ms(5000));
    assert_eq!(bench.committing(), "");
}

#[test]
fn a_commit_refused_during_a_drain_is_tried_once_more_before_the_partition_goes_back() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    bench.whole("x");
    bench.pass(ms(1000));
    bench.revoke(&a, ms(5000));
    bench.answer_commit(Err(CommitRefused::failed("not now")));
    bench.pass(ms(5000));
    assert_eq!((bench.committing(), bench.revoked.len()), ("0:1".into(), 1));
}

#[test]
fn offsets_that_go_back_stop_the_partition() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver_at(&a, 7, "xy");
    bench.claimed("xy");
    bench.deliver_at(&a, 3, "z");
    assert_eq!(bench.told("stop").len(), 1);
    assert!(bench.told("stop")[0].contains("created anew"));
    assert_eq!((bench.paused.clone(), bench.releasing()), (vec![a], "y".into()));
    bench.handled("x");
    bench.completed("x");
    bench.pass(ms(1000));
    assert_eq!((bench.committing(), bench.claiming()), ("0:8".into(), String::new()));
}

#[test]
fn records_delivered_behind_a_regression_are_not_counted_as_delivered() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver_at(&a, 7, "xy");
    bench.deliver_at(&a, 3, "z");
    assert_eq!(bench.told("delivered"), ["delivered t-0 2"]);
}
