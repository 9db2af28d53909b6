//! Copies of records, sent to the dead-letter topic or to a retry topic.
//!
//! A record is settled only after its copy was delivered: an outage of the other topic holds the offset. Its claim is
//! renewed meanwhile, or another worker would take it over and send a second copy.
//!
//! Before the first copy is sent, the store notes that the record is given up. If this process ends between the copy and
//! the completion, the next owner finds the note, sends the copy again and does not call the handler: a message that was
//! handled and lies in the dead-letter topic, too, would have its effect repeated by a replay. What has no ID has no claim
//! and so no note.

use std::time::Duration;

use crate::store::{GiveUp, GiveUpOutcome, GivenBack, StoreError, Token};

use super::claim::{LONGEST_DELAY, LONGEST_URGENT_DELAY};
use super::partition::Phase;
use super::work::{Note, Stage};
use super::{Action, Bug, Destination, Engine, WorkId};

/// The longest delay before a copy that was not delivered is sent again for the first time; it doubles.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// The same of a note without an answer.
const FIRST_NOTE_DELAY: Duration = Duration::from_millis(20);

impl Engine {
    /// Has it noted that the head of a lane is given up; once it is, sends a copy, for the first time or again: without
    /// limit.
    pub(super) fn deliver(&mut self, id: WorkId, to: Destination) {
        self.let_others_start(id);
        let Some(work) = self.work_mut(id) else { return };
        work.bound_for = Some(to);
        if work.hold.is_some() && work.note == Note::Absent {
            self.enter(id, Stage::GivingUp { again_at: None, tries: 0 });
            return self.send_note(id);
        }
        self.send_copy(id);
    }

    /// Sends the note that a record is given up, for the first time or again.
    pub(super) fn send_note(&mut self, id: WorkId) {
        let limit = self.config.max_attempts;
        let Some(work) = self.work(id) else { return };
        let (Stage::GivingUp { tries, .. }, Some(hold), Some(to)) = (&work.stage, work.hold, work.bound_for.clone())
        else {
            return;
        };
        let Some(lease) = work.lease(hold.token) else { return };
        let note = GiveUp { lease, attempts: work.count_left(limit), to };
        let tries = tries + 1;
        self.enter(id, Stage::GivingUp { again_at: None, tries });
        self.out.push(Action::GiveUp { work: id, note });
        if self.planted(Bug::NotedWithCopy) {
            self.noted(id);
            self.send_copy(id);
        }
    }

    /// A note was answered: only now may the copy be sent, at the turn of the record.
    pub(super) fn gave_up(
        &mut self,
        id: WorkId,
        token: Token,
        sent_at: Duration,
        result: Result<GiveUpOutcome, StoreError>,
    ) {
        let held = self.config.surely_held();
        let Some(work) = self.work_mut(id) else { return };
        let (Stage::GivingUp { again_at: None, tries }, Some(hold)) = (&work.stage, work.hold.as_mut()) else { return };
        if hold.token != token {
            return;
        }
        let (part, lane, tries) = (work.part, work.lane, *tries);
        let active = self.parts.get(part).is_some_and(|part| part.phase == Phase::Active);
        match result {
            Ok(GiveUpOutcome::NotHeld) => {
                // Claimed again first: it may have been handled meanwhile.
                if let Some(work) = self.work_mut(id) {
                    work.hold = None;
                }
                self.enter(id, Stage::BackingOff(self.now));
            }
            Ok(outcome) => {
                if let Some(hold) = self.work_mut(id).and_then(|work| work.hold.as_mut())
                    && outcome == GiveUpOutcome::Noted
                {
                    hold.extend(sent_at, held);
                }
                self.noted(id);
            }
            Err(error) => {
                self.observer.on_store_error("give_up", &error);
                let delay = self.delay(FIRST_NOTE_DELAY, LONGEST_URGENT_DELAY, tries);
                self.enter(id, Stage::GivingUp { again_at: Some(self.now + delay), tries });
            }
        }
        if !active {
            self.give_back(id);
            self.drop_unsettled(id);
        }
        self.stir(lane);
    }

    fn noted(&mut self, id: WorkId) {
        if let Some(work) = self.work_mut(id) {
            work.note = Note::Made;
        }
        self.enter(id, Stage::BackingOff(self.now));
    }

    /// Drops a note that was found about a retry topic, if this record has been through it, or if it is not a topic of
    /// this consumer: then the record is handled. Returns whether it was such a note. A copy in a retry topic is the same
    /// message, so it does not matter which of the two is handled.
    pub(super) fn drop_old_note(&mut self, id: WorkId, token: Token, attempts: u32, to: &Destination) -> bool {
        let steps = self.config.retry_steps;
        let Destination::Retry { step } = *to else { return false };
        let Some(work) = self.work_mut(id).filter(|work| work.step > step || step >= steps) else { return false };
        work.find_note(None);
        self.send_release(id, token, GivenBack::Retried { attempts, step });
        true
    }

    /// Sends a copy, for the first time or again.
    fn send_copy(&mut self, id: WorkId) {
        let Some(work) = self.work_mut(id) else { return };
        let Some(to) = work.bound_for.clone() else { return };
        work.sendings = work.sendings.saturating_add(1);
        let (record, attempts) = (work.record.clone(), work.attempts());
        self.enter(id, Stage::Delivering);
        self.out.push(Action::Publish { work: id, record, to, attempts });
    }

    /// A copy was delivered, or was not.
    pub(super) fn published(&mut self, id: WorkId, result: Result<(), String>) {
        let Some(work) = self.work_mut(id).filter(|work| work.stage == Stage::Delivering) else { return };
        let (lane, sendings) = (work.lane, work.sendings);
        match result {
            Ok(()) => {
                work.delivered = true;
                let (retry, hold) = (matches!(work.bound_for, Some(Destination::Retry { .. })), work.hold);
                match hold {
                    // Its copy is to be handled, so it is not done: the copy's attempts go on counting.
                    Some(hold) if retry => self.send_first_release(id, hold.token),
                    _ => self.complete(id),
                }
            }
            Err(reason) => {
                let record = work.record.clone();
                self.observer.on_delivery_failed(&record, &reason);
                let at = self.now + self.delay(FIRST_DELAY, LONGEST_DELAY, sendings);
                self.enter(id, Stage::BackingOff(at));
                if !self.may_move(id) {
                    self.leave(id);
                }
            }
        }
        self.stir(lane);
    }
}
