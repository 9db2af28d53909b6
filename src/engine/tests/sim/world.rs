//! The world around the engines: an event queue in virtual time, the way of commands to the store, handlers, faults.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::super::{Assignment, Event, WorkId};
use super::facts::{Counts, Facts, TokenFact};
use super::group::Group;
use super::plan::{Conduct, Fault, GRACE, HEAL, LEASE, MS, Plan};
use super::store::{Id, ModelStore};
use super::worker::{Asked, Owned, Worker};
use crate::id::Fingerprint;
use crate::observe::FailureKind;
use crate::record::Offset;
use crate::store::{Claim, Completion, Lease, Release, Token};

/// A command on its way to the store.
#[derive(Clone, Debug)]
pub(super) enum Command {
    Claim { work: WorkId, claim: Claim, sent_at: Duration },
    Complete { work: WorkId, completion: Completion },
    Renew { work: WorkId, lease: Lease, sent_at: Duration },
    Release(Release),
}

#[derive(Debug)]
pub(super) enum Ev {
    /// A command reaches the store; its answer takes that long to come back, or never comes.
    Execute {
        from: usize,
        command: Command,
        answer: Option<u64>,
    },
    Deliver {
        to: usize,
        event: Event,
    },
    Assign {
        to: usize,
        assigned: Vec<(usize, Assignment, usize)>,
    },
    Revoke {
        to: usize,
        assignments: Vec<Assignment>,
    },
    Lose {
        to: usize,
        assignments: Vec<Assignment>,
    },
    Records {
        to: usize,
        partition: usize,
        assignment: Assignment,
        from: usize,
        count: usize,
    },
    Effect {
        at: usize,
        work: WorkId,
        run: u64,
    },
    End {
        at: usize,
        work: WorkId,
        run: u64,
        result: Result<(), FailureKind>,
    },
    Die {
        at: usize,
        work: WorkId,
        run: u64,
    },
    Tick {
        at: usize,
    },
    Poll {
        at: usize,
    },
    Rejoin {
        who: usize,
    },
    Commit {
        from: usize,
        assignment: Assignment,
        offset: Offset,
    },
    RevokeDone {
        from: usize,
        assignments: Vec<Assignment>,
    },
    Missed {
        who: usize,
    },
    Launch {
        slot: usize,
    },
    Fault(Fault),
    StoreUp,
}

impl Ev {
    /// The process that this happens in; nothing happens in a dead one, and later in one that stands still.
    fn process(&self) -> Option<usize> {
        match self {
            Self::Deliver { to, .. }
            | Self::Assign { to, .. }
            | Self::Revoke { to, .. }
            | Self::Lose { to, .. }
            | Self::Records { to, .. } => Some(*to),
            Self::Effect { at, .. }
            | Self::End { at, .. }
            | Self::Die { at, .. }
            | Self::Tick { at }
            | Self::Poll { at }
            | Self::Rejoin { who: at } => Some(*at),
            _ => None,
        }
    }
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) rng: StdRng,
    pub(super) now: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: HashMap<u64, Ev>,
    sequence: u64,
    pub(super) store: ModelStore,
    pub(super) store_down: bool,
    pub(super) group: Group,
    pub(super) workers: Vec<Worker>,
    pub(super) facts: Facts,
    pub(super) counts: Counts,
    pub(super) steps: u64,
    pub(super) runs: u64,
    pub(super) conduct: Vec<Conduct>,
    /// Partitions that stopped at some time.
    pub(super) stopped: HashSet<usize>,
    pub(super) failure: Option<String>,
    pub(super) trace: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(seed: u64, traced: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let plan = Plan::draw(&mut rng);
        let group = Group::new(&plan);
        let mut world = Self {
            conduct: plan.conduct.clone(),
            group,
            plan,
            rng,
            now: 0,
            queue: BinaryHeap::new(),
            events: HashMap::new(),
            sequence: 0,
            store: ModelStore::new(LEASE, GRACE),
            store_down: false,
            workers: Vec::new(),
            facts: Facts::default(),
            counts: Counts::default(),
            steps: 0,
            runs: 0,
            stopped: HashSet::new(),
            failure: None,
            trace: traced.then(Vec::new),
        };
        world.say(|world| format!("{:#?}", world.plan.conduct));
        world.say(|world| {
            let what = |log: &Vec<super::plan::Entry>| {
                log.iter().map(|entry| format!("{}:{:?}", entry.offset, entry.what)).collect::<Vec<_>>().join(" ")
            };
            world.plan.log.iter().map(what).collect::<Vec<_>>().join("\n")
        });
        for slot in 0..world.plan.workers {
            let at = world.rng.random_range(0..20 * MS);
            world.at(at, Ev::Launch { slot });
        }
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

    pub(super) fn healed(&self) -> bool {
        self.now >= HEAL
    }

    pub(super) fn at(&mut self, at: u64, event: Ev) {
        self.sequence += 1;
        self.queue.push(Reverse((at.max(self.now), self.sequence)));
        self.events.insert(self.sequence, event);
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
            let Some(Reverse((at, sequence))) = self.queue.pop() else {
                return self.fail("nothing will ever happen any more".into());
            };
            let event = self.events.remove(&sequence).expect("queued");
            self.now = at;
            if self.healed() && self.is_complete() {
                return self.check_end();
            }
            if self.now > limit {
                let committed: Vec<_> = self.group.committed.clone();
                return self.fail(format!("not all was handled in time: committed up to {committed:?}"));
            }
            if let Some(worker) = event.process() {
                if !self.workers[worker].alive {
                    continue;
                }
                let until = self.workers[worker].stalled_until;
                if until > self.now {
                    // In the order in which it was to happen.
                    self.queue.push(Reverse((until, sequence)));
                    self.events.insert(sequence, event);
                    continue;
                }
            }
            self.happen(event);
        }
    }

    fn is_complete(&self) -> bool {
        (0..self.plan.log.len()).all(|partition| {
            let (log, end) = (&self.plan.log[partition], self.plan.end(partition));
            let committed = self.group.committed[partition];
            // What lies between is a gap.
            let handled = end == 0 || committed > log[end - 1].offset;
            handled && (end == log.len() || self.stopped.contains(&partition))
        })
    }

    fn happen(&mut self, event: Ev) {
        match event {
            Ev::Execute { from, command, answer } => self.execute(from, command, answer),
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
                    self.workers[to].parked.remove(&(partition as i32));
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
                let arrivals = self.arrivals(to, partition, from, count);
                self.step(to, Event::Records { assignment, arrivals });
            }
            Ev::Effect { at, work, run } => self.effect(at, work, run),
            Ev::End { at, work, run, result } => self.end(at, work, run, result),
            Ev::Die { at, work, run } => {
                if self.is_running(at, work, run) {
                    self.say(|_| format!("w{at} dies of its record"));
                    self.crash(at);
                }
            }
            Ev::Tick { at } => {
                if self.workers[at].tick_at.is_some_and(|due| due <= self.now) {
                    self.workers[at].tick_at = None;
                    self.step(at, Event::Tick);
                }
            }
            Ev::Poll { at } => self.poll(at),
            Ev::Rejoin { who } => self.join(who),
            Ev::Commit { from, assignment, offset } => self.commit_arrives(from, assignment, offset),
            Ev::RevokeDone { from, assignments } => self.revoke_done_arrives(from, &assignments),
            Ev::Missed { who } => {
                self.leave(who);
            }
            Ev::Launch { slot } => self.launch(slot),
            Ev::Fault(fault) => self.fault(fault),
            Ev::StoreUp => self.store_down = false,
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
    let fact = TokenFact { worker: who, claimed_at, started: false, failed: false, given_up: false, trouble_at: None };
    world.facts.tokens.insert(token, fact);
    world.workers[who].asked.insert(token, asked);
}
