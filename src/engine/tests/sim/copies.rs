//! Copies of records on their way to the dead-letter topic: delivered or not, with an answer, with a wrong one, or with
//! none because their process ends.

use rand::Rng;

use super::super::super::{Destination, Event, WorkId};
use super::facts::Sometimes;
use super::plan::{MS, What};
use super::worker::{Copy, Run};
use super::world::{Ev, World};
use crate::observe::Outcome;
use crate::record::Record;

impl World {
    /// Sends a copy of a record.
    pub(super) fn publish(&mut self, who: usize, work: WorkId, record: &Record, to: &Destination) {
        let partition = record.partition().partition() as usize;
        let index = self.plan.index_of(partition, record.offset());
        self.check_publish(who, partition, index);
        let Destination::DeadLetter { reason } = to else {
            return self.fail(format!("w{who} sends a copy to a retry topic, and there is none"));
        };
        if let What::Id(id) = self.plan.log[partition][index].what
            && matches!(self.conduct[usize::from(id)], super::plan::Conduct::Mended(0))
            && self.facts.of(id).copies > 0
        {
            self.counts.reached(Sometimes::LeftThoughMended);
        }
        if reason.contains("and more") {
            self.counts.reached(Sometimes::Condemned);
        }
        let Some(owned) = self.workers[who].owned.get(&partition) else { return };
        let assignment = owned.assignment.clone();
        let what = self.plan.log[partition][index].what;
        self.uses_claim(who, work);
        self.workers[who].copies.insert(work, Copy { what, partition, index, assignment });
        let (there, back) = (self.within(2 * self.plan.latency), self.within(2 * self.plan.latency));
        let fails = !self.healed() && self.rng.random_ratio(1, 4);
        let delivered = !fails || self.rng.random();
        let dies = !self.healed() && self.rng.random_ratio(1, 10);
        if delivered {
            self.after(there, Ev::Copy { from: who, partition, index, dies });
        }
        if let (true, true, What::Id(id)) = (fails, delivered, what) {
            self.facts.fate(id).copied_again += 1;
        }
        let (late, result) = match fails {
            true => (self.within(100 * MS), Err("timed out".to_owned())),
            false => (0, Ok(())),
        };
        self.after(there + back + late, Ev::Deliver { to: who, event: Event::Published { work, result } });
    }

    /// A copy reaches its topic; its process may end before it hears of that.
    pub(super) fn copied(&mut self, from: usize, partition: usize, index: usize, dies: bool) {
        let what = self.plan.log[partition][index].what;
        self.say(|_| format!("COPY of {what:?} by w{from}"));
        match what {
            What::Id(id) => {
                let fate = self.facts.fate(id);
                fate.copies += 1;
                if !fate.is_explained() {
                    let fate = format!("{fate:?}");
                    return self.fail(format!(
                        "I3: {id} was handled and is dead-lettered, without a fault that explains it: {fate}"
                    ));
                }
                if !fate.are_copies_explained() {
                    let fate = format!("{fate:?}");
                    return self
                        .fail(format!("I3: {id} is dead-lettered again without a fault that explains it: {fate}"));
                }
            }
            _ => *self.facts.plain.entry((partition, index)).or_default() += 1,
        }
        if dies && self.workers[from].alive {
            self.say(|_| format!("w{from} dies before it hears of its copy"));
            self.crash(from);
        }
    }

    /// The answer of a copy is about to reach its engine. What was delivered and has an ID is exposed from then on.
    pub(super) fn copy_answered(&mut self, who: usize, work: WorkId, delivered: bool) {
        let Some(Copy { what, partition, index, assignment }) = self.workers[who].copies.remove(&work) else { return };
        self.counts.reached(if delivered { Sometimes::DeadLettered } else { Sometimes::DeliveryFailed });
        if delivered && matches!(what, What::Id(_)) && self.workers[who].engine.knows(work) {
            let run = Run {
                what,
                partition,
                index,
                assignment,
                number: 0,
                call: 0,
                effect: true,
                copy: true,
                ended: true,
                overrun: false,
                alone: false,
            };
            self.workers[who].runs.insert(work, run);
        }
    }

    /// The completion of a record that an operator skips is about to be sent: it is exposed from then on.
    pub(super) fn skip_completes(&mut self, who: usize, work: WorkId) {
        let Some((partition, index)) = self.workers[who].skips.get(&work).copied() else {
            if self.serves_skip(who, work) {
                self.fail(format!("I13: w{who} skips {work:?}, which no operator named"));
            }
            return;
        };
        if self.workers[who].runs.contains_key(&work) {
            return;
        }
        self.uses_claim(who, work);
        let Some(owned) = self.workers[who].owned.get(&partition) else { return };
        let run = Run {
            what: self.plan.log[partition][index].what,
            partition,
            index,
            assignment: owned.assignment.clone(),
            number: 0,
            call: 0,
            effect: true,
            copy: true,
            ended: true,
            overrun: false,
            alone: false,
        };
        self.workers[who].runs.insert(work, run);
    }

    /// An operator is answered what became of a record.
    pub(super) fn skip_ended(&mut self, who: usize, work: WorkId, outcome: Option<Outcome>) {
        let Some((partition, index)) = self.workers[who].skips.remove(&work) else {
            return self.fail(format!("I13: w{who} answers a skip of {work:?}, which no operator asked for"));
        };
        if let (Some(_), What::Id(id)) = (outcome, self.plan.log[partition][index].what) {
            self.facts.fate(id).skipped = true;
        }
    }

    /// The claim of a record is not one made ahead any more.
    pub(super) fn uses_claim(&mut self, who: usize, work: WorkId) {
        if let Some(token) = self.workers[who].token_of.get(&work).copied() {
            self.workers[who].asked.remove(&token);
            if let Some(fact) = self.facts.tokens.get_mut(&token) {
                fact.started = true;
            }
        }
    }
}
