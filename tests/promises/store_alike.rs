//! Redis answers whatever it is asked as the reference does.

use std::sync::Arc;
use std::time::Duration;

use hapax::store::{
    Answers, Claim, ClaimOutcome, Completion, Destination, DoneMode, DoneRecord, GiveUp, GivenBack, Lease, LeaseTerms,
    MemoryStore, Release, State, StoreError,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::conformance::{Bench, LONG, Worker, claim, completion, id, token, until};
use crate::store_conformance::Redis;

/// The stores' answers to the same question, without the times in them, which pass while one is asked after the other.
fn alike<T: std::fmt::Debug + PartialEq>(what: &str, timeless: impl Fn(T) -> T, answers: [Answers<T>; 2]) -> Vec<T> {
    let [memory, redis] = answers.map(|answers| {
        let answers: Result<Vec<T>, StoreError> = answers.into_iter().map(|answer| answer.map(&timeless)).collect();
        answers.unwrap_or_else(|error| panic!("{what}: {error:?}"))
    });
    assert_eq!(memory, redis, "{what}");
    redis
}

fn timeless_outcome(outcome: ClaimOutcome) -> ClaimOutcome {
    match outcome {
        ClaimOutcome::InFlight { .. } => ClaimOutcome::InFlight { remaining: Duration::ZERO },
        outcome => outcome,
    }
}

fn timeless_state(state: State) -> State {
    match state {
        State::InFlight { attempts, .. } => State::InFlight { attempts, remaining: Duration::ZERO },
        State::Done { record, .. } => {
            let record = record.map(|record| Arc::new(DoneRecord { completed_at: 0, ..DoneRecord::clone(&record) }));
            State::Done { remaining: Duration::ZERO, record }
        }
        state => state,
    }
}

/// Thousands of questions in batches, about few IDs under few tokens, so that they meet; some leases run out on the
/// way. After each batch the states are compared too.
#[tokio::test]
async fn redis_answers_as_memory_does() {
    tokio::join!(answers_as_memory_does(DoneMode::Compact), answers_as_memory_does(DoneMode::Exact));
}

async fn answers_as_memory_does(mode: DoneMode) {
    let reference = match mode {
        DoneMode::Exact => MemoryStore::exact(LONG),
        _ => MemoryStore::new(LONG),
    };
    let seed: u64 = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    let (memory, redis) = (reference, Redis::new(mode));
    let dying = LeaseTerms { lease: Duration::from_millis(1), ..LONG };
    let both = |terms| [Worker(Arc::new(memory.with_terms(terms))), redis.worker(terms)];
    let (long, short) = (both(LONG), both(dying));

    for round in 0..400 {
        let mut lease =
            || Lease { fingerprint: id(rng.random_range(0..6)), token: token(rng.random_range(b'a'..b'e')) };
        let leases: Vec<Lease> = (0..4).map(|_| lease()).collect();
        let what = format!("seed {seed}, round {round}");
        match rng.random_range(0..12) {
            0..4 => {
                let takes_over = rng.random_bool(0.5);
                let claims: Vec<Claim> =
                    leases.into_iter().map(|lease| Claim { lease, takes_over, ..claim(0, 0) }).collect();
                let answers = [long[0].0.claim(claims.clone()).await, long[1].0.claim(claims).await];
                alike(&what, timeless_outcome, answers);
            }
            4..6 => {
                // One lease that runs out before the next round.
                let claim = Claim { lease: leases[0], takes_over: true, ..claim(0, 0) };
                let answers = [short[0].0.claim(vec![claim.clone()]).await, short[1].0.claim(vec![claim]).await];
                // What this connection sent without waiting for it has been executed when it answers once more.
                short[1].0.inspect(vec![leases[0].fingerprint]).await;
                let answers = alike(&what, timeless_outcome, answers);
                if matches!(answers[..], [ClaimOutcome::Claimed { .. } | ClaimOutcome::GivenUp { .. }]) {
                    for worker in &short {
                        let fingerprint = leases[0].fingerprint;
                        until(async || {
                            let state = worker.0.inspect(vec![fingerprint]).await;
                            matches!(state[..], [Ok(State::Expired { .. } | State::GivenUp { .. })])
                        })
                        .await;
                    }
                }
            }
            6 => {
                let give_up = |lease| {
                    let to = match rng.random_range(0..4) {
                        step @ 0..2 => Destination::Retry { step },
                        _ => Destination::DeadLetter { reason: "no".into() },
                    };
                    GiveUp { lease, attempts: rng.random_range(0..4), to }
                };
                let notes: Vec<GiveUp> = leases.into_iter().take(2).map(give_up).collect();
                let answers = [long[0].0.give_up(notes.clone()).await, long[1].0.give_up(notes).await];
                alike(&what, |outcome| outcome, answers);
            }
            7 => {
                let given_back = match rng.random_range(0..8) {
                    attempts @ 0..3 => GivenBack::Failed { attempts },
                    attempts @ 3..5 => GivenBack::GivenUp { attempts },
                    step @ 5..7 => GivenBack::Retried { attempts: 1, step: step - 5 },
                    _ => GivenBack::Unstarted,
                };
                let releases: Vec<Release> = leases.into_iter().map(|lease| Release { lease, given_back }).collect();
                let answers = [long[0].0.release(releases.clone()).await, long[1].0.release(releases).await];
                alike(&what, |outcome| outcome, answers);
            }
            8..10 => {
                let answers = [long[0].0.renew(leases.clone()).await, long[1].0.renew(leases).await];
                alike(&what, |outcome| outcome, answers);
            }
            10 => {
                let completions: Vec<Completion> =
                    leases.into_iter().take(2).map(|lease| Completion { lease, ..completion(0, 0) }).collect();
                let answers = [long[0].0.complete(completions.clone()).await, long[1].0.complete(completions).await];
                alike(&what, |outcome| outcome, answers);
            }
            _ => {
                let ids: Vec<_> = leases.into_iter().map(|lease| lease.fingerprint).collect();
                let answers = [long[0].0.forget(ids.clone()).await, long[1].0.forget(ids).await];
                alike(&what, |forgotten| forgotten, answers);
            }
        }
        let ids: Vec<_> = (0..6).map(id).collect();
        let answers = [long[0].0.inspect(ids.clone()).await, long[1].0.inspect(ids).await];
        alike(&what, timeless_state, answers);
    }
}
