//! Whose handler may start now: the bounds on calls and on exposed records, and suspects that run alone.

use super::lane::LaneIndex;
use super::partition::Phase;
use super::work::{Stage, Work};
use super::{Action, Bug, Engine, Order, Start, WorkId};

impl Engine {
    /// Starts heads of lanes that wait for their turn, one of each partition after the other. Returns whether any was
    /// looked at, so that something may have been stirred.
    pub(super) fn give_turns(&mut self) -> bool {
        if !std::mem::take(&mut self.freed) {
            return false;
        }
        if let Some(lane) = self.alone.and_then(|id| self.work(id)).map(|work| work.lane) {
            // Everybody waits for it, and it for those that run.
            let waits = self.exposed == 0 && self.lanes.get(lane.0).is_some_and(|lane| lane.ready);
            if waits {
                self.take_turn(lane);
                // Whoever has nothing more to wait for lines up anew.
                let parts = &mut self.parts;
                self.waiting.retain(|index| {
                    let waits = parts.get(*index).is_some_and(|part| !part.ready.is_empty());
                    if let Some(part) = parts.get_mut(*index).filter(|_| !waits) {
                        part.waiting = false;
                    }
                    waits
                });
            }
            return waits;
        }
        let mut left = self.waiting.len();
        let mut looked = false;
        while left > 0 && self.has_turn() {
            left -= 1;
            let Some(index) = self.waiting.pop_front() else { break };
            let Some(part) = self.parts.get_mut(index) else { continue };
            part.waiting = false;
            if part.running >= part.turns {
                self.wait_for_turn(index);
                continue;
            }
            let Some(lane) = part.ready.front().copied() else { continue };
            let started = self.started;
            self.take_turn(lane);
            looked = true;
            self.wait_for_turn(index);
            // A head that is claimed first, or that settled, leaves its turn to the next, of the same partition perhaps:
            // whatever comes of its claim, nobody gives the turn away again.
            let leaves = self.lanes.get(lane.0).is_none_or(|lane| !lane.ready);
            if self.started > started || (leaves && !self.planted(Bug::TurnLost)) {
                left = self.waiting.len();
            }
            if self.alone.is_some() {
                self.freed = true;
                break;
            }
        }
        looked
    }

    fn take_turn(&mut self, index: LaneIndex) {
        let Some(lane) = self.lanes.get_mut(index.0) else { return };
        lane.ready = false;
        if let Some(part) = self.parts.get_mut(lane.part)
            && let Some(at) = part.ready.iter().position(|ready| *ready == index)
        {
            part.ready.remove(at);
        }
        self.giving = true;
        self.advance(index);
        self.giving = false;
    }

    /// Lets the head of a lane wait for others to end.
    pub(super) fn starve(&mut self, index: LaneIndex) {
        let Some(lane) = self.lanes.get_mut(index.0).filter(|lane| !lane.ready) else { return };
        lane.ready = true;
        let part = lane.part;
        if let Some(part) = self.parts.get_mut(part) {
            part.ready.push_back(index);
        }
        self.wait_for_turn(part);
    }

    fn wait_for_turn(&mut self, index: usize) {
        if let Some(part) = self.parts.get_mut(index).filter(|part| !part.waiting && !part.ready.is_empty()) {
            part.waiting = true;
            self.waiting.push_back(index);
        }
    }

    /// How many calls of handlers may run at once in the whole process.
    pub(super) fn most_calls(&self) -> usize {
        match self.config.order {
            Order::Partition => usize::MAX,
            Order::Key | Order::Unordered => self.config.concurrency,
        }
    }

    /// Whether any handler may be started at all. None may while a completion is refused, or the store is known to refuse
    /// what completions need: the effect could not be recorded, and a crash would repeat it.
    fn has_turn(&self) -> bool {
        if self.refused > 0 || self.store_refuses {
            return false;
        }
        let open = !self.call.is_empty() && self.call.len() < self.config.batch;
        self.exposed < self.config.max_exposed && (open || self.calls < self.most_calls())
    }

    /// Exposed is bounded, and so are calls; a suspect that was taken over twice runs alone: poison then takes nobody
    /// with it.
    pub(super) fn may_start(&mut self, id: WorkId) -> bool {
        let alone = self.work(id).is_some_and(Work::runs_alone);
        match self.alone {
            Some(other) if other != id => return false,
            None if alone => self.alone = Some(id),
            _ => {}
        }
        // What was taken over goes first: its start is counted already.
        let next = self.giving || self.waiting.is_empty() || self.work(id).is_some_and(Work::is_taken_over);
        if !next {
            // Others came first; they are looked at before this one.
            self.freed = true;
            return false;
        }
        let partition_full = self.part_of(id).is_some_and(|part| part.running >= part.turns);
        // Not beside completions either: a neighbour whose handler has ended would be counted for the crash of this one.
        self.has_turn() && !partition_full && !(alone && self.exposed > 0)
    }

    /// The record does not run alone, or wait for that, any more: others may start.
    pub(super) fn let_others_start(&mut self, id: WorkId) {
        if self.alone == Some(id) {
            self.alone = None;
            self.freed = true;
        }
    }

    /// Hands a record over to its handler: in a call of its own, or with others where handlers take many.
    pub(super) fn start(&mut self, id: WorkId) {
        let (now, batch) = (self.now, self.config.batch);
        let alone = self.work(id).is_some_and(Work::runs_alone);
        if alone || self.call.len() >= batch {
            self.close_call();
        }
        if self.call.is_empty() {
            self.calls += 1;
            self.last_call += 1;
        }
        let call = self.last_call;
        let Some(work) = self.work_mut(id) else { return };
        // A claim that had to be made anew between two attempts may have found a greater count.
        // In each retry topic it has been through it failed, though the store may have forgotten the count.
        work.counted = work.hold.map_or(1, |hold| hold.first_count()).max(work.counted + 1).max(work.step + 1);
        work.started_at = now;
        work.cancelled = false;
        work.call = call;
        let attempt = work.counted + u32::from(work.hold.is_some_and(|hold| hold.suspect));
        let (record, fingerprint) = (work.record.clone(), work.fingerprint);
        self.enter(id, Stage::Running);
        self.started += 1;
        let start = Start { work: id, record, attempt, fingerprint };
        if batch == 1 {
            return self.out.push(Action::Start(start));
        }
        self.call.push(start);
        if alone {
            self.close_call();
        }
    }

    /// Starts the records behind a head that was just started, as far as the same call takes them: what follows one
    /// another in a lane is handled in one call in that order, or in calls one after the other.
    pub(super) fn start_more(&mut self, index: LaneIndex) {
        let part = self.lanes.get(index.0).map(|lane| lane.part);
        if part.and_then(|part| self.parts.get(part)).is_some_and(|part| part.phase != Phase::Active) {
            // A stopped partition tries one record.
            return;
        }
        let mut at = 1;
        while (1..self.config.batch).contains(&self.call.len()) {
            let Some(id) = self.lanes.get(index.0).and_then(|lane| lane.works.get(at).copied()) else { return };
            at += 1;
            let Some(work) = self.work(id).filter(|work| !matches!(work.stage, Stage::Completing { .. })) else {
                continue;
            };
            let old = self.is_too_old(work);
            if work.stage != Stage::Held || old || !self.is_plain(id) || !self.may_start(id) {
                return;
            }
            self.start(id);
        }
    }

    /// Whether nothing has to be done before a held record's handler starts.
    fn is_plain(&mut self, id: WorkId) -> bool {
        let held = self.work(id).is_some_and(|work| !work.lost_its_claim() && !work.runs_alone());
        held && !self.needs_refresh(id) && self.destination(id).is_none()
    }

    /// Hands over the call that is being filled.
    pub(super) fn close_call(&mut self) {
        if self.call.is_empty() {
            return;
        }
        let starts = std::mem::take(&mut self.call);
        self.members.insert(self.last_call, starts.len());
        self.out.push(Action::StartBatch(starts));
    }

    /// A record's handler has ended: so has its call, once those of all its records have.
    pub(super) fn leave_call(&mut self, call: u64) {
        if let Some(left) = self.members.get_mut(&call) {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.members.remove(&call);
        }
        self.calls -= 1;
        self.freed = true;
    }
}
