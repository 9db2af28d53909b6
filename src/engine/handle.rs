//! Handlers: started, ended, recorded, settled.

use std::time::Duration;

use crate::observe::{DuplicateBy, Outcome};
use crate::record::Origin;
use crate::store::{Completion, CompletionOutcome, StoreError, Verdict};

use super::claim::LONGEST_URGENT_DELAY;
use super::lane::LaneIndex;
use super::work::{Stage, Work};
use super::{Action, Bug, Engine, HandlerFailure, WorkId};

impl Engine {
    /// Starts the head of a lane, or lets it wait for its turn.
    pub(super) fn start_or_wait(&mut self, lane: LaneIndex, id: WorkId) {
        if self.work(id).is_some_and(Work::lost_its_claim) {
            return self.begin_claim(id);
        }
        if self.needs_refresh(id) {
            return self.refresh(id);
        }
        if let Some(destination) = self.destination(id) {
            return self.follow(id, destination);
        }
        if !self.may_start(id) {
            return self.starve(lane);
        }
        self.start(id);
        self.start_more(lane);
    }

    /// Takes the head of a lane over from an owner that may have died of it, or lets it wait until its handler could
    /// start directly.
    ///
    /// A takeover counts as a start. Claimed while it waits, it would be counted for the crash of another: after
    /// enough crashes a whole process full of innocent suspects would be condemned together with the one to blame.
    pub(super) fn take_over_or_wait(&mut self, lane: LaneIndex, id: WorkId) {
        match self.may_start(id) {
            true => self.begin_claim(id),
            false => self.starve(lane),
        }
    }

    /// A handler ended.
    pub(super) fn handled(&mut self, id: WorkId, result: Result<(), HandlerFailure>) {
        let Some(work) = self.work(id) else { return };
        if work.stage != Stage::Running {
            return;
        }
        let (lane, attempt, took, record) =
            (work.lane, work.counted, self.now.saturating_sub(work.started_at), work.record.clone());
        self.let_others_start(id);
        match result {
            Ok(()) => {
                self.observer.on_handled(&record, attempt, took);
                self.complete(id);
                if self.planted(Bug::ReleaseAfterComplete) {
                    self.release_anyhow(id);
                }
            }
            Err(failure) => {
                self.doubt(id, failure.kind);
                self.observer.on_failure(&record, attempt, failure.kind);
                self.failed(id, failure);
            }
        }
        self.stir(lane);
    }

    /// Records the ID as done, and settles the record after that; one without an ID settles at once.
    pub(super) fn complete(&mut self, id: WorkId) {
        let Some(work) = self.work(id) else { return };
        if work.fingerprint.is_some() {
            self.enter(id, Stage::Completing { again_at: None, sendings: 0, unsure: 0, refused: false });
            self.send_completion(id);
        } else {
            let outcome = work.outcome();
            self.settle(id, outcome);
        }
    }

    /// Sends the completion of an effect, for the first time or again: without limit, for the effect did happen.
    pub(super) fn send_completion(&mut self, id: WorkId) {
        let Some(work) = self.work(id) else { return };
        let Stage::Completing { sendings, unsure, refused, .. } = work.stage else { return };
        let Some(lease) = work.hold.and_then(|hold| work.lease(hold.token)) else { return };
        let held_for = self.now.saturating_sub(work.claimed_at);
        let message = work.message.clone();
        let completion = Completion { lease, origin: work.record.origin(), held_for, message };
        self.enter(id, Stage::Completing { again_at: None, sendings: sendings + 1, unsure, refused });
        self.out.push(Action::Complete { work: id, completion });
    }

    /// A completion was answered: only now may the record settle.
    pub(super) fn completed(&mut self, id: WorkId, result: Result<CompletionOutcome, StoreError>) {
        let Some(work) = self.work(id) else { return };
        let (Stage::Completing { again_at: None, sendings, unsure, .. }, Some(hold)) = (&work.stage, work.hold) else {
            return;
        };
        let (sendings, unsure, record, fingerprint) = (*sendings, *unsure, work.record.clone(), work.fingerprint);
        match result {
            Ok(outcome) => {
                // Whoever tried before may be alive, and complete at any time: the one that a suspect was taken over
                // from, or that it had been taken over from before it failed and became idle. So may an owner in between,
                // if the lease ran out and a late copy of the claim took it anew.
                let alone_until =
                    (hold.attempts == 0 && !hold.interrupted).then(|| hold.since + self.config.surely_held());
                let settles_as = self.work(id).map_or(Outcome::Handled, Work::outcome);
                if settles_as == Outcome::Handled {
                    self.observer.on_complete(&record, Verdict::of(outcome, unsure, self.now, alone_until));
                }
                if let Some(fingerprint) = fingerprint {
                    self.owner_done(fingerprint, id);
                }
                self.settle(id, settles_as);
            }
            Err(_) if self.planted(Bug::CompletionGivenUp) && hold.since + self.config.surely_held() <= self.now => {
                self.settle(id, Outcome::Handled);
            }
            Err(error) => {
                self.observer.on_store_error("complete", &error);
                let delay = self.delay(Duration::from_millis(20), LONGEST_URGENT_DELAY, sendings);
                let unsure = unsure.saturating_add(u32::from(error.may_have_executed()));
                // Nothing starts while it stands so: the next effect could not be recorded either.
                let refused = !error.may_have_executed();
                self.enter(id, Stage::Completing { again_at: Some(self.now + delay), sendings, unsure, refused });
            }
        }
    }

    pub(super) fn settle_duplicate(&mut self, id: WorkId, by: DuplicateBy, first: Option<&Origin>) {
        let Some(work) = self.work(id) else { return };
        let (record, fingerprint) = (work.record.clone(), work.fingerprint);
        self.report_doubt(id, first);
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
        self.skip_ended(&work, Some(outcome));
        self.stop_is_over(work.part, id);
        let (offset, now) = (work.record.offset(), self.now);
        let (every, by_last) = (self.config.commit_records, self.planted(Bug::ByLastSuccess));
        let Some(part) = self.parts.get_mut(work.part) else { return };
        while let Some(before) = part.tracker.watermark().filter(|before| by_last && *before < offset) {
            part.tracker.settle(before);
        }
        if !part.tracker.settle(offset) {
            return;
        }
        part.settled += 1;
        part.settled_in_all += 1;
        part.settled_since.get_or_insert(now);
        let at_once = part.settled >= every || outcome == Outcome::SkippedByOperator;
        if at_once && part.committing.is_none() {
            self.commit_part(work.part);
        }
        self.moved(work.part);
    }
}
