//! What one schedule is made of, drawn from its seed: the log, what handlers do, the settings, the faults.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedMutRandom, IndexedRandom, SliceRandom};

use super::super::super::{EngineConfig, Order};
use super::lanes::lay_lanes;
use super::store::Id;
use crate::record::{Offset, Record, TopicPartition};
use std::time::Duration;

pub(super) const MS: u64 = 1000;
pub(super) const LEASE: u64 = 1200 * MS;
pub(super) const GRACE: u64 = 400_000 * MS;
/// When the faults end and everything has to be handled.
pub(super) const HEAL: u64 = 2500 * MS;
pub(super) const MAX_ATTEMPTS: u32 = 7;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    Id(Id),
    /// No ID; handled all the same.
    Process,
    /// No ID; goes to the dead-letter topic, or stops its partition where there is none.
    Missing,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) offset: Offset,
    pub(super) what: What,
    pub(super) record: Record,
    /// Those of one partition with the same number are handled one after the other.
    pub(super) lane: usize,
    /// When the producer sends it.
    pub(super) at: u64,
}

/// What the handler of an ID does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conduct {
    Good,
    Slow,
    /// Fails that often, then succeeds.
    Fails(u32),
    /// Fails that often, beyond the limit of attempts, then succeeds: its partition stops, and goes on by itself.
    Mends(u32),
    /// Is not available that often, then succeeds.
    Unavailable(u32),
    AlwaysFails,
    Fatal,
    /// Has its effect and is too slow to say so, that often, then succeeds.
    TooSlow(u32),
    /// Fails for good that often, until it is mended, then succeeds.
    Mended(u32),
    /// Takes its process down.
    Poison,
}

impl Conduct {
    /// Whether it is given up: by a dead letter, or by a stop of its partition where there is no topic for one.
    pub(super) fn is_given_up(self) -> bool {
        matches!(self, Self::AlwaysFails | Self::Fatal | Self::Mended(_) | Self::Poison)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Crash,
    /// Ends the process in the midst of what a step of its engine wants done.
    CrashInStep,
    /// The store answers nothing, for that long.
    Outage(u64),
    /// The store has hardly any memory left, for that long: it refuses every other plain write.
    Full(u64),
    /// The store forgets everything.
    Loss,
    /// The group drops the worker, which hears of it that much later.
    SessionLoss(u64),
    /// Partitions change hands.
    Rebalance,
    /// The whole process stands still.
    Stall(u64),
    Shutdown,
    /// An operator pauses the worker, for that long.
    Pause(u64),
    /// An operator has the records of stopped partitions tried again.
    Retry,
    /// An operator skips a record that cannot be handled.
    Skip,
    Join,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) log: Vec<Vec<Entry>>,
    pub(super) conduct: Vec<Conduct>,
    pub(super) workers: usize,
    /// Whether one worker has all partitions.
    pub(super) together: bool,
    pub(super) config: EngineConfig,
    pub(super) faults: Vec<(u64, Fault)>,
    /// Of a thousand commands, how many meet trouble on their way.
    pub(super) trouble: u32,
    /// Of a thousand commits, how many are refused for no reason.
    pub(super) refusals: u32,
    pub(super) drain: u64,
    /// The longest latency of a command.
    pub(super) latency: u64,
    /// How many records one poll delivers at most.
    pub(super) batch: usize,
    /// How many of ten answers an engine takes together with others.
    pub(super) grouped: u32,
    /// The longest time a good handler takes.
    pub(super) handling: u64,
    /// When the slice of time ends in which the store writes.
    pub(super) boundary: u64,
    /// When slices fill up.
    pub(super) growths: Vec<u64>,
    /// Whether done IDs are looked up in front of everything else, too.
    pub(super) looks_first: bool,
}

impl Plan {
    pub(super) fn draw(rng: &mut StdRng) -> Self {
        let partitions = rng.random_range(2..=3);
        let tangled = rng.random_ratio(1, 10);
        let workers = rng.random_range(3..=4);
        let ids = rng.random_range(20..=28_usize);
        let mut conduct: Vec<Conduct> = (0..ids).map(|_| draw_conduct(rng)).collect();
        // At most one poison: each costs its process often enough.
        if rng.random_ratio(1, 12) {
            *conduct.choose_mut(rng).expect("some") = Conduct::Poison;
        }
        let sequences = sequences(rng, partitions, ids);
        let mut log: Vec<_> =
            sequences.into_iter().enumerate().map(|(at, sequence)| entries(rng, at, sequence)).collect();
        if tangled {
            tangle(rng, &mut log, &mut conduct);
        }
        let (order, max_exposed) = (draw_order(rng), *[1, 2, 4, 256].choose(rng).expect("some"));
        lay_lanes(rng, order, tangled, &mut log);
        let poisoned = conduct.contains(&Conduct::Poison);
        let count = if poisoned { 3 } else { rng.random_range(3..=6) };
        let faults = (0..count).map(|_| (rng.random_range(10 * MS..HEAL - 500 * MS), draw_fault(rng))).collect();
        let config = EngineConfig {
            terms: crate::store::LeaseTerms {
                lease: Duration::from_micros(LEASE),
                grace: Duration::from_micros(GRACE),
                ..Default::default()
            },
            max_attempts: MAX_ATTEMPTS,
            backoff_first: Duration::from_millis(10),
            backoff_cap: Duration::from_millis(200),
            order,
            concurrency: *[1, 2, 64].choose(rng).expect("some"),
            partition_concurrency: *[None, None, Some(1), Some(2)].choose(rng).expect("some"),
            batch: max_exposed.min(*[1, 1, 1, 2, 3].choose(rng).expect("some")),
            dead_letter: rng.random_ratio(1, 3),
            // Logs are short: the limit has tests of its own.
            dead_letter_share: 1.0,
            max_exposed,
            max_in_flight: *[4, 10, 1000].choose(rng).expect("some"),
            max_claims_ahead: *[0, 1, 4, 64].choose(rng).expect("some"),
            commit_interval: Duration::from_millis(*[10, 100].choose(rng).expect("some")),
            commit_records: *[1, 3, 1000].choose(rng).expect("some"),
            cache_entries: *[0, 0, 0, 1, 3, 1000].choose(rng).expect("some"),
            cache_lifetime: Duration::from_millis(*[20, 600_000].choose(rng).expect("some")),
            ..EngineConfig::default()
        };
        if config.dead_letter {
            // There it would be a dead letter.
            conduct.iter_mut().filter(|conduct| matches!(conduct, Conduct::Mends(_))).for_each(|conduct| {
                *conduct = Conduct::Fails(2);
            });
        } else {
            // Its partition would stop for good.
            conduct.iter_mut().filter(|it| matches!(it, Conduct::Mended(_))).for_each(|it| *it = Conduct::Good);
        }
        Self {
            log,
            conduct,
            workers,
            together: tangled,
            config,
            faults,
            trouble: *[0, 0, 0, 20, 100, 250].choose(rng).expect("some"),
            refusals: *[0, 0, 100].choose(rng).expect("some"),
            drain: *[20, 20, 200, 600].choose(rng).expect("some") * MS,
            latency: *[2, 10, 30].choose(rng).expect("some") * MS,
            batch: *[2, 8].choose(rng).expect("some"),
            grouped: *[0, 0, 3, 7, 10].choose(rng).expect("some"),
            handling: *[3, 30, 120].choose(rng).expect("some") * MS,
            boundary: rng.random_range(0..HEAL),
            growths: (0..rng.random_range(0..=3)).map(|_| rng.random_range(0..HEAL)).collect(),
            looks_first: rng.random_ratio(1, 6),
        }
    }
}

fn draw_order(rng: &mut StdRng) -> Order {
    match rng.random_range(0..10) {
        0..5 => Order::Partition,
        5..8 => Order::Key,
        _ => Order::Unordered,
    }
}

fn draw_conduct(rng: &mut StdRng) -> Conduct {
    match rng.random_range(0..100) {
        0..74 => Conduct::Good,
        74..76 => Conduct::TooSlow(1),
        76..84 => Conduct::Slow,
        84..90 => Conduct::Fails(rng.random_range(1..=2)),
        90..96 => Conduct::Unavailable(rng.random_range(1..=4)),
        96 => Conduct::AlwaysFails,
        97 => Conduct::Fatal,
        98 => Conduct::Mends(rng.random_range(MAX_ATTEMPTS + 1..=MAX_ATTEMPTS + 3)),
        99 => Conduct::Mended(1),
        _ => Conduct::Good,
    }
}

fn draw_fault(rng: &mut StdRng) -> Fault {
    match rng.random_range(0..24) {
        0..2 => Fault::Crash,
        2..4 => Fault::CrashInStep,
        4 => Fault::Outage(rng.random_range(50 * MS..1800 * MS)),
        5 => Fault::Loss,
        6..8 => Fault::SessionLoss(rng.random_range(0..800 * MS)),
        8..11 => Fault::Rebalance,
        11..14 => Fault::Stall(rng.random_range(200 * MS..2 * LEASE)),
        14..16 => Fault::Shutdown,
        16 => Fault::Full(rng.random_range(200 * MS..1500 * MS)),
        17..19 => Fault::Pause(rng.random_range(10 * MS..2 * LEASE)),
        19 => Fault::Retry,
        20..23 => Fault::Skip,
        _ => Fault::Join,
    }
}

/// Which IDs lie in which partition, in order: every ID somewhere, some twice, some partitions mirrored so that lanes
/// meet the same IDs in opposite order.
fn sequences(rng: &mut StdRng, partitions: usize, ids: usize) -> Vec<Vec<What>> {
    let mut sequences = vec![Vec::new(); partitions];
    let all: Vec<What> = (0..ids).map(|id| What::Id(id as Id)).collect();
    match rng.random_range(0..3) {
        // Opposite orders.
        0 => {
            for (at, sequence) in sequences.iter_mut().enumerate() {
                let mut order = all.clone();
                if at % 2 == 1 {
                    order.reverse();
                }
                if at == 2 {
                    order.shuffle(rng);
                }
                *sequence = order.into_iter().filter(|_| rng.random_ratio(4, 5)).collect();
            }
            for what in all {
                if !sequences.iter().any(|sequence| sequence.contains(&what)) {
                    sequences[0].push(what);
                }
            }
        }
        _ => {
            for what in all {
                let sequence = rng.random_range(0..partitions);
                sequences[sequence].push(what);
                while rng.random_ratio(1, 4) {
                    let sequence = rng.random_range(0..partitions);
                    let sequence = &mut sequences[sequence];
                    let at = if rng.random() { sequence.len() } else { rng.random_range(0..=sequence.len()) };
                    sequence.insert(at, what);
                }
            }
        }
    }
    for sequence in &mut sequences {
        if rng.random_ratio(1, 8) {
            sequence.insert(rng.random_range(0..=sequence.len()), What::Process);
        }
        if rng.random_ratio(1, 40) {
            sequence.insert(rng.random_range(0..=sequence.len()), What::Missing);
        }
    }
    sequences
}

fn entries(rng: &mut StdRng, partition: usize, sequence: Vec<What>) -> Vec<Entry> {
    let partition = TopicPartition::new("t", partition as i32);
    let mut offset = rng.random_range(0..3);
    let mut at = 0;
    let gap = *[0, 20 * MS, 120 * MS].choose(rng).expect("some");
    sequence
        .into_iter()
        .map(|what| {
            offset += if rng.random_ratio(1, 12) { rng.random_range(2..5) } else { 1 };
            at += rng.random_range(0..=gap);
            Entry { offset, what, record: Record::builder(partition.clone(), offset).payload("p").build(), lane: 0, at }
        })
        .collect()
}

/// Arranges that two lanes of one process claim behind their heads what the other's head will want: lane 0 is
/// [slow, x, y] and lane 1 [slow, y, x]. While the first slow one runs, x is claimed ahead and grows old, then y comes
/// and is claimed, then x is given back, and then lane 1 comes and claims it.
fn tangle(rng: &mut StdRng, log: &mut [Vec<Entry>], conduct: &mut [Conduct]) {
    let (slow, x, y, slow_too) = (0, 1, 2, 3);
    conduct[..4].copy_from_slice(&[Conduct::Slow, Conduct::Good, Conduct::Good, Conduct::Slow]);
    let mut front = |partition: usize, heads: &[(Id, u64)]| {
        let lane = &mut log[partition];
        let partition = TopicPartition::new("t", partition as i32);
        lane.retain(|entry| !matches!(entry.what, What::Id(id) if id <= slow_too));
        let late = heads.last().map_or(0, |(_, at)| *at);
        lane.iter_mut().for_each(|entry| {
            entry.offset += heads.len() as Offset;
            entry.record = Record::builder(partition.clone(), entry.offset).payload("p").build();
            entry.at += late;
        });
        let heads = heads.iter().enumerate().map(|(offset, (id, at))| Entry {
            offset: offset as Offset,
            what: What::Id(*id),
            record: Record::builder(partition.clone(), offset as Offset).payload("p").build(),
            lane: 0,
            at: *at,
        });
        lane.splice(0..0, heads);
    };
    let between = rng.random_range(200 * MS..700 * MS);
    let later = 800 * MS + rng.random_range(50 * MS..300 * MS);
    front(0, &[(slow, 0), (x, 0), (y, between)]);
    front(1, &[(slow_too, later), (y, later), (x, later)]);
}
