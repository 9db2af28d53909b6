//! The world around the engines: an event queue in virtual time, the way of commands to the store, handlers, faults.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::super::super::*;
use super::eyes::Seen;
use super::facts::{Counts, Facts, Sometimes, TokenFact};
use super::group::Group;
use super::plan::{Conduct, Fault, GRACE, HEAL, LEASE, MS, Plan, What};
use super::store::{Id, ModelStore, id_of};
use super::worker::{Answer, Asked, Owned, Run, Worker};
use crate::id::{Fingerprint, IdProblem, NoMessageId};
use crate::observe::FailureKind;
use crate::record::{Offset, Record};
use crate::store::{
    Cause, Claim, ClaimOutcome, Completion, CompletionOutcome, Lease, Release, RenewOutcome, StoreError, Token, Verdict,
};

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
    store_down: bool,
    pub(super) group: Group,
    pub(super) workers: Vec<Worker>,
    pub(super) facts: Facts,
    pub(super) counts: Counts,
    pub(super) steps: u64,
    runs: u64,
    conduct: Vec<Conduct>,
    /// Partitions that stopped at some time.
    stopped: HashSet<usize>,
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
        let limit = HEAL + if poisoned { 120_000 * MS } else { 30_000 * MS };
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

    fn launch(&mut self, slot: usize) {
        let mut seed = [0; 32];
        self.rng.fill(&mut seed);
        let rate = self.rng.random_range(0.98..1.02);
        let who = self.workers.len();
        self.workers.push(Worker::new(slot, self.plan.config.clone(), seed, rate));
        self.say(|_| format!("w{who} starts"));
        self.after(MS, Ev::Poll { at: who });
        self.join(who);
    }

    fn fault(&mut self, fault: Fault) {
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
            Fault::Loss => {
                for id in self.store.lose() {
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
                self.workers[who].trouble_at = Some(self.workers[who].stalled_until);
            }
            Fault::Shutdown => {
                let worker = &mut self.workers[who];
                let deadline = self.now + self.plan.drain;
                let local = worker.local(deadline);
                worker.shutting_down = Some(deadline);
                worker.dropped = true;
                self.step(who, Event::Shutdown { deadline: local });
            }
            Fault::Join => {
                if able.len() < 4 {
                    let slot = self.workers.len();
                    self.launch(slot);
                }
            }
        }
    }

    /// A process ends without a word; what it sent is still under way.
    fn crash(&mut self, who: usize) {
        self.gone(who);
        let missed = self.within(300 * MS);
        self.after(missed, Ev::Missed { who });
        let again = self.within(400 * MS);
        let slot = self.workers[who].slot;
        self.after(again, Ev::Launch { slot });
    }

    fn gone(&mut self, who: usize) {
        self.say(|_| format!("w{who} is gone"));
        let worker = &mut self.workers[who];
        worker.alive = false;
        let runs = std::mem::take(&mut worker.runs);
        let mut exposed = 0;
        for run in runs.into_values().filter(|run| run.effect) {
            exposed += 1;
            if let What::Id(id) = run.what {
                self.facts.fate(id).crashes += 1;
            }
        }
        if exposed > 0 {
            self.counts.reached(Sometimes::CrashWhileExposed);
        }
        if exposed > self.plan.config.max_exposed {
            self.fail(format!("a crash of w{who} can repeat {exposed} effects"));
        }
        self.facts.tokens.values_mut().filter(|token| token.worker == who).for_each(|token| token.given_up = true);
    }

    fn poll(&mut self, at: usize) {
        let now = self.now;
        let worker = &self.workers[at];
        let room = worker.engine.has_room();
        let ready: Vec<usize> = worker
            .owned
            .iter()
            .filter(|(_, owned)| room && !owned.revoking && !owned.paused && !owned.fetched)
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

    fn arrivals(&self, to: usize, partition: usize, from: usize, count: usize) -> Vec<Arrival> {
        let identify = |what: What, record: &Record| match what {
            What::Id(id) if self.plan.cache && self.workers[to].cache.contains(&id) => {
                Identified::Cached(fingerprint(id))
            }
            What::Id(id) => Identified::Id(fingerprint(id)),
            What::Process => Identified::Process,
            What::Missing => {
                Identified::Stop(Box::new(NoMessageId { origin: record.origin(), problem: IdProblem::Empty }))
            }
        };
        self.plan.log[partition][from..from + count]
            .iter()
            .map(|entry| Arrival { record: entry.record.clone(), identified: identify(entry.what, &entry.record) })
            .collect()
    }

    /// Brings an answer to an engine, with what the test has to know of it.
    fn deliver(&mut self, to: usize, event: Event) {
        let worker = &mut self.workers[to];
        match &event {
            Event::Claimed { token, result, .. } => {
                let outstanding = worker.asked.get_mut(token);
                match (outstanding, result) {
                    (Some(asked), Ok(outcome)) => {
                        if asked.was_unknown {
                            self.counts.reached(Sometimes::UnknownClaimResolved);
                        }
                        match outcome {
                            ClaimOutcome::Claimed { .. } => {
                                asked.answer = Answer::Held;
                                let (partition, offset) = (asked.partition, asked.offset);
                                if worker.parked.get(&partition) == Some(&offset) {
                                    worker.parked.remove(&partition);
                                }
                            }
                            _ => {
                                worker.asked.remove(token);
                                // Executed once more, it takes what its owner was told it has not.
                                if let Some(fact) = self.facts.tokens.get_mut(token) {
                                    fact.given_up = true;
                                }
                            }
                        }
                    }
                    (Some(asked), Err(_)) => {
                        asked.answer = Answer::Unknown;
                        asked.was_unknown = true;
                    }
                    (None, _) => {}
                }
                self.step(to, event);
            }
            Event::Completed { work, result: Ok(_) } => {
                let run = worker.runs.remove(work);
                let id = run.as_ref().and_then(|run| match run.what {
                    What::Id(id) => Some(id),
                    _ => None,
                });
                if let Some(run) = &run
                    && !worker.owned.values().any(|owned| owned.assignment == run.assignment)
                {
                    self.counts.reached(Sometimes::StaleCompletionAfterRevoke);
                }
                let worker = &mut self.workers[to];
                worker.cache.extend(id);
                // A late copy of its claim may still take what a store that lost its data does not know any more.
                if let Some(fact) = worker.token_of.get(work).and_then(|token| self.facts.tokens.get_mut(token)) {
                    fact.given_up = true;
                }
                self.step(to, event);
            }
            Event::Renewed { token, result: Ok(RenewOutcome::NotHeld), .. } => {
                worker.asked.remove(token);
                if !worker.runs_under(token)
                    && let Some(fact) = self.facts.tokens.get_mut(token)
                {
                    fact.given_up = true;
                }
                self.step(to, event);
            }
            Event::Released { token, result: Ok(_) } => {
                worker.releasing.remove(token);
                self.step(to, event);
            }
            _ => self.step(to, event),
        }
    }

    /// One step of an engine, and what follows from it.
    pub(super) fn step(&mut self, who: usize, event: Event) {
        if self.failure.is_some() {
            return;
        }
        self.steps += 1;
        self.say(|_| format!("w{who} <- {event:?}"));
        let settles = match &event {
            Event::Completed { work, result: Ok(_) } => self.workers[who].token_of.get(work).copied(),
            _ => None,
        };
        let now = self.workers[who].local(self.now);
        let mut actions = Vec::new();
        self.workers[who].engine.step(now, event, &mut actions);
        for seen in self.workers[who].eyes.take() {
            self.see(who, seen, settles);
        }
        for action in actions {
            if self.workers[who].crash_in == Some(0) {
                self.crash(who);
                return;
            }
            self.workers[who].crash_in = self.workers[who].crash_in.map(|left| left - 1);
            self.act(who, action);
            if !self.workers[who].alive {
                return;
            }
        }
        self.check_worker(who);
        let worker = &mut self.workers[who];
        if let Some(due) = worker.engine.next_tick() {
            let at = worker.global(due).max(self.now + 1);
            if worker.tick_at.is_none_or(|before| at < before || before < self.now) {
                worker.tick_at = Some(at);
                self.at(at, Ev::Tick { at: who });
            }
        }
    }

    fn see(&mut self, who: usize, seen: Seen, token: Option<Token>) {
        self.say(|_| format!("w{who} tells {seen:?}"));
        let worker = &mut self.workers[who];
        match seen {
            Seen::Delivered(count) => worker.delivered += count,
            Seen::Duplicate(partition, offset) => {
                worker.settled += 1;
                if token.is_some() {
                    self.counts.reached(Sometimes::SettledByTwin);
                }
                if worker.parked.get(&partition) == Some(&offset) {
                    worker.parked.remove(&partition);
                }
            }
            Seen::Park(partition, offset) => {
                worker.parked.insert(partition, offset);
            }
            Seen::Handled => {}
            Seen::Complete(verdict) => {
                worker.settled += 1;
                self.check_verdict(who, verdict, token);
            }
            Seen::Stop(partition, offset, reason) => {
                worker.dropped = true;
                worker.parked.remove(&partition);
                self.stopped.insert(partition as usize);
                let log = &self.plan.log[partition as usize];
                let index = log.iter().position(|entry| entry.offset == offset);
                if reason.contains("and more") {
                    self.counts.reached(Sometimes::Condemned);
                }
                if index != Some(self.plan.end(partition as usize)) {
                    self.fail(format!("w{who} stopped {partition} at an innocent record, {offset}: {reason}"));
                }
            }
        }
    }

    fn check_verdict(&mut self, who: usize, verdict: Verdict, token: Option<Token>) {
        let Some(token) = token else { return };
        let Some(fate) = self.facts.fates.values().find(|fate| fate.completed_by.contains(&token)) else { return };
        let others = fate.completed_by.iter().position(|other| *other == token) != Some(0);
        if verdict == Verdict::First && others && fate.losses == 0 {
            self.fail(format!("w{who} hides that its effect was the second one"));
        }
    }

    fn act(&mut self, who: usize, action: Action) {
        self.say(|_| format!("w{who} -> {action:?}"));
        let sent_at = self.workers[who].local(self.now);
        match action {
            Action::Claim { work, claim } => {
                self.check_claim(who, work, &claim);
                self.send(who, Command::Claim { work, claim, sent_at });
            }
            Action::Start { work, record, attempt } => self.start(who, work, &record, attempt),
            Action::Cancel { work } => {
                if let Some(run) = self.workers[who].runs.get(&work)
                    && !run.effect
                    && !run.ended
                    && self.rng.random_ratio(1, 3)
                {
                    let run = run.number;
                    self.after(1, Ev::End { at: who, work, run, result: Err(FailureKind::Unavailable) });
                }
            }
            Action::Complete { work, completion } => self.send(who, Command::Complete { work, completion }),
            Action::Renew { work, lease } => self.send(who, Command::Renew { work, lease, sent_at }),
            Action::Release(release) => {
                let token = release.lease.token;
                let worker = &mut self.workers[who];
                if let Some(asked) = worker.asked.remove(&token) {
                    worker.releasing.insert(token, (asked.assignment, self.now));
                }
                worker.released.insert(token);
                if let Some(fact) = self.facts.tokens.get_mut(&token) {
                    fact.given_up = true;
                }
                self.send(who, Command::Release(release));
            }
            Action::Commit { assignment, offset } => {
                self.check_commit(who, &assignment, offset);
                let delay = self.within(3 * MS);
                self.tell_source(who, delay, Ev::Commit { from: who, assignment, offset });
            }
            Action::Pause(assignment) => self.pause(who, &assignment, true),
            Action::Resume(assignment) => self.pause(who, &assignment, false),
            Action::RevokeDone(assignments) => {
                self.check_revoke_done(who, &assignments);
                let worker = &mut self.workers[who];
                worker.owned.retain(|_, owned| !assignments.contains(&owned.assignment));
                worker.closed.extend(assignments.iter().cloned());
                let late = worker.runs.values().any(|run| assignments.contains(&run.assignment));
                if late {
                    self.counts.reached(Sometimes::LateAfterRevoke);
                }
                let delay = self.within(2 * MS);
                self.tell_source(who, delay, Ev::RevokeDone { from: who, assignments });
            }
            Action::Finished => self.finished(who),
        }
    }

    fn finished(&mut self, who: usize) {
        let worker = &self.workers[who];
        let over = worker.shutting_down.is_some_and(|deadline| worker.local(self.now) >= worker.local(deadline));
        let busy = !worker.runs.is_empty() || !worker.asked.is_empty() || worker.is_releasing(self.now, |_| true);
        if !over && busy {
            self.fail(format!("w{who} finished although something was under way"));
        }
        self.counts.reached(Sometimes::ShutDown);
        let slot = self.workers[who].slot;
        self.gone(who);
        self.leave(who);
        let delay = self.within(200 * MS);
        self.after(delay, Ev::Launch { slot });
    }

    fn tell_source(&mut self, who: usize, delay: u64, event: Ev) {
        let at = (self.now + delay).max(self.workers[who].source_at + 1);
        self.workers[who].source_at = at;
        self.at(at, event);
    }

    fn pause(&mut self, who: usize, assignment: &Assignment, paused: bool) {
        if let Some(owned) = self.workers[who].owned.values_mut().find(|owned| owned.assignment == *assignment) {
            owned.paused = paused;
        }
    }

    fn start(&mut self, who: usize, work: WorkId, record: &Record, attempt: u32) {
        let partition = record.partition().partition() as usize;
        let index =
            self.plan.log[partition].iter().position(|entry| entry.offset == record.offset()).expect("in the log");
        let what = self.plan.log[partition][index].what;
        let alone = self.workers[who].engine.work(work).is_some_and(super::super::super::Work::runs_alone);
        self.check_start(who, partition, index, alone);
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
        let run = Run { what, partition, index, assignment, number, effect: false, ended: false, alone };
        self.workers[who].runs.insert(work, run);
        let conduct = match what {
            What::Id(id) => self.conduct[usize::from(id)],
            _ => Conduct::Good,
        };
        let mut before = self.within(self.plan.handling);
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

    fn is_running(&self, at: usize, work: WorkId, number: u64) -> bool {
        self.workers[at].runs.get(&work).is_some_and(|run| run.number == number && !run.ended)
    }

    fn effect(&mut self, at: usize, work: WorkId, number: u64) {
        if !self.is_running(at, work, number) {
            return;
        }
        let Some(run) = self.workers[at].runs.get_mut(&work) else { return };
        run.effect = true;
        let (what, partition, index) = (run.what, run.partition, run.index);
        self.say(|_| format!("w{at} EFFECT of {what:?}"));
        match what {
            What::Id(id) => {
                let fate = self.facts.fate(id);
                fate.effects += 1;
                let (effects, explained) = (fate.effects, fate.is_explained());
                if effects > 1 {
                    self.counts.reached(Sometimes::RepeatedEffect);
                }
                if !explained {
                    let fate = fate_of(self, id);
                    self.fail(format!("the effect of {id} is repeated without a fault that explains it: {fate}"));
                }
            }
            _ => *self.facts.plain.entry((partition, index)).or_default() += 1,
        }
    }

    fn end(&mut self, at: usize, work: WorkId, number: u64, result: Result<(), FailureKind>) {
        if !self.is_running(at, work, number) {
            return;
        }
        let Some(run) = self.workers[at].runs.get_mut(&work) else { return };
        run.ended = true;
        let what = run.what;
        if let (What::Id(id), Err(_)) = (what, result) {
            match &mut self.conduct[usize::from(id)] {
                Conduct::Fails(left) | Conduct::Unavailable(left) => *left = left.saturating_sub(1),
                _ => {}
            }
        }
        if result.is_err() || !matches!(what, What::Id(_)) {
            self.workers[at].runs.remove(&work);
        }
        if result.is_ok() && !matches!(what, What::Id(_)) {
            self.workers[at].settled += 1;
        }
        self.step(at, Event::Handled { work, result });
    }

    /// Sends a command to the store; on the way there and back it may meet trouble.
    fn send(&mut self, from: usize, command: Command) {
        let there = self.within(self.plan.latency);
        let back = self.within(self.plan.latency);
        let trouble = !self.healed() && self.rng.random_range(0..1000) < self.plan.trouble;
        if !trouble {
            return self.after(there, Ev::Execute { from, command, answer: Some(back) });
        }
        self.workers[from].trouble_at = Some(self.now);
        let gives_up = 20 * MS + self.within(200 * MS);
        match self.rng.random_range(0..5) {
            // The answer is lost.
            0 | 1 => self.after(there, Ev::Execute { from, command: command.clone(), answer: None }),
            // Executed late.
            2 => {
                let late = self.within(2 * LEASE);
                self.after(late, Ev::Execute { from, command: command.clone(), answer: None });
            }
            // Executed twice.
            3 => {
                let late = self.within(2 * LEASE);
                self.after(late, Ev::Execute { from, command: command.clone(), answer: None });
                return self.after(there, Ev::Execute { from, command, answer: Some(back) });
            }
            // Never executed.
            _ => {}
        }
        let event = answer_with(&command, unknown());
        self.after(gives_up, Ev::Deliver { to: from, event });
    }

    fn execute(&mut self, from: usize, command: Command, answer: Option<u64>) {
        if self.store_down {
            self.workers[from].trouble_at = Some(self.now);
            if let Some(delay) = answer {
                let error = match self.rng.random_ratio(1, 3) {
                    true => unknown(),
                    false => StoreError::Unavailable(Cause::new("connection refused")),
                };
                self.after(delay, Ev::Deliver { to: from, event: answer_with(&command, error) });
            }
            return;
        }
        self.say(|_| format!("store executes {command:?} of w{from}"));
        let now = self.now;
        let event = match command {
            Command::Claim { work, claim, sent_at } => {
                let (token, id) = (claim.lease.token, id_of(&claim.lease));
                let before = self.store.holder(id, now);
                let outcome = self.store.claim(&claim, now);
                self.claim_executed(from, id, token, before, &outcome);
                Event::Claimed { work, token, sent_at, result: Ok(outcome) }
            }
            Command::Complete { work, completion } => {
                let (id, token) = (id_of(&completion.lease), completion.lease.token);
                let outcome = self.store.complete(&completion.lease);
                let fate = self.facts.fate(id);
                fate.done = true;
                if !fate.completed_by.contains(&token) {
                    fate.completed_by.push(token);
                }
                let _: CompletionOutcome = outcome;
                Event::Completed { work, result: Ok(outcome) }
            }
            Command::Renew { work, lease, sent_at } => {
                let result = Ok(self.store.renew(&lease, now));
                Event::Renewed { work, token: lease.token, sent_at, result }
            }
            Command::Release(release) => {
                let result = Ok(self.store.release(&release, now));
                Event::Released { token: release.lease.token, result }
            }
        };
        if let Some(delay) = answer {
            self.after(delay, Ev::Deliver { to: from, event });
        }
    }

    fn claim_executed(&mut self, from: usize, id: Id, token: Token, before: Option<Token>, outcome: &ClaimOutcome) {
        let given_up = self.facts.tokens.get(&token).is_some_and(|fact| fact.given_up);
        match outcome {
            ClaimOutcome::Claimed { suspect, .. } => {
                if given_up {
                    self.counts.reached(Sometimes::GhostLease);
                }
                if *suspect && before != Some(token) {
                    self.counts.reached(Sometimes::TakeoverAfterExpiry);
                    self.taken_over(id, before);
                }
            }
            ClaimOutcome::InFlight { .. } => self.refused(from, id, before),
            _ => {}
        }
    }

    /// A lease ran out and somebody else has it now: legal only if its owner died, or could not renew it.
    fn taken_over(&mut self, id: Id, before: Option<Token>) {
        let Some(fact) = before.and_then(|before| self.facts.tokens.get(&before)).copied() else { return };
        if fact.given_up || !self.workers[fact.worker].alive {
            return;
        }
        let owner = &self.workers[fact.worker];
        let exposed = owner.runs.values().any(|run| run.what == What::Id(id));
        let troubled = owner.trouble_at.is_some_and(|at| at + 3 * LEASE > self.now);
        if !troubled {
            return self.fail(format!("the lease of {id} ran out although w{} was able to renew it", fact.worker));
        }
        if exposed {
            self.facts.fate(id).overruns += 1;
            self.counts.reached(Sometimes::Overrun);
        }
    }

    /// Notices when two workers refuse each other what they hold and have not started.
    fn refused(&mut self, from: usize, id: Id, before: Option<Token>) {
        let waiting = |world: &Self, token: Option<Token>| {
            let fact = world.facts.tokens.get(&token?)?;
            (!fact.started && world.workers[fact.worker].alive).then_some(fact.worker)
        };
        let Some(other) = waiting(self, before).filter(|other| *other != from) else { return };
        let now = self.now;
        let circle = self.facts.refusals.iter().any(|(theirs, mine, wanted, at)| {
            *theirs == other
                && *mine == from
                && *at + 200 * MS > now
                && waiting(self, self.store.holder(*wanted, now)) == Some(from)
        });
        if circle {
            self.counts.reached(Sometimes::CrossWorkerDeadlock);
        }
        self.facts.refusals.push((from, other, id, now));
    }
}

fn fate_of(world: &World, id: Id) -> String {
    format!("{:?}", world.facts.fates.get(&id))
}

fn fingerprint(id: Id) -> Fingerprint {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&id.to_be_bytes());
    Fingerprint::from_bytes(bytes)
}

fn unknown() -> StoreError {
    StoreError::Unknown(Cause::new("timed out"))
}

fn answer_with(command: &Command, error: StoreError) -> Event {
    match command {
        Command::Claim { work, claim, sent_at } => {
            Event::Claimed { work: *work, token: claim.lease.token, sent_at: *sent_at, result: Err(error) }
        }
        Command::Complete { work, .. } => Event::Completed { work: *work, result: Err(error) },
        Command::Renew { work, lease, sent_at } => {
            Event::Renewed { work: *work, token: lease.token, sent_at: *sent_at, result: Err(error) }
        }
        Command::Release(release) => Event::Released { token: release.lease.token, result: Err(error) },
    }
}

/// Registers a token that was just drawn.
pub(super) fn register(world: &mut World, who: usize, token: Token, asked: Asked) {
    world.facts.tokens.insert(token, TokenFact { worker: who, started: false, given_up: false });
    world.workers[who].asked.insert(token, asked);
}
