//! Completions.
//!
//! The leases are deleted only **after** the done ID was answered. Sent together, a Redis that is full refuses the one
//! and executes the other (seen on 7.0.15; the same with `-ASK` while a slot moves): then the ID is neither done nor in
//! flight, and the next claim repeats the effect.
//!
//! They are deleted whoever holds them, by one plain command. A lease beside a done ID decides nothing any more: every
//! claim finds the ID done, and a holder that took it over learns from its next renewal that it is late.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::batch::{Batch, Reply};
use super::claim::millis;
use super::done::{Found, Lookup};
use super::layout::Group;
use super::scripts::{self, Call, Script};
use super::slices::{Generation, Known, Shard, member};
use super::{DoneMode, Inner, faults, value};
use crate::id::Fingerprint;
use crate::store::{Answers, Completion, CompletionOutcome, StoreError};

pub(super) async fn complete(inner: Arc<Inner>, completions: Vec<Completion>) -> Answers<CompletionOutcome> {
    let known = match inner.known().await {
        Ok(known) => known,
        Err(error) => return vec![Err(faults::not_sent(error)); completions.len()],
    };
    let begun = Instant::now();
    let mut answers = match inner.mode {
        DoneMode::Compact => inner.remember_in_sets(&known, &completions).await,
        DoneMode::Exact => inner.remember_each(&known, &completions).await,
    };
    inner.note_losses(begun, &completions, &mut answers);
    let recorded = completions.iter().zip(&answers).filter(|(_, answer)| answer.is_ok());
    inner.delete_later(recorded.map(|(completion, _)| completion.lease.fingerprint));
    answers
}

impl Inner {
    /// Says of what was recorded whether data was lost since its claim, or may have been: its lease with it, so that
    /// another attempt may have been let in.
    fn note_losses(&self, begun: Instant, completions: &[Completion], answers: &mut Answers<CompletionOutcome>) {
        let groups: Vec<Group> = completions.iter().map(|it| Group::of(&it.lease.fingerprint)).collect();
        // After the answers: by now the server that gave them is known.
        self.note_runs(groups.iter().copied());
        let lost_at = self.reader.lost_at();
        for ((completion, group), answer) in completions.iter().zip(groups).zip(answers) {
            // Held for longer than the clock of this process goes back is held since ever.
            let claimed_at = begun.checked_sub(completion.held_for);
            let lost = lost_at.is_some_and(|at| claimed_at.is_none_or(|claimed| at >= claimed));
            let restarted = || claimed_at.is_none_or(|claimed| self.runs.changed_since(&self.link, group, claimed));
            match answer {
                Ok(outcome @ CompletionOutcome::Recorded) if lost => *outcome = CompletionOutcome::RecordedAfterLoss,
                Ok(outcome @ CompletionOutcome::AlreadyDone) if lost || restarted() => {
                    *outcome = CompletionOutcome::AlreadyDoneAfterLoss;
                }
                _ => {}
            }
        }
    }

    /// Adds each ID to its set, by a plain command where the set has its expiry.
    ///
    /// What was done elsewhere since the claim can lie in another set, where a slice ended or grew meanwhile: those are
    /// asked, too, or the second of two effects would be told as a first.
    async fn remember_in_sets(
        self: &Arc<Self>,
        known: &Known,
        completions: &[Completion],
    ) -> Answers<CompletionOutcome> {
        let Some(generation) = known.writable() else {
            let why = faults::of_misfit("a reading: the current slice is missing");
            return vec![Err(faults::not_sent(why)); completions.len()];
        };
        let (epoch, begun) = (self.expiries.epoch(), Instant::now());
        let sets: Vec<(Group, Shard)> = completions
            .iter()
            .map(|it| (Group::of(&it.lease.fingerprint), Shard::of(generation, &it.lease.fingerprint)))
            .collect();
        let mut given = self.expiries.given(&sets);
        // Nowhere else, almost always. What is asked for the longest held, is asked for all: a hit is one for any of
        // them, since its claim would have found what was done before.
        let longest = completions.iter().map(|it| it.held_for).max().unwrap_or_default();
        let since_claim = Lookup::Sets(known.written_in(millis(longest)));
        let gone_at = known.gone_at(generation);
        let call = |i: usize| {
            let ((group, shard), member) = (&sets[i], member(&completions[i].lease.fingerprint));
            let args = vec![member.to_string().into_bytes(), gone_at.to_string().into_bytes()];
            Call { group: *group, keys: vec![self.layout.set(*group, shard)], args }
        };

        let mut batch = Batch::with_capacity(completions.len() + 1, self.layout.roomy(2 * completions.len()));
        let deletions = self.take_deletions_along(&mut batch);
        for (i, completion) in completions.iter().enumerate() {
            let (group, fingerprint) = (sets[i].0, &completion.lease.fingerprint);
            self.look_up(&since_claim, fingerprint, &mut batch);
            match given[i] {
                true => batch.write(group, 3, |words| {
                    words.add(b"SADD");
                    self.layout.with_set(group, &sets[i].1, |length, write| words.add_by(length, write));
                    words.number(member(fingerprint));
                }),
                false => scripts::REMEMBER_COMPACT.push_hash(&mut batch, &call(i)),
            }
        }
        let mut replies = self.link.ask(batch).await.into_iter().skip(deletions);
        let mut written: Vec<(Result<Found, StoreError>, Reply)> = Vec::with_capacity(completions.len());
        for _ in completions {
            let found = since_claim.read(&mut replies);
            written.push((found, replies.next().unwrap_or_else(|| Err(faults::of_misfit("SADD").into()))));
        }

        // A full Redis refuses plain writes. Finished work is recorded all the same: it takes less room than its lease.
        let refused = |(_, reply): &(_, Reply)| match reply {
            Err(fault) => fault.unknown_script || matches!(fault.error, StoreError::Full(_)),
            Ok(_) => false,
        };
        let again: Vec<usize> = (0..written.len()).filter(|i| refused(&written[*i])).collect();
        let replies = self.run_some(&scripts::REMEMBER_COMPACT, &again, call).await;
        let ids: Vec<Fingerprint> = again.iter().map(|i| completions[*i].lease.fingerprint).collect();
        let beside = self.look_beside(generation, longest + begun.elapsed(), &ids).await;
        for ((i, reply), found) in again.into_iter().zip(replies).zip(beside) {
            written[i].1 = reply;
            given[i] = false;
            if !matches!(written[i].0, Ok(Found::Done(_))) {
                written[i].0 = found;
            }
        }

        // Where a Redis lost its data meanwhile, a plain command may have made a set without an expiry.
        if self.expiries.epoch() != epoch {
            let plain: Vec<usize> = (0..written.len()).filter(|i| given[*i] && written[*i].1.is_ok()).collect();
            drop(self.run_some(&scripts::REMEMBER_COMPACT, &plain, call).await);
        }
        let by_script = |i: &usize| written[*i].1.is_ok() && !given[*i];
        self.expiries.give(epoch, (0..written.len()).filter(by_script).map(|i| sets[i]));

        let mut answers = Vec::with_capacity(written.len());
        for (i, (found, reply)) in written.into_iter().enumerate() {
            let added = faults::read("SADD", reply, |reply| match reply {
                Value::Int(added) => Some(*added == 1),
                _ => None,
            });
            answers.push(match (added, found) {
                (Ok(true), Ok(Found::Nothing)) => Ok(CompletionOutcome::Recorded),
                (Ok(_), Ok(_)) => Ok(CompletionOutcome::AlreadyDone),
                // It is recorded, and whether it was before has to be asked once more.
                (Ok(_), Err(error)) => Err(faults::perhaps_sent(error)),
                (Err(error), _) => {
                    // It may be executed late, when the set has expired: the next write there sees to that.
                    self.expiries.doubt(sets[i].0, sets[i].1);
                    Err(error)
                }
            });
        }
        answers
    }

    /// Looks once more where others may have written, after a write that came later than the look before it.
    ///
    /// Between the two somebody else may have completed, in another set: a first look that found nothing would hide that
    /// this effect is the second. After the write, one of two sees the other, whatever the order.
    async fn look_beside(
        self: &Arc<Self>,
        written: Generation,
        held_for: Duration,
        ids: &[Fingerprint],
    ) -> Answers<Found> {
        if ids.is_empty() {
            return Vec::new();
        }
        // Read again where the reading is too old: the set of the other may be one that was not known yet.
        let known = match self.known().await {
            Ok(known) => known,
            Err(error) => return ids.iter().map(|_| Err(error.clone())).collect(),
        };
        let lookup = Lookup::Sets(known.written_beside(millis(held_for), Some(written)));
        let mut batch = Batch::default();
        for id in ids {
            self.look_up(&lookup, id, &mut batch);
        }
        let mut replies = self.link.ask(batch).await.into_iter();
        ids.iter().map(|_| lookup.read(&mut replies)).collect()
    }

    /// Writes each done ID with `SET NX`, so that the window counts from the first completion.
    async fn remember_each(self: &Arc<Self>, known: &Known, completions: &[Completion]) -> Answers<CompletionOutcome> {
        let (window, now) = (millis(self.terms.window), known.now());
        let value = |it: &Completion| value::done(&it.origin, now, it.message.as_deref());
        let mut batch = Batch::with_capacity(completions.len() + 1, self.layout.roomy(3 * completions.len()));
        let deletions = self.take_deletions_along(&mut batch);
        for completion in completions {
            let fingerprint = &completion.lease.fingerprint;
            batch.write(Group::of(fingerprint), 6, |words| {
                words.add(b"SET");
                words.add_by(self.layout.key_length(), |key| self.layout.write_done(key, fingerprint));
                words.add(&value(completion));
                words.add(b"NX");
                words.add(b"PX");
                words.number(window);
            });
        }
        let replies = self.link.ask(batch).await.into_iter().skip(deletions);
        let mut answers: Answers<CompletionOutcome> = replies.map(read_set).collect();
        let full: Vec<usize> = (0..answers.len()).filter(|i| matches!(answers[*i], Err(StoreError::Full(_)))).collect();
        let call = |i: usize| Call {
            group: Group::of(&completions[i].lease.fingerprint),
            keys: vec![self.layout.done(&completions[i].lease.fingerprint)],
            args: vec![value(&completions[i]), window.to_string().into_bytes()],
        };
        let replies = self.run_some(&scripts::REMEMBER_EXACT, &full, call).await;
        full.into_iter().zip(replies).for_each(|(i, reply)| answers[i] = read_set(reply));
        answers
    }

    /// Runs a script for some items.
    async fn run_some(&self, script: &Script, items: &[usize], call: impl Fn(usize) -> Call) -> Vec<Reply> {
        if items.is_empty() {
            return Vec::new();
        }
        let calls: Vec<Call> = items.iter().map(|i| call(*i)).collect();
        scripts::run(&self.link, script, &calls).await
    }
}

/// What `SET NX` answers, as a command or from a script.
fn read_set(reply: Reply) -> Result<CompletionOutcome, StoreError> {
    faults::read("SET", reply, |reply| match reply {
        Value::Okay => Some(CompletionOutcome::Recorded),
        Value::Nil => Some(CompletionOutcome::AlreadyDone),
        _ => None,
    })
}
