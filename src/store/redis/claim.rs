//! Claims.
//!
//! The hot path is one pipeline of plain commands, in this order for each ID:
//!
//! 1. `SET lease value NX PX …`
//! 2. `GET done`
//!
//! **The lease comes first.** Asking first would let this happen: B finds nothing done; A completes and deletes its
//! lease; B takes the lease and repeats the effect. With the lease first, B either meets A's lease or, where A has
//! deleted it, finds the done ID that A wrote before.
//!
//! `GET` and not `EXISTS`: a done ID of another version is not a duplicate, and a foreign key in its place is an error,
//! not a message to drop.

use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, Value};

use super::scripts::{self, Call};
use super::{Inner, faults, value};
use crate::store::{Answers, Claim, ClaimOutcome, StoreError};

pub(super) async fn claim(inner: Arc<Inner>, claims: Vec<Claim>) -> Answers<ClaimOutcome> {
    let (holds, grace) = (inner.holds_ms(), inner.grace_ms());
    let mut pipeline = Pipeline::with_capacity(2 * claims.len());
    for claim in &claims {
        let fingerprint = &claim.lease.fingerprint;
        let fresh = value::lease(&claim.lease.token, grace, &claim.origin);
        pipeline.cmd("SET").arg(inner.layout.lease(fingerprint)).arg(fresh).arg("NX").arg("PX").arg(holds);
        pipeline.cmd("GET").arg(inner.layout.done(fingerprint));
    }
    let replies = match inner.link.ask(&pipeline).await {
        Ok(replies) => replies,
        Err(error) => return vec![Err(error); claims.len()],
    };

    let mut answers = Vec::with_capacity(claims.len());
    let mut give_back = Call::default();
    let mut rare = Vec::new();
    for (claim, replies) in claims.iter().zip(replies.chunks_exact(2)) {
        let [lease, done] = replies else { continue };
        let taken = matches!(lease, Value::Okay);
        let answer = match (lease, done) {
            (_, Value::BulkString(done)) if value::is_done(done) => {
                Some(Ok(ClaimOutcome::Done { cached: false, first: None }))
            }
            (_, Value::BulkString(_)) => Some(Ok(inner.unreadable(None))),
            (_, Value::ServerError(error)) => Some(Err(faults::of_reply(inner.link.address(), error).0)),
            (Value::Okay, Value::Nil) => Some(Ok(ClaimOutcome::Claimed { attempts: 0, suspect: false })),
            (Value::Nil, Value::Nil) => None,
            (Value::ServerError(error), _) => Some(Err(faults::of_reply(inner.link.address(), error).0)),
            _ => Some(Err(faults::of_misfit(inner.link.address(), "a claim"))),
        };
        if taken && !matches!(answer, Some(Ok(ClaimOutcome::Claimed { .. }))) {
            give_back.keys.push(inner.layout.lease(&claim.lease.fingerprint));
            give_back.args.push(claim.lease.token.as_bytes().to_vec());
        }
        if answer.is_none() {
            rare.push(answers.len());
        }
        // The placeholder stands until the script has answered.
        answers.push(answer.unwrap_or(Ok(ClaimOutcome::Done { cached: false, first: None })));
    }
    if !give_back.keys.is_empty() {
        // The answers need not wait: a lease beside a done ID holds nobody up, and ends by itself if this is lost.
        inner.link.tell(scripts::GIVE_BACK.as_text(&give_back)).await;
    }
    if !rare.is_empty() {
        let calls: Vec<Call> = rare.iter().map(|i| inner.rare_claim(&claims[*i], holds, grace)).collect();
        let results = match scripts::run(&inner.link, &scripts::CLAIM, &calls).await {
            Ok(replies) => replies.into_iter().map(|reply| inner.read_claim(reply)).collect(),
            Err(error) => vec![Err(error); rare.len()],
        };
        for (i, result) in rare.into_iter().zip(results) {
            answers[i] = result;
        }
    }
    answers
}

impl Inner {
    fn rare_claim(&self, claim: &Claim, holds: u64, grace: u64) -> Call {
        let token = &claim.lease.token;
        Call {
            keys: vec![self.layout.lease(&claim.lease.fingerprint), self.layout.done(&claim.lease.fingerprint)],
            args: vec![
                token.as_bytes().to_vec(),
                value::lease(token, grace, &claim.origin),
                holds.to_string().into_bytes(),
                vec![if claim.takes_over { b'1' } else { b'0' }],
            ],
        }
    }

    fn read_claim(&self, reply: Value) -> Result<ClaimOutcome, StoreError> {
        faults::read(self.link.address(), "the claim script", reply, |reply| {
            let Value::Array(parts) = reply else { return None };
            let number = |i: usize| match parts.get(i) {
                Some(Value::Int(number)) => Some(*number),
                _ => None,
            };
            let attempts = || u32::try_from(number(1)?).ok();
            Some(match number(0)? {
                0 => ClaimOutcome::Done { cached: false, first: None },
                1 => ClaimOutcome::Claimed { attempts: attempts()?, suspect: number(2)? == 1 },
                2 => ClaimOutcome::InFlight { remaining: Duration::from_millis(u64::try_from(number(1)?).ok()?) },
                3 => ClaimOutcome::Suspect { attempts: attempts()? },
                4 => self.unreadable(number(1)),
                _ => return None,
            })
        })
    }

    /// What another version wrote is in flight elsewhere: never absent, never a duplicate, never overwritten. Whoever
    /// wrote it knows when it ends; to ask again after a lease at the latest is early enough.
    fn unreadable(&self, left_ms: Option<i64>) -> ClaimOutcome {
        let left = left_ms.and_then(|ms| u64::try_from(ms).ok()).map_or(self.terms.lease, Duration::from_millis);
        ClaimOutcome::InFlight { remaining: left.min(self.terms.lease) }
    }

    /// The time to live of a lease, in milliseconds.
    pub(super) fn holds_ms(&self) -> u64 {
        millis(self.terms.lease + self.terms.grace)
    }

    pub(super) fn grace_ms(&self) -> u64 {
        millis(self.terms.grace)
    }
}

/// Milliseconds, rounded up: no term is shorter than was asked for.
pub(super) fn millis(term: Duration) -> u64 {
    u64::try_from(term.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
