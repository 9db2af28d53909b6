//! What every store must answer: one suite, run against each by `store_conformance`.
//!
//! A rule is a function of a [`Bench`] and knows no particular store. Where a rule needs time to pass it waits for the
//! state to change ([`until`]); under paused time that takes no time at all. What must *not* have run out meanwhile is
//! held by a handle with long terms, so that a slow machine cannot make a rule fail.

pub mod agreement;
pub mod batches;
pub mod claims;
pub mod details;
pub mod done;
pub mod given_up;
pub mod leases;

use std::sync::Arc;
use std::time::Duration;

use hapax::id::Fingerprint;
use hapax::record::{Origin, TopicPartition};
use hapax::store::{
    Claim, ClaimOutcome, Completion, CompletionOutcome, GivenBack, Lease, LeaseTerms, Release, ReleaseOutcome,
    RenewOutcome, State, Store, Token,
};

/// One empty namespace of the store under test.
pub trait Bench {
    /// A worker of the namespace, with these terms.
    fn worker(&self, terms: LeaseTerms) -> Worker;
}

/// Terms that do not end during a test.
pub const LONG: LeaseTerms =
    LeaseTerms { lease: Duration::from_secs(60), grace: Duration::from_secs(600), window: Duration::from_secs(3600) };

/// A term that a test waits for.
pub const SOON: Duration = Duration::from_millis(120);

/// The shortest window that every store can keep.
pub const SHORT_WINDOW: LeaseTerms = LeaseTerms { window: Duration::from_secs(2), ..LONG };

/// A worker whose leases run out soon.
pub const SHORT_LEASE: LeaseTerms = LeaseTerms { lease: SOON, ..LONG };

/// One worker's view of the store, one item at a time.
#[derive(Clone, Debug)]
pub struct Worker(pub Arc<dyn Store>);

pub fn id(n: u32) -> Fingerprint {
    let mut bytes = [0x5a; 16];
    bytes[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b9).to_be_bytes());
    bytes[12..].copy_from_slice(&n.to_be_bytes());
    Fingerprint::from_bytes(bytes)
}

pub fn token(name: u8) -> Token {
    // Bytes that a careless script would trip over: zero, newline, braces, high bit.
    Token::from_bytes([name, 0, b'\n', b'\r', b'{', b'}', 0xff, 0x80, b'\\', b'"', b'\'', b'%', 1, 2, 3, name])
}

pub fn origin() -> Origin {
    Origin { partition: TopicPartition::new("orders", 3), offset: 42 }
}

pub fn lease(n: u32, name: u8) -> Lease {
    Lease { fingerprint: id(n), token: token(name) }
}

pub fn claim(n: u32, name: u8) -> Claim {
    Claim { lease: lease(n, name), takes_over: false, origin: origin(), message: None }
}

pub fn completion(n: u32, name: u8) -> Completion {
    Completion { lease: lease(n, name), origin: origin(), held_for: Duration::from_millis(1), message: None }
}

/// The answer to a claim that found nothing, or an idle count.
pub const fn claimed(attempts: u32) -> ClaimOutcome {
    ClaimOutcome::Claimed { attempts, suspect: false }
}

/// The answer to a claim that took a lease over.
pub const fn taken_over(attempts: u32) -> ClaimOutcome {
    ClaimOutcome::Claimed { attempts, suspect: true }
}

impl Worker {
    pub async fn claim(&self, n: u32, name: u8) -> ClaimOutcome {
        only(self.0.claim(vec![claim(n, name)]).await)
    }

    pub async fn take_over(&self, n: u32, name: u8) -> ClaimOutcome {
        only(self.0.claim(vec![Claim { takes_over: true, ..claim(n, name) }]).await)
    }

    pub async fn complete(&self, n: u32, name: u8) -> CompletionOutcome {
        only(self.0.complete(vec![completion(n, name)]).await)
    }

    pub async fn renew(&self, n: u32, name: u8) -> RenewOutcome {
        only(self.0.renew(vec![lease(n, name)]).await)
    }

    /// Gives back after a failure.
    pub async fn release(&self, n: u32, name: u8, attempts: u32) -> ReleaseOutcome {
        let given_back = GivenBack::Failed { attempts };
        only(self.0.release(vec![Release { lease: lease(n, name), given_back }]).await)
    }

    /// Gives back what no handler was started for.
    pub async fn give_back(&self, n: u32, name: u8) -> ReleaseOutcome {
        only(self.0.release(vec![Release { lease: lease(n, name), given_back: GivenBack::Unstarted }]).await)
    }

    pub async fn inspect(&self, n: u32) -> State {
        only(self.0.inspect(vec![id(n)]).await)
    }

    pub async fn forget(&self, n: u32) -> bool {
        only(self.0.forget(vec![id(n)]).await)
    }

    /// Waits until an ID is in a state.
    pub async fn until(&self, n: u32, state: State) {
        until(async || self.inspect(n).await == state).await;
    }

    /// Claims an ID, and waits until the lease ran out. The worker's leases must be short.
    pub async fn die_holding(&self, n: u32, name: u8) {
        assert_eq!(self.claim(n, name).await, claimed(0));
        self.until(n, State::Expired { attempts: 0 }).await;
    }
}

/// Asks again until the answer is yes.
pub async fn until(mut ask: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asking).await.expect("what was waited for did not happen");
}

#[track_caller]
pub fn only<T, E: std::fmt::Debug>(mut answers: Vec<Result<T, E>>) -> T {
    assert_eq!(answers.len(), 1, "one item, one answer");
    answers.pop().expect("counted").expect("an answer")
}

#[track_caller]
pub fn all<T, E: std::fmt::Debug>(answers: Vec<Result<T, E>>) -> Vec<T> {
    answers.into_iter().map(|answer| answer.expect("an answer")).collect()
}

#[track_caller]
pub fn remaining_in_flight(outcome: &ClaimOutcome) -> Duration {
    match outcome {
        ClaimOutcome::InFlight { remaining } => *remaining,
        other => panic!("{other:?} is not in flight"),
    }
}

#[track_caller]
pub fn assert_in_flight(state: &State, count: u32) -> Duration {
    match state {
        State::InFlight { attempts, remaining } if *attempts == count => *remaining,
        other => panic!("{other:?} is not in flight with a count of {count}"),
    }
}

#[track_caller]
pub fn assert_done(outcome: &ClaimOutcome) {
    assert!(matches!(outcome, ClaimOutcome::Done { .. }), "{outcome:?} is not done");
}

/// Runs every rule against one store. A rule that is missing here is dead code, which the lints report.
macro_rules! conformance {
    ($store:ident, #[$test:meta], $bench:expr) => {
        mod $store {
            $crate::conformance::conformance! { @rules [$test] $bench,
                claims: [
                    absent_is_claimed
                    in_flight_elsewhere_is_not_a_duplicate
                    a_held_lease_is_not_taken_over
                    the_same_token_is_mine_and_refreshes
                    the_same_token_is_told_the_same_after_a_takeover
                    the_same_token_is_told_the_same_after_idling
                    one_of_many_is_told_claimed
                ]
                leases: [
                    a_lease_that_ran_out_is_taken_over_only_on_purpose
                    every_takeover_counts
                    the_count_ends_with_the_grace
                    renewal_holds_for_a_whole_term
                    renewal_reaches_a_lease_that_ran_out
                    renewal_with_a_stale_token_changes_nothing
                    renewal_of_what_is_not_in_flight
                    release_without_attempts_leaves_nothing
                    release_with_attempts_keeps_the_count
                    release_with_fewer_attempts_lowers_no_count
                    unstarted_restores_absence
                    unstarted_restores_the_idle_count
                    unstarted_restores_a_lease_that_ran_out
                    a_takeover_given_back_is_forgotten_after_the_grace
                    a_takeover_given_back_runs_out_for_workers_with_other_terms
                    a_delayed_second_release_of_a_takeover_changes_nothing
                    an_idle_count_ends_with_the_grace
                    release_with_a_stale_token_changes_nothing
                    a_delayed_second_release_frees_nobody
                    release_of_an_idle_id_is_not_held
                    release_reaches_a_lease_that_ran_out
                    a_claim_that_executes_after_its_release_is_a_ghost
                    workers_with_other_terms_agree_when_a_lease_runs_out
                ]
                given_up: [
                    a_store_without_notes_answers_unsupported_for_each
                    given_up_is_in_flight_until_the_lease_runs_out
                    given_up_is_found_by_whoever_takes_it_over
                    renewal_of_a_given_up_lease_holds_for_a_whole_term
                    only_the_holder_gives_up
                    to_give_up_again_changes_nothing
                    a_release_takes_away_only_the_note_that_it_means
                    a_suspect_is_given_up_with_its_count
                    completion_ends_the_note
                    the_note_outlasts_the_grace
                ]
                done: [
                    completed_is_done
                    a_duplicate_holds_no_lease
                    completed_again_is_already_done
                    a_stale_holder_still_writes_done
                    done_needs_no_lease
                    completion_after_release_is_done
                    completion_deletes_the_lease
                    the_window_counts_from_the_first_completion
                    done_ends_with_the_window
                    forgotten_is_claimable
                    forgetting_leaves_the_lease
                ]
                batches: [
                    mixed_outcomes_keep_their_order
                    one_id_twice_in_a_batch_is_claimed_once
                    one_id_twice_in_a_batch_is_recorded_once
                    renewals_and_releases_keep_their_order
                    great_batches_are_answered_whole
                    empty_batches_have_empty_answers
                ]
                details: [
                    who_keeps_no_details_takes_every_payload_for_the_same
                    the_first_one_is_told
                    another_payload_is_a_conflict
                    another_id_of_the_same_fingerprint_is_a_conflict
                    what_is_not_told_contradicts_nothing
                    a_second_completion_leaves_the_first_record
                    a_conflict_holds_no_lease_and_ends_with_the_done_id
                    conflicts_keep_their_place_in_a_batch
                ]
                agreement: [
                    equal_settings_agree
                    every_differing_setting_is_named
                ]
            }
        }
    };
    (@rules $test:tt $bench:expr, $($module:ident: $rules:tt)*) => {
        $($crate::conformance::conformance! { @module $test $bench, $module, $rules })*
    };
    (@module $test:tt $bench:expr, $module:ident, [$($rule:ident)*]) => {
        mod $module {
            $($crate::conformance::conformance! { @rule $test $bench, $module, $rule })*
        }
    };
    (@rule [$test:meta] $bench:expr, $module:ident, $rule:ident) => {
        #[$test]
        async fn $rule() {
            $crate::conformance::$module::$rule(&$bench).await;
        }
    };
}
pub(crate) use conformance;
