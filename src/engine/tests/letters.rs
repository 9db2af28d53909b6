//! Dead letters: what goes there, when it settles, and when the partition stops instead.

use super::harness::*;
use crate::engine::{ConflictPolicy, Destination, EngineConfig, Event, Order};
use crate::observe::{FailureKind, Outcome};
use crate::record::{Origin, TopicPartition};
use crate::store::{ClaimOutcome, CompletionOutcome, GiveUpOutcome, RenewOutcome};

fn with_topic() -> Bench {
    Bench::with(dead_letter)
}

fn dead_letter(config: &mut EngineConfig) {
    config.dead_letter = true;
}

fn away() -> Result<(), String> {
    Err("the topic does not answer".to_owned())
}

fn reason(bench: &Bench, id: char) -> String {
    match bench.copy(id).0 {
        Destination::DeadLetter { reason } => reason.to_string(),
        other => panic!("{other:?} is no dead letter"),
    }
}

#[test]
fn exhausted_attempts_lead_to_a_dead_letter_and_the_lane_goes_on_after_its_delivery() {
    let mut bench = with_topic();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    for attempt in 1..=5 {
        assert_eq!(bench.attempt('x'), attempt);
        bench.fails('x', FailureKind::Retryable);
        bench.pass(ms(200) * 2_u32.pow(attempt - 1));
    }
    assert_eq!(bench.told("retry").len(), 4);
    assert_eq!((bench.publishing(), bench.copy('x').1), ("x".into(), 5));
    assert_eq!(reason(&bench, 'x'), "its handler failed 5 times");
    assert_eq!((bench.running(), bench.completing()), (String::new(), String::new()), "only after the delivery");
    assert_eq!(bench.engine.exposed(), 0, "a crash repeats no effect");
    bench.pass(ms(5000));
    assert_eq!(bench.committing(), "", "its offset is held");
    bench.published("x");
    assert_eq!((bench.running(), bench.completing()), ("y".into(), "x".into()), "a dead letter counts as done");
    assert!(bench.outcomes('x').is_empty());
    bench.completed("x");
    assert_eq!(bench.outcomes('x'), [Outcome::DeadLettered]);
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "0:1");
    assert_eq!(bench.told("dead letter"), ["dead letter x 5: its handler failed 5 times"]);
    assert!(bench.told("stop").is_empty() && bench.told("complete").is_empty());
}

#[test]
fn a_fatal_failure_is_a_dead_letter_at_once() {
    let mut bench = with_topic();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.fails('x', FailureKind::Fatal);
    assert_eq!((bench.publishing(), bench.copy('x').1), ("x".into(), 1));
    assert!(reason(&bench, 'x').contains("trying again is no use"));
    assert!(bench.told("retry").is_empty());
}

#[test]
fn not_available_is_no_dead_letter() {
    let mut bench = with_topic();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    for _ in 0..10 {
        bench.fails('x', FailureKind::Unavailable);
        for _ in 0..12 {
            bench.pass(ms(2500));
            bench.renewed(&bench.renewing());
        }
    }
    assert_eq!((bench.publishing(), bench.running()), (String::new(), "x".into()));
    assert_eq!(bench.told("retry").len(), 10);
}

#[test]
fn a_condemned_suspect_is_a_dead_letter_without_another_start() {
    let mut bench = with_topic();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("y");
    bench.answer_claim('x', Ok(ClaimOutcome::Suspect { attempts: 5 }));
    bench.answer_claim('x', Ok(taken_over(6)));
    assert_eq!((bench.running(), bench.publishing(), bench.copy('x').1), (String::new(), "x".into(), 6));
    assert!(reason(&bench, 'x').contains("started 6 times"));
    let b = bench.assign(1);
    bench.deliver(&b, "z");
    bench.claimed("z");
    assert_eq!(bench.running(), "z", "it does not run alone: it does not run");
    bench.published("x");
    bench.completed("x");
    assert_eq!((bench.outcomes('x'), bench.running()), (vec![Outcome::DeadLettered], "zy".into()));
}

#[test]
fn a_record_without_an_id_settles_at_once_but_not_before_its_turn() {
    let mut bench = with_topic();
    let a = bench.assign(0);
    bench.deliver(&a, "x?y");
    bench.claimed("xy");
    assert_eq!(bench.publishing(), "");
    bench.handled("x");
    assert_eq!((bench.publishing(), bench.running()), ("?".into(), String::new()));
    assert_eq!(reason(&bench, '?'), "it has no usable message ID: the ID is empty");
    assert_eq!(bench.copy('?').1, 0);
    bench.published("?");
    assert_eq!((bench.outcomes('?'), bench.running()), (vec![Outcome::DeadLettered], "y".into()));
    assert_eq!(bench.completing(), "x");
}

#[test]
fn a_conflict_is_a_dead_letter_by_policy_and_its_id_stays_as_it_is() {
    let mut bench = Bench::with(|config| {
        dead_letter(config);
        config.conflict_policy = ConflictPolicy::DeadLetter;
    });
    let a = bench.assign(0);
    bench.deliver(&a, "wxy");
    bench.claimed("wy");
    let first = Origin { partition: TopicPartition::new("orders", 7), offset: 42 };
    bench.answer_claim('x', Ok(ClaimOutcome::Conflict { first }));
    assert_eq!(bench.publishing(), "", "only when it is its turn");
    bench.whole("w");
    assert!(reason(&bench, 'x').contains("orders-7@42"));
    bench.published("x");
    assert_eq!((bench.completing(), bench.outcomes('x')), (String::new(), vec![Outcome::DeadLettered]));
    assert_eq!(bench.told("conflict").len(), 1);
    bench.whole("y");
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "0:3");
}

#[test]
fn an_outage_of_the_topic_holds_the_offset_and_the_copy_is_sent_without_limit() {
    let mut bench = with_topic();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    bench.fails('x', FailureKind::Fatal);
    for _ in 0..200 {
        bench.answer_copy('x', away());
        assert_eq!(bench.publishing(), "", "not at once");
        bench.pass(ms(2000));
        bench.renewed(&bench.renewing());
        assert_eq!((bench.publishing(), bench.running()), ("x".into(), String::new()));
    }
    assert_eq!((bench.committing(), bench.told("undelivered").len()), (String::new(), 200));
    assert_eq!(bench.told("dead letter").len(), 1, "it is one, however often it is sent");
    bench.published("x");
    bench.completed("x");
    assert_eq!(bench.outcomes('x'), [Outcome::DeadLettered]);
}

#[test]
fn the_lease_is_renewed_while_a_copy_is_under_way() {
    let mut bench = Bench::with(|config| {
        dead_letter(config);
        // A handler that outlives the lease is another matter.
        config.renewal = false;
    });
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.fails('x', FailureKind::Fatal);
    for _ in 0..10 {
        bench.pass(LEASE / 2);
        assert_eq!(bench.renewing(), "x", "who took it over would send a second copy");
        bench.renewed("x");
    }
    assert_eq!(bench.publishing(), "x");
}

#[test]
fn what_somebody_else_may_have_taken_over_is_claimed_again_before_its_copy_is_sent() {
    let mut bench = Bench::with(|config| {
        dead_letter(config);
        config.renewal = false;
    });
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    bench.sleep(LEASE / 2);
    bench.fails('x', FailureKind::Fatal);
    assert_eq!((bench.renewing(), bench.publishing()), ("x".into(), String::new()));
    bench.answer_renewal('x', Ok(RenewOutcome::NotHeld));
    assert_eq!(bench.claiming(), "x");
    bench.answer_claim('x', Ok(DONE));
    assert_eq!((bench.publishing(), bench.outcomes('x')), (String::new(), vec![Outcome::Duplicate]));
}

#[test]
fn a_lease_lost_while_a_copy_waits_to_be_sent_again_is_claimed_again() {
    let mut bench = with_topic();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.fails('x', FailureKind::Fatal);
    bench.answer_copy('x', away());
    bench.sleep(LEASE / 2);
    bench.feed(Event::Tick);
    bench.answer_renewal('x', Ok(RenewOutcome::NotHeld));
    assert_eq!((bench.publishing(), bench.claiming()), (String::new(), "x".into()));
    bench.claimed("x");
    assert_eq!((bench.publishing(), bench.running()), ("x".into(), String::new()), "what was decided stays decided");
    assert_eq!(bench.told("dead letter").len(), 1);
}

#[test]
fn a_drain_waits_for_the_delivery_and_commits() {
    let mut bench = with_topic();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("xy");
    bench.fails('x', FailureKind::Fatal);
    bench.revoke(&a, ms(5000));
    assert_eq!(bench.released("y"), [Unstarted]);
    assert!(bench.revoked.is_empty());
    bench.published("x");
    assert!(bench.revoked.is_empty());
    bench.completed("x");
    assert_eq!((bench.revoked.as_slice(), bench.committing()), (&[a][..], "0:1".into()));
    assert_eq!((bench.outcomes('x'), bench.given_back()), (vec![Outcome::DeadLettered], 1));
}

#[test]
fn after_a_loss_the_delivery_leads_to_the_completion_and_never_to_a_commit() {
    let mut bench = with_topic();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.fails('x', FailureKind::Fatal);
    bench.lose(&a);
    bench.pass(LEASE / 2);
    assert_eq!(bench.renewing(), "x");
    bench.published("x");
    assert_eq!(bench.completing(), "x");
    bench.completed("x");
    bench.pass(ms(5000));
    assert_eq!((bench.committing(), bench.engine.in_flight()), (String::new(), 0));
}

#[test]
fn a_copy_that_failed_during_a_drain_is_left_to_the_next_owner_with_the_count() {
    for failed_before in [false, true] {
        let mut bench = with_topic();
        let a = bench.assign(0);
        bench.deliver(&a, "x");
        bench.answer_claim('x', Ok(ClaimOutcome::Claimed { attempts: 4, suspect: false }));
        bench.fails('x', FailureKind::Retryable);
        if failed_before {
            bench.answer_copy('x', away());
            bench.revoke(&a, ms(5000));
        } else {
            bench.revoke(&a, ms(5000));
            bench.answer_copy('x', away());
        }
        assert_eq!(bench.released("x"), [given_up(5)], "the copy may be there");
        assert_eq!((bench.revoked.as_slice(), bench.committing()), (&[a][..], String::new()));
        assert_eq!((bench.given_back(), bench.outcomes('x').len(), bench.engine.in_flight()), (1, 0, 0));
    }
}

#[test]
fn a_condemned_one_that_is_given_back_is_condemned_for_the_next_owner_too() {
    let mut bench = with_topic();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(ClaimOutcome::Suspect { attempts: 5 }));
    bench.answer_claim('x', Ok(taken_over(6)));
    bench.answer_copy('x', away());
    bench.revoke(&a, ms(5000));
    assert_eq!(bench.released("x"), [given_up(6)]);
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    // From a store that keeps no notes.
    bench.answer_claim('x', Ok(ClaimOutcome::Claimed { attempts: 6, suspect: false }));
    assert_eq!((bench.running(), bench.publishing()), (String::new(), "x".into()));
}

#[test]
fn its_completion_is_sent_without_limit_and_twins_of_it_are_duplicates() {
    let mut bench = with_topic();
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x");
    bench.deliver(&b, "x");
    bench.claimed("x");
    bench.fails('x', FailureKind::Fatal);
    bench.published("x");
    for _ in 0..20 {
        bench.answer_completion('x', Err(unavailable()));
        bench.pass(ms(2000));
    }
    assert_eq!(bench.publishing(), "", "it is delivered once");
    bench.answer_completion('x', Ok(CompletionOutcome::AlreadyDone));
    assert_eq!(bench.outcomes('x'), [Outcome::Duplicate, Outcome::DeadLettered]);
    assert!(bench.told("complete").is_empty(), "no effect was repeated");
}

#[test]
fn without_a_topic_the_partition_stops() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.fails('x', FailureKind::Fatal);
    assert_eq!((bench.publishing(), bench.told("stop").len(), bench.given_back()), (String::new(), 1, 0));
}

/// Lets records fail for good, one after the other, until the partition stops; says how many became dead letters.
fn fail_all(bench: &mut Bench, assignment: &crate::engine::Assignment) -> usize {
    let mut letters = 0;
    loop {
        bench.deliver(assignment, "-");
        bench.fails('-', FailureKind::Fatal);
        if !bench.told("stop").is_empty() {
            return letters;
        }
        bench.published("-");
        letters += 1;
        assert!(letters < 5000);
    }
}

#[test]
fn when_everything_fails_the_partition_stops_instead_of_emptying_the_topic() {
    let mut bench = with_topic();
    let a = bench.assign(0);
    assert_eq!(fail_all(&mut bench, &a), 19, "a few at the start say nothing");
    let stop = &bench.told("stop")[0];
    assert!(stop.starts_with("stop t-0@19: 20 of the last 20 records would be dead letters"), "{stop}");
    assert!(stop.contains("it looks as if everything fails") && stop.contains("dead_letter_share"), "{stop}");
    assert_eq!(bench.publishing(), "");
    bench.pass(ms(1000));
    assert_eq!(bench.committing(), "0:19", "the record stays where it is");
}

#[test]
fn a_tenth_of_the_last_thousand_may_be_dead_letters() {
    let mut bench = with_topic();
    let a = bench.assign(0);
    for _ in 0..3000 {
        bench.deliver(&a, "-");
        bench.handled("-");
    }
    assert_eq!(fail_all(&mut bench, &a), 100);
    assert!(bench.told("stop")[0].contains("101 of the last 1000 records"));
}

#[test]
fn a_share_of_one_switches_the_limit_off() {
    let mut bench = Bench::with(|config| {
        dead_letter(config);
        config.dead_letter_share = 1.0;
    });
    let a = bench.assign(0);
    for _ in 0..2000 {
        bench.deliver(&a, "-");
        bench.fails('-', FailureKind::Fatal);
        bench.published("-");
    }
    assert!(bench.told("stop").is_empty());
}

#[test]
fn the_limit_counts_what_is_decided_not_what_is_delivered() {
    let mut bench = with_topic();
    for partition in 0..30 {
        let a = bench.assign(partition);
        bench.deliver(&a, "-");
        bench.fails('-', FailureKind::Fatal);
    }
    assert_eq!((bench.publishing().len(), bench.told("stop").len()), (19, 11), "the topic does not answer");
}

#[test]
fn settings_that_need_a_topic_name_the_way_out() {
    let problems = |change: fn(&mut EngineConfig)| {
        let mut config = EngineConfig::default();
        change(&mut config);
        config.problems().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let conflict = problems(|config| config.conflict_policy = ConflictPolicy::DeadLetter);
    assert!(conflict.contains("conflict_policy") && conflict.contains("name one"), "{conflict}");
    let expired = problems(|config| config.expired_to_dead_letter = true);
    assert!(expired.contains("expired_to_dead_letter") && expired.contains("name one"), "{expired}");
    for share in [0.0, 1.1, f64::NAN] {
        let config = EngineConfig { dead_letter_share: share, ..EngineConfig::default() };
        assert_eq!(config.problems().len(), 1, "{share}");
    }
    fn unordered(config: &mut EngineConfig, steps: u32) {
        (config.retry_steps, config.order) = (steps, Order::Unordered);
    }
    assert!(problems(|config| unordered(config, 10)).contains("max_attempts"));
    assert_eq!(problems(|config| unordered(config, 4)), "");
    assert!(problems(|config| config.retry_steps = 4).contains("unordered"));
}

fn left_by_another(attempts: u32) -> ClaimOutcome {
    ClaimOutcome::GivenUp { attempts, to: Destination::DeadLetter { reason: "its handler failed".into() } }
}

/// Otherwise the next owner could handle it although the copy is there.
#[test]
fn the_note_is_answered_before_the_copy_is_sent() {
    let mut bench = with_topic();
    bench.holds_notes = true;
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.fails('x', FailureKind::Fatal);
    for _ in 0..20 {
        assert_eq!((bench.giving_up(), bench.publishing()), ("x".into(), String::new()));
        bench.answer_note('x', Err(unknown()));
        bench.pass(ms(500));
        bench.renewed(&bench.renewing());
    }
    let note = bench.answer_note('x', Ok(GiveUpOutcome::Noted));
    assert_eq!(note.attempts, 1);
    assert_eq!((note.to, 1), bench.copy('x'), "the note and the copy agree");
    assert_eq!(bench.told("dead letter").len(), 1);
}

#[test]
fn a_store_without_notes_changes_nothing() {
    let mut bench = with_topic();
    bench.holds_notes = true;
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.fails('x', FailureKind::Fatal);
    bench.answer_note('x', Ok(GiveUpOutcome::Unsupported));
    bench.published("x");
    bench.completed("x");
    assert_eq!(bench.outcomes('x'), [Outcome::DeadLettered]);
}

#[test]
fn a_lease_lost_before_the_note_is_claimed_again() {
    let mut bench = with_topic();
    bench.holds_notes = true;
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.fails('x', FailureKind::Fatal);
    bench.answer_note('x', Ok(GiveUpOutcome::NotHeld));
    assert_eq!((bench.claiming(), bench.publishing()), ("x".into(), String::new()));
    bench.answer_claim('x', Ok(DONE));
    assert_eq!((bench.publishing(), bench.outcomes('x')), (String::new(), vec![Outcome::Duplicate]));
}

#[test]
fn what_another_gave_up_is_sent_and_not_handled() {
    let mut bench = with_topic();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("y");
    bench.answer_claim('x', Ok(left_by_another(5)));
    assert_eq!((bench.running(), bench.publishing(), bench.copy('x').1), (String::new(), "x".into(), 5));
    assert_eq!(reason(&bench, 'x'), "its handler failed");
    bench.published("x");
    bench.completed("x");
    assert_eq!((bench.outcomes('x'), bench.running()), (vec![Outcome::DeadLettered], "y".into()));
}

#[test]
fn what_another_gave_up_stays_given_up_when_it_is_given_back() {
    let mut bench = with_topic();
    let a = bench.assign(0);
    bench.deliver(&a, "xy");
    bench.claimed("x");
    bench.answer_claim('y', Ok(left_by_another(5)));
    bench.revoke(&a, ms(5000));
    assert_eq!(bench.released("y"), [given_up(5)]);
}

/// The operator restarts with a handler that was mended: it is tried once more, for no copy can be there.
#[test]
fn without_a_copy_the_note_goes_when_its_partition_is_revoked() {
    let mut bench = with_topic();
    bench.holds_notes = true;
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(ClaimOutcome::Claimed { attempts: 4, suspect: false }));
    bench.fails('x', FailureKind::Retryable);
    bench.revoke(&a, ms(5000));
    assert_eq!((bench.releasing(), bench.revoked.len()), (String::new(), 0), "the note is awaited");
    bench.answer_note('x', Ok(GiveUpOutcome::Noted));
    assert_eq!((bench.released("x"), bench.publishing()), (vec![failed(5)], String::new()));
    assert_eq!(bench.given_back(), 1);
}

#[test]
fn without_a_topic_what_another_gave_up_stops_the_partition() {
    let mut bench = Bench::new();
    let a = bench.assign(0);
    bench.deliver(&a, "x");
    bench.answer_claim('x', Ok(left_by_another(5)));
    assert_eq!((bench.running(), bench.told("stop").len()), (String::new(), 1));
    assert_eq!(bench.released("x"), [given_up(5)]);
}

/// It came through that retry topic itself, so its copy is this very record.
#[test]
fn a_note_about_a_retry_topic_behind_the_record_is_dropped() {
    let mut bench = Bench::with(|config| {
        dead_letter(config);
        (config.retry_steps, config.order) = (2, Order::Unordered);
    });
    let a = bench.assign(0);
    let left = |step| ClaimOutcome::GivenUp { attempts: 1, to: Destination::Retry { step } };
    bench.deliver_with(&a, 'x', |arrival| arrival.step = 1);
    bench.answer_claim('x', Ok(left(0)));
    assert_eq!((bench.publishing(), bench.released("x")), (String::new(), vec![retried(1, 0)]));
    bench.answer_claim('x', Ok(ClaimOutcome::Claimed { attempts: 1, suspect: false }));
    assert_eq!(bench.running(), "x");
    bench.deliver(&a, "y");
    bench.answer_claim('y', Ok(left(1)));
    assert_eq!((bench.publishing(), bench.copy('y').0), ("y".into(), Destination::Retry { step: 1 }));
    bench.published("y");
    assert_eq!((bench.released("y"), bench.outcomes('y')), (vec![retried(1, 1)], vec![Outcome::Retried]));
}

/// Its brokers are away, and the process ends: the next owner must not wait for the lease.
#[test]
fn at_the_deadline_what_waits_for_its_delivery_is_given_back() {
    for shutdown in [false, true] {
        let mut bench = with_topic();
        let a = bench.assign(0);
        bench.deliver(&a, "x");
        bench.answer_claim('x', Ok(ClaimOutcome::Claimed { attempts: 4, suspect: false }));
        bench.fails('x', FailureKind::Retryable);
        if shutdown {
            bench.shut_down(ms(5000));
        } else {
            bench.revoke(&a, ms(5000));
        }
        bench.pass(ms(4999));
        assert_eq!((bench.publishing(), bench.releasing()), ("x".into(), String::new()));
        bench.pass(ms(1));
        assert_eq!((bench.finished, bench.revoked.len()), (shutdown, usize::from(!shutdown)));
        assert_eq!((bench.released("x"), bench.given_back()), (vec![given_up(5)], 1));
        bench.published("x");
        assert_eq!(bench.completing(), "", "the next owner sends it again");
    }
}

#[test]
fn at_the_deadline_claims_and_notes_under_way_are_given_back() {
    let mut bench = with_topic();
    bench.holds_notes = true;
    let (a, b) = (bench.assign(0), bench.assign(1));
    bench.deliver(&a, "x");
    bench.claimed("x");
    bench.fails('x', FailureKind::Fatal);
    bench.deliver(&b, "yz");
    bench.claimed("y");
    bench.shut_down(ms(5000));
    bench.pass(ms(5000));
    assert!(bench.finished);
    assert_eq!(bench.released("xz"), [failed(1), Unstarted], "y runs, and keeps its lease");
    assert_eq!((bench.running(), bench.releasing()), ("y".into(), String::new()));
}
