//! Claims given back: where its handler did not start, the store restores what the claim found; where it failed, the
//! count is left behind.

use std::cmp::Reverse;
use std::time::Duration;

use crate::observe::Outcome;
use crate::record::Record;
use crate::store::{GivenBack, Release, ReleaseOutcome, StoreError, Token};

use super::claim::LONGEST_DELAY;
use super::partition::Part;
use super::work::{Stage, Work};
use super::{Action, Bug, Engine, Timer, WorkId};

/// A release that was sent and not answered. Its token is never used again.
#[derive(Debug)]
pub(super) struct PendingRelease {
    release: Release,
    pub(super) work: WorkId,
    part: usize,
    tries: u32,
    /// The record, where an attempt is in doubt: if the lease is not held any more, another worker has the ID.
    doubt: Option<Record>,
    /// Until when only an earlier sending of this release can have ended the lease.
    held_until: Duration,
    /// Whether an earlier sending may have been executed.
    unsure: bool,
    /// When the lease, or what the release leaves behind, has surely ended by itself.
    until: Duration,
}

impl Engine {
    /// Gives back what a record holds of its ID, if anything; what was started goes on.
    pub(super) fn give_back(&mut self, id: WorkId) {
        if !self.work(id).is_some_and(Work::is_exposed) {
            self.let_others_start(id);
        }
        let Some(work) = self.work_mut(id) else { return };
        match (&work.stage, work.token, work.hold) {
            (Stage::Claiming { again_at: None, .. } | Stage::Refreshing, _, _) => work.unwanted = true,
            // It may have executed.
            (Stage::Claiming { again_at: Some(_), .. }, Some(token), _) => self.send_first_release(id, token),
            (Stage::Held | Stage::BackingOff(_) | Stage::GivingUp { again_at: Some(_), .. }, _, Some(hold)) => {
                self.send_first_release(id, hold.token);
            }
            _ => {}
        }
    }

    pub(super) fn send_first_release(&mut self, id: WorkId, token: Token) {
        let limit = self.config.max_attempts;
        let forgets = self.planted(Bug::CountForgotten)
            || (self.planted(Bug::TryForgetsTheCount) && self.part_of(id).is_some_and(|part| part.rests()));
        let Some(given_back) = self.work(id).map(|work| work.given_back(limit)) else { return };
        let given_back = match given_back {
            _ if forgets => GivenBack::Unstarted,
            GivenBack::GivenUp { attempts } if self.planted(Bug::NoteDropped) => GivenBack::Failed { attempts },
            given_back => given_back,
        };
        self.send_release(id, token, given_back);
    }

    /// Gives a claim back as what is said.
    pub(super) fn send_release(&mut self, id: WorkId, token: Token, given_back: GivenBack) {
        let (now, terms, surely_held) = (self.now, self.config.terms, self.config.surely_held());
        let Some(work) = self.work_mut(id) else { return };
        let Some(lease) = work.lease(token) else { return };
        // Only a claim that is known to have found nothing leaves nothing behind.
        let leaves_nothing = given_back == GivenBack::Unstarted && work.hold.is_some_and(|hold| hold.attempts == 0);
        let doubt = work.in_doubt.then(|| work.record.clone());
        let held_until = work.hold.map_or(now, |hold| hold.since + surely_held);
        (work.token, work.hold, work.suspected, work.unwanted) = (None, None, None, false);
        let part = work.part;
        let release = Release { lease, given_back };
        let until = now + terms.lease + if leaves_nothing { Duration::ZERO } else { terms.grace };
        let (work, unsure) = (id, false);
        let pending =
            PendingRelease { release: release.clone(), work, part, tries: 1, doubt, held_until, unsure, until };
        self.releases.insert(token, pending);
        if let Some(part) = self.parts.get_mut(part) {
            part.releasing += 1;
        }
        self.enter(id, Stage::Releasing);
        self.out.push(Action::Release(release));
    }

    /// A release was answered: its ID may be claimed again by this process.
    pub(super) fn released(&mut self, token: Token, result: Result<ReleaseOutcome, StoreError>) {
        if let Ok(ReleaseOutcome::NotHeld) = result {
            self.found_released(token);
        }
        if let Err(error) = result {
            self.observer.on_store_error("release", &error);
            let Some(tries) = self.releases.get_mut(&token).map(|pending| {
                pending.unsure |= error.may_have_executed();
                pending.tries += 1;
                pending.tries
            }) else {
                return;
            };
            let at = self.now + self.delay(Duration::from_millis(20), LONGEST_DELAY, tries);
            self.timers.push(Reverse((at, Timer::Release(token))));
            return;
        }
        self.end_release(token);
    }

    /// A lease that was to be given back is not held any more. A record that is still here is asked for again, and tells
    /// what became of its ID; of one that is not, an attempt in doubt is reported now.
    fn found_released(&mut self, token: Token) {
        let Some(pending) = self.releases.get(&token).filter(|pending| self.work(pending.work).is_none()) else {
            return;
        };
        let own = pending.unsure && self.now < pending.held_until;
        if let Some(record) = pending.doubt.as_ref().filter(|_| !own) {
            let (record, fingerprint) = (record.clone(), pending.release.lease.fingerprint);
            self.out.push(Action::ReportDoubt { record, fingerprint });
        }
    }

    /// The records of attempts in doubt whose release is not answered although their lease may have run out. At the end of
    /// the process its answer, which would show whether another attempt has had the ID, does not arrive any more.
    pub fn unanswered_doubts(&self, now: Duration) -> Vec<Record> {
        let pending = self.releases.values().filter(|pending| pending.held_until <= now);
        let mut doubts: Vec<_> = pending.filter_map(|it| Some((it.work, it.doubt.clone()?))).collect();
        // In the order of their arrival, so that the same events always lead to the same reports.
        doubts.sort_unstable_by_key(|(work, _)| *work);
        doubts.into_iter().map(|(_, record)| record).collect()
    }

    fn end_release(&mut self, token: Token) {
        let Some(pending) = self.releases.remove(&token) else { return };
        if let Some(part) = self.parts.get_mut(pending.part) {
            part.releasing = part.releasing.saturating_sub(1);
        }
        if self.work(pending.work).is_some_and(|work| work.stage == Stage::Releasing) {
            // A copy of it lies in a retry topic, and may now be claimed: only after that this one settles.
            if self.work(pending.work).is_some_and(|work| work.delivered) {
                self.settle(pending.work, Outcome::Retried);
            } else {
                self.queue(pending.work);
                self.stir_lane_of(pending.work);
            }
        }
        self.drop_part_if_over(pending.part);
    }

    pub(super) fn resend_release(&mut self, token: Token) {
        let Some(pending) = self.releases.get(&token) else { return };
        if pending.until <= self.now {
            return self.end_release(token);
        }
        self.out.push(Action::Release(pending.release.clone()));
    }

    /// Gives back everything of a partition that has not started, and forgets it: its offsets stay unsettled.
    pub(super) fn give_back_all(&mut self, index: usize) {
        for id in self.drop_lanes(index) {
            self.give_back(id);
            self.drop_if_unwanted(id);
        }
    }

    /// Forgets a record of an assignment that starts nothing any more, unless something of it is still under way. One of
    /// a stopped partition rests.
    pub(super) fn drop_if_unwanted(&mut self, id: WorkId) {
        if self.may_move(id) {
            return;
        }
        let Some(work) = self.work(id) else { return };
        let (rests, busy) = (self.parts.get(work.part).is_some_and(Part::rests), work.holds_up_drain());
        if rests {
            self.rest(id);
        } else if !busy {
            self.drop_unsettled(id);
        }
    }

    /// Whether a record may go on by itself: its partition is active, or its lane is tried.
    pub(super) fn may_move(&self, id: WorkId) -> bool {
        self.work(id).is_some_and(|work| self.moves(work.part, work.lane))
    }

    /// A record does not go on here, after an attempt that failed or a copy that was not delivered: it rests, or another
    /// owner goes on with it. The count goes along.
    pub(super) fn leave(&mut self, id: WorkId) {
        let rests = self.part_of(id).is_some_and(|part| part.rests());
        if rests {
            return self.rest(id);
        }
        self.give_back(id);
        self.drop_unsettled(id);
    }
}
