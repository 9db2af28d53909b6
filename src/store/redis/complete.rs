//! Completions.

use std::sync::Arc;

use redis::{Pipeline, Value};

use super::claim::millis;
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
    let mut pipeline = Pipeline::with_capacity(completions.len());
    for completion in &completions {
        let done = inner.layout.done(&completion.lease.fingerprint);
        pipeline.cmd("SET").arg(done).arg(value::done(&completion.origin)).arg("NX").arg("PX").arg(window);
    }
    let replies = match inner.link.ask(&pipeline).await {
        Ok(replies) => replies,
        Err(error) => return vec![Err(error); completions.len()],
    };
    let full: Vec<usize> = (0..replies.len()).filter(|i| is_full(&replies[*i])).collect();
    let mut answers: Answers<CompletionOutcome> = replies.into_iter().map(|reply| inner.read_set(reply)).collect();

    // A full Redis refuses plain writes. Finished work is recorded all the same: it takes less room than its lease.
    if !full.is_empty() {
        let call = |i: &usize| Call {
            keys: vec![inner.layout.done(&completions[*i].lease.fingerprint)],
            args: vec![value::done(&completions[*i].origin), window.to_string().into_bytes()],
        };
        let calls: Vec<Call> = full.iter().map(call).collect();
        let recorded = match scripts::run(&inner.link, &scripts::COMPLETE, &calls).await {
            Ok(replies) => replies.into_iter().map(|reply| inner.read_set(reply)).collect(),
            // Not "full" any more: the script may have been executed.
            Err(error) => vec![Err(error); full.len()],
        };
        for (i, answer) in full.into_iter().zip(recorded) {
            answers[i] = answer;
        }
    }

    let mut delete = redis::cmd("DEL");
    for (completion, _) in completions.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()) {
        delete.arg(inner.layout.lease(&completion.lease.fingerprint));
    }
    if delete.args_iter().len() > 1 {
        // The answers do not wait for it. It is queued before they are given, so that it cannot overtake a later claim
        // of this process, and a lease that it does not reach ends by itself.
        inner.link.tell(delete).await;
    }
    answers
}

impl Inner {
    /// What `SET NX` answers, as a command or from a script.
    fn read_set(&self, reply: Value) -> Result<CompletionOutcome, StoreError> {
        faults::read(self.link.address(), "SET", reply, |reply| match reply {
            Value::Okay => Some(CompletionOutcome::Recorded),
            Value::Nil => Some(CompletionOutcome::AlreadyDone),
            _ => None,
        })
    }
}

fn is_full(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.code() == "OOM")
}
