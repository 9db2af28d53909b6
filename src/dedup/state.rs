//! All IDs that this process has in flight, and what each event does to them.
//!
//! There is no I/O here: requests are left on the [`Desk`], and the background work takes them from there.

use std::collections::hash_map::{Entry as Slot, HashMap};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Duration, Instant};

use super::batches::Answered;
use super::claiming::{Answer, Asker, Claiming};
use super::desk::{Desk, Tag};
use super::entry::{Entry, Fate, Phase, Subject};
use super::error::{BeginError, Unfinished};
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
    /// Takes back the permit of each ID that ended.
    room: Arc<Semaphore>,
    /// When the background work looks at the time next, unless it is woken.
    alarm: Option<Instant>,
    closing: Option<Closing>,
    ended: bool,
}

/// What waits for the end; the earliest deadline counts.
#[derive(Debug)]
struct Closing {
    deadline: Instant,
    replies: Vec<oneshot::Sender<Result<(), Unfinished>>>,
}

impl State {
    pub(super) fn new(desk: Desk, room: Arc<Semaphore>) -> Self {
        let (entries, schedule) = (HashMap::new(), BTreeSet::new());
        Self { entries, schedule, desk, room, alarm: None, closing: None, ended: false }
    }

    /// When [`tick`](Self::tick) is wanted next.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        self.schedule.first().map(|(at, _)| *at)
    }

    /// Notes when the background work looks at the time next, and returns it.
    pub(super) fn alarm(&mut self) -> Option<Instant> {
        let deadline = self.closing.as_ref().map(|closing| closing.deadline);
        self.alarm = self.next_tick().into_iter().chain(deadline).min();
        self.alarm
    }

    /// Whether the background work ends: nothing is left, or the deadline of a shutdown has passed.
    pub(super) fn is_over(&self, now: Instant, abandoned: bool) -> bool {
        let closing = self.closing.as_ref();
        let nothing_left = self.entries.is_empty() && (abandoned || closing.is_some());
        nothing_left || closing.is_some_and(|closing| closing.deadline <= now)
    }

    /// Ends all that is left: nothing is answered any more.
    pub(super) fn end_all(&mut self) {
        self.ended = true;
        self.schedule.clear();
        let left = std::mem::take(&mut self.entries).len();
        for reply in self.closing.take().into_iter().flat_map(|closing| closing.replies) {
            // The caller may have gone.
            reply.send(if left == 0 { Ok(()) } else { Err(Unfinished { ids: left }) }).ok();
        }
    }

    /// Claims an ID, unless this process has it in flight already. Then the store is not asked. The place that the caller
    /// took is returned when the ID ends.
    pub(super) fn begin(&mut self, inquiry: Inquiry, now: Instant) {
        let Inquiry { fingerprint, record, message, asker } = inquiry;
        if self.closing.is_some() || self.ended {
            self.room.add_permits(1);
            return asker.answer(Answer::Failed(BeginError::ShutDown));
        }
        match self.entries.entry(fingerprint) {
            Slot::Occupied(mut slot) => {
                let entry = slot.get_mut();
                let remaining = entry.remaining(now, self.desk.lease);
                self.desk.observer.on_park(&record, None);
                self.room.add_permits(1);
                asker.answer(Answer::Here(remaining, entry.watch()));
            }
            Slot::Vacant(slot) => {
                let lease = self.desk.draw(fingerprint);
                let subject = Subject { lease, record, message, claimed_at: now };
                let claiming = Claiming::start(asker, &subject, now, &mut self.desk);
                let entry = slot.insert(Entry::new(subject, claiming));
                schedule(&mut self.schedule, &mut self.desk, self.alarm, entry);
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
    pub(super) fn close(&mut self, limit: Duration, reply: oneshot::Sender<Result<(), Unfinished>>, now: Instant) {
        self.desk.wake();
        if self.ended {
            // Nothing is left that could be waited for.
            reply.send(Ok(())).ok();
            return;
        }
        let deadline = now + limit;
        let closing = self.closing.get_or_insert_with(|| Closing { deadline, replies: Vec::new() });
        closing.deadline = closing.deadline.min(deadline);
        closing.replies.push(reply);
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
            Fate::Lives => schedule(&mut self.schedule, &mut self.desk, self.alarm, entry),
            Fate::Ends { done } => {
                if done {
                    entry.announce_done();
                }
                if let Some(due) = entry.due {
                    self.schedule.remove(&(due, lease.fingerprint));
                }
                self.entries.remove(&lease.fingerprint);
                self.room.add_permits(1);
            }
        }
    }
}

/// Gives an entry a place in the schedule. One that is there earlier than it has to be stays: a tick before its time
/// does nothing but to look again, and most entries end before it.
fn schedule(
    schedule: &mut BTreeSet<(Instant, Fingerprint)>,
    desk: &mut Desk,
    alarm: Option<Instant>,
    entry: &mut Entry,
) {
    let Some(next) = entry.next_tick().filter(|next| entry.due.is_none_or(|due| *next < due)) else { return };
    if let Some(due) = entry.due.replace(next) {
        schedule.remove(&(due, entry.subject.lease.fingerprint));
    }
    schedule.insert((next, entry.subject.lease.fingerprint));
    if alarm.is_none_or(|alarm| next < alarm) {
        desk.wake();
    }
}
