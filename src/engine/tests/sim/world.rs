//! The world around the engines: an event queue in virtual time, the way of commands to the store, handlers, faults.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use slab::Slab;

use super::super::super::{Bug, Event};
use super::call::{Call, StoreBug};
use super::facts::{Counts, Facts, TokenFact};
use super::group::Group;
pub(super) use super::happening::Ev;
use super::plan::{Conduct, GRACE, HEAL, LEASE, MS, Plan};
use super::slices::WINDOW;
use super::store::{Id, Server};
use super::worker::{Asked, Owned, Worker};
use crate::id::Fingerprint;
use crate::store::Token;

/// A planted mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Engine(Bug),
    Store(StoreBug),
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) rng: StdRng,
    pub(super) now: u64,
    /// When, in which order, and the event's place.
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Slab<Ev>,
    sequence: u64,
    /// The mistake that is to be found.
    flaw: Option<Flaw>,
    pub(super) server: Server,
    /// By how much the store's clock is ahead of the schedule's.
    origin: u64,
    pub(super) calls: Slab<Call>,
    pub(super) store_down: bool,
    pub(super) store_full: bool,
    pub(super) group: Group,
    pub(super) workers: Vec<Worker>,
    pub(super) facts: Facts,
    pub(super) counts: Counts,
    pub(super) steps: u64,
    /// Everything that happened, in engines and around them.
    pub(super) happened: u64,
    pub(super) runs: u64,
    pub(super) conduct: Vec<Conduct>,
    /// Partitions that stopped at some time.
    pub(super) stopped: HashSet<usize>,
    pub(super) failure: Option<String>,
    pub(super) trace: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(seed: u64, traced: bool, flaw: Option<Flaw>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let plan = Plan::draw(&mut rng);
        let group = Group::new(&plan);
        let facts = Facts::new(plan.log.len(), plan.conduct.len());
        let mut world = Self {
            conduct: plan.conduct.clone(),
            group,
            plan,
            rng,
            now: 0,
            queue: BinaryHeap::new(),
            events: Slab::new(),
            sequence: 0,
            flaw,
            server: Server::new(LEASE, GRACE),
            origin: 0,
            calls: Slab::new(),
            store_down: false,
            store_full: false,
            workers: Vec::new(),
            facts,
            counts: Counts::default(),
            steps: 0,
            happened: 0,
            runs: 0,
            stopped: HashSet::new(),
            failure: None,
            trace: traced.then(Vec::new),
        };
        world.say(|world| format!("{:?}", world.plan.config));
        world.say(|world| {
            let all = world.plan.conduct.iter().enumerate().filter(|(_, conduct)| **conduct != Conduct::Good);
            format!("all are good but {:?}", all.collect::<Vec<_>>())
        });
        world.say(|world| {
            let what = |log: &Vec<super::plan::Entry>| {
                log.iter()
                    .map(|entry| format!("{}:{:?}/{}", entry.offset, entry.what, entry.lane))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            world.plan.log.iter().map(what).collect::<Vec<_>>().join("\n")
        });
        world.origin = 10 * WINDOW - world.plan.boundary;
        world.server.releases_anyhow = world.planted(StoreBug::StaleRelease);
        for at in world.plan.growths.clone() {
            world.at(at, Ev::Grow);
        }
        for slot in 0..world.plan.workers {
            let at = world.rng.random_range(0..20 * MS);
            world.at(at, Ev::Launch { slot });
        }
        world.at(HEAL, Ev::Operator);
        for (at, fault) in world.plan.faults.clone() {
            world.at(at, Ev::Fault(fault));
        }
        world
    }

    pub(super) fn say(&mut self, line: impl FnOnce(&Self) -> String) {
        if let Some(mut trace) = self.trace.take() {
            trace.push(format!("{:>9.3} {}", self.now as f64 / MS as f64, line(self)));
            self.trace = Some(trace);
        }
    }

    pub(super) fn fail(&mut self, why: String) {
        self.say(|_| format!("VIOLATION {why}"));
        self.failure.get_or_insert(why);
    }

    /// The store's clock.
    pub(super) fn store_time(&self) -> u64 {
        self.now + self.origin
    }

    /// Whether the client of the store is to make that mistake.
    pub(super) fn planted(&self, bug: StoreBug) -> bool {
        self.flaw == Some(Flaw::Store(bug))
    }

    /// The mistake that engines are to make.
    pub(super) fn planted_in_engines(&self) -> Option<Bug> {
        match self.flaw {
            Some(Flaw::Engine(bug)) => Some(bug),
            _ => None,
        }
    }

    pub(super) fn healed(&self) -> bool {
        self.now >= HEAL
    }

    pub(super) fn at(&mut self, at: u64, event: Ev) {
        self.sequence += 1;
        let place = self.events.insert(event);
        self.queue.push(Reverse((at.max(self.now), self.sequence, place)));
    }

    pub(super) fn after(&mut self, delay: u64, event: Ev) {
        self.at(self.now + delay, event);
    }

    /// A delay of a microsecond up to so much.
    pub(super) fn within(&mut self, most: u64) -> u64 {
        self.rng.random_range(1..=most.max(1))
    }

    /// Sends something to a worker that must not overtake what was sent before.
    pub(super) fn control(&mut self, to: usize, delay: u64, event: Ev) {
        let at = (self.now + delay).max(self.workers[to].control_at + 1);
        self.workers[to].control_at = at;
        self.at(at, event);
    }

    /// Runs until all is handled and committed, or something is wrong.
    pub(super) fn run(&mut self) {
        let poisoned = self.plan.conduct.contains(&Conduct::Poison);
        let limit = HEAL + if poisoned { 120_000 * MS } else { 90_000 * MS };
        while self.failure.is_none() {
            let Some(Reverse((at, sequence, place))) = self.queue.pop() else {
                return self.fail("I9: nothing will ever happen any more".into());
            };
            let event = self.events.remove(place);
            self.now = at;
            self.happened += 1;
            if self.healed() && self.is_complete() {
                return self.check_end();
            }
            if self.now > limit {
                let committed: Vec<_> = self.group.committed.clone();
                return self.fail(format!("I9: not all was handled in time: committed up to {committed:?}"));
            }
            if let Some(worker) = event.process(&self.calls) {
                if !self.workers[worker].alive {
                    continue;
                }
                let until = self.workers[worker].stalled_until;
                if until > self.now {
                    // In the order in which it was to happen.
                    let place = self.events.insert(event);
                    self.queue.push(Reverse((until, sequence, place)));
                    continue;
                }
            }
            self.happen(event);
        }
    }

    fn is_complete(&self) -> bool {
        (0..self.plan.log.len()).all(|partition| {
            let (log, (end, most)) = (&self.plan.log[partition], self.end_of(partition));
            let committed = self.group.committed[partition];
            // What lies between is a gap.
            let handled = most == 0 || committed > log[most - 1].offset;
            handled && (end == log.len() || self.stopped.contains(&partition))
        })
    }

    fn happen(&mut self, event: Ev) {
        if let Ev::Assign { to, .. } | Ev::Revoke { to, .. } | Ev::Lose { to, .. } = &event {
            // A change of the assignment is a turn of its own.
            let to = *to;
            self.turn(to);
            if !self.workers[to].alive {
                return;
            }
        }
        match event {
            Ev::Execute { call } => self.execute(call),
            Ev::Answer { call } => self.answered(call),
            Ev::Delete { id } => {
                if !self.store_down {
                    self.say(|_| format!("store deletes the lease of {id}"));
                    let lost = self.facts.of(id).losses > 0;
                    if lost && self.server.holder(id, self.now).is_some() && !self.server.done.knows(id) {
                        // The done mark, for which it is deleted, was lost meanwhile: whose lease this is loses it, too.
                        self.facts.fate(id).losses += 1;
                    }
                    self.server.delete(id);
                }
            }
            Ev::GiveBack { id, token } => {
                if !self.store_down {
                    let before = self.server.held(id, self.now);
                    self.server.give_back(id, token, self.now);
                    self.ends(token);
                    self.check_token(id, token, before);
                }
            }
            Ev::Deliver { to, event } => self.deliver(to, event),
            Ev::Assign { to, assigned } => {
                let mut assignments = Vec::new();
                for (partition, assignment, position) in assigned {
                    let owned = Owned {
                        assignment: assignment.clone(),
                        position,
                        revoking: false,
                        paused: false,
                        fetched: false,
                    };
                    self.workers[to].owned.insert(partition, owned);
                    self.workers[to].forget_parked(partition as i32);
                    self.workers[to].standing.remove(&(partition as i32));
                    assignments.push(assignment);
                }
                self.step(to, Event::Assigned(assignments));
            }
            Ev::Revoke { to, assignments } => {
                let worker = &mut self.workers[to];
                worker.dropped = true;
                for owned in worker.owned.values_mut().filter(|owned| assignments.contains(&owned.assignment)) {
                    owned.revoking = true;
                }
                let deadline = worker.local(self.now) + Duration::from_micros(self.plan.drain);
                worker.revoke_deadlines.push((assignments.clone(), deadline));
                self.step(to, Event::RevokeRequested { assignments, deadline });
            }
            Ev::Lose { to, assignments } => {
                let worker = &mut self.workers[to];
                worker.dropped = true;
                worker.owned.retain(|_, owned| !assignments.contains(&owned.assignment));
                worker.closed.extend(assignments.iter().cloned());
                self.step(to, Event::Lost(assignments));
                let delay = self.within(200 * MS);
                self.after(delay, Ev::Rejoin { who: to });
            }
            Ev::Records { to, partition, assignment, from, count } => {
                if let Some(owned) = self.workers[to].owned.get_mut(&partition)
                    && owned.assignment == assignment
                {
                    owned.fetched = false;
                }
                let arrivals = self.arrivals(partition, from, count);
                self.step(to, Event::Records { assignment, arrivals });
            }
            Ev::Effect { at, work, run } => self.effect(at, work, run),
            Ev::End { at, work, run, result } => self.end(at, work, run, result),
            Ev::Die { at, work, run } => self.die(at, work, run),
            Ev::Copy { from, partition, index, dies } => self.copied(from, partition, index, dies),
            Ev::Tick { at } => {
                if self.workers[at].tick_at.is_some_and(|due| due <= self.now) {
                    self.workers[at].tick_at = None;
                    self.step(at, Event::Tick);
                }
            }
            Ev::Turn { at } => self.turn(at),
            Ev::Operator => self.operator(),
            Ev::Poll { at } => self.poll(at),
            Ev::Resume { at } => {
                // A later pause lasts longer.
                if self.workers[at].paused_until.is_some_and(|until| until <= self.now) {
                    self.workers[at].paused_until = None;
                    self.step(at, Event::Resume);
                }
            }
            Ev::Rejoin { who } => self.join(who),
            Ev::Commit { from, assignment, offset } => self.commit_arrives(from, assignment, offset),
            Ev::RevokeDone { from, assignments } => self.revoke_done_arrives(from, &assignments),
            Ev::Missed { who } => {
                self.leave(who);
            }
            Ev::Launch { slot } => self.launch(slot),
            Ev::Fault(fault) => self.fault(fault),
            Ev::StoreUp => self.store_down = false,
            Ev::StoreRoom => self.store_full = false,
            Ev::Grow => {
                let now = self.store_time();
                let at_once = self.planted(StoreBug::NoNotice);
                self.server.done.grow(now, at_once);
            }
        }
    }
}

pub(super) fn fingerprint(id: Id) -> Fingerprint {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&id.to_be_bytes());
    Fingerprint::from_bytes(bytes)
}

/// Registers a token that was just drawn.
pub(super) fn register(world: &mut World, who: usize, token: Token, asked: Asked) {
    let claimed_at = world.workers[who].local(world.now);
    let fact = TokenFact {
        worker: who,
        claimed_at,
        started: false,
        failures: 0,
        valid_until: 0,
        given_up: false,
        trouble_at: None,
    };
    world.facts.tokens.insert(token, fact);
    world.workers[who].asked.insert(token, asked);
}
