//! Handlers: started, their effect, their end.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::super::super::{Event, WorkId};
use super::facts::Sometimes;
use super::plan::{Conduct, LEASE, What};
use super::store::Id;
use super::worker::Run;
use super::world::{Ev, World};
use crate::observe::FailureKind;
use crate::record::Record;

impl World {
    pub(super) fn start(&mut self, who: usize, work: WorkId, record: &Record, attempt: u32) {
        let partition = record.partition().partition() as usize;
        let index =
            self.plan.log[partition].iter().position(|entry| entry.offset == record.offset()).expect("in the log");
        let what = self.plan.log[partition][index].what;
        let alone = self.workers[who].engine.work(work).is_some_and(super::super::super::Work::runs_alone);
        self.check_start(who, partition, index, alone);
        self.check_overlap(who, work, what);
        let _ = attempt;
        let Some(owned) = self.workers[who].owned.get(&partition) else { return };
        let assignment = owned.assignment.clone();
        if alone {
            self.counts.reached(Sometimes::SuspectRanAlone);
        }
        if let Some(token) = self.workers[who].token_of.get(&work).copied() {
            self.workers[who].asked.remove(&token);
            if let Some(fact) = self.facts.tokens.get_mut(&token) {
                fact.started = true;
            }
        }
        self.runs += 1;
        let number = self.runs;
        let run =
            Run { what, partition, index, assignment, number, effect: false, ended: false, overrun: false, alone };
        self.workers[who].runs.insert(work, run);
        let conduct = match what {
            What::Id(id) => self.conduct[usize::from(id)],
            _ => Conduct::Good,
        };
        let mut before = self.within(self.plan.handling);
        if matches!(conduct, Conduct::Fails(_) | Conduct::Unavailable(_)) && self.rng.random_ratio(1, 3) {
            // Long enough to lose the lease before the next attempt.
            before = self.within(2 * LEASE);
        }
        let end = |world: &mut Self, result| {
            world.after(before, Ev::End { at: who, work, run: number, result });
        };
        match conduct {
            Conduct::Fails(left) if left > 0 => {
                let kind = *[FailureKind::Retryable, FailureKind::Panicked, FailureKind::TimedOut]
                    .choose(&mut self.rng)
                    .expect("some");
                end(self, Err(kind));
            }
            Conduct::Unavailable(left) if left > 0 => end(self, Err(FailureKind::Unavailable)),
            Conduct::AlwaysFails => end(self, Err(FailureKind::Retryable)),
            Conduct::Fatal => end(self, Err(FailureKind::Fatal)),
            Conduct::Poison => self.after(before, Ev::Die { at: who, work, run: number }),
            _ => {
                if conduct == Conduct::Slow {
                    before = self.within(5 * LEASE / 2);
                }
                let after = self.within(self.plan.handling / 4);
                self.after(before, Ev::Effect { at: who, work, run: number });
                self.after(before + after, Ev::End { at: who, work, run: number, result: Ok(()) });
            }
        }
    }

    pub(super) fn is_running(&self, at: usize, work: WorkId, number: u64) -> bool {
        self.workers[at].runs.get(&work).is_some_and(|run| run.number == number && !run.ended)
    }

    pub(super) fn effect(&mut self, at: usize, work: WorkId, number: u64) {
        if !self.is_running(at, work, number) {
            return;
        }
        let Some(run) = self.workers[at].runs.get_mut(&work) else { return };
        run.effect = true;
        let (what, partition, index, overrun) = (run.what, run.partition, run.index, run.overrun);
        self.say(|_| format!("w{at} EFFECT of {what:?}"));
        match what {
            What::Id(id) => {
                let fate = self.facts.fate(id);
                fate.effects += 1;
                fate.overruns += usize::from(overrun);
                let (effects, explained) = (fate.effects, fate.is_explained());
                if effects > 1 {
                    self.counts.reached(Sometimes::RepeatedEffect);
                }
                if !explained {
                    let fate = fate_of(self, id);
                    self.fail(format!("I3: the effect of {id} is repeated without a fault that explains it: {fate}"));
                }
            }
            _ => *self.facts.plain.entry((partition, index)).or_default() += 1,
        }
    }

    pub(super) fn end(&mut self, at: usize, work: WorkId, number: u64, result: Result<(), FailureKind>) {
        if !self.is_running(at, work, number) {
            return;
        }
        let Some(run) = self.workers[at].runs.get_mut(&work) else { return };
        if run.effect && result.is_err() {
            // It was told of its lost lease too late to leave its effect undone.
            return;
        }
        run.ended = true;
        let what = run.what;
        if let (What::Id(id), Err(_)) = (what, result) {
            match &mut self.conduct[usize::from(id)] {
                Conduct::Fails(left) | Conduct::Unavailable(left) => *left = left.saturating_sub(1),
                _ => {}
            }
        }
        if result.is_err_and(|kind| kind != FailureKind::Unavailable)
            && let Some(fact) = self.workers[at].token_of.get(&work).and_then(|token| self.facts.tokens.get_mut(token))
        {
            fact.failures += 1;
        }
        if result.is_err() || !matches!(what, What::Id(_)) {
            self.workers[at].runs.remove(&work);
        }
        if result.is_ok() && !matches!(what, What::Id(_)) {
            self.workers[at].settled += 1;
        }
        self.step(at, Event::Handled { work, result });
    }
}

fn fate_of(world: &World, id: Id) -> String {
    format!("{:?}", world.facts.fates.get(&id))
}
