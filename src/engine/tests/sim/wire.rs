//! The way of commands to the store and back, with the trouble that they meet.

use rand::Rng;

use super::super::super::Event;
use super::facts::Sometimes;
use super::plan::{LEASE, MS, What};
use super::store::{Id, id_of};
use super::world::{Command, Ev, World};
use crate::store::{Cause, ClaimOutcome, CompletionOutcome, GivenBack, StoreError, Token};

impl World {
    /// Sends a command to the store; on the way there and back it may meet trouble.
    pub(super) fn send(&mut self, from: usize, command: Command) {
        let there = self.within(self.plan.latency);
        let back = self.within(self.plan.latency);
        let trouble = !self.healed() && self.rng.random_range(0..1000) < self.plan.trouble;
        if !trouble {
            return self.after(there, Ev::Execute { from, command, answer: Some(back) });
        }
        self.meets_trouble(&command);
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

    /// Remembers that a claim or a renewal did not go as it should: only that excuses a lease that runs out.
    pub(super) fn meets_trouble(&mut self, command: &Command) {
        let lease = match command {
            Command::Claim { claim, .. } => &claim.lease,
            Command::Renew { lease, .. } => lease,
            _ => return,
        };
        if let Some(fact) = self.facts.tokens.get_mut(&lease.token) {
            fact.trouble_at = Some(self.now);
        }
    }

    pub(super) fn execute(&mut self, from: usize, command: Command, answer: Option<u64>) {
        if self.store_down {
            self.meets_trouble(&command);
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
                let id = id_of(&release.lease);
                let token = release.lease.token;
                let failed = self.facts.tokens.get(&token).is_some_and(|fact| fact.failed);
                match self.store.found(id, token, now) {
                    Some((0, _)) if failed && release.given_back == GivenBack::Unstarted => {
                        return self.fail(format!("w{from} forgets that an attempt under {token:?} failed"));
                    }
                    Some((_, true)) if release.given_back == GivenBack::Unstarted => {
                        self.counts.reached(Sometimes::TakeoverGivenBack);
                    }
                    _ => {}
                }
                let result = Ok(self.store.release(&release, now));
                Event::Released { token, result }
            }
        };
        if let Some(delay) = answer {
            self.after(delay, Ev::Deliver { to: from, event });
        }
    }

    pub(super) fn claim_executed(
        &mut self,
        from: usize,
        id: Id,
        token: Token,
        before: Option<Token>,
        outcome: &ClaimOutcome,
    ) {
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
    pub(super) fn taken_over(&mut self, id: Id, before: Option<Token>) {
        let Some(fact) = before.and_then(|before| self.facts.tokens.get(&before)).copied() else { return };
        if fact.given_up || !self.workers[fact.worker].alive {
            return;
        }
        let owner = &self.workers[fact.worker];
        let recent = |at: Option<u64>| at.is_some_and(|at| at + 3 * LEASE > self.now);
        let troubled = recent(owner.stood_still_at) || recent(fact.trouble_at);
        if !troubled {
            return self.fail(format!("the lease of {id} ran out although w{} was able to renew it", fact.worker));
        }
        let started = self.workers[fact.worker].runs.values_mut().find(|run| run.what == What::Id(id));
        if let Some(run) = started {
            // Excused is the effect of this very run, not of one that is started afterwards.
            run.overrun = !run.effect;
            self.facts.fates.entry(id).or_default().overruns += usize::from(run.effect);
            self.counts.reached(Sometimes::Overrun);
        }
    }

    /// Notices when two workers refuse each other what they hold and have not started.
    pub(super) fn refused(&mut self, from: usize, id: Id, before: Option<Token>) {
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
