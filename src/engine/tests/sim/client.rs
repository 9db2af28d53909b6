//! A worker's client of the store: which commands a request becomes, one leg after the other, and what their answers
//! mean. Written from `store/redis`; a pipeline is executed in order, but commands of others may come in between.

use rand::Rng;

use super::super::super::Event;
use super::call::{Answer, Ask, Call, Leg, StoreBug, unknown};
use super::facts::Sometimes;
use super::plan::MS;
use super::slices::{BOUND, Known, Sets};
use super::store::Id;
use super::world::{Ev, World};
use crate::store::{Cause, ClaimOutcome, CompletionOutcome, StoreError, Token};

impl World {
    /// What a worker knows of the store's time and plan; read again where its reading is too old.
    fn known(&mut self, who: usize) -> Known {
        let now = self.store_time();
        let (skew, mut read_at) = (self.workers[who].skew, self.workers[who].read_at);
        if read_at + BOUND <= now {
            read_at = now - self.rng.random_range(0..BOUND);
        }
        let mut known = Known { at: now.saturating_add_signed(skew), read_at };
        self.server.done.span(&mut known, now);
        self.workers[who].read_at = known.read_at;
        known
    }

    fn readable(&self, known: Known) -> Sets {
        match self.planted(StoreBug::NextSliceMissed) {
            true => self.server.done.readable_so_far(known),
            false => self.server.done.readable(known),
        }
    }

    /// Sends what an engine asks for.
    pub(super) fn ask(&mut self, from: usize, id: Id, token: Token, ask: Ask) {
        let leg = match ask {
            Ask::Claim { .. } if self.plan.looks_first || self.planted(StoreBug::DoneBeforeLease) => Leg::Before,
            Ask::Claim { .. } => Leg::Lease,
            Ask::Complete { .. } => Leg::Add,
            Ask::Renew { .. } | Ask::GiveUp { .. } | Ask::Release(_) => Leg::Script,
        };
        let mut call = Call::new(from, id, token, ask, leg);
        match ask {
            Ask::Claim { .. } => {
                let known = self.known(from);
                call.sets = self.readable(known);
                call.asked = call.sets;
            }
            Ask::Complete { held_for, .. } => {
                let known = self.known(from);
                call.written = self.server.done.writable(known);
                call.since = known.at - held_for.as_micros() as u64;
                call.sets = self.server.done.written_since(known, call.since, call.written);
                if self.planted(StoreBug::DeletedEarly) {
                    let there = self.within(self.plan.latency);
                    self.after(there, Ev::Delete { id });
                }
            }
            Ask::Renew { .. } | Ask::GiveUp { .. } | Ask::Release(_) => {}
        }
        self.send(call);
    }

    /// Executes the commands of a leg, all at once or one by one.
    pub(super) fn execute(&mut self, number: usize) {
        let mut call = self.calls[number].clone();
        if self.store_down {
            let error = match call.begun || call.leg == Leg::Beside || self.rng.random_ratio(1, 3) {
                true => unknown(),
                false => StoreError::Unavailable(Cause::new("connection refused")),
            };
            self.meets_trouble(&call);
            self.calls.remove(number);
            if let Some(back) = call.back {
                self.after(back, Ev::Deliver { to: call.from, event: call.failed(error) });
            }
            return;
        }
        loop {
            let over = self.execute_next(&mut call);
            call.begun = true;
            if over || self.failure.is_some() {
                break;
            }
            if call.apart {
                let gap = self.within(3 * MS);
                self.calls[number] = call;
                return self.after(gap, Ev::Execute { call: number });
            }
        }
        match call.back {
            Some(back) => {
                self.calls[number] = call;
                self.after(back, Ev::Answer { call: number });
            }
            None => drop(self.calls.remove(number)),
        }
    }

    /// Executes one command; says whether it was the last of its leg.
    fn execute_next(&mut self, call: &mut Call) -> bool {
        let (id, token, now) = (call.id, call.token, self.now);
        self.say(|_| format!("store executes {call:?}"));
        match call.leg {
            Leg::Lease if call.taken.is_none() => {
                // A look-up that comes before the lease does not count.
                call.refused = self.refuses();
                call.taken = Some(!call.refused && self.server.set(id, token, now));
                if call.taken == Some(true) {
                    self.holds(call, false, None);
                }
                call.sets.0 == 0
            }
            Leg::Before | Leg::Lease | Leg::Again | Leg::Beside => {
                if let Some(set) = call.sets.next() {
                    call.found |= self.server.done.has(set, id);
                }
                call.sets.0 == 0
            }
            Leg::Rare => {
                let Ask::Claim { takes_over, .. } = call.ask else { return true };
                let looked_up = if self.planted(StoreBug::RareDoesNotLookUp) { Sets::default() } else { call.asked };
                let before = self.server.holder(id, now);
                let outcome = self.server.claim(id, token, takes_over, looked_up, now);
                match &outcome {
                    ClaimOutcome::Claimed { suspect, .. } => self.holds(call, *suspect, before),
                    ClaimOutcome::GivenUp { .. } => {
                        self.counts.reached(Sometimes::FoundGivenUp);
                        self.holds(call, true, before);
                    }
                    ClaimOutcome::InFlight { .. } => self.refused(call.from, id, before),
                    ClaimOutcome::Done { .. } => self.counts.reached(Sometimes::RarePathFoundDone),
                    _ => {}
                }
                call.told = Some(outcome);
                true
            }
            Leg::Add => {
                if let Some(set) = call.sets.next() {
                    call.found |= self.server.done.has(set, id);
                    return false;
                }
                call.refused = self.refuses();
                if !call.refused {
                    self.add(call);
                }
                true
            }
            Leg::AddByScript => {
                self.add(call);
                true
            }
            Leg::Script => {
                self.script(call);
                true
            }
        }
    }

    /// Whether a plain command that needs memory is refused.
    fn refuses(&mut self) -> bool {
        self.store_full && self.rng.random()
    }

    fn add(&mut self, call: &mut Call) {
        let new = self.server.done.add(call.written, call.id);
        if self.server.done.is_further(call.written) {
            self.counts.reached(Sometimes::SecondGeneration);
        }
        call.event = Some(Answer::Added(new));
        let fate = self.facts.fate(call.id);
        fate.done = true;
        fate.late |= call.late;
        if !fate.completed_by.contains(&call.token) {
            fate.completed_by.push(call.token);
        }
    }

    fn script(&mut self, call: &mut Call) {
        let (id, token, now) = (call.id, call.token, self.now);
        let before = self.server.held(id, now);
        match call.ask {
            Ask::Renew { .. } => {
                let outcome = self.server.renew(id, token, now);
                if outcome == crate::store::RenewOutcome::Renewed {
                    self.valid(token);
                }
                call.event = Some(Answer::Renewed(outcome));
            }
            Ask::GiveUp { attempts, .. } => {
                self.check_note(call.from, id, token, attempts);
                let outcome = self.server.give_up(id, token, attempts, now);
                match outcome {
                    crate::store::GiveUpOutcome::Noted => self.valid(token),
                    _ => self.counts.reached(Sometimes::NoteNotHeld),
                }
                call.event = Some(Answer::GaveUp(outcome));
            }
            Ask::Release(given_back) => {
                self.check_release(call.from, id, token, given_back);
                let outcome = self.server.release(id, token, given_back, now);
                self.ends(token);
                call.event = Some(Answer::Released(outcome));
            }
            _ => {}
        }
        self.check_token(id, token, before);
    }

    /// The answer of a leg reaches the worker.
    pub(super) fn answered(&mut self, number: usize) {
        let mut call = self.calls.remove(number);
        match call.leg {
            Leg::Before if call.found => self.finish_claim(call, done()),
            Leg::Before => {
                // What was found here counts for nothing, unless that is the bug.
                let known = self.known(call.from);
                call.asked = self.readable(known);
                call.sets = if self.planted(StoreBug::DoneBeforeLease) { Sets::default() } else { call.asked };
                self.go_on(call, Leg::Lease);
            }
            Leg::Lease | Leg::Again if call.found => {
                if call.legs > 0 && call.leg == Leg::Again {
                    self.counts.reached(Sometimes::FoundWhenLookedUpAgain);
                }
                self.finish_claim(call, done());
            }
            Leg::Lease if call.refused => {
                let event = call.failed(StoreError::Full(Cause::new("OOM")));
                self.deliver(call.from, event);
            }
            Leg::Lease if call.taken == Some(false) => self.go_on(call, Leg::Rare),
            Leg::Rare if !call.told.as_ref().is_some_and(holds) => {
                let told = call.told.clone().unwrap_or_else(done);
                self.finish_claim(call, told);
            }
            Leg::Lease | Leg::Rare | Leg::Again => self.verify(call),
            Leg::Add if call.refused => self.go_on(call, Leg::AddByScript),
            Leg::AddByScript => {
                let known = self.known(call.from);
                call.sets = self.server.done.written_since(known, call.since, call.written);
                match call.sets.0 {
                    0 => self.finish(call),
                    _ => self.go_on(call, Leg::Beside),
                }
            }
            Leg::Add | Leg::Beside | Leg::Script => self.finish(call),
        }
    }

    /// A claim is relied on only if it was looked up wherever its ID could lie by now.
    fn verify(&mut self, mut call: Call) {
        let known = self.known(call.from);
        let readable = self.readable(known);
        if call.asked.covers(readable) {
            let told = call.told.take().unwrap_or(ClaimOutcome::Claimed { attempts: 0, suspect: false });
            return self.finish_claim(call, told);
        }
        self.counts.reached(Sometimes::LookedUpAgain);
        if call.legs > 4 {
            let event = call.failed(unknown());
            return self.deliver(call.from, event);
        }
        (call.sets, call.asked) = (readable, call.asked.and(readable));
        self.go_on(call, Leg::Again);
    }

    fn go_on(&mut self, mut call: Call, leg: Leg) {
        (call.leg, call.begun) = (leg, false);
        call.legs += 1;
        self.send(call);
    }

    fn finish_claim(&mut self, call: Call, outcome: ClaimOutcome) {
        let Ask::Claim { work, sent_at, .. } = call.ask else { return };
        let taken = call.taken == Some(true) || call.told.as_ref().is_some_and(holds);
        if taken && !holds(&outcome) {
            let there = self.within(self.plan.latency);
            self.after(there, Ev::GiveBack { id: call.id, token: call.token });
        }
        let event = Event::Claimed { work, token: call.token, sent_at, result: Ok(outcome) };
        self.deliver(call.from, event);
    }

    fn finish(&mut self, call: Call) {
        let token = call.token;
        let event = match (call.ask, call.event) {
            (Ask::Complete { work, .. }, Some(Answer::Added(new))) => {
                // The lease goes only now, with a later batch.
                if !self.planted(StoreBug::DeletedEarly) {
                    let later = self.within(5 * MS) + self.within(self.plan.latency);
                    self.after(later, Ev::Delete { id: call.id });
                }
                let outcome = match new && !call.found {
                    true => CompletionOutcome::Recorded,
                    false => CompletionOutcome::AlreadyDone,
                };
                Event::Completed { work, result: Ok(outcome) }
            }
            (Ask::Renew { work, sent_at }, Some(Answer::Renewed(outcome))) => {
                Event::Renewed { work, token, sent_at, result: Ok(outcome) }
            }
            (Ask::GiveUp { work, sent_at, .. }, Some(Answer::GaveUp(outcome))) => {
                Event::GaveUp { work, token, sent_at, result: Ok(outcome) }
            }
            (Ask::Release(_), Some(Answer::Released(outcome))) => Event::Released { token, result: Ok(outcome) },
            _ => unreachable!("a leg without its answer"),
        };
        self.deliver(call.from, event);
    }

    /// How a leg travels; see [`World::send`].
    pub(super) fn board(&mut self, mut call: Call, back: Option<u64>, late: bool) -> usize {
        (call.back, call.late) = (back, late);
        call.apart = (call.is_claim() || call.leg == Leg::Add) && self.rng.random_ratio(1, 6);
        self.calls.insert(call)
    }
}

/// Whether the lease is held after such an answer.
pub(super) fn holds(outcome: &ClaimOutcome) -> bool {
    matches!(outcome, ClaimOutcome::Claimed { .. } | ClaimOutcome::GivenUp { .. })
}

fn done() -> ClaimOutcome {
    ClaimOutcome::Done { cached: false, first: None }
}
