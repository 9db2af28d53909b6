//! Claims.
//!
//! The hot path is one pipeline of plain commands, in this order for each ID:
//!
//! 1. `SET lease value NX PX …`
//! 2. `SISMEMBER set member`, for each set in which the ID could lie (in the exact mode `GET done`)
//!
//! **The lease comes first.** Asking first would let this happen: B finds nothing done; A completes and deletes its
//! lease; B takes the lease and repeats the effect. With the lease first, B either meets A's lease or, where A has
//! deleted it, finds the done ID that A wrote before.
//!
//! Where most of what came lately was done before, as after a rebalance or a reset of offsets, the IDs are looked up
//! once more *in front of* that: what is found there is a duplicate and needs no lease, and what is not goes the usual
//! way. A duplicate then costs Redis a third; a fresh ID, a round trip more ([`Duplicates`](super::duplicates::Duplicates)).

use std::sync::Arc;
use std::time::Duration;

use redis::Value;

use super::batch::{Batch, Reply};
use super::done::{Found, Lookup};
use super::give_back::GiveBack;
use super::layout::Group;
use super::scripts::{self, Call};
use super::slices::member;
use super::{DoneMode, Inner, faults, value};
use crate::failpoint::{Planted, planted};
use crate::id::Fingerprint;
use crate::store::{Answers, Claim, ClaimOutcome, DoneRecord, StoreError};

/// How often what was claimed is looked up again, because the time or the plan went on while it was asked for.
const LOOK_AGAIN: usize = 4;

pub(super) async fn claim(inner: Arc<Inner>, claims: Vec<Claim>) -> Answers<ClaimOutcome> {
    let groups: Vec<Group> = claims.iter().map(|claim| Group::of(&claim.lease.fingerprint)).collect();
    let known = match inner.known().await {
        Ok(known) => known,
        Err(error) => {
            // What a server refuses explains it best.
            let refusals = inner.link.refusals(&[Group::NAMESPACE]).await;
            let error = refusals.into_iter().flatten().next().unwrap_or_else(|| faults::not_sent(error));
            return vec![Err(error); claims.len()];
        }
    };
    let lookup = Lookup::by(inner.mode, &known);
    inner.note_runs(groups.iter().copied());
    let refusals = inner.link.refusals(&groups).await;
    if refusals.iter().any(Option::is_some) {
        return claim_what_is_allowed(&inner, lookup, claims, refusals).await;
    }
    let answers = match inner.duplicates.are_most() {
        _ if planted(Planted::LookUpFirst) => return look_up_first(&inner, lookup, claims).await,
        true => claim_the_rest(&inner, &lookup, claims).await,
        false => claim_all(&inner, lookup, claims).await,
    };
    let done = answers.iter().filter(|answer| matches!(answer, Ok(ClaimOutcome::Done { .. }))).count();
    inner.duplicates.note(done, answers.len());
    // Once more: there may have been no connection before.
    inner.note_runs(groups.iter().copied());
    answers
}

/// The planted bug: a lease is taken after the look-up, and nothing is looked up any more.
async fn look_up_first(inner: &Arc<Inner>, lookup: Lookup, claims: Vec<Claim>) -> Answers<ClaimOutcome> {
    let found = inner.find(&lookup, claims.iter().map(|claim| &claim.lease.fingerprint)).await;
    // A round trip as long as one over a busy network.
    tokio::time::sleep(Duration::from_millis(30)).await;
    let mut batch = Batch::default();
    for Claim { lease, origin, .. } in &claims {
        let mut set = redis::cmd("SET");
        set.arg(inner.layout.lease(&lease.fingerprint)).arg(value::lease(&lease.token, inner.grace_ms(), origin));
        batch.push(Group::of(&lease.fingerprint), set.arg("NX").arg("PX").arg(inner.holds_ms()));
    }
    let taken = inner.link.ask(batch).await;
    let calls: Vec<Call> =
        claims.iter().map(|claim| inner.rare_claim(&lookup, claim, inner.holds_ms(), inner.grace_ms())).collect();
    let mut rare = scripts::run(&inner.link, inner.claim_script(), &calls).await.into_iter();
    let mut answers = Vec::with_capacity(claims.len());
    for ((claim, found), taken) in claims.iter().zip(found).zip(taken) {
        let rare = rare.next().unwrap_or_else(|| Err(faults::of_misfit("a claim").into()));
        answers.push(match (found, taken) {
            (Ok(Found::Done(first)), _) => Ok(done(first.as_deref(), claim)),
            (Ok(_), Ok(Value::Okay)) => Ok(ClaimOutcome::Claimed { attempts: 0, suspect: false }),
            (Ok(_), Ok(_)) => inner.read_claim(claim, rare),
            (Ok(_), Err(fault)) => Err(fault.error),
            (Err(error), _) => Err(error),
        });
    }
    answers
}

/// Claims where the server does all that a claim and its completion need. Elsewhere an effect could not be recorded, so
/// nothing is claimed: what is done is still answered so.
async fn claim_what_is_allowed(
    inner: &Arc<Inner>,
    lookup: Lookup,
    claims: Vec<Claim>,
    refusals: Vec<Option<StoreError>>,
) -> Answers<ClaimOutcome> {
    let (refused, allowed): (Vec<_>, Vec<_>) = claims.iter().zip(&refusals).partition(|(_, refusal)| refusal.is_some());
    let found = inner.find(&lookup, refused.iter().map(|(claim, _)| &claim.lease.fingerprint)).await;
    let mut found = found.into_iter();
    let allowed = allowed.into_iter().map(|(claim, _)| claim.clone()).collect::<Vec<_>>();
    let mut claimed = match allowed.is_empty() {
        true => Vec::new(),
        false => claim_all(inner, lookup, allowed).await,
    }
    .into_iter();
    let answer = |(claim, refusal): (&Claim, Option<StoreError>)| match refusal {
        None => claimed.next().unwrap_or_else(|| Err(faults::of_misfit("a claim"))),
        Some(refusal) => match found.next() {
            Some(Ok(Found::Done(first))) => Ok(done(first.as_deref(), claim)),
            _ => Err(refusal),
        },
    };
    claims.iter().zip(refusals).map(answer).collect()
}

/// Looks all of them up, and claims what is not done.
async fn claim_the_rest(inner: &Arc<Inner>, lookup: &Lookup, claims: Vec<Claim>) -> Answers<ClaimOutcome> {
    let found = inner.find(lookup, claims.iter().map(|claim| &claim.lease.fingerprint)).await;
    let mut answers = Vec::with_capacity(claims.len());
    let mut rest = Vec::new();
    for (claim, found) in claims.into_iter().zip(found) {
        answers.push(match found {
            Ok(Found::Done(first)) => Some(Ok(done(first.as_deref(), &claim))),
            // What went wrong here goes wrong again there, and is told then.
            Ok(_) | Err(_) => {
                rest.push(claim);
                None
            }
        });
    }
    if rest.is_empty() {
        return answers.into_iter().flatten().collect();
    }
    let known = match inner.known().await {
        Ok(known) => known,
        Err(error) => {
            let error = faults::not_sent(error);
            return answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(error.clone()))).collect();
        }
    };
    let mut claimed = claim_all(inner, Lookup::by(inner.mode, &known), rest).await.into_iter();
    let misfit = || Err(faults::of_misfit("a claim"));
    answers.into_iter().map(|answer| answer.unwrap_or_else(|| claimed.next().unwrap_or_else(misfit))).collect()
}

/// Takes the lease of each, then looks it up.
async fn claim_all(inner: &Arc<Inner>, lookup: Lookup, claims: Vec<Claim>) -> Answers<ClaimOutcome> {
    let (holds, grace) = (inner.holds_ms(), inner.grace_ms());
    let commands = (1 + lookup.len()) * claims.len() + 1;
    let mut batch = Batch::with_capacity(commands, inner.layout.roomy(commands + claims.len()));
    let deletions = inner.take_deletions_along(&mut batch);
    for Claim { lease, origin, .. } in &claims {
        batch.write(Group::of(&lease.fingerprint), 6, |words| {
            words.add(b"SET");
            words.add_by(inner.layout.key_length(), |key| inner.layout.write_lease(key, &lease.fingerprint));
            words.add_by(value::lease_length(origin), |fresh| value::write_lease(fresh, &lease.token, grace, origin));
            words.add(b"NX");
            words.add(b"PX");
            words.number(holds);
        });
        inner.look_up(&lookup, &lease.fingerprint, &mut batch);
    }
    let mut replies = inner.link.ask(batch).await.into_iter().skip(deletions);

    let mut answers = Vec::with_capacity(claims.len());
    let mut give_back = GiveBack::default();
    let mut rare = Vec::new();
    for claim in &claims {
        let lease = replies.next().unwrap_or_else(|| Err(faults::of_misfit("a claim").into()));
        let found = lookup.read(&mut replies);
        let taken = matches!(lease, Ok(Value::Okay));
        let answer = match (lease, found) {
            (_, Ok(Found::Done(first))) => Ok(done(first.as_deref(), claim)),
            (_, Ok(Found::Unreadable)) => Ok(inner.unreadable(None)),
            (Err(fault), Ok(Found::Nothing)) => Err(fault.error),
            (_, Err(error)) => Err(error),
            (Ok(Value::Okay), Ok(Found::Nothing)) => Ok(ClaimOutcome::Claimed { attempts: 0, suspect: false }),
            (Ok(Value::Nil), Ok(Found::Nothing)) => {
                rare.push(answers.len());
                // The script's answer takes its place.
                Err(faults::of_misfit("a claim"))
            }
            (Ok(_), Ok(Found::Nothing)) => Err(faults::of_misfit("SET")),
        };
        if taken && !matches!(answer, Ok(ClaimOutcome::Claimed { .. })) {
            give_back.add(inner, claim);
        }
        answers.push(answer);
    }
    if !rare.is_empty() {
        let calls: Vec<Call> = rare.iter().map(|i| inner.rare_claim(&lookup, &claims[*i], holds, grace)).collect();
        let replies = scripts::run(&inner.link, inner.claim_script(), &calls).await;
        for (i, reply) in rare.into_iter().zip(replies) {
            answers[i] = inner.read_claim(&claims[i], reply);
        }
    }
    verify(inner, lookup, &claims, &mut answers, &mut give_back).await;
    give_back.send(inner).await;
    answers
}

/// Makes sure of what was claimed: a look-up counts only if it asked wherever the ID could lie *by the time its answer
/// is relied on*. Otherwise, a boundary of slices or a new generation came between, it is looked up again: the lease is
/// held, so later is as good.
async fn verify(
    inner: &Arc<Inner>,
    mut lookup: Lookup,
    claims: &[Claim],
    answers: &mut Answers<ClaimOutcome>,
    give_back: &mut GiveBack,
) {
    let claimed = |answer: &Result<ClaimOutcome, StoreError>| {
        matches!(answer, Ok(ClaimOutcome::Claimed { .. } | ClaimOutcome::GivenUp { .. }))
    };
    let mut unsure: Vec<usize> = (0..answers.len()).filter(|i| claimed(&answers[*i])).collect();
    let mut failed = None;
    for _ in 0..LOOK_AGAIN {
        if unsure.is_empty() {
            return;
        }
        let known = match inner.known().await {
            Ok(known) if lookup.covers(&known) => return,
            Ok(known) => known,
            Err(error) => {
                failed = Some(error);
                break;
            }
        };
        lookup = Lookup::by(inner.mode, &known);
        let found = inner.find(&lookup, unsure.iter().map(|i| &claims[*i].lease.fingerprint)).await;
        for (i, found) in unsure.iter().zip(found) {
            match found {
                Ok(Found::Nothing) => {}
                Ok(Found::Done(first)) => {
                    answers[*i] = Ok(done(first.as_deref(), &claims[*i]));
                    give_back.add(inner, &claims[*i]);
                }
                Ok(Found::Unreadable) => answers[*i] = Ok(inner.unreadable(None)),
                Err(error) => answers[*i] = Err(faults::perhaps_sent(error)),
            }
        }
        unsure.retain(|i| claimed(&answers[*i]));
    }
    let why = failed.unwrap_or_else(|| faults::of_misfit("claims: the plan changed again and again"));
    let why = faults::perhaps_sent(why);
    unsure.into_iter().for_each(|i| answers[i] = Err(why.clone()));
}

impl Inner {
    fn claim_script(&self) -> &'static scripts::Script {
        match self.mode {
            DoneMode::Compact => &scripts::CLAIM_COMPACT,
            DoneMode::Exact => &scripts::CLAIM_EXACT,
        }
    }

    fn rare_claim(&self, lookup: &Lookup, claim: &Claim, holds: u64, grace: u64) -> Call {
        let (fingerprint, token) = (&claim.lease.fingerprint, &claim.lease.token);
        let mut keys = self.done_keys(lookup, fingerprint);
        keys.insert(0, self.layout.lease(fingerprint));
        let args = vec![
            token.as_bytes().to_vec(),
            value::lease(token, grace, &claim.origin),
            holds.to_string().into_bytes(),
            vec![if claim.takes_over { b'1' } else { b'0' }],
            member(fingerprint).to_string().into_bytes(),
        ];
        Call { group: Group::of(fingerprint), keys, args }
    }

    fn read_claim(&self, claim: &Claim, reply: Reply) -> Result<ClaimOutcome, StoreError> {
        faults::read("the claim script", reply, |reply| {
            let Value::Array(parts) = reply else { return None };
            let number = |i: usize| match parts.get(i) {
                Some(Value::Int(number)) => Some(*number),
                _ => None,
            };
            let attempts = || u32::try_from(number(1)?).ok();
            Some(match number(0)? {
                0 => match parts.get(1) {
                    None => done(None, claim),
                    Some(Value::BulkString(first)) => match value::read_done(first) {
                        Some(first) => done(Some(&first), claim),
                        None => self.unreadable(None),
                    },
                    Some(_) => return None,
                },
                1 => ClaimOutcome::Claimed { attempts: attempts()?, suspect: number(2)? == 1 },
                2 => ClaimOutcome::InFlight { remaining: Duration::from_millis(u64::try_from(number(1)?).ok()?) },
                3 => ClaimOutcome::Suspect { attempts: attempts()? },
                4 => self.unreadable(number(1)),
                5 => {
                    let Value::BulkString(to) = parts.get(2)? else { return None };
                    match value::read_destination(to) {
                        Some(to) => ClaimOutcome::GivenUp { attempts: attempts()?, to },
                        // A note that cannot be read stands for one that a later version wrote. The lease ends by itself.
                        None => self.unreadable(None),
                    }
                }
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

    /// With what an ID's keys may stand in one command: with all others on one server, with its group's in a cluster.
    pub(super) fn together_with(&self, fingerprint: &Fingerprint) -> Group {
        if self.link.is_one() { Group::NAMESPACE } else { Group::of(fingerprint) }
    }

    /// The time to live of a lease, in milliseconds.
    pub(super) fn holds_ms(&self) -> u64 {
        millis(self.terms.lease + self.terms.grace)
    }

    pub(super) fn grace_ms(&self) -> u64 {
        millis(self.terms.grace)
    }
}

/// What a claim is told of a done ID: whether it is the same message, as far as that is known.
fn done(first: Option<&DoneRecord>, claim: &Claim) -> ClaimOutcome {
    match (first, &claim.message) {
        (Some(first), Some(message)) if first.contradicts(message) => {
            ClaimOutcome::Conflict { first: first.origin.clone() }
        }
        (first, _) => ClaimOutcome::Done { cached: false, first: first.map(|first| first.origin.clone()) },
    }
}

/// Milliseconds, rounded up: no term is shorter than was asked for.
pub(super) fn millis(term: Duration) -> u64 {
    u64::try_from(term.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
