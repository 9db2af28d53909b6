//! Processes: started, fed, struck by faults, ended.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::super::super::{Arrival, Event, Identified, Work};
use super::facts::Sometimes;
use super::plan::{Fault, HEAL, MS, What};
use super::slices::BOUND;
use super::worker::{Answer, Worker};
use super::world::{Ev, World, fingerprint};
use crate::id::{IdProblem, NoMessageId};
use crate::record::{Record, TopicPartition};

impl World {
    pub(super) fn launch(&mut self, slot: usize) {
        let mut seed = [0; 32];
        self.rng.fill(&mut seed);
        let rate = self.rng.random_range(0.98..1.02);
        let who = self.workers.len();
        let bound = BOUND as i64 - 1;
        let skew = *[-bound, 0, bound, self.rng.random_range(-bound..=bound)].choose(&mut self.rng).expect("some");
        let mut worker = Worker::new(slot, self.plan.config.clone(), seed, rate, skew);
        worker.engine.planted = self.planted_in_engines();
        self.workers.push(worker);
        self.say(|_| format!("w{who} starts"));
        self.after(MS, Ev::Poll { at: who });
        self.join(who);
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        let able: Vec<usize> = (0..self.workers.len())
            .filter(|who| self.workers[*who].alive && self.workers[*who].shutting_down.is_none())
            .collect();
        let Some(who) = able.choose(&mut self.rng).copied() else { return };
        self.say(|_| format!("FAULT {fault:?} (w{who})"));
        match fault {
            Fault::Crash => self.crash(who),
            Fault::CrashInStep => self.workers[who].crash_in = Some(self.rng.random_range(0..12)),
            Fault::Outage(time) => {
                self.store_down = true;
                let until = (self.now + time).min(HEAL);
                self.at(until, Ev::StoreUp);
            }
            Fault::Full(time) => {
                self.store_full = true;
                let until = (self.now + time).min(HEAL);
                self.at(until, Ev::StoreRoom);
            }
            Fault::Loss => {
                for id in self.server.lose() {
                    self.facts.fate(id).losses += 1;
                }
            }
            Fault::SessionLoss(later) => {
                let assignments = self.leave(who);
                let later = later.min(HEAL.saturating_sub(self.now));
                self.control(who, later, Ev::Lose { to: who, assignments });
            }
            Fault::Rebalance => self.rebalance(),
            Fault::Stall(time) => {
                let until = (self.now + time).min(HEAL);
                self.workers[who].stalled_until = self.workers[who].stalled_until.max(until);
                self.workers[who].stood_still_at = Some(self.workers[who].stalled_until);
            }
            Fault::Shutdown => {
                let worker = &mut self.workers[who];
                let deadline = self.now + self.plan.drain;
                let local = worker.local(deadline);
                worker.shutting_down = Some(deadline);
                worker.dropped = true;
                self.step(who, Event::Shutdown { deadline: local });
            }
            Fault::Pause(time) => {
                let until = (self.now + time).min(HEAL);
                let worker = &mut self.workers[who];
                let runs = worker.runs.values().any(|run| !run.ended);
                let ahead = worker.asked.values().any(|asked| asked.answer == Answer::Held);
                if runs && ahead {
                    self.counts.reached(Sometimes::Paused);
                }
                let worker = &mut self.workers[who];
                worker.paused_until = worker.paused_until.max(Some(until));
                self.at(until, Ev::Resume { at: who });
                self.step(who, Event::Pause);
            }
            Fault::Retry => self.step(who, Event::Retry(None)),
            Fault::Skip => self.skip(who),
            Fault::Join => {
                if able.len() < 4 {
                    let slot = self.workers.len();
                    self.launch(slot);
                }
            }
        }
    }

    /// An operator skips one of the records that a worker can skip.
    fn skip(&mut self, who: usize) {
        let worker = &self.workers[who];
        let now = worker.local(self.now);
        let mut places: Vec<_> = worker.engine.works.iter().map(|(_, work)| work).map(|work| &work.record).collect();
        places.sort_by_key(|record| (record.partition().partition(), record.offset()));
        let can = places.into_iter().filter_map(|record| {
            let found = worker.engine.skippable(record.partition(), record.offset(), now).ok()?;
            Some((found.work, record.partition().partition() as usize, record.offset()))
        });
        let can: Vec<_> = can.collect();
        let Some((work, partition, offset)) = can.choose(&mut self.rng).copied() else { return };
        let index = self.plan.index_of(partition, offset);
        self.say(|_| format!("an operator has w{who} skip {partition}@{offset}"));
        self.facts.skips.insert((partition, index));
        self.workers[who].skips.insert(work, (partition, index));
        self.step(who, Event::Skip { work });
    }

    /// An operator has those records tried again that no partition tries by itself, and that may succeed.
    pub(super) fn operator(&mut self) {
        let waits = |worker: &Worker, partition: usize| {
            let Some(work) = worker.stands_at(partition) else { return false };
            let part = worker.engine.parts.get(work.part);
            let waits =
                part.and_then(|part| part.stop.as_ref()).is_some_and(|stop| !stop.trying && !stop.cause.may_mend());
            let index = self.plan.index_of(partition, work.record.offset());
            waits && self.plan.mends(partition, index)
        };
        let alive = self.workers.iter().enumerate().filter(|(_, worker)| worker.alive);
        let found: Vec<_> = alive
            .flat_map(|(who, worker)| {
                let waiting = worker.owned.keys().copied().filter(|partition| waits(worker, *partition));
                waiting.map(move |partition| (who, partition)).collect::<Vec<_>>()
            })
            .collect();
        for (who, partition) in found {
            let partition = TopicPartition::new("t", partition as i32);
            self.step(who, Event::Retry(Some(partition)));
        }
        self.after(500 * MS, Ev::Operator);
    }

    /// A process ends without a word; what it sent is still under way.
    pub(super) fn crash(&mut self, who: usize) {
        self.gone(who);
        let missed = self.within(300 * MS);
        self.after(missed, Ev::Missed { who });
        let again = self.within(400 * MS);
        let slot = self.workers[who].slot;
        self.after(again, Ev::Launch { slot });
    }

    pub(super) fn gone(&mut self, who: usize) {
        self.say(|_| format!("w{who} is gone"));
        let worker = &mut self.workers[who];
        worker.alive = false;
        worker.gathered.clear();
        let runs = std::mem::take(&mut worker.runs);
        let mut exposed = 0;
        for run in runs.into_values().filter(|run| run.effect) {
            exposed += usize::from(!run.copy);
            if let What::Id(id) = run.what {
                self.facts.fate(id).crashes += usize::from(!run.copy);
                self.facts.fate(id).copied_again += usize::from(run.copy);
            }
        }
        for copy in std::mem::take(&mut self.workers[who].copies).into_values() {
            if let What::Id(id) = copy.what {
                self.facts.fate(id).copied_again += 1;
            }
        }
        if exposed > 0 {
            self.counts.reached(Sometimes::CrashWhileExposed);
        }
        if exposed > self.plan.config.max_exposed {
            self.fail(format!("I3: a crash of w{who} can repeat {exposed} effects"));
        }
        self.facts.tokens.values_mut().filter(|token| token.worker == who).for_each(|token| token.given_up = true);
    }

    pub(super) fn poll(&mut self, at: usize) {
        let now = self.now;
        let local = self.workers[at].local(now);
        let Worker { engine, owned, .. } = &mut self.workers[at];
        let ready: Vec<usize> = owned
            .iter()
            .filter(|(_, owned)| !owned.revoking && !owned.paused && !owned.fetched)
            .filter(|(_, owned)| engine.admits(local, &owned.assignment))
            .filter(|(partition, owned)| {
                self.plan.log[**partition].get(owned.position).is_some_and(|entry| entry.at <= now)
            })
            .map(|(partition, _)| *partition)
            .collect();
        let Some(partition) = ready.choose(&mut self.rng).copied() else {
            let delay = 10 * MS + self.within(40 * MS);
            return self.after(delay, Ev::Poll { at });
        };
        let most = self.rng.random_range(1..=self.plan.batch);
        let Some(owned) = self.workers[at].owned.get_mut(&partition) else { return };
        let from = owned.position;
        let log = &self.plan.log[partition];
        let count = log[from..].iter().take(most).take_while(|entry| entry.at <= now).count();
        owned.position += count;
        let assignment = owned.assignment.clone();
        let delayed = self.rng.random_ratio(1, 4);
        owned.fetched = delayed;
        let delay = if delayed { self.within(8 * MS) } else { 0 };
        self.after(delay, Ev::Records { to: at, partition, assignment, from, count });
        let again = self.within(6 * MS);
        self.after(again, Ev::Poll { at });
    }

    pub(super) fn arrivals(&self, partition: usize, from: usize, count: usize) -> Vec<Arrival> {
        let no_id = |record: &Record| Box::new(NoMessageId { origin: record.origin(), problem: IdProblem::Empty });
        let identify = |what: What, record: &Record| match what {
            What::Id(id) => Identified::Id { fingerprint: fingerprint(id), message: None },
            What::Process => Identified::Process,
            What::Missing if self.plan.config.dead_letter => Identified::DeadLetter(no_id(record)),
            What::Missing => Identified::Stop(no_id(record)),
        };
        self.plan.log[partition][from..from + count]
            .iter()
            .map(|entry| Arrival::new(entry.record.clone(), identify(entry.what, &entry.record)))
            .collect()
    }

    pub(super) fn finished(&mut self, who: usize) {
        let worker = &self.workers[who];
        let over = worker.shutting_down.is_some_and(|deadline| worker.local(self.now) >= worker.local(deadline));
        let busy = !worker.runs.is_empty()
            || !worker.copies.is_empty()
            || !worker.asked.is_empty()
            || worker.is_releasing(self.now, |_| true);
        if !over && busy {
            self.fail(format!("I8: w{who} finished although something was under way"));
        }
        let worker = &self.workers[who];
        let keeps = |work: &&Work| work.fingerprint.is_some() && (work.hold.is_some() || work.is_claimed_ahead());
        let kept = worker.engine.works.iter().map(|(_, work)| work).filter(|work| !work.is_exposed()).find(keeps);
        if let Some(work) = kept {
            let what = format!("{} in {:?}", work.record.origin(), work.stage);
            return self.fail(format!("I8: w{who} ends and keeps its claim of {what}, which does not run"));
        }
        self.counts.reached(Sometimes::ShutDown);
        let slot = self.workers[who].slot;
        self.gone(who);
        self.leave(who);
        let delay = self.within(200 * MS);
        self.after(delay, Ev::Launch { slot });
    }
}
