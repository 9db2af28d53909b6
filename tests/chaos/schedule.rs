//! The plan of a run: which faults, at what, when and for how long. One seed, one plan.
//!
//! Faults lie on tracks. On one track they follow each other; those of different tracks overlap.

use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::mode::{Kinds, Mode, RedisKind};

/// One thing to do. Times are milliseconds; `worker` is a number to be taken modulo the number of workers.
#[derive(Clone, Debug)]
pub enum Deed {
    /// SIGKILL, and a successor after a while.
    Kill {
        worker: usize,
        back: u64,
    },
    /// Dies at a named point, and has a successor after a while.
    Failpoint {
        worker: usize,
        point: &'static str,
        time: u32,
        back: u64,
    },
    Freeze {
        worker: usize,
        lasts: u64,
    },
    Term {
        worker: usize,
        back: u64,
    },
    /// One more member, for a while.
    Join {
        lasts: u64,
    },
    /// Half of the members leave and come back.
    Storm {
        back: u64,
    },
    WorkerClock {
        by: i64,
        lasts: u64,
    },
    StoreFreeze {
        node: usize,
        lasts: u64,
    },
    StoreKill {
        node: usize,
        lasts: u64,
    },
    StoreFailover {
        node: usize,
    },
    StoreFull {
        lasts: u64,
    },
    StoreRefuses {
        lasts: u64,
    },
    StoreClientKill,
    StoreScriptFlush,
    StoreClock {
        by: i64,
        lasts: u64,
    },
    /// Between one worker, or all, and Redis.
    StoreCut {
        worker: Option<usize>,
        lasts: u64,
    },
    StoreHang {
        worker: Option<usize>,
        lasts: u64,
        replies: bool,
    },
    StoreSlow {
        worker: Option<usize>,
        by: u64,
        lasts: u64,
    },
    BrokerKill {
        broker: usize,
        lasts: u64,
    },
    BrokerTerm {
        broker: usize,
        lasts: u64,
    },
    BrokerFreeze {
        broker: usize,
        lasts: u64,
    },
    BrokerCut {
        broker: usize,
        lasts: u64,
    },
    BrokerHang {
        broker: usize,
        lasts: u64,
    },
    BrokerSlow {
        broker: usize,
        by: u64,
        lasts: u64,
    },
}

/// When a deed is due.
#[derive(Clone, Debug)]
pub struct Due {
    pub at: Duration,
    pub deed: Deed,
}

/// The tracks of a run.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    pub workers: Vec<Due>,
    pub store: Vec<Due>,
    pub brokers: Vec<Due>,
}

const POINTS: &[&str] = &[
    "before_claim",
    "after_claim",
    "before_handler",
    "after_handler",
    "before_effect",
    "after_effect",
    "before_complete",
    "after_complete",
    "before_copy",
    "after_copy",
    "before_commit",
    "after_commit",
];

impl Schedule {
    /// The plan of this seed for the time from `from` to `until`. A run with a planted bug has the faults in which it shows.
    pub fn new(seed: u64, mode: &Mode, planted: Option<&str>, from: Duration, until: Duration) -> Self {
        let draw = |salt: u64| Draw { rng: StdRng::seed_from_u64(seed ^ salt), mode, from, until };
        let store = match planted {
            Some(_) => Vec::new(),
            None => draw(0x7265_6469).track(3_000..9_000, Draw::store),
        };
        let brokers = match planted {
            Some(_) => Vec::new(),
            None => {
                draw(0x6b61_666b).track(if mode.brokers > 1 { 6_000..15_000 } else { 15_000..30_000 }, Draw::broker)
            }
        };
        let workers = draw(0x776f_726b).track(
            1_000..5_000,
            match planted {
                Some("stale_release") => Draw::freezes,
                Some("look_up_first") => Draw::nothing,
                Some(_) => Draw::kills,
                None => Draw::worker,
            },
        );
        Self { workers, store, brokers }
    }
}

struct Draw<'a> {
    rng: StdRng,
    mode: &'a Mode,
    from: Duration,
    until: Duration,
}

impl Draw<'_> {
    /// Deeds one after the other, with these pauses between them.
    fn track(mut self, pause: Range<u64>, next: impl Fn(&mut Self) -> (Deed, u64)) -> Vec<Due> {
        let mut at = self.from + Duration::from_millis(self.rng.random_range(0..pause.start));
        let mut track = Vec::new();
        loop {
            let (deed, lasts) = next(&mut self);
            let over = at + Duration::from_millis(lasts);
            if over > self.until {
                return track;
            }
            track.push(Due { at, deed });
            at = over + Duration::from_millis(self.rng.random_range(pause.clone()));
        }
    }

    fn ms(&mut self, range: Range<u64>) -> u64 {
        self.rng.random_range(range)
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(&mut self.rng).expect("not empty")
    }

    /// Shorter than lease and session, about as long, or longer than both.
    fn freeze(&mut self) -> u64 {
        let range =
            self.one(&[500..3_000_u64, 4_000..6_000, 7_000..11_000].each_ref().map(|range| (range.start, range.end)));
        self.ms(range.0..range.1)
    }

    fn someone(&mut self) -> Option<usize> {
        self.rng.random_bool(0.6).then(|| self.rng.random_range(0..16))
    }

    fn worker(&mut self) -> (Deed, u64) {
        let worker = self.rng.random_range(0..16);
        if self.mode.graceful {
            return match self.ms(0..4) {
                0 => self.join(),
                1 => self.storm(),
                _ => self.term(worker),
            };
        }
        match self.ms(0..20) {
            0..4 => self.kill(worker),
            4..10 => {
                let point = self.one(POINTS);
                // Commits and copies are rarer than records.
                let time = match point {
                    "before_copy" | "after_copy" => self.ms(1..4),
                    "before_commit" | "after_commit" => self.ms(1..12),
                    _ => self.ms(1..1_500),
                };
                let back = self.ms(0..4_000);
                (Deed::Failpoint { worker, point, time: time as u32, back }, 4_000)
            }
            10..14 => {
                let lasts = self.freeze();
                (Deed::Freeze { worker, lasts }, lasts)
            }
            14..16 => self.term(worker),
            16 => self.join(),
            17 => self.storm(),
            18 if self.mode.kinds == Kinds::Library => {
                let (by, lasts) = (self.one(&[-3_600_000, -10_000, 10_000, 3_600_000]), self.ms(3_000..8_000));
                (Deed::WorkerClock { by, lasts }, lasts)
            }
            _ => self.kill(worker),
        }
    }

    fn kill(&mut self, worker: usize) -> (Deed, u64) {
        let back = self.ms(0..9_000);
        (Deed::Kill { worker, back }, 1_000)
    }

    fn term(&mut self, worker: usize) -> (Deed, u64) {
        let back = self.ms(0..5_000);
        (Deed::Term { worker, back }, 3_000)
    }

    fn join(&mut self) -> (Deed, u64) {
        let lasts = self.ms(3_000..10_000);
        (Deed::Join { lasts }, lasts)
    }

    fn storm(&mut self) -> (Deed, u64) {
        let back = self.ms(0..3_000);
        (Deed::Storm { back }, 4_000)
    }

    fn kills(&mut self) -> (Deed, u64) {
        let worker = self.rng.random_range(0..16);
        self.kill(worker)
    }

    fn freezes(&mut self) -> (Deed, u64) {
        let (worker, lasts) = (self.rng.random_range(0..16), self.ms(7_500..10_500));
        (Deed::Freeze { worker, lasts }, lasts)
    }

    fn nothing(&mut self) -> (Deed, u64) {
        (Deed::StoreScriptFlush, 10_000)
    }

    fn store(&mut self) -> (Deed, u64) {
        let node = self.rng.random_range(0..16);
        if self.mode.graceful {
            let deed = self.one(&[true, false]);
            return (if deed { Deed::StoreClientKill } else { Deed::StoreScriptFlush }, 1_000);
        }
        let lasts = self.ms(300..4_000);
        match (self.mode.redis, self.ms(0..16)) {
            (_, 0) => (Deed::StoreClientKill, 500),
            (_, 1) => (Deed::StoreScriptFlush, 500),
            (_, 2) => (Deed::StoreFull { lasts }, lasts),
            (_, 3) => (Deed::StoreRefuses { lasts }, lasts),
            (_, 4 | 5) => {
                let lasts = self.freeze();
                (Deed::StoreFreeze { node, lasts }, lasts)
            }
            (_, 6 | 7) => (Deed::StoreKill { node, lasts }, lasts + 2_000),
            (RedisKind::Sentinel | RedisKind::Cluster, _) => (Deed::StoreFailover { node }, 6_000),
            (_, 8) => {
                let (by, lasts) = (self.one(&[-20_000, -3_000, 3_000, 20_000]), self.ms(2_000..8_000));
                (Deed::StoreClock { by, lasts }, lasts)
            }
            (_, 9 | 10) => (Deed::StoreCut { worker: self.someone(), lasts }, lasts),
            (_, 11..14) => {
                let (worker, lasts, replies) = (self.someone(), self.freeze(), self.rng.random());
                (Deed::StoreHang { worker, lasts, replies }, lasts)
            }
            _ => {
                let by = self.one(&[20, 100, 300, 800]);
                (Deed::StoreSlow { worker: self.someone(), by, lasts }, lasts)
            }
        }
    }

    fn broker(&mut self) -> (Deed, u64) {
        let broker = self.rng.random_range(0..16);
        let lasts = self.ms(500..6_000);
        if self.mode.graceful {
            // A single broker that ends leaves nobody to commit to, which is no fault of a member.
            return match self.mode.brokers {
                1 => (Deed::BrokerSlow { broker, by: 20, lasts }, lasts),
                _ => (Deed::BrokerTerm { broker, lasts }, lasts + 12_000),
            };
        }
        match self.ms(0..10) {
            0..2 => (Deed::BrokerKill { broker, lasts }, lasts + 12_000),
            2 => (Deed::BrokerTerm { broker, lasts }, lasts + 12_000),
            3..5 => {
                let lasts = self.freeze();
                (Deed::BrokerFreeze { broker, lasts }, lasts)
            }
            5..7 => (Deed::BrokerCut { broker, lasts }, lasts),
            7 | 8 => {
                let lasts = self.freeze();
                (Deed::BrokerHang { broker, lasts }, lasts)
            }
            _ => {
                let by = self.one(&[20, 100, 500]);
                (Deed::BrokerSlow { broker, by, lasts }, lasts)
            }
        }
    }
}
