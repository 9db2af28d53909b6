//! → done → absent.

use super::*;

pub async fn completed_is_done(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.claim(1, b'a').await;
    assert_eq!(worker.complete(1, b'a').await, CompletionOutcome::Recorded);
    let State::Done { remaining, .. } = worker.inspect(1).await else { panic!("not done") };
    assert!(remaining <= LONG.window && remaining > LONG.window / 2, "{remaining:?}");
    assert_done(&worker.claim(1, b'b').await);
    assert_done(&worker.take_over(1, b'c').await);
    assert_done(&worker.claim(1, b'a').await);
    assert_done(&bench.worker(LONG).claim(1, b'd').await);
}

pub async fn a_duplicate_holds_no_lease(bench: &impl Bench) {
    bench.worker(LONG).complete(1, b'a').await;
    let worker = bench.worker(LONG);
    assert_done(&worker.claim(1, b'b').await);
    // The same worker asks: what it gave back, others may see a moment later.
    assert_eq!(worker.renew(1, b'b').await, RenewOutcome::NotHeld);
    assert!(worker.forget(1).await);
    assert_eq!(worker.inspect(1).await, State::Absent);
}

pub async fn completed_again_is_already_done(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.claim(1, b'a').await;
    assert_eq!(worker.complete(1, b'a').await, CompletionOutcome::Recorded);
    assert_eq!(worker.complete(1, b'a').await, CompletionOutcome::AlreadyDone, "one's own copy");
    assert_eq!(worker.complete(1, b'b').await, CompletionOutcome::AlreadyDone, "another's");
}

/// The effect did happen, whoever holds the lease by now; the second to finish learns that it was an overrun.
pub async fn a_stale_holder_still_writes_done(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    bench.worker(SHORT_LEASE).die_holding(1, b'a').await;
    worker.take_over(1, b'b').await;
    assert_eq!(worker.complete(1, b'a').await, CompletionOutcome::Recorded);
    assert_eq!(worker.renew(1, b'b').await, RenewOutcome::NotHeld, "whoever took over learns that it is late");
    assert_done(&worker.claim(1, b'c').await);
    assert_eq!(worker.complete(1, b'b').await, CompletionOutcome::AlreadyDone);
}

pub async fn done_needs_no_lease(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    assert_eq!(worker.complete(1, b'a').await, CompletionOutcome::Recorded);
    assert_done(&worker.claim(1, b'b').await);
    worker.claim(2, b'a').await;
    worker.release(2, b'a', 3).await;
    assert_eq!(worker.complete(2, b'a').await, CompletionOutcome::Recorded, "idle");
    assert_done(&worker.claim(2, b'b').await);
}

pub async fn completion_after_release_is_done(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.claim(1, b'a').await;
    worker.release(1, b'a', 0).await;
    worker.claim(1, b'b').await;
    assert_eq!(worker.complete(1, b'a').await, CompletionOutcome::Recorded);
    assert_done(&worker.claim(1, b'c').await);
    assert_eq!(worker.complete(1, b'b').await, CompletionOutcome::AlreadyDone);
}

pub async fn completion_deletes_the_lease(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.claim(1, b'a').await;
    worker.complete(1, b'a').await;
    assert!(worker.forget(1).await);
    assert_eq!(worker.claim(1, b'b').await, claimed(0));
    // What the completion sent after its answer must not reach this later claim.
    assert_eq!(worker.renew(1, b'b').await, RenewOutcome::Renewed);
}

/// A duplicate, or a second completion, never extends the window.
pub async fn the_window_counts_from_the_first_completion(bench: &impl Bench) {
    let worker = bench.worker(LeaseTerms { window: 2 * SOON, ..LONG });
    let patient = bench.worker(LONG);
    worker.complete(1, b'a').await;
    let State::Done { remaining: first, .. } = worker.inspect(1).await else { return };
    assert!(first <= 2 * SOON);
    // What follows may come too late on a slow machine; it is right then too, or found absent.
    tokio::time::sleep(SOON / 4).await;
    patient.claim(1, b'b').await;
    if patient.complete(1, b'b').await == CompletionOutcome::AlreadyDone
        && let State::Done { remaining, .. } = worker.inspect(1).await
    {
        assert!(remaining < first, "extended: {remaining:?}");
    }
}

pub async fn done_ends_with_the_window(bench: &impl Bench) {
    let worker = bench.worker(LeaseTerms { window: SOON, ..LONG });
    assert_eq!(worker.complete(1, b'a').await, CompletionOutcome::Recorded);
    worker.until(1, State::Absent).await;
    assert_eq!(worker.claim(1, b'b').await, claimed(0));
    assert_eq!(worker.complete(1, b'b').await, CompletionOutcome::Recorded);
}

pub async fn forgotten_is_claimable(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.complete(1, b'a').await;
    assert_done(&worker.claim(1, b'b').await);
    assert!(worker.forget(1).await);
    assert!(!worker.forget(1).await, "not remembered any more");
    assert_eq!(worker.claim(1, b'b').await, claimed(0));
}

pub async fn forgetting_leaves_the_lease(bench: &impl Bench) {
    let worker = bench.worker(LONG);
    worker.claim(1, b'a').await;
    assert!(!worker.forget(1).await);
    assert_in_flight(&worker.inspect(1).await, 0);
}
