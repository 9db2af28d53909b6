//! The pure core: which record is claimed, handled, completed, settled and committed, and when.
//!
//! A state machine without I/O, clock or threads: [`Event`]s in, [`Action`]s out, the time passed in as a
//! [`Duration`] since any fixed moment. The shell (`consumer`) runs it on tokio; the tests drive the same code through
//! seeded schedules.
//!
//! Where each decision is made:
//!
//! | decision | where |
//! |---|---|
//! | duplicate or not | [`Engine::claimed`], in `claim.rs`: only [`ClaimOutcome::Done`](crate::store::ClaimOutcome::Done) settles |
//! | same ID, other payload | [`Engine::conflicting`], in `conflict.rs` |
//! | fresh, in flight here, or done | `Known::take`, in `known.rs` |
//! | which records are ordered among each other | `LaneKey`, in `lane.rs` |
//! | claim or not, and when | [`Engine::claim_ahead`], in `advance.rs` |
//! | start the handler or not | [`Engine::advance`], in `advance.rs`, and [`Engine::may_start`], in `turns.rs` |
//! | which others go into the same call | [`Engine::start_more`], in `turns.rs` |
//! | take over from another owner or not | [`Engine::take_over_or_wait`], in `handle.rs` |
//! | take more records or not | [`Engine::admits`], in `pressure.rs` |
//! | pause or not | [`Engine::check_pause`], in `pressure.rs` |
//! | retry, retry topic, dead letter, stop | [`Engine::failed`], in `fate.rs`; how long between two attempts, `backoff.rs` |
//! | dead letter or stop | [`Engine::follow`], in `fate.rs`; the share that is allowed is `share.rs` |
//! | note that it is given up, or send the copy | [`Engine::deliver`], in `letters.rs` |
//! | too old or not | [`Engine::expire`], in `expiry.rs` |
//! | settled or not | [`Engine::settle`], in `handle.rs` |
//! | commit or not, and which offset | [`Engine::commit_part`], in `commit.rs`; the watermark is `tracker.rs` |
//! | give back or keep | [`Engine::give_back`], in `release.rs` |
//! | revoke, lost, shutdown | `drain.rs` |
//! | perhaps repeated elsewhere | [`Engine::doubt`], in `doubt.rs` |
//! | paused by an operator | [`Engine::halt`], in `halt.rs` |
//! | a stopped partition: when it tries again, and what moves meanwhile | [`Engine::stop`], in `stop.rs` |
//! | skipped by an operator or not | [`Engine::skippable`], in `skip.rs` |
//! | no progress | [`Engine::report_stalls`], in `stall.rs` |
//!
//! One record's way through all of them, function by function, is told in [design](crate::docs::design), with what looks
//! odd and stands for a counter-example.

mod action;
mod advance;
mod arrive;
mod backoff;
mod claim;
mod commit;
mod config;
mod conflict;
mod doubt;
mod drain;
mod event;
mod expiry;
mod fate;
mod halt;
mod handle;
mod known;
mod lane;
mod lease;
mod letters;
mod order;
mod partition;
mod planted;
mod pressure;
mod release;
mod share;
mod skip;
mod stall;
mod state;
mod stop;
mod tracker;
mod turns;
mod work;
mod works;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use slab::Slab;

use crate::observe::Observer;
use crate::record::TopicPartition;
use crate::store::Token;

pub use action::{Action, Destination, Start};
pub use backoff::Backoff;
pub use config::EngineConfig;
pub use conflict::{ConflictPolicy, MessageConflict};
pub use event::{Arrival, Assignment, Event, HandlerFailure, Identified, LONGEST_AFTER};
pub use order::Order;
pub use skip::{SkipRefused, Skippable};
pub use state::{PartitionPhase, PartitionState, Waiting};

use drain::Drain;
use known::Known;
use lane::{Lane, LaneIndex};
use partition::Part;
use planted::Bug;
use pressure::Memory;
use release::PendingRelease;
use share::Share;
use work::{Stage, Work};

/// One record's way through the engine; never reused within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkId(pub u64);

/// How many low bits of a [`WorkId`] are the index of its slot; the rest count up.
const SLOT_BITS: u32 = 24;

/// The engine of one consumer.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    observer: Arc<dyn Observer>,
    rng: StdRng,
    now: Duration,
    out: Vec<Action>,
    works: Slab<Work>,
    created: u64,
    parts: Slab<Part>,
    /// In order, so that the same events always lead to the same actions.
    current: BTreeMap<TopicPartition, usize>,
    known: Known,
    releases: HashMap<Token, PendingRelease>,
    drains: Vec<Drain>,
    lanes: Slab<Lane>,
    /// Lanes that may be able to move; served before `step` returns.
    dirty: VecDeque<LaneIndex>,
    /// Assignments that may be able to claim ahead, or have to be held back; served before `step` returns.
    touched: VecDeque<usize>,
    /// Assignments with a lane whose head waits for its turn; they take turns.
    waiting: VecDeque<usize>,
    /// Somebody ended since turns were last given.
    freed: bool,
    /// A lane that waited is given its turn.
    giving: bool,
    /// The call of the handler that is being filled; it is closed before `step` returns.
    call: Vec<Start>,
    last_call: u64,
    /// Of each call that took more than one record, how many of them have not ended.
    members: HashMap<u64, usize>,
    /// Calls of the handler under way.
    calls: usize,
    /// Handlers ever started.
    started: u64,
    /// What is to be looked at again, and when. An entry may be out of date: it is checked when it is due.
    timers: BinaryHeap<Reverse<(Duration, Timer)>>,
    next_scan: Duration,
    running: usize,
    exposed: usize,
    /// Completions whose last answer was a refusal: while there is one, no handler starts.
    refused: usize,
    /// Whether the store is known to refuse commands that it needs.
    store_refuses: bool,
    in_flight: usize,
    bytes: usize,
    memory: Slab<Memory>,
    /// The suspect that runs alone, or waits to: nobody else starts.
    alone: Option<WorkId>,
    /// What became of the last records.
    share: Share,
    /// Records dropped without an outcome in this step, per partition.
    given_back: Vec<(TopicPartition, usize)>,
    shutting_down: bool,
    /// An operator has paused the consumer.
    halted: bool,
    /// Records that an operator skips and that are not settled yet.
    skips: Vec<WorkId>,
    #[cfg(test)]
    planted: Option<Bug>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Work(WorkId),
    Release(Token),
    Try(usize),
}

impl Engine {
    /// An engine without partitions. `seed` feeds tokens and jitter; outside of tests it must come from the operating
    /// system, for tokens must be unique among all processes.
    pub fn new(config: EngineConfig, observer: Arc<dyn Observer>, seed: [u8; 32]) -> Self {
        Self {
            known: Known::new(config.cache_entries, config.cache_lifetime.min(config.terms.window)),
            config,
            observer,
            rng: StdRng::from_seed(seed),
            now: Duration::ZERO,
            out: Vec::new(),
            works: Slab::new(),
            created: 0,
            parts: Slab::new(),
            current: BTreeMap::new(),
            releases: HashMap::new(),
            drains: Vec::new(),
            lanes: Slab::new(),
            dirty: VecDeque::new(),
            touched: VecDeque::new(),
            waiting: VecDeque::new(),
            freed: false,
            giving: false,
            call: Vec::new(),
            last_call: 0,
            members: HashMap::new(),
            calls: 0,
            started: 0,
            timers: BinaryHeap::new(),
            next_scan: Duration::ZERO,
            running: 0,
            exposed: 0,
            refused: 0,
            store_refuses: false,
            in_flight: 0,
            bytes: 0,
            memory: Slab::new(),
            alone: None,
            share: Share::default(),
            given_back: Vec::new(),
            shutting_down: false,
            halted: false,
            skips: Vec::new(),
            #[cfg(test)]
            planted: None,
        }
    }

    /// Takes one event at the time `now`, which never goes back, and appends what follows to `actions`.
    pub fn step(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        self.turn(now, [event], actions);
    }

    /// Takes events in their order, and appends what follows from all of them to `actions`. What they make possible is
    /// looked for once, after the last: a turn with many answers costs little more than one with a few.
    pub fn turn(&mut self, now: Duration, events: impl IntoIterator<Item = Event>, actions: &mut Vec<Action>) {
        self.now = self.now.max(now);
        std::mem::swap(&mut self.out, actions);
        events.into_iter().for_each(|event| self.take(event));
        self.push_skips();
        self.settle_down();
        self.check_drains();
        for (partition, records) in std::mem::take(&mut self.given_back) {
            self.observer.on_give_back(&partition, records);
        }
        std::mem::swap(&mut self.out, actions);
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Assigned(assignments) => assignments.into_iter().for_each(|a| self.assigned(a)),
            Event::Records { assignment, arrivals } => self.arrived(&assignment, arrivals),
            Event::Claimed { work, token, sent_at, result } => self.claimed(work, token, sent_at, result),
            Event::Handled { work, result } => self.handled(work, result),
            Event::GaveUp { work, token, sent_at, result } => self.gave_up(work, token, sent_at, result),
            Event::Published { work, result } => self.published(work, result),
            Event::Completed { work, result } => self.completed(work, result),
            Event::Renewed { work, token, sent_at, result } => self.renewed(work, token, sent_at, result),
            Event::Released { token, result } => self.released(token, result),
            Event::Committed { assignment, offset, result } => self.committed(&assignment, offset, result),
            Event::RevokeRequested { assignments, deadline } => self.revoke(assignments, deadline),
            Event::Lost(assignments) => assignments.iter().for_each(|a| self.lost(a)),
            Event::StoreRefuses(refuses) => {
                self.store_refuses = refuses;
                self.freed |= !refuses;
            }
            Event::Forgot(fingerprints) => self.known.forget(&fingerprints, self.now),
            Event::StoodStill(gap) => self.stood_still(gap),
            Event::Tick => self.tick(),
            Event::Pause => self.halt(),
            Event::Resume => self.go_on(),
            Event::Retry(partition) => self.retry(partition.as_ref()),
            Event::Skip { work } => self.skip(work),
            Event::Shutdown { deadline } => self.shut_down(deadline),
        }
    }

    /// When [`Event::Tick`] is due at the latest; `None` while nothing waits for time to pass.
    pub fn next_tick(&self) -> Option<Duration> {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let scan = (!self.works.is_empty()).then_some(self.next_scan);
        let drain = self.drains.iter().map(|drain| drain.deadline).min();
        let source = [self.next_commit(), self.next_pause(), self.next_stall()];
        [timer, scan, drain].into_iter().chain(source).flatten().min()
    }

    /// Whether a record is still in flight.
    pub fn knows(&self, id: WorkId) -> bool {
        self.work(id).is_some()
    }

    /// Handlers running and completions under way.
    pub fn exposed(&self) -> usize {
        self.exposed
    }

    fn tick(&mut self) {
        while let Some(Reverse((at, timer))) = self.timers.peek().copied() {
            if at > self.now {
                break;
            }
            self.timers.pop();
            match timer {
                Timer::Work(id) => self.wake(id),
                Timer::Release(token) => self.resend_release(token),
                Timer::Try(index) => self.try_due(index),
            }
        }
        if self.now >= self.next_scan {
            self.next_scan = self.now + self.config.scan_interval();
            self.scan_leases();
        }
        self.commit_due();
        self.pauses_due();
        self.report_stalls();
    }

    /// A record's own timer is due: sends again what has to be sent again, or lets its lane look at it.
    fn wake(&mut self, id: WorkId) {
        let now = self.now;
        let Some(work) = self.work(id) else { return };
        match work.stage {
            Stage::Claiming { again_at: Some(at), .. } if at <= now => self.send_claim(id),
            // Another owner may have taken it over meanwhile: the lease is looked at first.
            Stage::Completing { again_at: Some(at), .. } if at <= now && work.operator_skips && self.goes_on(work) => {
                self.enter(id, Stage::BackingOff(now));
            }
            Stage::Completing { again_at: Some(at), .. } if at <= now => self.send_completion(id),
            Stage::GivingUp { again_at: Some(at), .. } if at <= now => self.send_note(id),
            Stage::Parked(at) | Stage::BackingOff(at) | Stage::NotDue(at) if at <= now => {
                let lane = work.lane;
                self.stir(lane);
            }
            _ => {}
        }
    }
}
