//! Partitions given up: revoked, lost, all of them at the end.

use super::super::Event;
use super::harness::*;
use crate::observe::FailureKind;

#[test]
fn a_revoke_starts_nothing_new_gives_back_what_did_not_start_and_commits_what_ended() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xyz");
    bench.claimed("xyz");
    bench.revoke(&a, ms(5000));
    assert_eq!(bench.releasing(), "yz");
    bench.released("yz");
    bench.handled("x");
    assert_eq!(bench.running(), "");
    assert!(bench.revoked.is_empty(), "its effect is not recorded yet");
    bench.completed("x");
    assert_eq!((bench.committing(), bench.revoked.clone()), ("0:1".into(), vec![a]));
}

#[test]
fn the_commit_goes_out_before_the_partition_goes_back() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.handled("x");
    bench.completed("x");
    let mut actions = Vec::new();
    let deadline = bench.now + ms(5000);
    bench.engine.step(bench.now, Event::RevokeRequested { assignments: vec![a], deadline }, &mut actions);
    assert!(
        matches!(actions[..], [super::super::Action::Commit { .. }, super::super::Action::RevokeDone(_)]),
        "{actions:?}"
    );
}

#[test]
fn a_revoke_ends_at_its_deadline_and_what_ends_later_is_recorded_but_not_committed() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "wx");
    bench.claimed("wx");
    bench.whole("w");
    bench.revoke(&a, ms(5000));
    bench.pass(ms(4999));
    assert!(bench.revoked.is_empty());
    bench.pass(ms(1));
    assert_eq!(bench.revoked, [a]);
    assert_eq!(bench.told("revoke"), ["revoke t-0 late"]);
    bench.committed();
    bench.handled("x");
    assert_eq!(bench.completing(), "x");
    bench.completed("x");
    bench.pass(ms(10_000));
    assert_eq!(bench.committing(), "");
}

#[test]
fn a_revoke_waits_for_claims_under_way_and_gives_them_back() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.revoke(&a, ms(5000));
    assert!(bench.revoked.is_empty(), "one that executes later would hold up the next owner");
    bench.answer_claim('x', Ok(elsewhere(ms(100))));
    bench.claimed("y");
    assert_eq!((bench.running(), bench.revoked.len()), (String::new(), 0));
    bench.released("y");
    assert_eq!(bench.revoked, [a]);
}

#[test]
fn a_claim_without_an_answer_is_given_back_as_if_it_had_executed() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    let x = bench.answer_claim('x', Err(unknown()));
    bench.revoke(&a, ms(5000));
    let y = bench.answer_claim('y', Err(unknown()));
    assert_eq!(bench.releasing(), "xy");
    for (id, token) in [('x', x), ('y', y)] {
        let release = bench.answer_release(id, Ok(crate::store::ReleaseOutcome::NotHeld));
        assert_eq!(release.lease.token, token);
    }
    assert_eq!(bench.revoked, [a]);
    bench.pass(ms(10_000));
    assert_eq!(bench.claiming(), "");
}

#[test]
fn other_partitions_go_on_during_a_revoke() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "w");
    bench.deliver(&b, "xy");
    bench.claimed("wxy");
    bench.revoke(&a, ms(5000));
    bench.handled("x");
    assert_eq!(bench.running(), "wy");
}

#[test]
fn a_revoke_of_what_is_not_here_is_answered_at_once() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.lose(&a);
    bench.revoke(&a, ms(5000));
    assert_eq!(bench.revoked, [a]);
}

#[test]
fn a_lost_partition_commits_nothing_even_if_its_work_was_done() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "wxy");
    bench.claimed("wxy");
    bench.whole("w");
    bench.lose(&a);
    bench.pass(ms(10_000));
    assert_eq!((bench.committing(), bench.releasing()), (String::new(), "y".into()));
    bench.handled("x");
    assert_eq!(bench.completing(), "x");
    bench.completed("x");
    bench.pass(ms(10_000));
    assert_eq!(bench.committing(), "");
}

#[test]
fn a_partition_lost_during_its_drain_commits_nothing() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    bench.whole("x");
    bench.revoke(&a, ms(5000));
    bench.lose(&a);
    bench.handled("y");
    bench.completed("y");
    bench.pass(ms(10_000));
    assert_eq!(bench.committing(), "");
}

#[test]
fn records_of_another_epoch_are_nobodys_business() {
    let mut bench = Bench::new();
    let old = bench.assign(0);
    bench.lose(&old);
    bench.deliver(&old, "x");
    let new = bench.assign(0);
    bench.deliver(&old, "y");
    assert_eq!(bench.claiming(), "");
    assert!(bench.told("delivered").is_empty());
    bench.deliver(&new, "z");
    assert_eq!(bench.claiming(), "z");
}

#[test]
fn work_of_an_old_epoch_never_moves_the_commit_of_the_new_one() {
    let mut bench = Bench::new();
    let old = bench.assign(0);
    bench.deliver(&old, "xy");
    bench.claimed("xy");
    bench.lose(&old);
    let new = bench.assign(0);
    bench.handled("x");
    bench.completed("x");
    bench.pass(ms(5000));
    assert_eq!(bench.committing(), "", "nothing was delivered in this epoch");
    bench.deliver(&new, "xy");
    bench.released("y");
    bench.answer_claim('x', Ok(DONE));
    bench.pass(ms(5000));
    assert_eq!(bench.committing(), "0:1");
}

#[test]
fn an_id_that_an_old_epoch_still_handles_waits_for_it() {
    let mut bench = Bench::new();
    let old = bench.assign(0);
    bench.deliver(&old, "x");
    bench.claimed("x");
    bench.lose(&old);
    let new = bench.assign(0);
    bench.deliver(&new, "x");
    assert_eq!(bench.claiming(), "");
    bench.handled("x");
    bench.completed("x");
    assert_eq!(bench.told("duplicate"), ["duplicate x Process"]);
}

#[test]
fn shutdown_drains_commits_and_finishes() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "xy");
    bench.deliver(&b, "z");
    bench.claimed("xyz");
    bench.handled("z");
    bench.shut_down(ms(5000));
    bench.released("y");
    bench.completed("z");
    bench.handled("x");
    bench.completed("x");
    assert!(!bench.finished, "the commits are not answered yet");
    bench.committed();
    assert!(bench.finished);
}

#[test]
fn shutdown_ends_at_its_deadline() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "wx");
    bench.claimed("wx");
    bench.whole("w");
    bench.shut_down(ms(5000));
    bench.pass(ms(4999));
    assert!(!bench.finished);
    bench.pass(ms(1));
    assert!(bench.finished);
    assert_eq!(bench.committing(), "0:1");
}

#[test]
fn a_second_shutdown_brings_the_end_forward() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.shut_down(ms(5000));
    bench.shut_down(ms(100));
    bench.pass(ms(100));
    assert!(bench.finished);
}

#[test]
fn shutdown_waits_for_claims_of_partitions_already_lost() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.lose(&a);
    bench.shut_down(ms(5000));
    assert!(!bench.finished, "the claim under way would hold up whoever has the partition now");
    bench.claimed("x");
    bench.released("x");
    assert!(bench.finished);
}

#[test]
fn nothing_is_tried_again_during_a_shutdown() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.shut_down(ms(5000));
    bench.fails('x', FailureKind::Retryable);
    bench.released("x");
    assert!(bench.finished);
}

#[test]
fn an_idle_consumer_finishes_at_once() {
    let mut bench = Bench::new();
    bench.shut_down(ms(5000));
    assert!(bench.finished);
}

#[test]
fn what_is_assigned_during_a_shutdown_starts_nothing() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.shut_down(ms(5000));
    let b = bench.assign(1);
    bench.deliver(&b, "y");
    assert_eq!(bench.claiming(), "");
    bench.revoke(&b, ms(5000));
    assert_eq!(bench.revoked, [b]);
}
