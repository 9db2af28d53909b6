//! Completions.

use std::collections::BTreeMap;
use std::sync::Arc;

use redis::{Cmd, Value};

use super::batch::{Batch, Reply};
use super::claim::millis;
use super::layout::Group;
use super::scripts::{self, Call};
use super::{Inner, faults, value};
use crate::store::{Answers, Completion, CompletionOutcome, StoreError};

/// Writes done IDs with `SET NX`, so that the window counts from the first completion, then deletes their leases.
///
/// The leases are deleted only **after** the `SET` was answered. Sent together, a Redis that is full refuses the `SET`
/// and executes the `DEL` (seen on 7.0.15; the same with `-ASK` while a slot moves): then the ID is neither done nor
/// in flight, and the next claim repeats the effect.
///
/// They are deleted whoever holds them, by one plain command. A lease beside a done ID decides nothing any more: every
/// claim finds the ID done, and a holder that took it over learns from its next renewal that it is late.
pub(super) async fn complete(inner: Arc<Inner>, completions: Vec<Completion>) -> Answers<CompletionOutcome> {
    let window = millis(inner.terms.window);
    let mut batch = Batch::with_capacity(completions.len());
    for Completion { lease, origin, .. } in &completions {
        let set = redis::cmd("SET").arg(inner.layout.done(&lease.fingerprint)).arg(value::done(origin)).take();
        batch.push(Group::of(&lease.fingerprint), set.clone().arg("NX").arg("PX").arg(window).take());
    }
    let mut answers: Answers<CompletionOutcome> = inner.link.ask(batch).await.into_iter().map(read_set).collect();
    let full: Vec<usize> = (0..answers.len()).filter(|i| matches!(answers[*i], Err(StoreError::Full(_)))).collect();

    // A full Redis refuses plain writes. Finished work is recorded all the same: it takes less room than its lease.
    if !full.is_empty() {
        let call = |i: &usize| Call {
            group: Group::of(&completions[*i].lease.fingerprint),
            keys: vec![inner.layout.done(&completions[*i].lease.fingerprint)],
            args: vec![value::done(&completions[*i].origin), window.to_string().into_bytes()],
        };
        let calls: Vec<Call> = full.iter().map(call).collect();
        let replies = scripts::run(&inner.link, &scripts::COMPLETE, &calls).await;
        for (i, reply) in full.into_iter().zip(replies) {
            answers[i] = read_set(reply);
        }
    }

    // One command for the leases of a group: they lie in one slot.
    let mut deleted: BTreeMap<Group, Cmd> = BTreeMap::new();
    for (completion, _) in completions.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()) {
        let fingerprint = &completion.lease.fingerprint;
        let delete = deleted.entry(Group::of(fingerprint)).or_insert_with(|| redis::cmd("DEL"));
        delete.arg(inner.layout.lease(fingerprint));
    }
    // The answers do not wait for it. It is queued before they are given, so that it cannot overtake a later claim of
    // this process, and a lease that it does not reach ends by itself.
    inner.link.tell(deleted.into_iter().collect()).await;
    answers
}

/// What `SET NX` answers, as a command or from a script.
fn read_set(reply: Reply) -> Result<CompletionOutcome, StoreError> {
    faults::read("SET", reply, |reply| match reply {
        Value::Okay => Some(CompletionOutcome::Recorded),
        Value::Nil => Some(CompletionOutcome::AlreadyDone),
        _ => None,
    })
}
