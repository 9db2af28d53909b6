//! The same ID twice in one process: the second waits for the first, without asking the store.

use std::collections::HashMap;

use crate::id::{BuildFingerprintHasher, Fingerprint};
use crate::observe::DuplicateBy;

use super::work::{Stage, Work};
use super::{Engine, WorkId};

/// Which record of this process has each ID, and which wait for it.
#[derive(Debug, Default)]
pub(super) struct Owners(HashMap<Fingerprint, Owner, BuildFingerprintHasher>);

#[derive(Debug)]
struct Owner {
    work: WorkId,
    waiting: Vec<WorkId>,
}

impl Owners {
    /// Makes a record the owner of its ID, or lets it wait for the one that is; says which.
    pub(super) fn take(&mut self, fingerprint: Fingerprint, work: WorkId) -> bool {
        let owner = self.0.entry(fingerprint).or_insert_with(|| Owner { work, waiting: Vec::new() });
        if owner.work == work {
            return true;
        }
        if !owner.waiting.contains(&work) {
            owner.waiting.push(work);
        }
        false
    }

    /// Who has an ID.
    pub(super) fn of(&self, fingerprint: &Fingerprint) -> Option<WorkId> {
        self.0.get(fingerprint).map(|owner| owner.work)
    }

    /// Ends an ownership; returns who waited for it.
    fn release(&mut self, fingerprint: Fingerprint, work: WorkId) -> Vec<WorkId> {
        match self.0.get_mut(&fingerprint) {
            Some(owner) if owner.work == work => {}
            Some(owner) => {
                owner.waiting.retain(|waiting| *waiting != work);
                return Vec::new();
            }
            None => return Vec::new(),
        }
        self.0.remove(&fingerprint).map(|owner| owner.waiting).unwrap_or_default()
    }
}

impl Engine {
    /// The head of a lane waits for another record of this process: parks the lane, unless the other has started. Then
    /// it ends by itself, so nobody can wait for this lane's claims in a circle; and a producer's retry mostly lies
    /// right behind its original, where parking would give back and take again every claim behind the two.
    pub(super) fn head_waits(&mut self, id: WorkId) {
        let Some((fingerprint, record)) = self.work(id).and_then(|work| Some((work.fingerprint?, work.record.clone())))
        else {
            return;
        };
        let started = self.owners.of(&fingerprint).and_then(|owner| self.work(owner)).is_some_and(Work::is_exposed);
        if !started && !self.is_parked(id) {
            self.observer.on_park(&record, None);
            self.parked(id);
        }
    }

    /// A record gives up its ID without having handled it: those that waited try themselves, heads of lanes first come.
    pub(super) fn disown(&mut self, fingerprint: Fingerprint, id: WorkId) {
        for waiting in self.owners.release(fingerprint, id) {
            self.try_itself(waiting);
        }
    }

    fn try_itself(&mut self, waiting: WorkId) {
        if self.work(waiting).is_some_and(|work| work.stage == Stage::Waiting) {
            self.enter(waiting, Stage::Queued);
            self.stir_lane_of(waiting);
        }
    }

    /// An ID was recorded as done by this process, or found to be: everybody who waited for it is a duplicate, unless
    /// its payload says otherwise. Then the store is asked, which names the first one.
    pub(super) fn owner_done(&mut self, fingerprint: Fingerprint, id: WorkId) {
        let handled = self.work(id).and_then(|work| work.message.clone());
        for waiting in self.owners.release(fingerprint, id) {
            let message = self.work(waiting).and_then(|work| work.message.as_ref());
            match handled.as_ref().zip(message).is_some_and(|(handled, message)| handled.contradicts(message)) {
                true => self.try_itself(waiting),
                false => self.settle_duplicate(waiting, DuplicateBy::Process, None),
            }
        }
    }
}
