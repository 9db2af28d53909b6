//! The same ID twice in one process: the second waits for the first, without asking the store.

use std::collections::HashMap;

use crate::id::Fingerprint;
use crate::observe::DuplicateBy;

use super::work::Stage;
use super::{Engine, WorkId};

/// Which record of this process has each ID, and which wait for it.
#[derive(Debug, Default)]
pub(super) struct Owners(HashMap<Fingerprint, Owner>);

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
    /// A record gives up its ID without having handled it: those that waited try themselves, heads of lanes first come.
    pub(super) fn disown(&mut self, fingerprint: Fingerprint, id: WorkId) {
        for waiting in self.owners.release(fingerprint, id) {
            if self.work(waiting).is_some_and(|work| work.stage == Stage::Waiting) {
                self.enter(waiting, Stage::Queued);
                if let Some(part) = self.work(waiting).map(|work| work.part) {
                    self.dirty.push_back(part);
                }
            }
        }
    }

    /// An ID was recorded as done by this process: everybody who waited for it is a duplicate.
    pub(super) fn owner_done(&mut self, fingerprint: Fingerprint, id: WorkId) {
        for waiting in self.owners.release(fingerprint, id) {
            self.settle_duplicate(waiting, DuplicateBy::Process);
        }
    }
}
