//! in flight → given up, and what ends it.
//!
//! A store may do without the note that a record is given up: it answers `Unsupported` each time, and then no other rule
//! of this file applies.

use std::sync::Arc;

use hapax::store::{Destination, GiveUp, GiveUpOutcome};

use super::*;

fn dead_letter() -> Destination {
    Destination::DeadLetter { reason: Arc::from("its handler failed 5 times: {}\n'\"é") }
}

fn retry(step: u32) -> Destination {
    Destination::Retry { step }
}

fn given_up(attempts: u32, to: Destination) -> ClaimOutcome {
    ClaimOutcome::GivenUp { attempts, to }
}

fn left(attempts: u32, to: Destination) -> State {
    State::GivenUp { attempts, to }
}

impl Worker {
    /// Notes that an ID is given up; `None` where the store keeps no notes.
    async fn give_up(&self, n: u32, name: u8, attempts: u32, to: Destination) -> Option<GiveUpOutcome> {
        let outcome = only(self.0.give_up(vec![GiveUp { lease: lease(n, name), attempts, to }]).await);
        (outcome != GiveUpOutcome::Unsupported).then_some(outcome)
    }

    async fn release_as(&self, n: u32, name: u8, given_back: GivenBack) -> ReleaseOutcome {
        only(self.0.release(vec![Release { lease: lease(n, name), given_back }]).await)
    }
}

/// Claims an ID and gives it up; `false` where the store keeps no notes.
async fn gives_up(worker: &Worker, n: u32, name: u8, to: Destination) -> bool {
    assert_eq!(worker.claim(n, name).await, claimed(0));
    let outcome = worker.give_up(n, name, 5, to).await;
    outcome.inspect(|outcome| assert_eq!(*outcome, GiveUpOutcome::Noted)).is_some()
}

pub async fn a_store_without_notes_answers_unsupported_for_each(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.claim(1, b'a').await;
    let notes = [1, 2].map(|n| GiveUp { lease: lease(n, b'a'), attempts: 1, to: dead_letter() });
    let answers = all(worker.0.give_up(notes.to_vec()).await);
    let supported = [GiveUpOutcome::Noted, GiveUpOutcome::NotHeld];
    assert!(answers == supported || answers == [GiveUpOutcome::Unsupported; 2], "{answers:?}");
}

pub async fn given_up_is_in_flight_until_the_lease_runs_out(bench: &impl Bench) {
    let (brief, worker) = (bench.worker(SHORT_LEASE), bench.worker(LONG));
    if !gives_up(&worker, 1, b'a', dead_letter()).await {
        return;
    }
    let remaining = remaining_in_flight(&worker.take_over(1, b'b').await);
    assert!(remaining <= LONG.lease && remaining > LONG.lease / 2, "{remaining:?}");
    assert_in_flight(&worker.inspect(1).await, 5);
    assert_eq!(worker.claim(1, b'a').await, given_up(5, dead_letter()), "its own lease");
    gives_up(&brief, 2, b'a', dead_letter()).await;
    brief.until(2, left(5, dead_letter())).await;
}

/// No handler starts, so any claim may take it, and nothing is counted.
pub async fn given_up_is_found_by_whoever_takes_it_over(bench: &impl Bench) {
    let (brief, worker) = (bench.worker(SHORT_LEASE), bench.worker(LONG));
    for (n, to) in [(1, dead_letter()), (2, retry(0)), (3, retry(7))] {
        if !gives_up(&brief, n, b'a', to.clone()).await {
            return;
        }
        brief.until(n, left(5, to.clone())).await;
        assert_eq!(brief.claim(n, b'b').await, given_up(5, to.clone()));
        brief.until(n, left(5, to.clone())).await;
        assert_eq!(worker.take_over(n, b'c').await, given_up(5, to.clone()));
        assert_eq!(worker.claim(n, b'c').await, given_up(5, to), "asked again");
        remaining_in_flight(&worker.claim(n, b'd').await);
        assert_eq!(worker.renew(n, b'b').await, RenewOutcome::NotHeld);
    }
}

pub async fn renewal_of_a_given_up_lease_holds_for_a_whole_term(bench: &impl Bench) {
    let (brief, worker) = (bench.worker(SHORT_LEASE), bench.worker(LONG));
    if !gives_up(&brief, 1, b'a', dead_letter()).await {
        return;
    }
    assert_eq!(worker.renew(1, b'a').await, RenewOutcome::Renewed);
    let remaining = assert_in_flight(&worker.inspect(1).await, 5);
    assert!(remaining > LONG.lease / 2 && remaining <= LONG.lease, "{remaining:?}");
}

pub async fn only_the_holder_gives_up(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    let Some(absent) = worker.give_up(1, b'a', 1, dead_letter()).await else { return };
    assert_eq!(absent, GiveUpOutcome::NotHeld);
    worker.claim(1, b'a').await;
    assert_eq!(worker.give_up(1, b'b', 1, dead_letter()).await, Some(GiveUpOutcome::NotHeld));
    worker.release(1, b'a', 1).await;
    assert_eq!(worker.give_up(1, b'a', 1, dead_letter()).await, Some(GiveUpOutcome::NotHeld), "idle");
    assert_eq!(worker.inspect(1).await, State::Idle { attempts: 1 });
}

pub async fn to_give_up_again_changes_nothing(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    if !gives_up(&worker, 1, b'a', dead_letter()).await {
        return;
    }
    assert_eq!(worker.give_up(1, b'a', 7, retry(1)).await, Some(GiveUpOutcome::Noted));
    assert_eq!(worker.claim(1, b'a').await, given_up(5, dead_letter()), "the count stays, too");
}

/// A late copy of a release must not take away what another noted.
pub async fn a_release_takes_away_only_the_note_that_it_means(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    let idle = State::Idle { attempts: 5 };
    for (n, to, given_back, state) in [
        (1, dead_letter(), GivenBack::Failed { attempts: 5 }, idle.clone()),
        (2, dead_letter(), GivenBack::Unstarted, left(5, dead_letter())),
        (3, dead_letter(), GivenBack::GivenUp { attempts: 6 }, left(6, dead_letter())),
        (4, dead_letter(), GivenBack::Retried { attempts: 5, step: 3 }, left(5, dead_letter())),
        (5, retry(1), GivenBack::Retried { attempts: 5, step: 1 }, idle.clone()),
        (6, retry(1), GivenBack::Retried { attempts: 5, step: 2 }, idle),
        (7, retry(2), GivenBack::Retried { attempts: 5, step: 1 }, left(5, retry(2))),
    ] {
        if !gives_up(&worker, n, b'a', to).await {
            return;
        }
        assert_eq!(worker.release_as(n, b'a', given_back).await, ReleaseOutcome::Released);
        assert_eq!(worker.inspect(n).await, state, "{given_back:?}");
        assert_eq!(worker.release_as(n, b'a', given_back).await, ReleaseOutcome::NotHeld);
    }
    // Found by its claim, it stays.
    assert_eq!(worker.claim(2, b'b').await, given_up(5, dead_letter()));
    assert_eq!(worker.release_as(2, b'b', GivenBack::Failed { attempts: 0 }).await, ReleaseOutcome::Released);
    assert_eq!(worker.inspect(2).await, left(5, dead_letter()));
    assert_eq!(worker.claim(7, b'b').await, given_up(5, retry(2)));
    assert_eq!(worker.release_as(7, b'b', GivenBack::Retried { attempts: 5, step: 2 }).await, ReleaseOutcome::Released);
    assert_eq!(worker.claim(7, b'c').await, claimed(5));
}

pub async fn a_suspect_is_given_up_with_its_count(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    bench.worker(SHORT_LEASE).die_holding(1, b'a').await;
    assert_eq!(worker.take_over(1, b'b').await, taken_over(1));
    if worker.give_up(1, b'b', 3, dead_letter()).await.is_none() {
        return;
    }
    worker.release_as(1, b'b', GivenBack::GivenUp { attempts: 0 }).await;
    assert_eq!(worker.inspect(1).await, left(3, dead_letter()));
}

pub async fn completion_ends_the_note(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    if !gives_up(&worker, 1, b'a', dead_letter()).await {
        return;
    }
    assert_eq!(worker.complete(1, b'a').await, CompletionOutcome::Recorded);
    assert_done(&worker.claim(1, b'b').await);
    worker.forget(1).await;
    assert_eq!(worker.claim(1, b'c').await, claimed(0));
}

/// For as long as a done ID would be remembered: an outage may last longer than the grace.
pub async fn the_note_outlasts_the_grace(bench: &impl Bench) {
    let short_grace = LeaseTerms { lease: SOON, grace: SOON, ..LONG };
    let worker = bench.worker(short_grace);
    if !gives_up(&worker, 1, b'a', dead_letter()).await {
        return;
    }
    worker.until(1, left(5, dead_letter())).await;
    assert_eq!(worker.claim(2, b'a').await, claimed(0));
    worker.until(2, State::Absent).await;
    assert_eq!(worker.claim(1, b'b').await, given_up(5, dead_letter()));
    worker.release_as(1, b'b', GivenBack::GivenUp { attempts: 5 }).await;
    assert_eq!(worker.claim(2, b'b').await, claimed(0));
    worker.until(2, State::Absent).await;
    assert_eq!(worker.inspect(1).await, left(5, dead_letter()));
}
