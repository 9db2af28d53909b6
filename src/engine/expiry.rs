//! Records at their turn that are too early, or too old.

use crate::observe::Outcome;

use super::work::{Stage, Work};
use super::{Engine, WorkId};

impl Engine {
    /// Lets the head of a lane be claimed that was not due before and is due now.
    pub(super) fn became_due(&mut self, id: WorkId) {
        let now = self.now;
        let Some(work) = self.work(id).filter(|work| matches!(work.stage, Stage::NotDue(at) if at <= now)) else {
            return;
        };
        let stage = if work.fingerprint.is_some() { Stage::Queued } else { Stage::Held };
        self.enter(id, stage);
    }

    /// Settles the head of a lane where it is too old; says whether the lane has a new head. A claim that is held is
    /// given back first, and the answer awaited: nobody may find the ID in flight whose record is settled.
    ///
    /// One that goes to the dead-letter topic instead is claimed first, and decided on in [`Engine::destination`]: an
    /// old record of which the ID is done is a duplicate, and no dead letter.
    pub(super) fn expire(&mut self, id: WorkId) -> bool {
        if self.config.expired_to_dead_letter {
            return false;
        }
        let now = self.now;
        let Some(work) = self.work(id).filter(|work| self.is_too_old(work)) else { return false };
        match work.stage {
            Stage::Held | Stage::BackingOff(_) if work.hold.is_some() => {
                self.give_back(id);
                false
            }
            Stage::Queued | Stage::Held => {
                self.settle_expired(id);
                true
            }
            Stage::Parked(at) | Stage::BackingOff(at) if at <= now => {
                self.settle_expired(id);
                true
            }
            _ => false,
        }
    }

    /// Whether nobody has to handle it any more. What is decided stays decided: a copy may have been delivered already.
    pub(super) fn is_too_old(&self, work: &Work) -> bool {
        work.bound_for.is_none() && work.expires_at.is_some_and(|at| at <= self.now)
    }

    fn settle_expired(&mut self, id: WorkId) {
        self.tell_expired(id);
        self.unparked(id);
        self.settle(id, Outcome::Expired);
    }

    pub(super) fn tell_expired(&self, id: WorkId) {
        let Some(work) = self.work(id) else { return };
        let late = work.expires_at.map(|at| self.now.saturating_sub(at)).unwrap_or_default();
        self.observer.on_expire(&work.record, late);
    }
}
