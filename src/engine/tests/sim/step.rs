//! One turn of an engine: the events that it takes, what it reports, what it wants done.

use rand::Rng;

use super::super::super::{Action, Assignment, Event};
use super::call::Ask;
use super::eyes::Seen;
use super::facts::Sometimes;
use super::plan::{MS, What};
use super::store::id_of;
use super::worker::Answer;
use super::world::{Ev, World};
use crate::observe::{DuplicateBy, FailureKind, Observer, Outcome};
use crate::record::Offset;
use crate::store::{ClaimOutcome, GiveUpOutcome, ReleaseOutcome, RenewOutcome, Token, Verdict};

impl World {
    /// Brings an answer to an engine, or keeps it for a turn of the engine that takes several.
    pub(super) fn deliver(&mut self, to: usize, event: Event) {
        if self.plan.grouped == 0 || !self.rng.random_ratio(self.plan.grouped, 10) {
            return self.step(to, event);
        }
        let worker = &mut self.workers[to];
        worker.gathered.push(event);
        if worker.gathered.len() == 1 {
            let delay = self.within(MS);
            self.after(delay, Ev::Turn { at: to });
        }
    }

    /// What the test has to know of an event that an engine is about to take.
    fn note(&mut self, to: usize, event: &Event) {
        let worker = &mut self.workers[to];
        match event {
            Event::Claimed { token, result, .. } => {
                let outstanding = worker.asked.get_mut(token);
                match (outstanding, result) {
                    (Some(asked), Ok(outcome)) => {
                        if asked.was_unknown {
                            self.counts.reached(Sometimes::UnknownClaimResolved);
                        }
                        match outcome {
                            ClaimOutcome::Claimed { .. } | ClaimOutcome::GivenUp { .. } => {
                                asked.answer = Answer::Held;
                                let (lane, offset) = ((asked.partition, asked.lane), asked.offset);
                                if worker.parked.get(&lane) == Some(&offset) {
                                    worker.parked.remove(&lane);
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
            }
            Event::Completed { work, result: Ok(_) } => {
                let run = worker.runs.remove(work);
                if let Some(run) = &run
                    && !worker.owned.values().any(|owned| owned.assignment == run.assignment)
                {
                    self.counts.reached(Sometimes::StaleCompletionAfterRevoke);
                }
                let Some(token) = worker.token_of.get(work) else { return };
                if let Some(work) = worker.engine.work(*work) {
                    let place = (work.record.partition().partition(), work.record.offset());
                    worker.completed.insert(place, *token);
                }
                // A late copy of its claim may still take what a store that lost its data does not know any more.
                if let Some(fact) = self.facts.tokens.get_mut(token) {
                    fact.given_up = true;
                }
            }
            Event::Renewed { token, result: Ok(RenewOutcome::NotHeld), .. }
            | Event::GaveUp { token, result: Ok(GiveUpOutcome::NotHeld), .. } => {
                worker.asked.remove(token);
                if !worker.runs_under(token)
                    && let Some(fact) = self.facts.tokens.get_mut(token)
                {
                    fact.given_up = true;
                }
            }
            Event::Released { token, result } => {
                let doubted = worker.work_of(token).filter(|work| worker.doubts.contains_key(work));
                match (result, doubted.and_then(|work| worker.doubts.get_mut(&work))) {
                    // It was held until now: another attempt is a retry.
                    (Ok(ReleaseOutcome::Released), Some(_)) => {
                        worker.doubts.retain(|work, _| Some(*work) != doubted || worker.engine.knows(*work));
                    }
                    (Err(_), Some(doubt)) => doubt.excused = true,
                    _ => {}
                }
                if result.is_ok() {
                    worker.releasing.remove(token);
                }
            }
            Event::Published { work, result } => self.copy_answered(to, *work, result.is_ok()),
            _ => {}
        }
    }

    /// Lets an engine take an event, behind those that were kept for it.
    pub(super) fn step(&mut self, who: usize, event: Event) {
        self.workers[who].gathered.push(event);
        self.turn(who);
    }

    /// One turn of an engine, and what follows from it.
    pub(super) fn turn(&mut self, who: usize) {
        let events = std::mem::take(&mut self.workers[who].gathered);
        if self.failure.is_some() || events.is_empty() {
            return;
        }
        self.steps += 1;
        if events.len() > 1 {
            self.counts.reached(Sometimes::Grouped);
        }
        self.workers[who].completed.clear();
        for event in &events {
            self.say(|_| format!("w{who} <- {event:?}"));
            self.note(who, event);
        }
        let now = self.workers[who].local(self.now);
        let mut actions = Vec::new();
        self.workers[who].just_parked.clear();
        self.workers[who].stood = self.workers[who].standing.clone();
        self.workers[who].engine.turn(now, events, &mut actions);
        for seen in self.workers[who].eyes.take() {
            self.see(who, seen);
        }
        // What starts in this step starts beside what is exposed after it.
        self.workers[who].forget_resting_skips();
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
        self.workers[who].forget_resting_skips();
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

    pub(super) fn see(&mut self, who: usize, seen: Seen) {
        self.say(|_| format!("w{who} tells {seen:?}"));
        let worker = &mut self.workers[who];
        match seen {
            Seen::Delivered(count) => worker.delivered += count,
            Seen::Duplicate(partition, offset, by) => {
                self.check_duplicate(who, partition, offset);
                match by {
                    DuplicateBy::Cache => self.counts.reached(Sometimes::SettledByCache),
                    DuplicateBy::Process => self.counts.reached(Sometimes::SettledByTwin),
                    DuplicateBy::Store => {}
                }
                let lane = self.lane_of(partition, offset);
                let worker = &mut self.workers[who];
                if worker.parked.get(&lane) == Some(&offset) {
                    worker.parked.remove(&lane);
                }
            }
            Seen::Park(partition, offset) => {
                let lane = self.lane_of(partition, offset);
                let worker = &mut self.workers[who];
                if worker.parked.insert(lane, offset) != Some(offset) {
                    worker.just_parked.push(lane);
                }
            }
            Seen::Complete(partition, offset, verdict) => {
                let token = worker.completed.get(&(partition, offset)).copied();
                self.check_verdict(who, verdict, token);
            }
            Seen::PossibleRepeat(partition, offset) => {
                let here = worker.doubts.values_mut().filter(|doubt| doubt.place == (partition, offset));
                here.for_each(|doubt| doubt.reported = true);
            }
            Seen::Settle(partition, offset, Outcome::SkippedByOperator) => {
                worker.settled += 1;
                // Recorded by this worker as the first: of an attempt in doubt there was no second.
                worker.doubts.retain(|_, doubt| doubt.place != (partition, offset));
                let index = self.plan.index_of(partition as usize, offset);
                self.check_skipped(who, partition as usize, index);
            }
            Seen::Settle(partition, offset, outcome) => {
                worker.settled += 1;
                if outcome != Outcome::Duplicate {
                    worker.doubts.retain(|_, doubt| doubt.place != (partition, offset));
                }
                self.check_settled(who, partition, offset, outcome);
            }
            Seen::Try(partition, offset, by_operator) => {
                self.counts.reached(if by_operator { Sometimes::TriedByOperator } else { Sometimes::TriedByItself });
                let index = self.plan.index_of(partition as usize, offset);
                if let (true, What::Id(id)) = (by_operator, self.plan.log[partition as usize][index].what) {
                    self.facts.fate(id).tried_by_operator += 1;
                }
                // An operator does not wait for as long as the handler asked.
                let worker = &mut self.workers[who];
                if let Some(work) = worker.stands_at(partition as usize).map(|work| work.id).filter(|_| by_operator) {
                    worker.not_before.remove(&work);
                }
            }
            Seen::StopOver(partition) => {
                if let Some(offset) = worker.standing.remove(&partition) {
                    self.check_goes_on(who, partition as usize, offset);
                }
            }
            Seen::Stop(partition, offset, reason) => {
                worker.standing.insert(partition, offset);
                worker.forget_parked(partition);
                self.stopped.insert(partition as usize);
                let index = self.plan.index_of(partition as usize, offset);
                if reason.contains("and more") {
                    self.counts.reached(Sometimes::Condemned);
                }
                let may = self.plan.may_stop(partition as usize, index, |at| self.was_skipped(partition as usize, at));
                if !may {
                    self.fail(format!("I10: w{who} stopped {partition} at an innocent record, {offset}: {reason}"));
                }
            }
        }
    }

    fn lane_of(&self, partition: i32, offset: Offset) -> (i32, usize) {
        let partition_index = partition as usize;
        (partition, self.plan.log[partition_index][self.plan.index_of(partition_index, offset)].lane)
    }

    pub(super) fn check_verdict(&mut self, who: usize, verdict: Verdict, token: Option<Token>) {
        let Some(token) = token else { return };
        let Some(fate) = self.facts.fates().find(|fate| fate.completed_by.contains(&token)) else { return };
        let others = fate.completed_by.iter().position(|other| *other == token) != Some(0);
        if verdict == Verdict::First && others && fate.losses == 0 && !fate.late {
            self.fail(format!("I3: w{who} hides that its effect was the second one"));
        }
    }

    pub(super) fn act(&mut self, who: usize, action: Action) {
        self.say(|_| format!("w{who} -> {action:?}"));
        let sent_at = self.workers[who].local(self.now);
        let skips = matches!(action, Action::Claim { work, .. } if self.serves_skip(who, work));
        let begins = !skips
            && matches!(
                action,
                Action::Claim { .. } | Action::Start(_) | Action::StartBatch(_) | Action::Publish { .. }
            );
        if begins && self.workers[who].paused_until.is_some() {
            return self.fail(format!("I11: w{who} is paused, and begins something: {action:?}"));
        }
        match action {
            Action::Claim { work, claim } => {
                self.check_claim(who, work, &claim);
                let (id, token) = (id_of(&claim.lease), claim.lease.token);
                self.ask(who, id, token, Ask::Claim { work, takes_over: claim.takes_over, sent_at });
            }
            Action::Start(start) => self.start(who, &[start]),
            Action::StartBatch(starts) => self.start(who, &starts),
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
            Action::Complete { work, completion } => {
                let claimed_at = self.facts.tokens.get(&completion.lease.token).map(|fact| fact.claimed_at);
                if claimed_at.is_none_or(|at| at + completion.held_for != sent_at) {
                    return self.fail(format!("I3: w{who} misremembers since when it holds: {completion:?}"));
                }
                let (id, token) = (id_of(&completion.lease), completion.lease.token);
                self.skip_completes(who, work);
                self.ask(who, id, token, Ask::Complete { work, held_for: completion.held_for });
            }
            Action::Renew { work, lease } => self.ask(who, id_of(&lease), lease.token, Ask::Renew { work, sent_at }),
            Action::GiveUp { work, note } => {
                let (id, token, attempts) = (id_of(&note.lease), note.lease.token, note.attempts);
                self.ask(who, id, token, Ask::GiveUp { work, attempts, sent_at });
            }
            Action::Release(release) => {
                let token = release.lease.token;
                self.check_give_back(who, token);
                let under_way = self.workers[who].copies.iter();
                let under_way = under_way.filter(|(work, _)| self.workers[who].token_of.get(work) == Some(&token));
                let under_way: Vec<What> = under_way.map(|(_, copy)| copy.what).collect();
                for what in under_way {
                    // It may be delivered, and nobody waits for it any more.
                    self.counts.reached(Sometimes::LetGo);
                    if let What::Id(id) = what {
                        self.facts.fate(id).copied_again += 1;
                    }
                }
                let worker = &mut self.workers[who];
                if let Some(asked) = worker.asked.remove(&token) {
                    worker.releasing.insert(token, (asked.assignment, self.now));
                }
                worker.released.insert(token);
                if let Some(fact) = self.facts.tokens.get_mut(&token) {
                    fact.given_up = true;
                }
                self.ask(who, id_of(&release.lease), token, Ask::Release(release.given_back));
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
            Action::Publish { work, record, to, .. } => self.publish(who, work, &record, &to),
            Action::ReportDoubt { record, .. } => {
                self.workers[who].eyes.on_possible_repeat(&record, None);
                let seen = self.workers[who].eyes.take();
                seen.into_iter().for_each(|seen| self.see(who, seen));
            }
            Action::SkipEnded { work, outcome } => self.skip_ended(who, work, outcome),
            Action::Finished => self.finished(who),
        }
    }

    pub(super) fn tell_source(&mut self, who: usize, delay: u64, event: Ev) {
        let at = (self.now + delay).max(self.workers[who].source_at + 1);
        self.workers[who].source_at = at;
        self.at(at, event);
    }

    pub(super) fn pause(&mut self, who: usize, assignment: &Assignment, paused: bool) {
        if let Some(owned) = self.workers[who].owned.values_mut().find(|owned| owned.assignment == *assignment) {
            owned.paused = paused;
        }
    }
}
