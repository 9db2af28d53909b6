//! Histories that must not pass, each with one thing wrong.

use super::accepted::killed_before_recording;
use super::story::{END, HEALED, Story, TOPIC, micros};
use crate::history::{Fault, FaultKind, Leftover, Memory, Nature, Order, Outcome, Target, What};

/// A record of partition 2 is handled twice: by `w0` at 5 s, and by `w1` at 8.1 s. hapax reports it.
fn repeated(story: &mut Story) {
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.succeed(5_000, "w0", &record);
    again(story, &record);
}

fn again(story: &mut Story, record: &super::story::Told) {
    story.of(8_100, "w1", What::Suspect, record);
    story.handle(8_101, "w1", record);
}

const REPEATED: &str = "no fault excuses it";

// I1

#[test]
fn lost_record_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.settle(5_000, &record);
    story.violates_all(&[("I1", "neither an effect nor a dead letter"), ("I2", "settled never")]);
}

// I2

#[test]
fn commit_past_unsettled_record_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.settle(5_000, &record);
    story.handle(6_000, "w0", &record);
    story.violates("I2", "orders/2 was committed up to 1 at 5.000 s, but 0 (ID a) was settled at 6.002 s");
}

#[test]
fn commit_of_effect_that_never_returned_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.start(5_000, "w0", &record, true);
    story.settle(5_010, &record);
    story.kill(5_200, "w0");
    story.violates("I2", "settled never");
}

#[test]
fn commit_after_anothers_retry_copy_is_found() {
    let mut story = Story::healthy();
    story.run.order = Order::Unordered;
    let record = story.produce(4_990, 2, "a", Nature::FailsTwice);
    let twin = story.produce(4_990, 3, "a", Nature::FailsTwice);
    story.fail(5_000, "w0", &record, Outcome::Retryable);
    let copy = story.copy(5_010, super::story::RETRIES, &record, "it failed");
    story.settle(5_012, &record);
    story.settle(5_012, &twin);
    story.handle(7_000, "w1", &copy);
    story.violates("I2", "orders/3 was committed up to 1");
}

#[test]
fn backward_commit_is_found() {
    let mut story = Story::healthy();
    story.sample(15_050, 0, Some(7), 60);
    story.violates("I2", "orders/0 went back from 60");
}

#[test]
fn backward_commit_by_an_operator_passes() {
    let mut story = Story::healthy();
    story.sample(15_050, 0, Some(7), 60);
    let fault = story.fault(FaultKind::OffsetsReset, Target::Workers, 15_010, 15_040);
    story.tell(15_010, fault);
    story.passes();
}

// I3

#[test]
fn repeat_without_fault_is_found() {
    let mut story = Story::healthy();
    repeated(&mut story);
    story.violates("I3", REPEATED);
}

#[test]
fn repeat_after_kill_that_came_too_early_is_found() {
    let mut story = Story::healthy();
    story.kill(4_000, "w0");
    repeated(&mut story);
    story.violates("I3", REPEATED);
}

#[test]
fn repeat_after_kill_that_came_after_recording_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.handle(5_000, "w0", &record);
    story.kill(5_010, "w0");
    again(&mut story, &record);
    story.violates("I3", "recorded 5.003 s, process ended 5.030 s");
}

#[test]
fn repeat_after_kill_long_after_success_is_found() {
    let mut story = Story::healthy();
    story.run.stall_limit_ms = 9_000;
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.succeed(5_000, "w0", &record);
    story.kill(12_000, "w0");
    story.of(15_100, "w1", What::Suspect, &record);
    story.handle(15_101, "w1", &record);
    story.violates_all(&[("I3", REPEATED)]);
}

#[test]
fn repeat_before_its_kill_is_found() {
    let mut story = Story::healthy();
    repeated(&mut story);
    story.kill(8_500, "w0");
    story.violates("I3", REPEATED);
}

#[test]
fn repeat_after_kill_of_another_worker_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.succeed(5_000, "w0", &record);
    story.kill(5_005, "w1");
    again(&mut story, &record);
    story.violates("I3", REPEATED);
}

#[test]
fn repeat_before_the_lease_ran_out_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.succeed(5_000, "w0", &record);
    story.kill(5_005, "w0");
    story.of(5_600, "w1", What::Suspect, &record);
    story.handle(5_601, "w1", &record);
    story.violates("I3", REPEATED);
}

#[test]
fn second_repeat_without_second_kill_is_found() {
    let mut story = Story::healthy();
    killed_before_recording(&mut story, "a", 5_000);
    let copy = story.produce(9_990, 3, "a", Nature::Plain);
    story.of(10_000, "w0", What::Suspect, &copy);
    story.handle(10_001, "w0", &copy);
    story.violates("I3", REPEATED);
}

#[test]
fn more_repeats_of_one_kill_than_exposed_are_found() {
    let mut story = Story::healthy();
    story.run.order = Order::Unordered;
    let records: Vec<_> = (0..4).map(|n| story.produce(4_990, 2, &format!("a{n}"), Nature::Plain)).collect();
    records.iter().for_each(|record| drop(story.succeed(5_000, "w0", record)));
    story.kill(5_005, "w0");
    for record in &records {
        again(&mut story, record);
    }
    story.violates("I3", "repeated 4 effects of w0#0");
}

#[test]
fn repeat_during_freeze_shorter_than_lease_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    let attempt = story.start(5_000, "w0", &record, true);
    story.freeze(5_002, "w0", 5_900);
    story.end(5_901, &attempt, Outcome::Ok);
    again(&mut story, &record);
    story.of(8_200, "w0", What::CompletedOverrun, &record);
    story.violates("I3", REPEATED);
}

#[test]
fn repeat_of_record_older_than_the_loss_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(3_990, 2, "a", Nature::Plain);
    story.handle(4_000, "w0", &record);
    story.lose(4_500, 5_500, 6_000);
    let copy = story.produce(6_990, 3, "a", Nature::Plain);
    story.handle(7_000, "w1", &copy);
    story.of(7_004, "w1", What::CompletedPossibleOverrun, &copy);
    story.violates("I3", REPEATED);
}

#[test]
fn repeat_while_another_worker_lacked_the_store_is_found() {
    let mut story = Story::healthy();
    let link = Target::Link { worker: Some("w1".to_owned()) };
    let fault = story.fault(FaultKind::StoreHang, link, 4_999, 8_050);
    story.tell(5_000, fault);
    repeated(&mut story);
    story.violates("I3", REPEATED);
}

#[test]
fn repeat_within_the_window_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.handle(5_000, "w0", &record);
    let copy = story.produce(13_990, 3, "a", Nature::Plain);
    story.handle(14_000, "w1", &copy);
    story.of(14_010, "w1", What::CompletedPossibleOverrun, &copy);
    story.violates("I3", REPEATED);
}

#[test]
fn repeat_after_broker_fault_is_found() {
    let mut story = Story::healthy();
    let fault = story.fault(FaultKind::BrokerKill, Target::Broker("1".to_owned()), 5_001, 7_000);
    story.tell(5_001, fault);
    repeated(&mut story);
    story.violates("I3", REPEATED);
}

#[test]
fn repeat_with_graceful_faults_only_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Slow);
    story.start(5_000, "w0", &record, true);
    story.term(5_100, "w0", 6_200);
    again(&mut story, &record);
    story.violates("I3", "every fault of this run was graceful");
}

#[test]
fn second_effect_of_one_attempt_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    let attempt = story.start(5_000, "w0", &record, true);
    story.tell(5_001, crate::history::Event::Effect(attempt.clone()));
    story.end(5_002, &attempt, Outcome::Ok);
    story.of(5_003, "w0", What::CompletedOverrun, &record);
    story.settle(5_003, &record);
    let judgement = story.judge();
    assert_eq!(judgement.verdict("I3").expect("a verdict").violations, 1);
}

// I4

#[test]
fn duplicate_without_effect_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    let copy = story.produce(4_990, 3, "a", Nature::Plain);
    story.of(5_000, "w1", What::DuplicateByStore, &copy);
    story.handle(6_000, "w0", &record);
    story.settle(6_003, &copy);
    story.violates("I4", "was dropped as a duplicate by the store of w1#0 at 5.000 s");
}

// I5

#[test]
fn overlapping_handlers_are_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    let copy = story.produce(4_990, 3, "a", Nature::Plain);
    let attempt = story.start(5_000, "w0", &record, false);
    story.handle(5_100, "w1", &copy);
    story.end(5_200, &attempt, Outcome::Retryable);
    story.settle(5_300, &record);
    story.violates("I5", "while another ran from 5.000 s to 5.200 s");
}

#[test]
fn overlap_in_one_process_is_found_in_spite_of_a_fault() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    let attempt = story.start(5_000, "w0", &record, false);
    story.freeze(5_002, "w0", 8_050);
    story.of(8_100, "w0", What::Suspect, &record);
    story.handle(8_101, "w0", &record);
    story.end(8_200, &attempt, Outcome::Retryable);
    story.violates("I5", "and no fault ended its lease");
}

// I6

#[test]
fn reordering_is_found() {
    let mut story = Story::healthy();
    let first = story.produce(4_990, 2, "a", Nature::Plain);
    let second = story.produce(4_991, 2, "b", Nature::Plain);
    story.handle(5_000, "w0", &second);
    story.handle(5_100, "w0", &first);
    story.violates("I6", "orders/2@1 (ID b) was started at 5.000 s by w0#0, before orders/2@0");
}

#[test]
fn start_before_the_one_before_ended_is_found() {
    let mut story = Story::healthy();
    let first = story.produce(4_990, 2, "a", Nature::Plain);
    let second = story.produce(4_991, 2, "b", Nature::Plain);
    story.handle(5_000, "w0", &first);
    story.handle(5_001, "w0", &second);
    story.violates("I6", "was settled at 5.002 s");
}

// I8

#[test]
fn commit_after_revoke_is_found() {
    let mut story = Story::healthy();
    story.report(10_000, "w0", What::Drained, Some((TOPIC, 0, None)), None);
    story.report(12_000, "w0", What::Committed, Some((TOPIC, 0, Some(40))), None);
    story.report(16_000, "w0", What::Committed, Some((TOPIC, 0, Some(41))), None);
    story.violates("I8", "up to 41 at 16.000 s, although it gave it up at 10.000 s");
}

#[test]
fn commit_without_assignment_is_found() {
    let mut story = Story::healthy();
    story.report(16_000, "w0", What::Committed, Some((TOPIC, 1, Some(41))), None);
    story.violates("I8", "never assigned");
}

// I9

#[test]
fn lag_that_stays_is_found() {
    let mut story = Story::healthy();
    // Behind a record that is never handled.
    story.produce(32_500, 2, "a", Nature::Plain);
    story.violates_all(&[("I9", "orders/2 lags by 1 at its last sample")]);
}

#[test]
fn lag_that_ends_too_late_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(29_900, 2, "a", Nature::Plain);
    story.handle(32_500, "w0", &record);
    story.violates("I9", "took 2.6 s after the heal");
}

#[test]
fn stall_without_fault_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(10_000, 2, "a", Nature::Plain);
    story.handle(14_000, "w0", &record);
    story.violates("I9", "orders/2 lagged without progress");
}

#[test]
fn stall_during_fault_passes() {
    let mut story = Story::healthy();
    let record = story.produce(10_000, 2, "a", Nature::Plain);
    story.handle(14_000, "w0", &record);
    let fault = story.fault(FaultKind::BrokerFreeze, Target::Broker("1".to_owned()), 10_000, 10_500);
    story.tell(10_000, fault);
    story.passes();
}

#[test]
fn memory_over_its_limit_is_found() {
    let mut story = Story::healthy();
    story.tell(9_000, Memory { worker: "w1".to_owned(), incarnation: 0, rss_bytes: 201 << 20 });
    story.violates("I9", "w1#0 held 201 MiB");
}

#[test]
fn crash_without_fault_is_found() {
    let mut story = Story::healthy();
    story.exit(9_000, "w0", None, Some(11));
    story.violates("I9", "w0#0 exited by signal 11 at 9.000 s, without a fault that ends it");
}

#[test]
fn refused_start_is_found_without_a_store_that_refuses() {
    let mut story = Story::healthy();
    story.exit(9_000, "w0", Some(64), None);
    story.violates("I9", "exited with code 64");
}

#[test]
fn refused_start_is_found_at_a_store_that_is_merely_busy() {
    let mut story = Story::healthy();
    let mut fault = story.fault(FaultKind::StoreBusy, Target::Store("redis".to_owned()), 8_500, 9_500);
    fault.text = Some("SCRIPT FLUSH".to_owned());
    story.tell(8_500, fault);
    story.exit(9_000, "w0", Some(64), None);
    story.violates("I9", "exited with code 64");
}

#[test]
fn fenced_member_is_found_without_trouble_at_a_broker() {
    let mut story = Story::healthy();
    story.run.mode = "library,static".to_owned();
    story.exit(9_000, "w0", Some(1), None);
    story.violates("I9", "exited with code 1");
}

#[test]
fn orderly_end_with_an_error_is_found() {
    let mut story = Story::healthy();
    let fault = story.fault(FaultKind::WorkerTerm, story.on("w0"), 9_000, 9_900);
    story.tell(9_000, fault);
    story.exit(9_500, "w0", Some(70), None);
    story.violates("I9", "exited with code 70");
}

#[test]
fn leftover_is_found() {
    let mut story = Story::healthy();
    story.tell(END, Leftover { what: "leases".to_owned(), count: 3 });
    story.violates("I9", "3 leases were left over");
}

#[test]
fn stopped_partition_is_found() {
    let mut story = Story::healthy();
    story.report(9_000, "w0", What::Stopped, Some((TOPIC, 0, Some(3))), None);
    story.violates("I9", "w0#0 stopped orders/0");
}

// I10

#[test]
fn dead_letter_of_healthy_record_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.fail(5_000, "w0", &record, Outcome::Retryable);
    story.bury(5_010, "w0", &record);
    story.violates("I10", "can be handled, and became a dead letter");
}

#[test]
fn record_both_handled_and_dead_letter_is_found() {
    let mut story = Story::healthy();
    story.run.window_ms = 60_000;
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.handle(5_000, "w0", &record);
    let mut at = 6_000;
    for _ in 0..3 {
        story.start(at, "w0", &record, false);
        story.kill(at + 5, "w0");
        at += 3_100;
    }
    story.bury(at, "w0", &record);
    story.violates("I10", "was handled at 5.001 s");
}

#[test]
fn poison_without_dead_letter_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Poison);
    for at in [5_000, 5_200, 5_400] {
        story.fail(at, "w0", &record, Outcome::Retryable);
    }
    story.settle(5_410, &record);
    story.violates_all(&[
        ("I1", "neither an effect nor a dead letter"),
        ("I2", "settled never"),
        ("I10", "has no dead letter"),
    ]);
}

#[test]
fn dead_letter_before_the_attempts_are_used_up_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Poison);
    story.fail(5_000, "w0", &record, Outcome::Retryable);
    story.fail(5_200, "w0", &record, Outcome::Retryable);
    story.bury(5_410, "w0", &record);
    story.violates("I10", "after 2 failed attempts and 0 that were cut off; it has 3");
}

#[test]
fn dead_letter_after_too_many_attempts_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Poison);
    for attempt in 0..5 {
        story.fail(5_000 + 200 * attempt, "w0", &record, Outcome::Retryable);
    }
    story.bury(6_010, "w0", &record);
    story.violates("I10", "failed 5 times in a row");
}

// I12

#[test]
fn unreported_repeat_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.succeed(5_000, "w0", &record);
    story.kill(5_005, "w0");
    story.handle(8_101, "w1", &record);
    story.violates("I12", "was reported by no worker");
}

#[test]
fn unreported_repeat_after_lost_records_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.handle(5_000, "w0", &record);
    let fault = story.fault(FaultKind::StoreFlush, Target::Store("redis".to_owned()), 5_500, 5_600);
    story.tell(5_500, Fault { lost_from: Some(0), ..fault });
    let copy = story.produce(6_990, 3, "a", Nature::Plain);
    story.handle(7_000, "w1", &copy);
    story.violates("I12", "was reported by no worker");
}

#[test]
fn sums_that_do_not_meet_are_found() {
    let mut story = Story::healthy();
    story.counts(25_000, "w0", 100, &[("handled", 90), ("duplicate", 5)], 2, 2);
    story.violates("I12", "100 delivered, but 95 settled + 2 given back + 2 in flight");
}

#[test]
fn counter_that_falls_is_found() {
    let mut story = Story::healthy();
    story.counts(25_000, "w0", 79, &[("handled", 70), ("duplicate", 5)], 2, 2);
    story.violates("I12", "counters fell");
}

#[test]
fn false_overrun_is_found() {
    let mut story = Story::healthy();
    let record = story.produce(4_990, 2, "a", Nature::Plain);
    story.succeed(5_000, "w0", &record);
    story.of(5_003, "w0", What::CompletedOverrun, &record);
    story.settle(5_003, &record);
    story.violates("I12", "was a repeat, but it succeeded 1 times");
}

/// The story's clock and the checker's agree.
#[test]
fn times_are_since_the_faults_began() {
    let past = Story::healthy().past();
    assert_eq!(past.clock(micros(HEALED)), "30.000 s");
}

#[test]
fn sigterm_that_ends_a_process_later_is_a_violation() {
    let mut story = Story::healthy();
    story.kill(8_000, "w0");
    let fault = story.fault(FaultKind::WorkerTerm, story.on("w0"), 9_400, 9_500);
    story.tell(9_400, fault);
    story.exit(9_410, "w0", None, Some(15));
    story.reborn(9_500, "w0");
    story.violates("I9", "w0#1 exited by signal 15");
}
