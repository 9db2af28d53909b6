//! Handlers: started, ended, recorded, settled.

use std::time::Duration;

use crate::observe::{DuplicateBy, FailureKind, Outcome};
use crate::record::Origin;
use crate::store::{Completion, CompletionOutcome, StoreError, Verdict};

use super::claim::LONGEST_URGENT_DELAY;
use super::work::{Stage, Work};
use super::{Action, Engine, WorkId};

impl Engine {
    /// Starts the head of a lane, or lets it wait for its turn.
    pub(super) fn start_or_wait(&mut self, index: usize, id: WorkId) {
        if self.work(id).is_some_and(Work::lost_its_claim) {
            return self.begin_claim(id, true);
        }
        if self.needs_refresh(id) {
            return self.refresh(id);
        }
        if let Some(destination) = self.destination(id) {
            return self.follow(index, id, destination);
        }
        match self.may_start(id) {
            true => self.start(id),
            false => self.starve(index),
        }
    }

    /// Takes the head of a lane over from an owner that may have died of it, or lets it wait until its handler could
    /// start directly.
    ///
    /// A takeover counts as a start. Claimed while it waits, it would be counted for the crash of another: after
    /// enough crashes a whole process full of innocent suspects would be condemned together with the one to blame.
    pub(super) fn take_over_or_wait(&mut self, index: usize, id: WorkId) {
        match self.may_start(id) {
            true => self.begin_claim(id, true),
            false => self.starve(index),
        }
    }

    /// Lets the head of a lane wait for others to end.
    fn starve(&mut self, index: usize) {
        if let Some(part) = self.parts.get_mut(index)
            && !part.starved
        {
            part.starved = true;
            self.starved.push_back(index);
        }
    }

    /// Exposed is bounded, and a suspect that was taken over twice runs alone: poison then takes nobody with it.
    pub(super) fn may_start(&mut self, id: WorkId) -> bool {
        let alone = self.work(id).is_some_and(Work::runs_alone);
        match self.alone {
            Some(other) if other != id => return false,
            None if alone => self.alone = Some(id),
            _ => {}
        }
        // Not beside completions either: a neighbour whose handler has ended would be counted for the crash of this one.
        self.exposed < self.config.max_exposed && !(alone && self.exposed > 0)
    }

    /// The record does not run alone, or wait for that, any more: others may start.
    pub(super) fn let_others_start(&mut self, id: WorkId) {
        if self.alone == Some(id) {
            self.alone = None;
            self.wake_starved();
        }
    }

    fn start(&mut self, id: WorkId) {
        let now = self.now;
        let Some(work) = self.work_mut(id) else { return };
        // A claim that had to be made anew between two attempts may have found a greater count.
        // In each retry topic it has been through it failed, though the store may have forgotten the count.
        work.counted = work.hold.map_or(1, |hold| hold.first_count()).max(work.counted + 1).max(work.step + 1);
        work.started_at = now;
        work.cancelled = false;
        let attempt = work.counted + u32::from(work.hold.is_some_and(|hold| hold.suspect));
        let record = work.record.clone();
        self.enter(id, Stage::Running);
        self.out.push(Action::Start { work: id, record, attempt });
    }

    /// A handler ended.
    pub(super) fn handled(&mut self, id: WorkId, result: Result<(), FailureKind>) {
        let Some(work) = self.work(id) else { return };
        if work.stage != Stage::Running {
            return;
        }
        let (part, attempt, took, record) =
            (work.part, work.counted, self.now.saturating_sub(work.started_at), work.record.clone());
        self.let_others_start(id);
        match result {
            Ok(()) => {
                self.observer.on_handled(&record, attempt, took);
                self.complete(id);
            }
            Err(kind) => {
                self.observer.on_failure(&record, attempt, kind);
                self.failed(id, kind);
            }
        }
        self.dirty.push_back(part);
    }

    /// Records the ID as done, and settles the record after that; one without an ID settles at once.
    pub(super) fn complete(&mut self, id: WorkId) {
        let Some(work) = self.work(id) else { return };
        if work.fingerprint.is_some() {
            self.enter(id, Stage::Completing { again_at: None, sendings: 0, unsure: 0 });
            self.send_completion(id);
        } else {
            let outcome = work.outcome();
            self.settle(id, outcome);
        }
    }

    /// Sends the completion of an effect, for the first time or again: without limit, for the effect did happen.
    pub(super) fn send_completion(&mut self, id: WorkId) {
        let Some(work) = self.work(id) else { return };
        let Stage::Completing { sendings, unsure, .. } = work.stage else { return };
        let Some(lease) = work.hold.and_then(|hold| work.lease(hold.token)) else { return };
        let held_for = self.now.saturating_sub(work.claimed_at);
        let message = work.message.clone();
        let completion = Completion { lease, origin: work.record.origin(), held_for, message };
        self.enter(id, Stage::Completing { again_at: None, sendings: sendings + 1, unsure });
        self.out.push(Action::Complete { work: id, completion });
    }

    /// A completion was answered: only now may the record settle.
    pub(super) fn completed(&mut self, id: WorkId, result: Result<CompletionOutcome, StoreError>) {
        let Some(work) = self.work(id) else { return };
        let (Stage::Completing { again_at: None, sendings, unsure }, Some(hold)) = (&work.stage, work.hold) else {
            return;
        };
        let (sendings, unsure, record, fingerprint) = (*sendings, *unsure, work.record.clone(), work.fingerprint);
        match result {
            Ok(outcome) => {
                // Whoever tried before may be alive, and complete at any time: the one that a suspect was taken over
                // from, or that it had been taken over from before it failed and became idle.
                let alone_until = (hold.attempts == 0).then(|| hold.since + self.config.surely_held());
                let settles_as = self.work(id).map_or(Outcome::Handled, Work::outcome);
                if settles_as == Outcome::Handled {
                    self.observer.on_complete(&record, Verdict::of(outcome, unsure, self.now, alone_until));
                }
                if let Some(fingerprint) = fingerprint {
                    self.owner_done(fingerprint, id);
                }
                self.settle(id, settles_as);
            }
            Err(error) => {
                self.observer.on_store_error("complete", &error);
                let delay = self.delay(Duration::from_millis(20), LONGEST_URGENT_DELAY, sendings);
                let unsure = unsure.saturating_add(u32::from(error.may_have_executed()));
                self.enter(id, Stage::Completing { again_at: Some(self.now + delay), sendings, unsure });
            }
        }
    }

    pub(super) fn settle_duplicate(&mut self, id: WorkId, by: DuplicateBy, first: Option<&Origin>) {
        let Some(work) = self.work(id) else { return };
        let (record, fingerprint) = (work.record.clone(), work.fingerprint);
        self.observer.on_duplicate(&record, by, first);
        self.unparked(id);
        if let Some(fingerprint) = fingerprint {
            self.owner_done(fingerprint, id);
        }
        self.settle(id, Outcome::Duplicate);
    }

    /// The record needs nothing more: its offset no longer holds back the watermark.
    pub(super) fn settle(&mut self, id: WorkId, outcome: Outcome) {
        let Some(work) = self.remove(id) else { return };
        self.share.settled(outcome);
        self.observer.on_settle(&work.record, outcome, self.now.saturating_sub(work.arrived_at));
        let (offset, now) = (work.record.offset(), self.now);
        let every = self.config.commit_records;
        let Some(part) = self.parts.get_mut(work.part) else { return };
        if part.tracker.settle(offset) {
            part.settled += 1;
            part.settled_since.get_or_insert(now);
            if part.settled >= every && part.committing.is_none() {
                self.commit_part(work.part);
            }
        }
    }

    /// Lets everybody try who waits for others to end.
    pub(super) fn wake_starved(&mut self) {
        while let Some(index) = self.starved.pop_front() {
            if let Some(part) = self.parts.get_mut(index) {
                part.starved = false;
                self.dirty.push_back(index);
            }
        }
    }
}
