//! One process of the simulation: an engine and what surrounds it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::super::super::*;
use super::eyes::Eyes;
use super::plan::{LEASE, What};
use super::store::Id;
use crate::record::Offset;
use crate::store::Token;

/// A partition that the worker believes to have.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) assignment: Assignment,
    /// The index in the log that is delivered next.
    pub(super) position: usize,
    pub(super) revoking: bool,
    pub(super) paused: bool,
    /// A batch that was fetched and not delivered yet.
    pub(super) fetched: bool,
}

/// A handler that started and whose effect is not acknowledged yet.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) what: What,
    pub(super) partition: usize,
    pub(super) index: usize,
    pub(super) assignment: Assignment,
    /// Tells events of this run from those of an earlier one.
    pub(super) number: u64,
    /// The call that it is part of.
    pub(super) call: u64,
    /// Its effect happened, or its copy was delivered.
    pub(super) effect: bool,
    /// What happened is the delivery of a copy.
    pub(super) copy: bool,
    pub(super) ended: bool,
    /// Whether its lease was taken over before its effect.
    pub(super) overrun: bool,
    pub(super) alone: bool,
}

/// A copy of a record that was sent and not answered yet.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) what: What,
    pub(super) partition: usize,
    pub(super) index: usize,
    pub(super) assignment: Assignment,
}

/// An attempt that had its effect and did not say so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    pub(super) id: Id,
    pub(super) place: (i32, Offset),
    pub(super) reported: bool,
    /// A release of its claim got no answer: the engine does not learn what became of it.
    pub(super) excused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Awaited,
    Unknown,
    Held,
}

/// A claim that was asked for and neither started nor given back.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) assignment: Assignment,
    pub(super) partition: i32,
    pub(super) lane: usize,
    pub(super) offset: Offset,
    pub(super) answer: Answer,
    pub(super) was_unknown: bool,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) slot: usize,
    pub(super) alive: bool,
    pub(super) member: bool,
    pub(super) shutting_down: Option<u64>,
    pub(super) engine: Engine,
    pub(super) eyes: Arc<Eyes>,
    /// How fast its clock goes.
    pub(super) rate: f64,
    /// How wrong it is about the store's time.
    pub(super) skew: i64,
    /// When it last read the plan, by the store's clock.
    pub(super) read_at: u64,
    pub(super) owned: BTreeMap<usize, Owned>,
    pub(super) runs: HashMap<WorkId, Run>,
    /// Of each call of the handler under way, how many of its records have not ended.
    pub(super) calls: HashMap<u64, usize>,
    /// Before when a record is not to be started again, as its handler asked.
    pub(super) not_before: HashMap<WorkId, Duration>,
    pub(super) copies: HashMap<WorkId, Copy>,
    /// Attempts that had their effect and did not say so.
    pub(super) doubts: HashMap<WorkId, Doubt>,
    pub(super) asked: HashMap<Token, Asked>,
    pub(super) token_of: HashMap<WorkId, Token>,
    pub(super) released: HashSet<Token>,
    /// Releases under way, and since when: after a lease there is nothing left to release.
    pub(super) releasing: HashMap<Token, (Assignment, u64)>,
    /// Heads that are parked, by partition and lane.
    pub(super) parked: HashMap<(i32, usize), Offset>,
    /// Events that the next turn of the engine takes.
    pub(super) gathered: Vec<Event>,
    /// The tokens of completions that were answered in this turn, by the place of the record.
    pub(super) completed: HashMap<(i32, Offset), Token>,
    /// Those that were parked in this very turn: what it did before that is not behind them.
    pub(super) just_parked: Vec<(i32, usize)>,
    /// Assignments that must not be committed any more.
    pub(super) closed: HashSet<Assignment>,
    /// The last commit sent of each assignment, and whether it was refused.
    pub(super) commits: HashMap<Assignment, (Offset, bool)>,
    pub(super) tick_at: Option<u64>,
    pub(super) stalled_until: u64,
    /// When an operator lets it go on.
    pub(super) paused_until: Option<u64>,
    /// When it last stood still.
    pub(super) stood_still_at: Option<u64>,
    /// Control events arrive in order, and so does what goes to the source.
    pub(super) control_at: u64,
    pub(super) source_at: u64,
    /// How many more actions it gets done before it crashes.
    pub(super) crash_in: Option<usize>,
    pub(super) delivered: usize,
    pub(super) settled: usize,
    /// Records that it delivered and is done with unsettled: whoever has their partition gets them again.
    pub(super) given_back: usize,
    /// Partitions that stand stopped, and where.
    pub(super) standing: HashMap<i32, Offset>,
    /// The same before the last step.
    pub(super) stood: HashMap<i32, Offset>,
    /// Records that an operator skips, by partition and index.
    pub(super) skips: HashMap<WorkId, (usize, usize)>,
    /// Whether records were dropped unsettled, by a revoke or a loss.
    pub(super) dropped: bool,
    pub(super) in_process_deadlock: bool,
    /// Which assignments have to be given back by when.
    pub(super) revoke_deadlines: Vec<(Vec<Assignment>, Duration)>,
}

impl Worker {
    pub(super) fn new(slot: usize, config: EngineConfig, seed: [u8; 32], rate: f64, skew: i64) -> Self {
        let eyes = Arc::new(Eyes::default());
        Self {
            slot,
            alive: true,
            member: false,
            shutting_down: None,
            engine: Engine::new(config, eyes.clone(), seed),
            eyes,
            rate,
            skew,
            read_at: 0,
            owned: BTreeMap::new(),
            runs: HashMap::new(),
            calls: HashMap::new(),
            not_before: HashMap::new(),
            copies: HashMap::new(),
            doubts: HashMap::new(),
            asked: HashMap::new(),
            token_of: HashMap::new(),
            released: HashSet::new(),
            releasing: HashMap::new(),
            parked: HashMap::new(),
            gathered: Vec::new(),
            completed: HashMap::new(),
            just_parked: Vec::new(),
            closed: HashSet::new(),
            commits: HashMap::new(),
            tick_at: None,
            stalled_until: 0,
            paused_until: None,
            stood_still_at: None,
            control_at: 0,
            source_at: 0,
            crash_in: None,
            delivered: 0,
            settled: 0,
            given_back: 0,
            standing: HashMap::new(),
            stood: HashMap::new(),
            skips: HashMap::new(),
            dropped: false,
            in_process_deadlock: false,
            revoke_deadlines: Vec::new(),
        }
    }

    /// The time of its own clock.
    pub(super) fn local(&self, now: u64) -> Duration {
        Duration::from_micros((now as f64 * self.rate) as u64)
    }

    /// When its clock shows a time.
    pub(super) fn global(&self, at: Duration) -> u64 {
        (at.as_micros() as f64 / self.rate).ceil() as u64 + 1
    }

    /// Whether a handler started under this token, or a copy was sent, and is not acknowledged yet.
    pub(super) fn runs_under(&self, token: &Token) -> bool {
        self.runs.keys().chain(self.copies.keys()).any(|work| self.token_of.get(work) == Some(token))
    }

    /// The record that has, or had, a token.
    pub(super) fn work_of(&self, token: &Token) -> Option<WorkId> {
        self.token_of.iter().find(|(_, other)| *other == token).map(|(work, _)| *work)
    }

    /// The record at which a partition of it stands stopped, if it can be tried again.
    pub(super) fn stands_at(&self, partition: usize) -> Option<&Work> {
        let assignment = &self.owned.get(&partition)?.assignment;
        let part = self.engine.parts.iter().map(|(_, part)| part).find(|part| part.assignment == *assignment)?;
        let stop = part.stop.as_ref().filter(|_| part.rests())?;
        self.engine.work(stop.work?)
    }

    /// A skip that is not answered looks at its lease before it is sent again: meanwhile it is not exposed.
    pub(super) fn forget_resting_skips(&mut self) {
        let Self { runs, skips, engine, .. } = self;
        let completing = |id| engine.work(id).is_none_or(Work::is_exposed);
        runs.retain(|work, run| !run.copy || !skips.contains_key(work) || completing(*work));
    }

    /// Forgets the heads of a partition that were parked.
    pub(super) fn forget_parked(&mut self, partition: i32) {
        self.parked.retain(|(parked, _), _| *parked != partition);
    }

    /// Whether a release is under way of an assignment that matches; a worker whose clock is fast gives it up earlier.
    pub(super) fn is_releasing(&self, now: u64, matches: impl Fn(&Assignment) -> bool) -> bool {
        self.releasing.values().any(|(assignment, since)| matches(assignment) && now < since + LEASE / 100 * 97)
    }

    /// Whether two lanes wait for what the other has claimed behind its head: one's head now, the other's when its turn
    /// would have come.
    pub(super) fn has_deadlock(&self) -> bool {
        let engine = &self.engine;
        let owner_of = |id: &WorkId| {
            let work = engine.work(*id).filter(|work| work.stage == Stage::Waiting)?;
            engine.work(engine.known.owner(&work.fingerprint?)?)
        };
        let has_behind = |lane: &VecDeque<WorkId>, id: WorkId| lane.iter().skip(1).any(|other| *other == id);
        engine.lanes.iter().filter(|(_, lane)| lane.head_only).any(|(_, lane)| {
            let Some(wanted) = lane.works.front().and_then(owner_of) else { return false };
            let Some(other) = engine.lanes.get(wanted.lane.0) else { return false };
            has_behind(&other.works, wanted.id)
                && other
                    .works
                    .iter()
                    .take_while(|id| **id != wanted.id)
                    .filter_map(owner_of)
                    .any(|owner| has_behind(&lane.works, owner.id))
        })
    }
}
