//! Histories that must pass: what was promised happened, or a fault excuses what else did.

use super::story::{RETRIES, Story};
use crate::checker::Excuse;
use crate::history::{Event, FaultKind, Nature, Order, Outcome, Target, WRITES_REFUSED, What};

/// The single excuse of a run.
#[track_caller]
fn excuse(story: Story) -> Excuse {
    let repeats = story.passes().repeats;
    assert_eq!(repeats.all.len(), 1);
    repeats.all[0].excused.expect("an excuse").by
}

/// A record of partition 2 whose effect a kill left unrecorded, and which is taken over after its lease.
pub fn killed_before_recording(story: &mut Story, id: &str, at: u64) {
    let record = story.produce(at - 10, 2, id, Nature::Plain);
    story.succeed(at, "w0", &record);
    story.kill(at + 5, "w0");
    story.of(at + 3_100, "w1", What::Suspect, &record);
    story.handle(at + 3_101, "w1", &record);
}

#[test]
fn healthy_history_passes() {
    let judgement = Story::healthy().passes();
    assert_eq!(judgement.repeats.effects, 200);
    assert!(judgement.passed());
}

#[test]
fn duplicate_of_handled_id_passes() {
    let mut story = Story::healthy();
    let first = story.produce(1_000, 2, "a", Nature::Plain);
    story.handle(1_010, "w1", &first);
    let copy = story.produce(1_100, 3, "a", Nature::Plain);
    story.of(1_110, "w0", What::DuplicateByStore, &copy);
    story.settle(1_110, &copy);
    story.passes();
}

#[test]
fn repeat_after_kill_before_recording_is_excused() {
    let mut story = Story::healthy();
    killed_before_recording(&mut story, "a", 5_000);
    assert_eq!(excuse(story), Excuse::Killed);
}

#[test]
fn repeat_after_failpoint_between_effect_and_end_is_excused() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    // Armed long before it struck.
    let fault = story.fault(FaultKind::WorkerFailpoint, story.on("w0"), 1_000, 5_400);
    story.tell(1_000, fault);
    story.start(5_000, "w0", &record, true);
    story.exit(5_020, "w0", None, Some(9));
    story.reborn(5_300, "w0");
    story.of(8_100, "w0", What::Suspect, &record);
    story.handle(8_101, "w0", &record);
    assert_eq!(excuse(story), Excuse::Killed);
}

#[test]
fn repeat_during_freeze_longer_than_lease_is_excused() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    let attempt = story.start(5_000, "w0", &record, true);
    story.freeze(5_002, "w0", 10_000);
    story.of(8_100, "w1", What::Suspect, &record);
    story.handle(8_101, "w1", &record);
    story.end(10_001, &attempt, Outcome::Ok);
    story.of(10_010, "w0", What::CompletedOverrun, &record);
    assert_eq!(excuse(story), Excuse::Frozen);
}

/// The handler was called before the freeze, and has its effect after the one that took the record over.
#[test]
fn late_effect_of_a_frozen_handler_is_excused() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    let attempt = story.start(5_000, "w0", &record, false);
    story.freeze(5_001, "w0", 10_000);
    story.of(8_100, "w1", What::Suspect, &record);
    story.handle(8_101, "w1", &record);
    story.tell(10_001, Event::Effect(attempt.clone()));
    story.end(10_002, &attempt, Outcome::Ok);
    story.of(10_010, "w0", What::CompletedOverrun, &record);
    assert_eq!(excuse(story), Excuse::Frozen);
}

/// An application of its own sees its request when it wakes, which may be a moment before the end of the freeze is noted.
#[test]
fn call_decided_before_a_freeze_and_seen_at_its_end_is_excused() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.freeze(5_001, "w0", 10_000);
    story.of(8_100, "w1", What::Suspect, &record);
    story.handle(8_101, "w1", &record);
    let attempt = story.start(9_999, "w0", &record, true);
    story.end(10_002, &attempt, Outcome::Ok);
    story.of(10_010, "w0", What::CompletedOverrun, &record);
    assert_eq!(excuse(story), Excuse::Frozen);
}

/// A call with a batch is one call: what lies behind its first record starts when the process wakes.
#[test]
fn late_effect_within_a_frozen_batch_is_excused() {
    let mut story = Story::healthy();
    story.run.batch = 2;
    let (first, record) = (story.produce(4_990, 2, "a", Nature::Plain), story.produce(4_991, 2, "b", Nature::Plain));
    let before = story.start(5_000, "w0", &first, true);
    story.end(5_002, &before, Outcome::Ok);
    story.of(5_003, "w0", What::CompletedFirst, &first);
    story.settle(5_003, &first);
    story.freeze(5_004, "w0", 10_000);
    story.of(8_100, "w1", What::Suspect, &record);
    story.handle(8_101, "w1", &record);
    let attempt = crate::history::Attempt { call: before.call, ..story.attempt("w0", 0, &record, 1) };
    story.tell(10_001, Event::Started(attempt.clone()));
    story.tell(10_002, Event::Effect(attempt.clone()));
    story.end(10_003, &attempt, Outcome::Ok);
    story.of(10_010, "w0", What::CompletedOverrun, &record);
    assert_eq!(excuse(story), Excuse::Frozen);
}

/// The process is frozen between the decision to start a handler and its call.
#[test]
fn handler_that_starts_when_its_process_wakes_is_excused() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.freeze(5_000, "w0", 10_000);
    story.of(8_100, "w1", What::Suspect, &record);
    story.handle(8_101, "w1", &record);
    story.succeed(10_020, "w0", &record);
    story.of(10_030, "w0", What::CompletedOverrun, &record);
    assert_eq!(excuse(story), Excuse::Frozen);
}

/// A clock that was set back jumps ahead when it is set right.
#[test]
fn repeat_after_store_clock_was_set_right_is_excused() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    let attempt = story.start(5_000, "w0", &record, true);
    let mut fault = story.fault(FaultKind::StoreClock, Target::Store("redis".to_owned()), 4_000, 5_100);
    fault.clock_ms = Some(-20_000);
    story.tell(4_000, fault);
    story.of(5_200, "w1", What::Suspect, &record);
    story.handle(5_201, "w1", &record);
    story.end(5_300, &attempt, Outcome::Ok);
    story.of(5_310, "w0", What::CompletedOverrun, &record);
    assert_eq!(excuse(story), Excuse::StoreClock);
}

#[test]
fn refused_start_at_a_store_that_refuses_passes() {
    let mut story = Story::healthy();
    let mut fault = story.fault(FaultKind::StoreBusy, Target::Store("all".to_owned()), 8_500, 9_500);
    fault.text = Some(WRITES_REFUSED.to_owned());
    story.tell(8_500, fault);
    story.exit(9_000, "w0", Some(64), None);
    story.passes();
}

#[test]
fn fenced_static_member_after_a_broken_connection_passes() {
    let mut story = Story::healthy();
    story.run.mode = "library,static".to_owned();
    let fault = story.fault(FaultKind::BrokerCut, Target::Link { worker: None }, 8_500, 8_900);
    story.tell(8_500, fault);
    story.exit(9_000, "w0", Some(1), None);
    story.passes();
}

#[test]
fn repeat_while_store_was_away_is_excused() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    let link = Target::Link { worker: Some("w0".to_owned()) };
    let fault = story.fault(FaultKind::StoreHang, link, 4_999, 10_000);
    story.tell(5_000, fault);
    story.succeed(5_000, "w0", &record);
    story.of(8_100, "w1", What::Suspect, &record);
    story.handle(8_101, "w1", &record);
    story.of(10_010, "w0", What::CompletedOverrun, &record);
    assert_eq!(excuse(story), Excuse::StoreAway);
}

#[test]
fn repeat_after_store_lost_record_is_excused() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.handle(5_000, "w0", &record);
    story.lose(4_500, 5_500, 6_000);
    let copy = story.produce(6_990, 3, "a", Nature::Plain);
    story.handle(7_000, "w1", &copy);
    assert_eq!(excuse(story), Excuse::RecordLost);
}

#[test]
fn repeat_after_store_lost_lease_is_excused() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    let copy = story.produce(4_990, 3, "a", Nature::Plain);
    let attempt = story.start(5_000, "w0", &record, true);
    story.lose(4_000, 5_100, 5_200);
    story.handle(5_300, "w1", &copy);
    story.end(5_500, &attempt, Outcome::Ok);
    story.of(5_510, "w0", What::CompletedOverrun, &record);
    story.settled.insert((record.topic, 2, record.offset), 5_510);
    assert_eq!(excuse(story), Excuse::LeaseLost);
}

#[test]
fn repeat_after_store_clock_jump_is_excused() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.handle(5_000, "w0", &record);
    let fault = story.fault(FaultKind::StoreClock, Target::Store("redis".to_owned()), 6_000, 9_000);
    story.tell(6_000, crate::history::Fault { clock_ms: Some(3_600_000), ..fault });
    let copy = story.produce(6_990, 3, "a", Nature::Plain);
    story.handle(7_000, "w1", &copy);
    story.of(7_004, "w1", What::CompletedPossibleOverrun, &copy);
    assert_eq!(excuse(story), Excuse::StoreClock);
}

#[test]
fn repeat_after_window_is_excused() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.handle(5_000, "w0", &record);
    let copy = story.produce(15_990, 3, "a", Nature::Plain);
    story.handle(16_000, "w1", &copy);
    assert_eq!(excuse(story), Excuse::WindowOver);
}

#[test]
fn repeat_by_handler_that_failed_after_effect_is_excused() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::FailsAfterEffect);
    let attempt = story.start(5_000, "w0", &record, true);
    story.end(5_002, &attempt, Outcome::Retryable);
    story.of(5_003, "w0", What::Failed, &record);
    story.handle(5_200, "w0", &record);
    assert_eq!(excuse(story), Excuse::FailedAfterEffect);
}

#[test]
fn repeat_by_handler_over_its_limit_is_excused() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Slow);
    let attempt = story.start(5_000, "w0", &record, true);
    story.end(6_001, &attempt, Outcome::Dropped);
    story.of(6_002, "w0", What::Failed, &record);
    story.handle(6_200, "w0", &record);
    assert_eq!(excuse(story), Excuse::TimeLimit);
}

#[test]
fn repeat_by_handler_over_the_drain_limit_is_excused() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Slow);
    story.start(5_000, "w0", &record, true);
    story.term(5_100, "w0", 6_200);
    story.of(8_100, "w1", What::Suspect, &record);
    story.handle(8_101, "w1", &record);
    // Another fault, for with graceful ones alone no repeat is allowed.
    story.kill(12_000, "w1");
    assert_eq!(excuse(story), Excuse::DrainOver);
}

#[test]
fn two_kills_of_one_id_excuse_two_repeats() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.succeed(5_000, "w0", &record);
    story.kill(5_005, "w0");
    story.of(8_100, "w1", What::Suspect, &record);
    story.succeed(8_101, "w1", &record);
    story.kill(8_105, "w1");
    story.of(11_200, "w0", What::Suspect, &record);
    story.handle(11_201, "w0", &record);
    assert_eq!(story.passes().repeats.all.len(), 2);
}

#[test]
fn poison_that_became_a_dead_letter_passes() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Poison);
    for at in [5_000, 5_200, 5_400] {
        story.fail(at, "w0", &record, Outcome::Retryable);
    }
    story.bury(5_410, "w0", &record);
    let next = story.produce(4_991, 2, "b", Nature::Plain);
    story.handle(5_500, "w0", &next);
    let nameless = story.produce(5_600, 2, "orders/2@2", Nature::NoId);
    story.bury(5_610, "w0", &nameless);
    story.passes();
}

#[test]
fn poison_whose_count_a_crash_forgot_passes() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Poison);
    story.fail(5_000, "w0", &record, Outcome::Retryable);
    story.fail(5_200, "w0", &record, Outcome::Retryable);
    story.kill(5_300, "w0");
    story.of(8_300, "w1", What::Suspect, &record);
    for at in [8_301, 8_500, 8_700, 8_900] {
        story.fail(at, "w1", &record, Outcome::Retryable);
    }
    story.bury(8_910, "w1", &record);
    story.passes();
}

#[test]
fn dead_letter_of_healthy_record_by_crashes_is_excused() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    let mut at = 5_000;
    for _ in 0..4 {
        story.start(at, "w0", &record, false);
        story.kill(at + 5, "w0");
        at += 3_100;
        story.of(at - 1, "w0", What::Suspect, &record);
    }
    story.bury(at, "w0", &record);
    story.passes();
}

#[test]
fn retried_record_that_was_handled_later_passes() {
    let mut story = Story::healthy();
    story.run.order = Order::Unordered;
    let record = story.produce(4_990, 2, "a", Nature::FailsTwice);
    story.fail(5_000, "w0", &record, Outcome::Retryable);
    let copy = story.copy(5_010, RETRIES, &record, "it failed");
    story.of(5_012, "w0", What::Retried, &record);
    story.settle(5_012, &record);
    let next = story.copy(6_010, RETRIES, &record, "it failed");
    story.fail(6_000, "w1", &copy, Outcome::Retryable);
    story.settle(6_012, &copy);
    story.handle(7_000, "w1", &next);
    story.passes();
}

#[test]
fn batch_whose_failed_record_comes_later_is_in_order() {
    let mut story = Story::healthy();
    story.run.batch = 10;
    let first = story.produce(4_990, 2, "a", Nature::FailsTwice);
    let second = story.produce(4_991, 2, "b", Nature::Plain);
    let failed = story.start(5_000, "w0", &first, false);
    let mut handled = story.attempt("w0", 0, &second, 1);
    handled.call = failed.call;
    story.tell(5_000, Event::Started(handled.clone()));
    story.tell(5_001, Event::Effect(handled.clone()));
    story.end(5_002, &failed, Outcome::Retryable);
    story.end(5_002, &handled, Outcome::Ok);
    story.of(5_003, "w0", What::CompletedFirst, &second);
    story.handle(5_100, "w0", &first);
    story.settle(5_103, &second);
    story.passes();
}

#[test]
fn records_handled_by_key_need_no_order_among_keys() {
    let mut story = Story::healthy();
    story.run.order = Order::Unordered;
    let first = story.produce(4_990, 2, "a", Nature::Plain);
    let second = story.produce(4_991, 2, "b", Nature::Plain);
    story.handle(5_000, "w0", &second);
    story.handle(5_100, "w0", &first);
    story.passes();
}

#[test]
fn orderly_end_of_a_worker_passes() {
    let mut story = Story::healthy();
    story.term(5_000, "w0", 5_500);
    story.passes();
}

/// A process that is asked to end right after its start has no handler of that signal yet, and nothing to give back.
#[test]
fn sigterm_within_the_first_second_may_end_a_process() {
    let mut story = Story::healthy();
    story.kill(8_000, "w0");
    let fault = story.fault(FaultKind::WorkerTerm, story.on("w0"), 8_310, 8_400);
    story.tell(8_310, fault);
    story.exit(8_330, "w0", None, Some(15));
    story.reborn(8_400, "w0");
    story.passes();
}
