//! Handlers: started, their effect, their end.

use rand::Rng;
use rand::seq::IndexedRandom;

use std::time::Duration;

use super::super::super::{Event, HandlerFailure, Start, WorkId};
use super::facts::Sometimes;
use super::plan::{Conduct, LEASE, What};
use super::store::Id;
use super::worker::{Doubt, Run};
use super::world::{Ev, World};
use crate::observe::FailureKind;

impl World {
    /// Starts a call of a handler. It takes its records one after the other, and answers for all of them at its end.
    pub(super) fn start(&mut self, who: usize, starts: &[Start]) {
        self.check_calls(who, starts);
        let call = self.runs + 1;
        let (mut beside, mut ends): (Vec<(usize, usize)>, Vec<_>) = (Vec::new(), Vec::new());
        let mut over = 0;
        for Start { work, record, .. } in starts {
            let partition = record.partition().partition() as usize;
            let at = (partition, self.plan.index_of(partition, record.offset()));
            let alone = self.workers[who].engine.work(*work).is_some_and(super::super::super::Work::runs_alone);
            self.check_start(who, at, alone, &beside);
            let entry = &self.plan.log[at.0][at.1];
            let (what, lane) = (entry.what, entry.lane);
            self.check_pause(who, *work);
            self.check_overlap(who, *work, what);
            if alone {
                self.counts.reached(Sometimes::SuspectRanAlone);
            }
            if beside.iter().any(|before| before.0 == at.0 && self.plan.log[before.0][before.1].lane == lane) {
                self.counts.reached(Sometimes::LaneInOneCall);
            }
            beside.push(at);
            let Some(owned) = self.workers[who].owned.get(&partition) else { return };
            let assignment = owned.assignment.clone();
            self.uses_claim(who, *work);
            self.runs += 1;
            let number = self.runs;
            let run = Run {
                what,
                partition,
                index: at.1,
                assignment,
                number,
                call,
                effect: false,
                copy: false,
                ended: false,
                overrun: false,
                alone,
            };
            self.workers[who].runs.insert(*work, run);
            *self.workers[who].calls.entry(call).or_default() += 1;
            let result;
            (over, result) = self.handles(who, *work, what, over);
            ends.extend(result.map(|result| (*work, number, result)));
        }
        for (work, run, result) in ends {
            self.after(over, Ev::End { at: who, work, run, result });
        }
    }

    /// Draws what the handler does with the last record that started, beginning that much later; returns when it is
    /// through with it, and what it says then, unless it takes its process down.
    fn handles(&mut self, at: usize, work: WorkId, what: What, begins: u64) -> (u64, Option<Result<(), FailureKind>>) {
        let run = self.runs;
        let conduct = match what {
            What::Id(id) => self.conduct[usize::from(id)],
            _ => Conduct::Good,
        };
        let mut before = begins + self.within(self.plan.handling);
        if matches!(conduct, Conduct::Fails(_) | Conduct::Unavailable(_)) && self.rng.random_ratio(1, 3) {
            // Long enough to lose the lease before the next attempt.
            before = begins + self.within(2 * LEASE);
        }
        match conduct {
            Conduct::Fails(left) | Conduct::Mends(left) if left > 0 => {
                let kinds = [FailureKind::Retryable, FailureKind::Panicked, FailureKind::TimedOut];
                (before, Some(Err(*kinds.choose(&mut self.rng).expect("some"))))
            }
            Conduct::Unavailable(left) if left > 0 => (before, Some(Err(FailureKind::Unavailable))),
            Conduct::AlwaysFails => (before, Some(Err(FailureKind::Retryable))),
            Conduct::Fatal => (before, Some(Err(FailureKind::Fatal))),
            Conduct::Mended(left) if left > 0 => (before, Some(Err(FailureKind::Fatal))),
            Conduct::Poison => {
                self.after(before, Ev::Die { at, work, run });
                (before, None)
            }
            _ => {
                if matches!(conduct, Conduct::Slow | Conduct::TooSlow(1..)) {
                    before = begins + self.within(5 * LEASE / 2);
                }
                let after = self.within(self.plan.handling / 4);
                self.after(before, Ev::Effect { at, work, run });
                let too_slow = matches!(conduct, Conduct::TooSlow(1..));
                (before + after, Some(if too_slow { Err(FailureKind::TimedOut) } else { Ok(()) }))
            }
        }
    }

    /// A process ends by what it handles.
    pub(super) fn die(&mut self, at: usize, work: WorkId, number: u64) {
        if !self.is_running(at, work, number) {
            return;
        }
        self.say(|_| format!("w{at} dies of its record"));
        if let Some(What::Id(id)) = self.workers[at].runs.get(&work).map(|run| run.what) {
            let limit = self.plan.config.max_attempts;
            let fate = self.facts.fate(id);
            fate.deaths += 1;
            // The first start is not counted; a store that lost its data begins anew.
            // An operator may have it started once more.
            if fate.deaths > (limit + 1) * (1 + fate.losses as u32) + fate.tried_by_operator {
                let fate = format!("{fate:?}");
                self.fail(format!("I10: {id} took more processes down than {limit} attempts allow: {fate}"));
            }
        }
        self.crash(at);
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
        if run.effect && result.is_err_and(|kind| kind != FailureKind::TimedOut) {
            // It was told of its lost lease too late to leave its effect undone.
            return;
        }
        if let (true, Err(_), What::Id(id)) = (run.effect, result, run.what) {
            let place = (run.partition as i32, self.plan.log[run.partition][run.index].offset);
            let doubt = Doubt { id, place, reported: false, excused: false };
            self.facts.fate(id).unsaid += 1;
            self.workers[at].doubts.insert(work, doubt);
        }
        let Some(run) = self.workers[at].runs.get_mut(&work) else { return };
        run.ended = true;
        let (what, call) = (run.what, run.call);
        if let Some(left) = self.workers[at].calls.get_mut(&call) {
            *left -= 1;
            if *left == 0 {
                self.workers[at].calls.remove(&call);
            }
        }
        if let (What::Id(id), Err(_)) = (what, result) {
            match &mut self.conduct[usize::from(id)] {
                Conduct::Fails(left)
                | Conduct::Mends(left)
                | Conduct::Unavailable(left)
                | Conduct::TooSlow(left)
                | Conduct::Mended(left) => {
                    *left = left.saturating_sub(1);
                }
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
        // Some ask for a pause: shorter than the back-off at times, and longer than a lease at others.
        let after = self.rng.random_ratio(1, 4).then(|| Duration::from_micros(self.rng.random_range(0..2 * LEASE)));
        if let (Err(_), Some(after)) = (result, after) {
            let not_before = self.workers[at].local(self.now) + after;
            self.workers[at].not_before.insert(work, not_before);
        }
        let result = result.map_err(|kind| HandlerFailure { kind, after, answered: None });
        self.deliver(at, Event::Handled { work, result });
    }
}

fn fate_of(world: &World, id: Id) -> String {
    format!("{:?}", world.facts.of(id))
}
