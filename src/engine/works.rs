//! The records in flight, each by its ID: found, moved to another stage, forgotten.

use std::cmp::Reverse;

use super::partition::{Part, Phase};
use super::work::{Stage, Work};
use super::{Action, Engine, SLOT_BITS, Timer, WorkId};

impl Engine {
    pub(super) fn work(&self, id: WorkId) -> Option<&Work> {
        self.works.get(slot(id)).filter(|work| work.id == id)
    }

    pub(super) fn work_mut(&mut self, id: WorkId) -> Option<&mut Work> {
        self.works.get_mut(slot(id)).filter(|work| work.id == id)
    }

    pub(super) fn part_of(&mut self, id: WorkId) -> Option<&mut Part> {
        let part = self.work(id)?.part;
        self.parts.get_mut(part)
    }

    /// Moves a record to another stage and keeps every count that depends on the stage.
    pub(super) fn enter(&mut self, id: WorkId, stage: Stage) {
        let Some(work) = self.work_mut(id) else { return };
        let was = Counted::of(work);
        let timer = match &stage {
            Stage::Claiming { again_at, .. }
            | Stage::Completing { again_at, .. }
            | Stage::GivingUp { again_at, .. } => *again_at,
            Stage::Parked(at) | Stage::BackingOff(at) | Stage::NotDue(at) => Some(*at),
            _ => None,
        };
        work.stage = stage;
        let (is, index, call) = (Counted::of(work), work.part, work.call);
        let change = |count: &mut usize, was: bool, is: bool| *count = *count + usize::from(is) - usize::from(was);
        if let Some(part) = self.parts.get_mut(index) {
            change(&mut part.busy, was.busy, is.busy);
            change(&mut part.claimed, was.claimed, is.claimed);
            change(&mut part.running, was.running, is.running);
        }
        change(&mut self.running, was.running, is.running);
        change(&mut self.exposed, was.exposed, is.exposed);
        change(&mut self.refused, was.refused, is.refused);
        if let Some(at) = timer {
            self.timers.push(Reverse((at, Timer::Work(id))));
        }
        if was.claimed && !is.claimed {
            self.touch(index);
        }
        if was.running && !is.running {
            self.leave_call(call);
        }
        if was.exposed && !is.exposed || was.refused && !is.refused {
            self.freed = true;
        }
    }

    /// Forgets a record, whatever its stage.
    pub(super) fn remove(&mut self, id: WorkId) -> Option<Work> {
        self.work(id)?;
        self.enter(id, Stage::Queued);
        let work = self.works.try_remove(slot(id))?;
        self.in_flight -= 1;
        self.let_go_of_memory(work.memory);
        if let Some(fingerprint) = work.fingerprint {
            self.disown(fingerprint, id);
        }
        self.let_others_start(id);
        self.stir(work.lane);
        if let Some(part) = self.parts.get_mut(work.part) {
            part.in_flight -= 1;
            self.touch(work.part);
        }
        self.drop_part_if_over(work.part);
        Some(work)
    }

    /// Forgets a record that has no outcome: whoever reads its partition next gets it again.
    pub(super) fn drop_unsettled(&mut self, id: WorkId) {
        if let Some(work) = self.work(id).filter(|work| work.has_lost_doubt() && work.stage != Stage::Releasing)
            && let Some(fingerprint) = work.fingerprint
        {
            self.out.push(Action::ReportDoubt { record: work.record.clone(), fingerprint });
        }
        let Some(work) = self.remove(id) else { return };
        self.skip_ended(&work, None);
        let partition = work.record.partition();
        match self.given_back.last_mut() {
            Some((last, records)) if last == partition => *records += 1,
            _ => self.given_back.push((partition.clone(), 1)),
        }
    }

    pub(super) fn drop_part_if_over(&mut self, index: usize) {
        let over = |part: &Part| part.phase == Phase::Closed && part.in_flight == 0 && part.releasing == 0;
        if self.parts.get(index).is_some_and(over) && !self.drains.iter().any(|drain| drain.parts.contains(&index)) {
            self.parts.remove(index);
        }
    }
}

/// In which counts a record stands.
#[derive(Clone, Copy)]
struct Counted {
    busy: bool,
    claimed: bool,
    running: bool,
    exposed: bool,
    refused: bool,
}

impl Counted {
    fn of(work: &Work) -> Self {
        Self {
            busy: work.holds_up_drain(),
            claimed: work.is_claimed_ahead(),
            running: work.stage == Stage::Running,
            exposed: work.is_exposed(),
            refused: matches!(work.stage, Stage::Completing { refused: true, .. }),
        }
    }
}

fn slot(id: WorkId) -> usize {
    (id.0 & ((1 << SLOT_BITS) - 1)) as usize
}
