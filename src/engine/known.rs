//! The IDs that this process knows: in flight here, or done.
//!
//! One probe answers for a record whether its ID is fresh, in flight in this process, or done:
//!
//! * A record whose ID is in flight here waits for the one that has it, without asking the store.
//! * A record whose ID is done is a duplicate, without asking the store. Only *done* is remembered of an ID that is not in
//!   flight: it stays true until the window ends or an operator forgets the ID. An entry counts from the moment at which
//!   its claim was made, so it never outlives the record in the store.
//!
//! What is in flight is bounded by the records in flight. Of done IDs the latest are kept: a repeat mostly follows soon.

use std::collections::hash_map::Entry::Occupied;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::id::{BuildFingerprintHasher, Fingerprint};
use crate::observe::DuplicateBy;

use super::work::{Stage, Work};
use super::{Bug, Engine, WorkId};

/// The IDs that this process knows.
#[derive(Debug)]
pub(super) struct Known {
    entries: HashMap<Fingerprint, Entry, BuildFingerprintHasher>,
    /// Of IDs in flight, the other records that wait for them.
    twins: HashMap<Fingerprint, Vec<WorkId>, BuildFingerprintHasher>,
    /// Done IDs in the order in which they became known, the oldest first.
    done: VecDeque<Fingerprint>,
    /// How many done IDs are kept.
    capacity: usize,
    /// How long a done ID counts.
    lifetime: Duration,
    /// When an ID was last forgotten. An answer to what was asked before may be of the time before.
    forgot_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// A record of this process has the ID.
    InFlight(WorkId),
    /// The ID is done. That counts until then.
    Done(Duration),
}

/// What is known of the ID of a record that is to be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing: it is the record's own from now on, or was already.
    Own,
    /// Another record has it, and this one waits for that.
    Twin,
    /// It is done.
    Done,
}

impl Known {
    /// Keeps so many done IDs, each for `lifetime`.
    pub(super) fn new(capacity: usize, lifetime: Duration) -> Self {
        Self {
            entries: HashMap::default(),
            twins: HashMap::default(),
            done: VecDeque::new(),
            capacity,
            lifetime,
            forgot_at: None,
        }
    }

    /// Whether an ID is known to be done.
    pub(super) fn is_done(&self, fingerprint: &Fingerprint, now: Duration) -> bool {
        matches!(self.entries.get(fingerprint), Some(Entry::Done(until)) if now < *until)
    }

    /// Makes a record the owner of its ID, unless the ID is done, or another record has it: then the record waits for that.
    pub(super) fn take(&mut self, fingerprint: Fingerprint, work: WorkId, now: Duration) -> Found {
        let entry = self.entries.entry(fingerprint).or_insert(Entry::InFlight(work));
        match *entry {
            Entry::InFlight(owner) if owner == work => Found::Own,
            Entry::InFlight(_) => {
                let twins = self.twins.entry(fingerprint).or_default();
                if !twins.contains(&work) {
                    twins.push(work);
                }
                Found::Twin
            }
            Entry::Done(until) if now < until => Found::Done,
            Entry::Done(_) => {
                *entry = Entry::InFlight(work);
                Found::Own
            }
        }
    }

    /// The record that has an ID.
    pub(super) fn owner(&self, fingerprint: &Fingerprint) -> Option<WorkId> {
        match self.entries.get(fingerprint) {
            Some(Entry::InFlight(owner)) => Some(*owner),
            _ => None,
        }
    }

    /// Ends an ownership; returns the records that waited for it.
    fn release(&mut self, fingerprint: Fingerprint, work: WorkId) -> Vec<WorkId> {
        if self.owner(&fingerprint) != Some(work) {
            self.stop_waiting(fingerprint, work);
            return Vec::new();
        }
        self.entries.remove(&fingerprint);
        self.waiting_for(fingerprint)
    }

    /// Ends an ownership, because the ID is done: by an answer to what was asked at `asked_at`, or later. Returns the records
    /// that waited for it.
    fn done(&mut self, fingerprint: Fingerprint, work: WorkId, asked_at: Duration) -> Vec<WorkId> {
        let remembers = self.capacity > 0 && self.forgot_at.is_none_or(|forgot_at| asked_at > forgot_at);
        match self.entries.get_mut(&fingerprint) {
            Some(entry) if *entry == Entry::InFlight(work) && remembers => {
                *entry = Entry::Done(asked_at + self.lifetime);
            }
            _ => return self.release(fingerprint, work),
        }
        if self.done.len() >= self.capacity
            && let Some(oldest) = self.done.pop_front()
            && let Occupied(entry) = self.entries.entry(oldest)
            && matches!(entry.get(), Entry::Done(_))
        {
            entry.remove();
        }
        self.done.push_back(fingerprint);
        self.waiting_for(fingerprint)
    }

    /// Knows an ID to be done until then.
    #[cfg(test)]
    pub(super) fn know(&mut self, fingerprint: Fingerprint, until: Duration) {
        self.done.push_back(fingerprint);
        self.entries.insert(fingerprint, Entry::Done(until));
    }

    /// Forgets what is known to be done of these IDs. Answers to what was asked before this may be out of date.
    pub(super) fn forget(&mut self, fingerprints: &[Fingerprint], now: Duration) {
        self.forgot_at = Some(now);
        for fingerprint in fingerprints {
            if matches!(self.entries.get(fingerprint), Some(Entry::Done(_))) {
                self.entries.remove(fingerprint);
            }
        }
    }

    fn waiting_for(&mut self, fingerprint: Fingerprint) -> Vec<WorkId> {
        // Mostly there are none at all, and then no place is looked for.
        if self.twins.is_empty() { Vec::new() } else { self.twins.remove(&fingerprint).unwrap_or_default() }
    }

    fn stop_waiting(&mut self, fingerprint: Fingerprint, work: WorkId) {
        if let Some(twins) = self.twins.get_mut(&fingerprint) {
            twins.retain(|twin| *twin != work);
            if twins.is_empty() {
                self.twins.remove(&fingerprint);
            }
        }
    }
}

impl Engine {
    /// Looks for the ID of a record that is to be claimed, and takes it for the record if nothing is known of it.
    pub(super) fn take_id(&mut self, fingerprint: Fingerprint, id: WorkId) -> Found {
        if self.planted(Bug::InFlightForgotten)
            && let Some(owner) = self.known.owner(&fingerprint)
        {
            self.known.release(fingerprint, owner);
        }
        self.known.take(fingerprint, id, self.now)
    }

    /// The head of a lane waits for another record of this process: parks the lane, unless the other has started. Then
    /// it ends by itself, so nobody can wait for this lane's claims in a circle; and a producer's retry mostly lies
    /// right behind its original, where parking would give back and take again every claim behind the two.
    pub(super) fn head_waits(&mut self, id: WorkId) {
        let Some((fingerprint, record)) = self.work(id).and_then(|work| Some((work.fingerprint?, work.record.clone())))
        else {
            return;
        };
        let started = self.known.owner(&fingerprint).and_then(|owner| self.work(owner)).is_some_and(Work::is_exposed);
        if !started && !self.is_parked(id) {
            self.observer.on_park(&record, None);
            self.parked(id);
        }
    }

    /// A record gives up its ID without having handled it: those that waited try themselves, heads of lanes first come.
    pub(super) fn disown(&mut self, fingerprint: Fingerprint, id: WorkId) {
        for waiting in self.known.release(fingerprint, id) {
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
        let Some(work) = self.work(id) else { return };
        let (handled, asked_at) = (work.message.clone(), work.claimed_at);
        for waiting in self.known.done(fingerprint, id, asked_at) {
            let message = self.work(waiting).and_then(|work| work.message.as_ref());
            match handled.as_ref().zip(message).is_some_and(|(handled, message)| handled.contradicts(message)) {
                true => self.try_itself(waiting),
                false => self.settle_duplicate(waiting, DuplicateBy::Process, None),
            }
        }
    }
}
