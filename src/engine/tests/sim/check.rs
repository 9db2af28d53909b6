//! What must hold after every step.

use std::collections::HashMap;

use super::super::super::*;
use super::facts::{Fate, Sometimes};
use super::plan::What;
use super::store::{Id, id_of};
use super::worker::{Answer, Asked, Worker};
use super::world::{World, register};
use crate::observe::Outcome;
use crate::record::Offset;
use crate::store::{Claim, Token};

/// The attempts in doubt of records that are over.
fn over_of(worker: &Worker) -> Vec<WorkId> {
    let pending = |work: &WorkId| worker.engine.releases.values().any(|release| release.work == *work);
    worker.doubts.keys().filter(|work| !worker.engine.knows(**work) && !pending(work)).copied().collect()
}

impl World {
    /// Whether a record's effect happened, or a copy of it was delivered, by the effects and copies themselves.
    fn has_effect(&self, partition: usize, index: usize) -> bool {
        match self.plan.log[partition][index].what {
            What::Id(id) => {
                let fate = self.facts.of(id);
                fate.effects + fate.copies > 0 || (fate.done && self.is_skip_asked(id))
            }
            What::Process | What::Missing => self.facts.plain.contains_key(&(partition, index)),
        }
    }

    /// Whether an operator asked to skip a record with an ID.
    fn is_skip_asked(&self, id: Id) -> bool {
        self.facts.skips.iter().any(|(partition, index)| self.plan.log[*partition][*index].what == What::Id(id))
    }

    /// Whether a record that would stop its partition for ever was skipped, and whether that is certain to last.
    pub(super) fn was_skipped(&self, partition: usize, index: usize) -> bool {
        match self.plan.log[partition][index].what {
            What::Id(id) => self.facts.of(id).done && self.is_skip_asked(id),
            _ => self.facts.skips.contains(&(partition, index)) && self.has_effect(partition, index),
        }
    }

    /// The index of the first record of a partition that stops it for ever, and up to which index all has to be handled.
    pub(super) fn end_of(&self, partition: usize) -> (usize, usize) {
        // A skip that is not sure to last: the store forgot it, or it is known to one process until that commits.
        let passes = |index: usize| {
            let lasts = matches!(self.plan.log[partition][index].what, What::Id(id) if self.facts.of(id).losses == 0);
            self.was_skipped(partition, index) && !lasts
        };
        if (0..self.plan.log[partition].len()).any(passes) {
            return (self.plan.log[partition].len(), 0);
        }
        let end = self.plan.end(partition, |index| self.was_skipped(partition, index));
        (end, self.plan.must_be_handled(partition, end))
    }

    /// What must hold when a record settles because an operator skips it.
    pub(super) fn check_skipped(&mut self, who: usize, partition: usize, index: usize) {
        self.counts.reached(Sometimes::Skipped);
        let (entry, asked) = (&self.plan.log[partition][index], self.facts.skips.contains(&(partition, index)));
        let at = format!("w{who} skips {partition}@{}", entry.offset);
        if !asked {
            return self.fail(format!("I13: {at}, which no operator named"));
        }
        match entry.what {
            What::Id(id) if !self.facts.of(id).done => {
                self.fail(format!("I13: {at} before its ID is recorded as done"))
            }
            What::Id(_) => {}
            What::Process | What::Missing => *self.facts.plain.entry((partition, index)).or_default() += 1,
        }
    }

    /// Whether a record's claim serves a skip, which waits for no turn and for no end of a pause.
    pub(super) fn serves_skip(&self, who: usize, work: WorkId) -> bool {
        self.workers[who].engine.work(work).is_some_and(|work| work.operator_skips)
    }

    /// A stopped partition goes on only once its record needs nothing more.
    pub(super) fn check_goes_on(&mut self, who: usize, partition: usize, offset: Offset) {
        self.counts.reached(Sometimes::WentOn);
        let index = self.plan.index_of(partition, offset);
        if !self.is_over(partition, index) {
            self.fail(format!("I13: w{who} goes on with {partition} although {offset} is not settled"));
        }
    }

    /// Whether a record needs nothing more.
    fn is_over(&self, partition: usize, index: usize) -> bool {
        let done = match self.plan.log[partition][index].what {
            What::Id(id) => self.facts.of(id).done,
            _ => true,
        };
        done && self.has_effect(partition, index)
    }

    /// The index of the first record in a lane before `end` that has had no effect, but for those of `beside`.
    fn unhandled_before(&self, partition: usize, end: usize, beside: &[(usize, usize)]) -> Option<usize> {
        let log = &self.plan.log[partition];
        (self.facts.over[partition]..end).find(|index| {
            log[*index].lane == log[end].lane
                && !self.has_effect(partition, *index)
                && !beside.contains(&(partition, *index))
        })
    }

    pub(super) fn check_claim(&mut self, who: usize, work: WorkId, claim: &Claim) {
        let token = claim.lease.token;
        let (partition, offset) = (claim.origin.partition.partition(), claim.origin.offset);
        if self.workers[who].released.contains(&token) {
            return self.fail(format!("I7: w{who} uses {token:?} again after its release"));
        }
        let id = What::Id(id_of(&claim.lease));
        if self.workers[who].runs.values().any(|run| run.what == id && run.effect) {
            return self.fail(format!("I3: w{who} claims {id:?}, whose effect it knows of"));
        }
        let index = self.plan.index_of(partition as usize, offset);
        let lane = self.plan.log[partition as usize][index].lane;
        let skips = self.serves_skip(who, work);
        if claim.takes_over
            && !skips
            && let Some(before) = self.unhandled_before(partition as usize, index, &[])
        {
            return self.fail(format!("I10: w{who} takes {partition}@{offset} over before {before} was handled"));
        }
        let parked = self.workers[who].parked.get(&(partition, lane)).is_some_and(|parked| offset > *parked);
        if parked && !skips && !self.workers[who].just_parked.contains(&(partition, lane)) {
            return self.fail(format!("I9: w{who} claims {partition}@{offset} behind a parked head"));
        }
        let worker = &mut self.workers[who];
        worker.token_of.insert(work, token);
        if let Some(asked) = worker.asked.get_mut(&token) {
            asked.answer = Answer::Awaited;
            return;
        }
        let Some(owned) = worker.owned.get(&(partition as usize)) else {
            return self.fail(format!("I8: w{who} claims for {partition}, which it does not have"));
        };
        let assignment = owned.assignment.clone();
        let asked = Asked { assignment, partition, lane, offset, answer: Answer::Awaited, was_unknown: false };
        if !self.facts.tokens.contains_key(&token) {
            register(self, who, token, asked);
        }
    }

    /// A record settles as a duplicate only where its ID was recorded as done before.
    pub(super) fn check_duplicate(&mut self, who: usize, partition: i32, offset: Offset) {
        let index = self.plan.index_of(partition as usize, offset);
        let What::Id(id) = self.plan.log[partition as usize][index].what else { return };
        if !self.facts.of(id).done {
            self.fail(format!("I4: w{who} settles {partition}@{offset} as a duplicate of {id}, which was never done"));
        }
    }

    /// A record settles as a dead letter only where a copy of it was delivered and its ID recorded as done.
    pub(super) fn check_settled(&mut self, who: usize, partition: i32, offset: Offset, outcome: Outcome) {
        if outcome != Outcome::DeadLettered {
            return;
        }
        let index = self.plan.index_of(partition as usize, offset);
        if !self.is_over(partition as usize, index) {
            self.fail(format!(
                "I1: LOST: w{who} settles {partition}@{offset} as a dead letter that was not delivered, or not recorded"
            ));
        }
    }

    /// Only what can never be handled goes to the dead-letter topic, at its turn.
    pub(super) fn check_publish(&mut self, who: usize, partition: usize, index: usize) {
        let entry = &self.plan.log[partition][index];
        let at = format!("w{who} dead-letters {partition}@{}", entry.offset);
        if !self.plan.config.dead_letter {
            return self.fail(format!("I10: {at}, and there is no topic for that"));
        }
        if !self.plan.is_given_up(entry.what) {
            return self.fail(format!("I10: {at}, an innocent record: {:?}", entry.what));
        }
        if self.workers[who].owned.get(&partition).is_none_or(|owned| owned.revoking) {
            return self.fail(format!("I8: {at} of a partition that it does not have any more"));
        }
        if let Some(before) = self.unhandled_before(partition, index, &[]) {
            let before = self.plan.log[partition][before].offset;
            self.fail(format!("I6: {at} before {before} was handled"));
        }
    }

    /// How much runs at once is bounded, counted in calls and, for one partition, in records.
    pub(super) fn check_calls(&mut self, who: usize, starts: &[Start]) {
        let config = &self.plan.config;
        let (calls, most) = (self.workers[who].calls.len() + 1, config.concurrency);
        if starts.is_empty() || starts.len() > config.batch {
            return self.fail(format!("I3: a call of w{who} takes {} records, at most {}", starts.len(), config.batch));
        }
        if config.order != Order::Partition && calls > most {
            self.fail(format!("I3: w{who} has {calls} calls under way, {most} at most"));
        }
    }

    /// Nothing is given back after its effect: its completion is on its way.
    pub(super) fn check_give_back(&mut self, who: usize, token: Token) {
        let worker = &self.workers[who];
        if worker.runs.iter().any(|(work, run)| run.effect && worker.token_of.get(work) == Some(&token)) {
            self.fail(format!("I7: w{who} gives {token:?} back after its effect"));
        }
    }

    /// No attempt comes before the time that the handler asked for.
    pub(super) fn check_pause(&mut self, who: usize, work: WorkId) {
        let now = self.workers[who].local(self.now);
        if self.workers[who].not_before.remove(&work).is_some_and(|at| now < at) {
            self.fail(format!("I11: w{who} starts {work:?} again before its handler asked for it"));
        }
    }

    /// Two handlers of one ID run at the same time only if the lease of one ran out, by the store's clock.
    pub(super) fn check_overlap(&mut self, who: usize, work: WorkId, what: What) {
        let What::Id(id) = what else { return };
        let lost = self.facts.of(id).losses > 0;
        let now = self.now;
        let valid = |worker: &Worker, work: &WorkId| {
            let fact = worker.token_of.get(work).and_then(|token| self.facts.tokens.get(token));
            fact.is_some_and(|fact| fact.valid_until > now)
        };
        let mine = valid(&self.workers[who], &work);
        let others = self.workers.iter().enumerate().filter(|(other, worker)| *other != who && worker.alive);
        let mut overlaps = others.flat_map(|(other, worker)| {
            let runs = worker.runs.iter().filter(|(_, run)| run.what == what && !run.ended);
            runs.map(move |(work, _)| (other, valid(worker, work)))
        });
        let Some((other, theirs)) = overlaps.next() else { return };
        drop(overlaps);
        self.counts.reached(Sometimes::Overlap);
        if mine && theirs && !lost {
            self.fail(format!("I5: w{who} starts {id} while w{other} handles it, and both leases hold"));
        }
    }

    /// What must hold when a handler starts; `beside` are the records before it in the same call.
    pub(super) fn check_start(
        &mut self,
        who: usize,
        (partition, index): (usize, usize),
        alone: bool,
        beside: &[(usize, usize)],
    ) {
        let worker = &self.workers[who];
        let (exposed, bound) = (worker.runs.len() + 1, self.plan.config.max_exposed);
        let at = format!("w{who} starts {partition}@{}", self.plan.log[partition][index].offset);
        if exposed > bound {
            return self.fail(format!("I3: {at} with {exposed} exposed, {bound} at most"));
        }
        if worker.owned.get(&partition).is_none_or(|owned| owned.revoking) {
            return self.fail(format!("I8: {at} of a partition that it does not have any more"));
        }
        // Where it stood before this step: what started before it stopped did not start behind it.
        let stood = worker.stood.get(&(partition as i32)).copied();
        let stands = worker.stands_at(partition).map(|work| work.record.offset()).filter(|at| stood == Some(*at));
        let stands = stands.map(|offset| self.plan.index_of(partition, offset));
        let log = &self.plan.log[partition];
        if stands.is_some_and(|stands| log[stands].lane != log[index].lane || index > stands) {
            return self.fail(format!("I13: {at} although its partition stands stopped at another record"));
        }
        if let What::Id(id) = log[index].what
            && (self.facts.of(id).skipped, self.facts.of(id).losses, self.facts.of(id).late) == (true, 0, false)
        {
            return self.fail(format!("I13: {at} after an operator was answered that it is skipped"));
        }
        if let (Some(most), Some(owned)) = (self.plan.config.partition_concurrency, worker.owned.get(&partition)) {
            let running = worker.runs.values().filter(|run| !run.ended && run.assignment == owned.assignment).count();
            if running >= most {
                return self.fail(format!("I3: {at} beside {running} of its partition, {most} at most at once"));
            }
        }
        let what = self.plan.log[partition][index].what;
        if matches!(what, What::Id(_)) && worker.runs.values().any(|run| run.what == what) {
            return self.fail(format!("I5: {at} while it handles the same ID"));
        }
        if worker.runs.values().any(|run| !run.ended && (run.alone || alone)) {
            return self.fail(format!("I10: {at} beside a suspect that has to run alone"));
        }
        if let Some(before) = self.unhandled_before(partition, index, beside) {
            let before = self.plan.log[partition][before].offset;
            self.fail(format!("I6: {at} before {before} was handled"));
        }
    }

    pub(super) fn check_commit(&mut self, who: usize, assignment: &Assignment, offset: Offset) {
        let partition = assignment.partition.partition() as usize;
        if self.workers[who].closed.contains(assignment) {
            return self.fail(format!("I8: w{who} commits {assignment:?} after it was given up"));
        }
        let log = &self.plan.log[partition];
        let end = log.partition_point(|entry| entry.offset < offset);
        let known = self.facts.over[partition];
        if let Some(lost) = (known..end).find(|index| !self.has_effect(partition, *index)) {
            let lost = log[lost].offset;
            return self.fail(format!("I1: LOST: w{who} commits {partition} up to {offset}, {lost} was never handled"));
        }
        if let Some(early) = (known..end).find(|index| !self.is_over(partition, *index)) {
            let early = log[early].offset;
            return self
                .fail(format!("I2: w{who} commits {partition} up to {offset}, {early} is not recorded as done"));
        }
        self.facts.over[partition] = known.max(end);
        let before = self.workers[who].commits.insert(assignment.clone(), (offset, false));
        if let Some((before, refused)) = before
            && (offset < before || (offset == before && !refused))
        {
            self.fail(format!("I2: w{who} commits {partition} up to {offset} after {before}"));
        }
    }

    pub(super) fn check_revoke_done(&mut self, who: usize, assignments: &[Assignment]) {
        let worker = &self.workers[who];
        let under_way = |assignment: &Assignment| {
            worker.runs.values().any(|run| run.assignment == *assignment)
                || worker.copies.values().any(|copy| copy.assignment == *assignment)
                || worker.asked.values().any(|asked| asked.assignment == *assignment)
                || worker.is_releasing(self.now, |releasing| releasing == assignment)
        };
        let lost = |assignment: &Assignment| worker.closed.contains(assignment);
        let early = assignments.iter().any(|assignment| !lost(assignment) && under_way(assignment));
        let now = worker.local(self.now);
        let over = worker.revoke_deadlines.iter().any(|(parts, deadline)| parts == assignments && *deadline <= now);
        if early && !over {
            let what = format!("{:?} {:?} {:?}", worker.runs, worker.asked, worker.releasing);
            self.fail(format!("I8: w{who} gives {assignments:?} back while something of it is under way: {what}"));
        }
    }

    /// What must hold in a worker between two steps.
    pub(super) fn check_worker(&mut self, who: usize) {
        let worker = &self.workers[who];
        if worker.engine.exposed() != worker.runs.len() {
            let (counted, real) = (worker.engine.exposed(), worker.runs.len());
            return self.fail(format!("I3: w{who} counts {counted} exposed, {real} are"));
        }
        for work in over_of(worker) {
            let Some(doubt) = self.workers[who].doubts.remove(&work) else { continue };
            if doubt.reported {
                self.counts.reached(Sometimes::Doubted);
            } else if !doubt.excused {
                let id = doubt.id;
                return self.fail(format!("I3: w{who} hides that the effect of {id} may have been repeated"));
            }
        }
        let worker = &self.workers[who];
        let kept = |work: &Work| work.stage == work::Stage::Held && work.hold.is_some();
        if worker.paused_until.is_some() && worker.engine.works.iter().any(|(_, work)| kept(work)) {
            return self.fail(format!("I11: w{who} is paused, and keeps what it claimed ahead"));
        }
        let rests = |work: &&Work| {
            let part = worker.engine.parts.get(work.part);
            let idle = part.is_some_and(|part| part.rests() && part.stop.as_ref().is_some_and(|stop| !stop.trying));
            idle && !work.operator_skips && matches!(work.stage, work::Stage::Held | work::Stage::BackingOff(_))
        };
        if worker.engine.works.iter().map(|(_, work)| work).filter(rests).any(|work| work.hold.is_some()) {
            return self.fail(format!("I13: w{who} keeps a claim of a partition that stands stopped"));
        }
        let behind = worker.asked.values().find(|asked| {
            asked.answer == Answer::Held
                && worker.parked.get(&(asked.partition, asked.lane)).is_some_and(|parked| asked.offset > *parked)
                && worker.owned.values().any(|owned| owned.assignment == asked.assignment)
        });
        if let Some(asked) = behind {
            let (partition, offset) = (asked.partition, asked.offset);
            return self.fail(format!("I9: w{who} keeps its claim of {partition}@{offset} behind a parked head"));
        }
        let (told, known) = (worker.settled + worker.engine.in_flight(), worker.delivered);
        let given_back = known.wrapping_sub(told);
        if told > known || given_back < worker.given_back || (told < known && !worker.dropped) {
            return self.fail(format!("I12: w{who} was delivered {known} records and tells of {told}"));
        }
        self.workers[who].given_back = given_back;
        let worker = &self.workers[who];
        let memory = |work: &Work| (work.memory, work.record.shared_bytes());
        let held: HashMap<usize, usize> = worker.engine.works.iter().map(|(_, work)| memory(work)).collect();
        let (counted, held) = (worker.engine.bytes, held.values().sum::<usize>());
        if counted != held {
            return self.fail(format!("I12: w{who} counts {counted} bytes, and {held} are held"));
        }
        if !worker.parked.is_empty() && !worker.in_process_deadlock && worker.has_deadlock() {
            self.workers[who].in_process_deadlock = true;
            self.counts.reached(Sometimes::InProcessDeadlock);
        }
    }

    /// What must hold when all is over.
    pub(super) fn check_end(&mut self) {
        for partition in 0..self.plan.log.len() {
            let (_, end) = self.end_of(partition);
            if let Some(lost) = (0..end).find(|index| !self.has_effect(partition, *index)) {
                return self.fail(format!("I1: LOST: {lost} of {partition}"));
            }
        }
        let silent = |(_, fate): &(usize, &Fate)| !fate.is_explained();
        let silent = self.facts.fates().enumerate().find(silent).map(|(id, fate)| (id, format!("{fate:?}")));
        if let Some((id, fate)) = silent {
            self.fail(format!("I3: the effect of {id} was repeated: {fate}"));
        }
    }
}
