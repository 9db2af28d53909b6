//! Partitions that stand stopped: tried again by themselves and by an operator; records that an operator skips.

use std::time::Duration;

use super::harness::*;
use crate::engine::{Event, Order, PartitionPhase, SkipRefused};
use crate::observe::{FailureKind, Outcome, PartitionStop, StopCause};
use crate::record::TopicPartition;
use crate::store::ClaimOutcome;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const IDLE: ClaimOutcome = ClaimOutcome::Claimed { attempts: 5, suspect: false };

/// A partition that stands stopped at `x`, which used its five attempts up; `y` lies behind it.
fn stopped(cap: Duration) -> Bench {
    let mut bench = Bench::with(|config| {
        (config.backoff_first, config.backoff_cap, config.stall_after) = (ms(100), cap, 10 * MINUTE);
    });
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    for _ in 0..5 {
        bench.fails('x', FailureKind::Retryable);
        if bench.told("stop").is_empty() {
            bench.pass(SECOND);
        }
    }
    assert_eq!(bench.told("stop"), ["stop t-0@0: its handler failed 5 times"]);
    assert_eq!(bench.released("xy"), [failed(5), Unstarted]);
    bench
}

fn stop(bench: &mut Bench) -> PartitionStop {
    match bench.states().remove(0).phase {
        PartitionPhase::Stopped(stop) => stop,
        phase => panic!("{phase:?}"),
    }
}

/// Lets time pass until a claim of `x` is under way, and answers how much did.
fn until_try(bench: &mut Bench) -> Duration {
    let begun = bench.now;
    while !bench.claiming().contains('x') && bench.now < begun + 10 * MINUTE {
        bench.pass(ms(100));
    }
    bench.now - begun
}

fn skip(bench: &mut Bench, offset: i64) -> Result<(), SkipRefused> {
    let partition = TopicPartition::new("t", 0);
    let work = bench.engine.skippable(&partition, offset, bench.now)?.work;
    bench.feed(Event::Skip { work });
    Ok(())
}

#[test]
fn stopped_partition_tries_again_ever_more_slowly() {
    let mut bench = stopped(SECOND);
    for bound in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        let (waited, bound) = (until_try(&mut bench), bound * SECOND);
        assert!(waited >= bound / 2 && waited <= bound + ms(200), "{waited:?} of {bound:?}");
        bench.answer_claim('x', Ok(IDLE));
        bench.fails('x', FailureKind::Retryable);
        assert_eq!(bench.released("x"), [failed(5)], "the count does not grow beyond the limit");
    }
    assert_eq!(stop(&mut bench).tries, 11);
    assert_eq!(bench.outcomes('y'), [], "nothing overtakes it");
    assert!(bench.claiming().is_empty() && bench.running().is_empty());
}

#[test]
fn first_try_waits_for_the_longest_back_off() {
    let mut bench = stopped(MINUTE);
    let waited = until_try(&mut bench);
    assert!(waited >= MINUTE / 2 && waited <= MINUTE + ms(200), "{waited:?}");
    let mut bench = stopped(ms(100));
    assert!(until_try(&mut bench) >= ms(400), "a try is never a loop");
}

#[test]
fn success_of_a_try_lets_the_partition_go_on() {
    let mut bench = stopped(SECOND);
    let a = bench.paused[0].clone();
    bench.deliver(&a, "z");
    until_try(&mut bench);
    assert_eq!(bench.claiming(), "x", "only the record that stopped it");
    bench.answer_claim('x', Ok(IDLE));
    assert_eq!((bench.attempt('x'), bench.running()), (6, "x".into()));
    bench.handled("x");
    assert_eq!(bench.claiming(), "", "not before it is recorded");
    bench.completed("x");
    assert_eq!(bench.told("goes on"), ["goes on t-0"]);
    assert!(bench.paused.is_empty());
    bench.whole("yz");
    bench.pass(SECOND);
    assert!(bench.committing().contains("0:3"), "{}", bench.committing());
}

#[test]
fn operator_retry_tries_at_once_and_only_stopped_partitions() {
    let mut bench = stopped(MINUTE);
    bench.feed(Event::Retry(Some(TopicPartition::new("t", 1))));
    assert_eq!(bench.claiming(), "");
    bench.feed(Event::Retry(None));
    assert_eq!(bench.claiming(), "x");
    assert_eq!(bench.told("try"), ["try t-0@0 1 by an operator"]);
    bench.feed(Event::Retry(None));
    assert_eq!(bench.claiming(), "x", "a second one changes nothing");
    bench.answer_claim('x', Ok(IDLE));
    assert!(stop(&mut bench).trying);
    bench.fails('x', FailureKind::Retryable);
    assert_eq!(bench.released("x"), [failed(5)]);
    assert!(!stop(&mut bench).trying);
}

#[test]
fn unavailable_during_a_try_goes_on_trying() {
    let mut bench = stopped(SECOND);
    bench.feed(Event::Retry(None));
    bench.answer_claim('x', Ok(IDLE));
    bench.fails('x', FailureKind::Unavailable);
    assert_eq!(bench.told("stop").len(), 1, "it counts no attempt");
    bench.pass(SECOND);
    bench.handled("x");
    bench.completed("x");
    assert_eq!(bench.told("goes on").len(), 1);
}

#[test]
fn stop_that_time_cannot_mend_waits_for_an_operator() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "!x");
    let found = stop(&mut bench);
    assert_eq!((found.cause, found.next_try), (StopCause::NoId, None));
    bench.pass(30 * MINUTE);
    assert!(bench.told("try").is_empty());
    bench.feed(Event::Retry(None));
    assert_eq!(bench.told("stop").len(), 2, "it is as it was");
    assert!(skip(&mut bench, 0).is_ok());
    assert_eq!(
        (bench.outcomes('!'), bench.skipped.as_slice()),
        (vec![Outcome::SkippedByOperator], &[Some(Outcome::SkippedByOperator)][..])
    );
    assert_eq!(bench.committing(), "0:1", "at once, for nothing else remembers it");
    bench.whole("x");
}

#[test]
fn condemned_record_starts_alone_when_an_operator_retries() {
    let mut bench = Bench::new();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(ClaimOutcome::Suspect { attempts: 5 }));
    bench.answer_claim('x', Ok(taken_over(6)));
    let found = stop(&mut bench);
    assert_eq!((found.cause, found.next_try), (StopCause::ProcessEnded, None));
    assert_eq!(bench.released("x"), [failed(6)]);
    bench.deliver(&b, "y");
    bench.claimed("y");
    bench.feed(Event::Retry(None));
    bench.answer_claim('x', Ok(ClaimOutcome::Claimed { attempts: 6, suspect: false }));
    assert_eq!(bench.running(), "y", "it waits until it is alone");
    bench.whole("y");
    assert_eq!(bench.running(), "x");
    bench.fails('x', FailureKind::Retryable);
    assert_eq!(bench.released("x"), [failed(6)], "no process may try it by itself");
}

#[test]
fn records_that_arrive_at_a_stopped_partition_are_kept() {
    let mut bench = stopped(SECOND);
    let a = bench.paused[0].clone();
    bench.deliver(&a, "abc");
    assert_eq!(bench.engine.in_flight(), 5);
    bench.feed(Event::Retry(None));
    bench.answer_claim('x', Ok(IDLE));
    bench.whole("x");
    bench.whole("yabc");
    assert_eq!(bench.engine.in_flight(), 0);
}

#[test]
fn other_lanes_rest_until_the_stopped_record_settles() {
    let mut bench = Bench::with(|config| config.order = Order::Key);
    let a = bench.assign(0);
    bench.deliver_keyed(&a, "xyz", "klk");
    bench.claimed("xyz");
    bench.fails('x', FailureKind::Fatal);
    assert_eq!(bench.released("xz"), [failed(1), Unstarted]);
    bench.fails('y', FailureKind::Retryable);
    assert_eq!(bench.released("y"), [failed(1)], "its attempt counts");
    bench.pass(SECOND);
    bench.feed(Event::Retry(None));
    assert_eq!(bench.claiming(), "x");
    bench.answer_claim('x', Ok(ClaimOutcome::Claimed { attempts: 1, suspect: false }));
    bench.whole("x");
    assert_eq!(bench.claiming(), "yz");
    bench.answer_claim('y', Ok(ClaimOutcome::Claimed { attempts: 1, suspect: false }));
    assert_eq!(bench.attempt('y'), 2);
}

#[test]
fn twin_elsewhere_in_the_process_is_not_held_up_by_a_stop() {
    let mut bench = stopped(MINUTE);
    let b = bench.assign(1);
    bench.deliver(&b, "x");
    bench.answer_claim('x', Ok(IDLE));
    bench.whole("x");
    bench.feed(Event::Retry(None));
    bench.answer_claim('x', Ok(DONE));
    assert_eq!(bench.outcomes('x'), [Outcome::Handled, Outcome::Duplicate]);
    assert_eq!(bench.told("goes on").len(), 1);
}

#[test]
fn skip_settles_exactly_the_stopped_record_after_its_id_is_done() {
    let mut bench = stopped(MINUTE);
    assert!(skip(&mut bench, 0).is_ok());
    bench.answer_claim('x', Ok(IDLE));
    assert_eq!((bench.running(), bench.completing(), bench.skipped.len()), (String::new(), "x".into(), 0));
    assert_eq!(bench.claiming(), "", "what lies behind waits until it is recorded");
    bench.completed("x");
    assert_eq!(bench.skipped, [Some(Outcome::SkippedByOperator)]);
    assert_eq!((bench.outcomes('x'), bench.told("complete").len()), (vec![Outcome::SkippedByOperator], 0));
    assert_eq!((bench.outcomes('y'), bench.committing()), (vec![], "0:1".into()));
    assert_eq!(bench.told("goes on").len(), 1);
    bench.whole("y");
}

#[test]
fn skip_of_a_record_in_back_off_needs_no_claim() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    bench.fails('x', FailureKind::Retryable);
    assert!(skip(&mut bench, 0).is_ok());
    assert_eq!((bench.completing(), bench.running()), ("x".into(), String::new()));
    bench.completed("x");
    assert_eq!((bench.outcomes('x'), bench.running()), (vec![Outcome::SkippedByOperator], "y".into()));
}

#[test]
fn skip_waits_for_another_process_and_settles_as_duplicate() {
    let mut bench = stopped(MINUTE);
    assert!(skip(&mut bench, 0).is_ok());
    bench.answer_claim('x', Ok(elsewhere(LEASE)));
    assert!(bench.claiming().is_empty());
    bench.pass(SECOND);
    bench.answer_claim('x', Ok(DONE));
    assert_eq!(bench.skipped, [Some(Outcome::Duplicate)]);
}

#[test]
fn skip_of_any_other_record_is_refused_with_the_way_out() {
    let mut bench = stopped(MINUTE);
    let refused = |bench: &mut Bench, offset| skip(bench, offset).unwrap_err().to_string();
    assert!(refused(&mut bench, 1).contains("did not fail"), "{}", refused(&mut bench, 1));
    assert!(refused(&mut bench, 1).contains("stands stopped at 0: only that record can be skipped"));
    assert!(refused(&mut bench, 7).contains("not in flight here"));
    bench.feed(Event::Retry(None));
    bench.answer_claim('x', Ok(IDLE));
    assert!(refused(&mut bench, 0).contains("is with its handler"));
    let elsewhere = bench.engine.skippable(&TopicPartition::new("t", 9), 0, bench.now).unwrap_err();
    assert_eq!(elsewhere, SkipRefused::NotAssigned(TopicPartition::new("t", 9)));
    assert!(bench.skipped.is_empty());
}

#[test]
fn skip_during_a_pause_is_recorded_and_a_retry_waits() {
    let mut bench = stopped(MINUTE);
    bench.feed(Event::Pause);
    bench.feed(Event::Retry(None));
    assert_eq!(bench.claiming(), "", "nothing begins");
    assert!(skip(&mut bench, 0).is_ok());
    bench.answer_claim('x', Ok(IDLE));
    bench.completed("x");
    assert_eq!((bench.skipped.len(), bench.claiming()), (1, String::new()));
    bench.feed(Event::Resume);
    assert_eq!(bench.claiming(), "y");
}

#[test]
fn skip_is_answered_when_its_partition_is_lost() {
    let mut bench = stopped(MINUTE);
    let a = bench.paused[0].clone();
    assert!(skip(&mut bench, 0).is_ok());
    bench.lose(&a);
    bench.answer_claim('x', Ok(IDLE));
    assert_eq!(bench.skipped, [None]);
    assert_eq!(bench.released("x"), [Unstarted]);
}

#[test]
fn stopped_partition_is_given_back_in_order() {
    let mut bench = stopped(SECOND);
    let a = bench.paused[0].clone();
    until_try(&mut bench);
    bench.answer_claim('x', Ok(IDLE));
    bench.revoke(&a, ms(5000));
    bench.fails('x', FailureKind::Retryable);
    assert_eq!(bench.released("x"), [failed(5)]);
    assert_eq!((bench.revoked.as_slice(), bench.given_back()), (&[a][..], 2));
    bench.pass(10 * MINUTE);
    assert_eq!(bench.claiming(), "");
}

#[test]
fn stop_reports_what_the_application_answered_last() {
    use crate::engine::HandlerFailure;
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    let answered = Some("it answers 400 (no such customer)".into());
    bench.end('x', Err(HandlerFailure { kind: FailureKind::Fatal, after: None, answered: answered.clone() }));
    assert_eq!(stop(&mut bench).answered, answered);
}

#[test]
fn stop_frees_others_of_a_record_that_waited_to_run_alone() {
    let mut bench = Bench::with(|config| config.order = Order::Key);
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver_keyed(&a, "xy", "kl");
    bench.claimed("x");
    bench.answer_claim('y', Ok(ClaimOutcome::Suspect { attempts: 2 }));
    assert_eq!(bench.running(), "x", "y waits until it is alone");
    bench.fails('x', FailureKind::Fatal);
    bench.deliver(&b, "z");
    bench.claimed("z");
    assert_eq!(bench.running(), "z");
}
