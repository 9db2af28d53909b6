//! All IDs that this process has in flight, and what each event does to them. No I/O of its own: requests are pushed
//! into [`Batches`](super::batches::Batches), which the actor polls.

use std::collections::hash_map::{Entry as Slot, HashMap};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::batches::Answered;
use super::claiming::{Answer, Asker, Claiming};
use super::desk::{Desk, Tag};
use super::entry::{Entry, Fate, Phase, Subject};
use super::error::BeginError;
use super::guard::Ending;
use crate::id::Fingerprint;
use crate::record::Record;
use crate::store::{Lease, MessageDetails};

/// A wish to begin an ID.
#[derive(Debug)]
pub(super) struct Inquiry {
    pub(super) fingerprint: Fingerprint,
    pub(super) record: Record,
    pub(super) message: Option<Arc<MessageDetails>>,
    pub(super) asker: Asker,
}

#[derive(Debug)]
pub(super) struct State {
    entries: HashMap<Fingerprint, Entry>,
    schedule: BTreeSet<(Instant, Fingerprint)>,
    pub(super) desk: Desk,
    closing: bool,
}

impl State {
    pub(super) fn new(desk: Desk) -> Self {
        Self { entries: HashMap::new(), schedule: BTreeSet::new(), desk, closing: false }
    }

    /// How many IDs are in flight here.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// When [`tick`](Self::tick) is wanted next.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        self.schedule.first().map(|(at, _)| *at)
    }

    /// Claims an ID, unless this process has it in flight already: then the store is not asked.
    pub(super) fn begin(&mut self, inquiry: Inquiry, now: Instant) {
        let Inquiry { fingerprint, record, message, asker } = inquiry;
        if asker.reply.is_closed() {
            return;
        }
        if self.closing {
            return asker.answer(Answer::Failed(BeginError::ShutDown));
        }
        match self.entries.entry(fingerprint) {
            Slot::Occupied(mut slot) => {
                let entry = slot.get_mut();
                let remaining = entry.remaining(now, self.desk.lease);
                self.desk.observer.on_park(&record, None);
                asker.answer(Answer::Here(remaining, entry.watch()));
            }
            Slot::Vacant(slot) => {
                let lease = self.desk.draw(fingerprint);
                let subject = Subject { lease, record, message, claimed_at: now };
                let claiming = Claiming::start(asker, &subject, now, &mut self.desk);
                schedule(&mut self.schedule, slot.insert(Entry::new(subject, claiming)));
            }
        }
    }

    /// Takes a guard's last word.
    pub(super) fn end(&mut self, Ending { lease, how }: Ending, now: Instant) {
        self.apply(lease, |entry, desk| entry.end(how, now, desk));
    }

    /// Takes the answers of one round trip.
    pub(super) fn answered(&mut self, answered: Answered<Tag>, now: Instant) {
        match answered {
            Answered::Claims(items) => items.into_iter().for_each(|(tag, result)| {
                self.apply(tag.lease, |entry, desk| entry.claimed(tag, result, now, desk));
            }),
            Answered::Completions(items) => items.into_iter().for_each(|(tag, result)| {
                self.apply(tag.lease, |entry, desk| entry.completed(result, now, desk));
            }),
            Answered::Renewals(items) => items.into_iter().for_each(|(tag, result)| {
                self.apply(tag.lease, |entry, desk| entry.renewed(tag, result, now, desk));
            }),
            Answered::Releases(items) => items.into_iter().for_each(|(tag, result)| {
                self.apply(tag.lease, |entry, desk| entry.released(result, now, desk));
            }),
            // The deduplicator gives nothing up.
            Answered::Notes(items) => drop(items),
        }
    }

    /// Does what has become due.
    pub(super) fn tick(&mut self, now: Instant) {
        let mut due = VecDeque::new();
        while let Some((at, fingerprint)) = self.schedule.pop_first() {
            if at > now {
                self.schedule.insert((at, fingerprint));
                break;
            }
            due.push_back(fingerprint);
        }
        for fingerprint in due {
            if let Some(entry) = self.entries.get_mut(&fingerprint) {
                entry.due = None;
                let lease = entry.subject.lease;
                self.apply(lease, |entry, desk| entry.tick(now, desk));
            }
        }
    }

    /// Claims nothing more. Claims under way are given back when they are answered; guards, completions and releases
    /// go on.
    pub(super) fn close(&mut self, now: Instant) {
        self.closing = true;
        let claiming = |entry: &&mut Entry| matches!(entry.phase, Phase::Claiming(_));
        let leases: Vec<Lease> = self.entries.values_mut().filter(claiming).map(|entry| entry.subject.lease).collect();
        for lease in leases {
            self.apply(lease, |entry, desk| {
                if let Phase::Claiming(claiming) = &mut entry.phase {
                    claiming.fail(BeginError::ShutDown);
                }
                entry.tick(now, desk)
            });
        }
    }

    /// Lets an event act on the entry that holds this token; without one the event is stale.
    fn apply(&mut self, lease: Lease, event: impl FnOnce(&mut Entry, &mut Desk) -> Fate) {
        let Some(entry) = self.entries.get_mut(&lease.fingerprint).filter(|entry| entry.subject.lease == lease) else {
            return;
        };
        match event(entry, &mut self.desk) {
            Fate::Lives => schedule(&mut self.schedule, entry),
            Fate::Ends { done } => {
                if done {
                    entry.announce_done();
                }
                if let Some(due) = entry.due {
                    self.schedule.remove(&(due, lease.fingerprint));
                }
                self.entries.remove(&lease.fingerprint);
            }
        }
    }
}

/// Gives an entry a place in the schedule. One that is there earlier than it has to be stays: a tick before its time
/// does nothing but to look again, and most entries end before it.
fn schedule(schedule: &mut BTreeSet<(Instant, Fingerprint)>, entry: &mut Entry) {
    let Some(next) = entry.next_tick().filter(|next| entry.due.is_none_or(|due| *next < due)) else { return };
    if let Some(due) = entry.due.replace(next) {
        schedule.remove(&(due, entry.subject.lease.fingerprint));
    }
    schedule.insert((next, entry.subject.lease.fingerprint));
}
