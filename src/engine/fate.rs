//! What follows when a record cannot simply be handled.
//!
//! ```text
//! failed ─▶ again, after a back-off
//!        ─▶ noted ─▶ a copy to the next retry topic ─▶ given back with its count ─▶ settled as retried
//!        ─▶ noted ─▶ a copy to the dead-letter topic ─▶ recorded as done ─▶ settled as dead-lettered
//!        ─▶ its partition stops
//! ```
//!
//! Only what is held is sent elsewhere: a record whose lease ran out meanwhile is claimed again first, and may turn out to
//! be handled.

use crate::observe::{FailureKind, Outcome, StopCause};

use super::share::TooMany;
use super::work::{Note, Stage};
use super::{Bug, Destination, Engine, HandlerFailure, LONGEST_AFTER, WorkId};

impl Engine {
    /// Decides what follows a failed attempt. **The one place where a retry is decided.**
    pub(super) fn failed(&mut self, id: WorkId, HandlerFailure { kind, after, answered }: HandlerFailure) {
        if self.planted(Bug::PastFailed) {
            return self.settle(id, Outcome::Handled);
        }
        let Some(work) = self.work_mut(id) else { return };
        work.answered = answered;
        let tries = match kind {
            FailureKind::Skip => {
                work.skipped = true;
                return self.complete(id);
            }
            FailureKind::Unavailable => {
                // Nothing is wrong with the record: the start does not count.
                work.counted = work.counted.saturating_sub(1);
                work.unavailable = work.unavailable.saturating_add(1);
                work.unavailable
            }
            FailureKind::Retryable | FailureKind::Panicked | FailureKind::TimedOut | FailureKind::Fatal => {
                work.unavailable = 0;
                work.counted
            }
        };
        let (counted, record) = (work.counted, work.record.clone());
        let (now, asked) = (self.now, after.unwrap_or_default().min(LONGEST_AFTER));
        if !self.may_move(id) {
            self.enter(id, Stage::BackingOff(self.now + asked));
            return self.leave(id);
        }
        match self.after(id, kind) {
            None => {
                // A handler that asks for a pause knows better than the back-off when it is over.
                let delay = self.config.backoff().draw(&mut self.rng, tries).max(asked);
                self.enter(id, Stage::BackingOff(self.now + delay));
                self.observer.on_retry(&record, counted, delay);
            }
            Some(Destination::DeadLetter { reason }) if !self.config.dead_letter => {
                if let Some(work) = self.work_mut(id) {
                    work.rests_until = now + asked;
                }
                self.enter(id, Stage::BackingOff(now));
                self.stop(id, StopCause::HandlerFailed, &reason);
            }
            // At once, but by the way that every record takes at its turn: its lease may have run out while it ran.
            destination => {
                if let Some(work) = self.work_mut(id) {
                    work.bound_for = destination;
                }
                self.enter(id, Stage::BackingOff(self.now));
            }
        }
    }

    /// Where a record goes after an attempt that failed in that way; `None`: nowhere, it is tried again.
    fn after(&self, id: WorkId, kind: FailureKind) -> Option<Destination> {
        let work = self.work(id)?;
        let (counted, limit, steps) = (work.counted, self.config.max_attempts, self.config.retry_steps);
        let given_up = |reason: String| Some(Destination::DeadLetter { reason: reason.into() });
        match kind {
            FailureKind::Unavailable | FailureKind::Skip => None,
            FailureKind::Fatal => given_up("its handler failed and says that trying again is no use".to_owned()),
            _ if counted >= limit => given_up(format!("its handler failed {counted} times")),
            _ if steps == 0 => None,
            _ if work.step < steps => Some(Destination::Retry { step: work.step }),
            _ => given_up(format!("its handler failed {counted} times, also after the last retry topic")),
        }
    }

    /// Where the head of a lane, which is held, goes instead of to its handler.
    pub(super) fn destination(&mut self, id: WorkId) -> Option<Destination> {
        let work = self.work(id)?;
        if work.bound_for.is_some() {
            return work.bound_for.clone();
        }
        if let Some(reason) = self.condemned(id) {
            return Some(Destination::DeadLetter { reason: reason.into() });
        }
        if self.config.expired_to_dead_letter && self.is_too_old(work) {
            self.tell_expired(id);
            return Some(Destination::DeadLetter { reason: "it is too old".into() });
        }
        None
    }

    /// Whether a suspect was taken over more often than a record may be started: then it is not started once more.
    fn condemned(&self, id: WorkId) -> Option<String> {
        let work = self.work(id)?;
        let attempts = work.hold.as_ref()?.attempts;
        (attempts > self.config.max_attempts && !work.granted).then(|| {
            format!("its handler was started {attempts} times and more, and each time its process ended or failed")
        })
    }

    /// Sends the head of a lane where it has to go, or stops its partition: where there is no dead-letter topic, and where
    /// so many records go there that it looks as if all of them would.
    pub(super) fn follow(&mut self, id: WorkId, destination: Destination) {
        let Some(work) = self.work(id) else { return };
        if let (Destination::DeadLetter { reason }, false) = (&destination, work.announced) {
            let (record, attempts, found) = (work.record.clone(), work.attempts(), work.note == Note::Found);
            if !self.config.dead_letter {
                // A failed attempt stopped its partition when it failed.
                return self.stop(id, StopCause::ProcessEnded, reason);
            }
            // What another owner admitted may lie in the topic already.
            let share = if found { 1.0 } else { self.config.dead_letter_share };
            if let Err(TooMany { letters, of }) = self.share.admit(share) {
                let reason = format!(
                    "{letters} of the last {of} records would be dead letters, and at most a share of {share} may be: it \
                     looks as if everything fails. This one: {reason}. Repair what fails; or set dead_letter_share higher, \
                     where 1 allows any number, and start again"
                );
                return self.stop(id, StopCause::TooManyDeadLetters, &reason);
            }
            self.observer.on_dead_letter(&record, attempts, reason);
            if let Some(work) = self.work_mut(id) {
                work.announced = true;
            }
        }
        self.deliver(id, destination);
    }
}
