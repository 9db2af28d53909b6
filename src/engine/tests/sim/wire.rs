//! The way of commands to the store and back, with the trouble that they meet; and what their execution tells of leases.

use rand::Rng;

use super::call::{Ask, Call, unknown};
use super::facts::Sometimes;
use super::plan::{LEASE, MS, What};
use super::store::{Held, Id};
use super::world::{Ev, World};
use crate::store::{GivenBack, Token};

impl World {
    /// Sends a leg of a call to the store; on the way there and back it may meet trouble.
    pub(super) fn send(&mut self, call: Call) {
        let there = self.within(self.plan.latency);
        let back = self.within(self.plan.latency);
        let trouble = !self.healed() && self.rng.random_range(0..1000) < self.plan.trouble;
        if !trouble {
            let call = self.board(call, Some(back), false);
            return self.after(there, Ev::Execute { call });
        }
        self.meets_trouble(&call);
        let (from, failed) = (call.from, call.failed(unknown()));
        let gives_up = 20 * MS + self.within(200 * MS);
        match self.rng.random_range(0..5) {
            // The answer is lost.
            0 | 1 => {
                let call = self.board(call, None, false);
                self.after(there, Ev::Execute { call });
            }
            // Executed late.
            2 => {
                let late = self.within(2 * LEASE);
                let call = self.board(call, None, true);
                self.after(late, Ev::Execute { call });
            }
            // Executed twice.
            3 => {
                let late = self.within(2 * LEASE);
                let copy = self.board(call.clone(), None, true);
                self.after(late, Ev::Execute { call: copy });
                let call = self.board(call, Some(back), false);
                return self.after(there, Ev::Execute { call });
            }
            // Never executed.
            _ => {}
        }
        self.after(gives_up, Ev::Deliver { to: from, event: failed });
    }

    /// Remembers that a claim or a renewal did not go as it should: only that excuses a lease that runs out.
    pub(super) fn meets_trouble(&mut self, call: &Call) {
        if matches!(call.ask, Ask::Claim { .. } | Ask::Renew { .. })
            && let Some(fact) = self.facts.tokens.get_mut(&call.token)
        {
            fact.trouble_at = Some(self.now);
        }
    }

    /// A token holds a lease from now on.
    pub(super) fn holds(&mut self, call: &Call, taken_over: bool, before: Option<Token>) {
        self.valid(call.token);
        if let Some(fact) = self.facts.tokens.get_mut(&call.token) {
            if before != Some(call.token) {
                // It lost the lease before: what it finds now is counted by others.
                fact.failures = 0;
            }
            if fact.given_up {
                self.counts.reached(Sometimes::GhostLease);
            }
        }
        if taken_over && before != Some(call.token) {
            self.counts.reached(Sometimes::TakeoverAfterExpiry);
            self.taken_over(call.id, before);
        }
    }

    /// A token's lease holds for a whole term from now.
    pub(super) fn valid(&mut self, token: Token) {
        if let Some(fact) = self.facts.tokens.get_mut(&token) {
            fact.valid_until = self.now + LEASE;
        }
    }

    /// A token's lease was given back.
    pub(super) fn ends(&mut self, token: Token) {
        if let Some(fact) = self.facts.tokens.get_mut(&token) {
            fact.valid_until = 0;
        }
    }

    pub(super) fn check_release(&mut self, from: usize, id: Id, token: Token, given_back: GivenBack) {
        let failures = self.facts.tokens.get(&token).map_or(0, |fact| fact.failures);
        let Some((found, suspect)) = self.server.found(id, token, self.now) else { return };
        if suspect && given_back == GivenBack::Unstarted {
            self.counts.reached(Sometimes::TakeoverGivenBack);
        }
        let told = match given_back {
            GivenBack::Unstarted => found,
            GivenBack::Failed { attempts } | GivenBack::GivenUp { attempts } => attempts.max(found),
            GivenBack::Retried { attempts, .. } => attempts.max(found),
        };
        if told < (found + failures).min(self.plan.config.max_attempts) {
            self.fail(format!(
                "I10: w{from} gives {id} back with {told} attempts, found {found}, of which {failures} more failed"
            ));
        }
    }

    /// The failures under a token are counted when its record is noted as given up.
    pub(super) fn check_note(&mut self, from: usize, id: Id, token: Token, attempts: u32) {
        let Some((found, _)) = self.server.found(id, token, self.now) else { return };
        let Some(fact) = self.facts.tokens.get_mut(&token) else { return };
        let failures = std::mem::take(&mut fact.failures);
        if attempts.max(found) < (found + failures).min(self.plan.config.max_attempts) {
            self.fail(format!("I10: w{from} gives {id} up with {attempts}, found {found}, {failures} more failed"));
        }
    }

    /// A script that names a token changes nothing that another holds.
    pub(super) fn check_token(&mut self, id: Id, token: Token, before: Option<Held>) {
        let others = !matches!(before, Some(Held::By { token: holder, .. }) if holder == token);
        if others && self.server.held(id, self.now) != before {
            self.fail(format!("I7: {token:?} changes {id}, which it does not hold: {before:?}"));
        }
    }

    /// A lease ran out and somebody else has it now: legal only if its owner died, or could not renew it.
    fn taken_over(&mut self, id: Id, before: Option<Token>) {
        let Some(fact) = before.and_then(|before| self.facts.tokens.get(&before)).copied() else { return };
        if fact.given_up || !self.workers[fact.worker].alive {
            return;
        }
        let owner = &self.workers[fact.worker];
        let recent = |at: Option<u64>| at.is_some_and(|at| at + 3 * LEASE > self.now);
        let troubled = recent(owner.stood_still_at) || recent(fact.trouble_at);
        if !troubled {
            return self.fail(format!("I5: the lease of {id} ran out although w{} was able to renew it", fact.worker));
        }
        self.facts.fate(id).copied_again += 1;
        let started = self.workers[fact.worker].runs.values_mut().find(|run| run.what == What::Id(id));
        if let Some(run) = started {
            // Excused is the effect of this very run, not of one that is started afterwards.
            run.overrun = !run.effect;
            self.facts.fate(id).overruns += usize::from(run.effect);
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
        self.facts.refusals.retain(|(.., at)| *at + 200 * MS > now);
        let circle = self.facts.refusals.iter().any(|(theirs, mine, wanted, _)| {
            *theirs == other && *mine == from && waiting(self, self.server.holder(*wanted, now)) == Some(from)
        });
        if circle {
            self.counts.reached(Sometimes::CrossWorkerDeadlock);
        }
        self.facts.refusals.push((from, other, id, now));
    }
}
