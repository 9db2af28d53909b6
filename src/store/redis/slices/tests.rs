//! Workers with wrong clocks, late commands and readings as old as they may be, and a Redis, all simulated: whatever was
//! done less than a window ago is found.

use std::collections::{BTreeMap, HashSet};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::calendar::Calendar;
use super::plan::{Generation, Plan};

const WINDOW: u64 = 16_000;

/// Redis' plan and what was written where.
#[derive(Default)]
struct Redis {
    plan: Plan,
    sets: BTreeMap<(u64, u32), HashSet<u32>>,
}

/// What a worker read, when it asked for it, and by how much it is wrong about the time.
#[derive(Clone, Default)]
struct Reading {
    plan: Plan,
    asked_at: u64,
    error: i64,
}

impl Reading {
    fn now(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.error)
    }

    fn is_good(&self, calendar: &Calendar, now: u64) -> bool {
        now - self.asked_at < calendar.good_for().as_millis() as u64 && self.plan.spans(calendar, self.now(now))
    }
}

struct World {
    calendar: Calendar,
    now: u64,
    redis: Redis,
    rng: StdRng,
    shards: u32,
}

impl World {
    /// Reads as the reader does: makes the slices that are missing, now and then lets one grow, and comes back late.
    fn read(&mut self, reading: &mut Reading) {
        let (calendar, bound) = (self.calendar, self.calendar.bound() as i64);
        reading.asked_at = self.now;
        self.now += self.rng.random_range(0..calendar.bound() / 4);
        reading.error = self.rng.random_range(-bound..=bound);
        let now = reading.now(self.now);
        let ahead = if calendar.plans_ahead(now) { calendar.slice(now) + 1 } else { 0 };
        let mut wanted: Vec<Generation> = (calendar.oldest(now)..=calendar.newest(now).max(ahead))
            .filter(|slice| !self.redis.plan.has(*slice))
            .map(|slice| Generation { slice, shards: self.rng.random_range(1..4), from: 0 })
            .collect();
        let slice = calendar.slice(now);
        if self.rng.random_bool(0.3) && !self.redis.plan.grows_after(slice, self.now) {
            self.shards += 1;
            // By Redis' own clock.
            wanted.push(Generation { slice, shards: 10 + self.shards, from: self.now + calendar.notice() });
        }
        self.redis.plan = self.redis.plan.union(&wanted.into_iter().collect());
        reading.plan = self.redis.plan.clone();
        self.now += self.rng.random_range(0..calendar.bound() / 4);
    }

    fn good(&mut self, reading: &mut Reading) {
        while !reading.is_good(&self.calendar, self.now) {
            self.read(reading);
        }
    }

    /// Writes an ID by what a worker knows, after a delay, while the others go on. Answers when it was sent.
    fn write(&mut self, reading: &mut Reading, id: u32) -> Written {
        self.good(reading);
        let generation = reading.plan.writable(&self.calendar, reading.now(self.now)).expect("good readings span now");
        let due = self.now + if self.rng.random_bool(0.2) { self.rng.random_range(0..WINDOW / 4) } else { 0 };
        Written { id, sent: self.now, due, place: generation.name() }
    }

    /// Looks an ID up, again until the look-ups cover what they must when the reply is there.
    fn finds(&mut self, reading: &mut Reading, id: u32, execute: &mut impl FnMut(&mut Redis, u64)) -> bool {
        for _ in 0..100 {
            self.good(reading);
            let asked: Vec<Generation> = reading.plan.readable(&self.calendar, reading.now(self.now)).collect();
            self.now += self.rng.random_range(0..self.calendar.bound() / 4);
            execute(&mut self.redis, self.now);
            let found = asked.iter().any(|it| self.redis.sets.get(&it.name()).is_some_and(|ids| ids.contains(&id)));
            self.now += self.rng.random_range(0..self.calendar.bound() / 4);
            self.good(reading);
            let covered = reading.plan.readable(&self.calendar, reading.now(self.now)).all(|it| asked.contains(&it));
            if found || covered {
                return found;
            }
        }
        panic!("never covered");
    }
}

struct Written {
    id: u32,
    sent: u64,
    due: u64,
    place: (u64, u32),
}

#[test]
fn whatever_was_done_less_than_a_window_ago_is_found() {
    let schedules = std::env::var("HAPAX_SIM_SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(1000);
    let (mut boundaries, mut growths, mut again) = (0, 0, 0);
    for seed in 0..schedules {
        let start = 100 * WINDOW + seed % WINDOW;
        let mut world = World {
            calendar: Calendar::new(WINDOW),
            now: start,
            redis: Redis::default(),
            rng: StdRng::seed_from_u64(seed),
            shards: 0,
        };
        let mut workers = vec![Reading::default(); 3];
        let mut written: Vec<Written> = Vec::new();
        for id in 0..150 {
            let writer = world.rng.random_range(0..workers.len());
            let mut reading = workers[writer].clone();
            written.push(world.write(&mut reading, id));
            workers[writer] = reading;
            // A moment, or a pause in which nobody plans ahead.
            world.now += if world.rng.random_bool(0.05) { world.rng.random_range(0..WINDOW) } else { 30 };

            // What was done just now, and what is nearly a window old, is the likeliest to be missed.
            let nearly = world.calendar.bound() * world.rng.random_range(1..4);
            let old = written.partition_point(|it| it.sent + WINDOW < world.now + nearly).min(written.len() - 1);
            let asked = match world.rng.random_range(0..3) {
                0 => &written[old],
                1 => &written[world.rng.random_range(0..written.len())],
                _ => &written[world.rng.random_range(written.len().saturating_sub(4)..written.len())],
            };
            let (wanted, sent, due) = (asked.id, asked.sent, asked.due);
            let looker = world.rng.random_range(0..workers.len());
            let mut reading = workers[looker].clone();
            let before = world.now;
            let mut executed_by = 0;
            let found = world.finds(&mut reading, wanted, &mut |redis, now| {
                executed_by = now;
                for late in written.iter().filter(|it| it.due <= now) {
                    redis.sets.entry(late.place).or_default().insert(late.id);
                }
            });
            workers[looker] = reading;
            again += u64::from(world.now - before > world.calendar.bound());
            let age = world.now - sent;
            assert!(found || due > executed_by || age >= WINDOW, "seed {seed}: {wanted} was done {age} ms ago");
        }
        boundaries += world.calendar.slice(world.now) - world.calendar.slice(start);
        growths += u64::from(world.shards);
    }
    assert!(boundaries > schedules && growths > schedules && again > schedules / 10, "{boundaries} {growths} {again}");
}
