//! What an exact store keeps of a message: the first one's coordinates, and whether another payload came under its ID.
//! Any other store is the same with and without details.

use std::time::SystemTime;

use hapax::id::{Identity, MessageId, Scope};
use hapax::store::{DoneRecord, MessageDetails, PayloadHash};

use super::*;

fn identity(n: u32) -> Identity {
    Identity::new(Scope::Topic("orders".into()), MessageId::new(n.to_be_bytes().to_vec()).unwrap())
}

fn details(n: u32, payload: &str) -> MessageDetails {
    let payload_hash = PayloadHash::of(Some(payload.as_bytes()));
    MessageDetails { identity: Some(identity(n)), payload_hash: Some(payload_hash) }
}

fn second_origin() -> Origin {
    Origin { offset: 43, ..origin() }
}

fn claim_of(n: u32, name: u8, message: MessageDetails) -> Claim {
    Claim { origin: second_origin(), message: Some(Arc::new(message)), ..claim(n, name) }
}

fn completion_of(n: u32, name: u8, message: MessageDetails) -> Completion {
    Completion { message: Some(Arc::new(message)), ..completion(n, name) }
}

/// A worker of a store that keeps details, and the ID 1 handled with the payload `x`.
async fn keeper(bench: &impl Bench) -> Option<Worker> {
    let worker = bench.worker(LONG);
    assert_eq!(
        only(worker.0.complete(vec![completion_of(1, b'a', details(1, "x"))]).await),
        CompletionOutcome::Recorded
    );
    worker.0.keeps_details().then_some(worker)
}

fn conflict() -> ClaimOutcome {
    ClaimOutcome::Conflict { first: origin() }
}

fn known() -> ClaimOutcome {
    ClaimOutcome::Done { cached: false, first: Some(origin()) }
}

impl Worker {
    async fn claim_of(&self, n: u32, name: u8, message: MessageDetails) -> ClaimOutcome {
        only(self.0.claim(vec![claim_of(n, name, message)]).await)
    }

    async fn record(&self, n: u32) -> Option<Arc<DoneRecord>> {
        match self.inspect(n).await {
            State::Done { record, .. } => record,
            other => panic!("{other:?} is not done"),
        }
    }
}

pub async fn who_keeps_no_details_takes_every_payload_for_the_same(bench: &impl Bench) {
    if keeper(bench).await.is_some() {
        return;
    }
    let worker = bench.worker(LONG);
    for payload in ["x", "y"] {
        match worker.claim_of(1, b'b', details(1, payload)).await {
            ClaimOutcome::Done { first: None, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(worker.record(1).await, None);
}

pub async fn the_first_one_is_told(bench: &impl Bench) {
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let Some(worker) = keeper(bench).await else { return };
    assert_eq!(worker.claim_of(1, b'b', details(1, "x")).await, known());
    assert_eq!(bench.worker(LONG).claim_of(1, b'c', details(1, "x")).await, known());
    let record = worker.record(1).await.expect("a record");
    assert_eq!((record.message_id.clone(), record.origin.clone()), (Some(identity(1)), origin()));
    assert_eq!(record.payload_hash, details(1, "x").payload_hash);
    let apart = i64::try_from(before.as_millis()).unwrap().abs_diff(record.completed_at);
    assert!(apart < 60_000, "milliseconds since the epoch: {}", record.completed_at);
}

pub async fn another_payload_is_a_conflict(bench: &impl Bench) {
    let Some(worker) = keeper(bench).await else { return };
    assert_eq!(worker.claim_of(1, b'b', details(1, "y")).await, conflict());
    assert_eq!(worker.claim_of(1, b'b', details(1, "")).await, conflict());
    let null = MessageDetails { payload_hash: Some(PayloadHash::NULL), ..details(1, "") };
    assert_eq!(worker.claim_of(1, b'b', null).await, conflict());
    let takes_over = Claim { takes_over: true, ..claim_of(1, b'b', details(1, "y")) };
    assert_eq!(only(worker.0.claim(vec![takes_over]).await), conflict());
    // Asking changed nothing, here and elsewhere.
    assert_eq!(worker.claim_of(1, b'c', details(1, "x")).await, known());
    assert_eq!(bench.worker(LONG).claim_of(1, b'd', details(1, "y")).await, conflict());
}

/// 128 bits make it next to impossible, and it would lose a message.
pub async fn another_id_of_the_same_fingerprint_is_a_conflict(bench: &impl Bench) {
    let Some(worker) = keeper(bench).await else { return };
    assert_eq!(worker.claim_of(1, b'b', details(2, "x")).await, conflict());
}

pub async fn what_is_not_told_contradicts_nothing(bench: &impl Bench) {
    let Some(worker) = keeper(bench).await else { return };
    assert_eq!(worker.claim(1, b'b').await, known());
    let unknown = MessageDetails { payload_hash: None, ..details(1, "") };
    assert_eq!(worker.claim_of(1, b'b', unknown).await, known());
    let unnamed = MessageDetails { identity: None, ..details(1, "x") };
    assert_eq!(worker.claim_of(1, b'b', unnamed).await, known());

    worker.complete(2, b'a').await;
    assert_eq!(worker.claim_of(2, b'b', details(2, "y")).await, known());
    let record = worker.record(2).await.expect("a record");
    assert_eq!((record.message_id.clone(), record.payload_hash), (None, None));
}

/// An overrun: two handlers had effects, and the first is the one that is kept.
pub async fn a_second_completion_leaves_the_first_record(bench: &impl Bench) {
    let Some(worker) = keeper(bench).await else { return };
    let second = Completion { origin: second_origin(), ..completion_of(1, b'b', details(1, "y")) };
    assert_eq!(only(worker.0.complete(vec![second]).await), CompletionOutcome::AlreadyDone);
    assert_eq!(worker.claim_of(1, b'c', details(1, "y")).await, conflict());
    assert_eq!(worker.record(1).await.expect("a record").origin, origin());
}

pub async fn a_conflict_holds_no_lease_and_ends_with_the_done_id(bench: &impl Bench) {
    let Some(worker) = keeper(bench).await else { return };
    assert_eq!(worker.claim_of(1, b'b', details(1, "y")).await, conflict());
    assert_eq!(worker.renew(1, b'b').await, RenewOutcome::NotHeld);
    assert!(worker.forget(1).await);
    assert_eq!(worker.inspect(1).await, State::Absent);
    assert_eq!(worker.claim_of(1, b'b', details(1, "y")).await, claimed(0));
    assert_eq!(worker.complete(1, b'b').await, CompletionOutcome::Recorded);
}

pub async fn conflicts_keep_their_place_in_a_batch(bench: &impl Bench) {
    let Some(worker) = keeper(bench).await else { return };
    let claims = vec![
        claim_of(2, b'b', details(2, "x")),
        claim_of(1, b'b', details(1, "y")),
        claim_of(1, b'b', details(1, "x")),
        claim_of(3, b'b', details(3, "x")),
    ];
    assert_eq!(all(worker.0.claim(claims).await), [claimed(0), conflict(), known(), claimed(0)]);
}
