//! The workers of a run: started, killed, started again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::process::{Kind, Life};
use super::{Names, Redis, journal};
use crate::common::{Signal, tools};
use crate::history::{self, Event, Fault, FaultKind, Journal, Memory, Process, Target, now};
use crate::mode::{Kinds, Mode};
use crate::worker::{Job, read_counts};

/// How long a worker may take to end in order.
const PATIENCE: Duration = Duration::from_secs(40);

/// The status of a process that a failpoint ended.
const ABORTED: i32 = 128 + 6;

/// One worker, whether it lives or not.
struct Worker {
    name: String,
    kind: Kind,
    life: Option<Life>,
    next: u32,
    /// Where its next life dies by itself.
    failpoint: Option<String>,
    /// The failpoint of this life.
    deadly: Option<String>,
    /// When it is to live again; never, where it is to stay away.
    back: Option<Instant>,
    /// When it was last seen alive.
    seen: u64,
    /// Its end is expected: it was asked for.
    asked: bool,
    clock: Option<PathBuf>,
}

/// All workers, and what starts them again.
pub struct Fleet {
    mode: Mode,
    out: PathBuf,
    brokers: String,
    redis: Redis,
    names: Names,
    planted: Option<String>,
    journal: Journal,
    faults: Arc<crate::nemesis::Numbers>,
    workers: Mutex<Vec<Worker>>,
    ending: AtomicBool,
}

impl Fleet {
    pub async fn start(
        world: &super::World,
        mode: &Mode,
        out: PathBuf,
        planted: Option<String>,
        faults: Arc<crate::nemesis::Numbers>,
    ) -> Arc<Self> {
        let fleet = Arc::new(Self {
            mode: mode.clone(),
            brokers: world.kafka.proxied(),
            redis: world.redis.clone(),
            names: world.names.clone(),
            planted,
            journal: journal(&out, "fleet"),
            out,
            faults,
            workers: Mutex::new(Vec::new()),
            ending: AtomicBool::new(false),
        });
        for _ in 0..mode.workers {
            fleet.add().await;
        }
        let watching = Arc::clone(&fleet);
        tokio::spawn(async move {
            while !watching.ending.load(SeqCst) {
                watching.look().await;
                sleep(Duration::from_millis(100)).await;
            }
        });
        fleet
    }

    /// Adds a worker and returns its number.
    pub async fn add(&self) -> usize {
        let mut workers = self.workers.lock().await;
        let number = workers.len();
        let kind = match self.mode.kinds {
            Kinds::Library => Kind::Library,
            Kinds::Push => Kind::Push,
            Kinds::Mixed if number % 2 == 1 => Kind::Push,
            Kinds::Mixed => Kind::Library,
            Kinds::Pull => Kind::Pull,
        };
        // One of them has a clock that can be turned.
        let clock = (number == 0 && kind == Kind::Library && !self.mode.graceful).then(|| {
            let clock = self.out.join("clock-w0");
            std::fs::write(&clock, "+0").expect("a writable directory");
            clock
        });
        let mut worker = Worker {
            name: format!("w{number}"),
            kind,
            life: None,
            next: 0,
            failpoint: None,
            deadly: None,
            back: None,
            seen: now(),
            asked: false,
            clock,
        };
        self.revive(&mut worker, number).await;
        workers.push(worker);
        number
    }

    async fn revive(&self, worker: &mut Worker, number: usize) {
        let incarnation = worker.next;
        worker.next += 1;
        let job = Job {
            worker: worker.name.clone(),
            incarnation,
            out: self.out.clone(),
            brokers: self.brokers.clone(),
            redis: self.redis.url(number),
            topic: self.names.topic.clone(),
            dead: self.names.dead.clone(),
            retries: self.names.retries.clone(),
            group: self.names.group.clone(),
            mode: self.mode.clone(),
            pull: String::new(),
        };
        let mut environment = BTreeMap::new();
        let mut set = |name: &str, value: String| drop(environment.insert(name.to_owned(), value));
        worker.deadly = worker.failpoint.take();
        if let Some(failpoint) = &worker.deadly {
            set("FAILPOINT", failpoint.clone());
        }
        if let Some(bug) = &self.planted {
            set("PLANTED_BUG", bug.clone());
        }
        if let Some(clock) = &worker.clock {
            set("LD_PRELOAD", format!("{}:libc.so.6", tools::faketime().display()));
            set("FAKETIME_TIMESTAMP_FILE", clock.to_string_lossy().into_owned());
            set("FAKETIME_CACHE_DURATION", "1".to_owned());
            set("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned());
            set("DONT_FAKE_MONOTONIC", "1".to_owned());
        }
        self.tell(worker, incarnation, history::Life::Started, None);
        worker.life = Some(Life::start(worker.kind, &job, &environment, &self.journal).await);
        (worker.back, worker.asked, worker.seen) = (None, false, now());
    }

    fn tell(&self, worker: &Worker, incarnation: u32, state: history::Life, status: Option<i32>) {
        let signal = status.filter(|status| *status > 128).map(|status| status - 128);
        let code = status.filter(|status| *status <= 128);
        self.journal
            .write(Process { worker: worker.name.clone(), incarnation, state, code, signal })
            .expect("the history is writable");
    }

    /// Notices who died, and starts again who is to live.
    async fn look(&self) {
        let mut workers = self.workers.lock().await;
        for number in 0..workers.len() {
            if self.ending.load(SeqCst) {
                return;
            }
            let worker = &mut workers[number];
            if let Some(status) = worker.life.as_ref().and_then(Life::status) {
                let life = worker.life.take().expect("it has just been looked at");
                // What stands beside it goes along.
                life.signal(Signal::Kill);
                let incarnation = worker.next - 1;
                self.tell(worker, incarnation, history::Life::Exited, Some(status));
                if !worker.asked {
                    self.tell_of_end(worker, incarnation, status);
                    worker.back.get_or_insert(Instant::now() + Duration::from_secs(1));
                }
            } else if worker.life.is_some() {
                worker.seen = now();
            }
            if worker.life.is_none() && worker.back.is_some_and(|back| back <= Instant::now()) {
                self.revive(worker, number).await;
            }
        }
    }

    /// Writes down why a worker ended by itself: at its failpoint, or without any fault of ours.
    fn tell_of_end(&self, worker: &mut Worker, incarnation: u32, status: i32) {
        let failpoint = worker.deadly.take().filter(|_| status == ABORTED);
        let what = match failpoint {
            Some(_) => FaultKind::WorkerFailpoint,
            None => {
                println!("{} ended by itself with {status}", worker.name);
                FaultKind::Other(format!("ended with {status}"))
            }
        };
        let fault = Fault {
            number: self.faults.next(),
            what,
            target: Target::Worker { worker: worker.name.clone(), incarnation },
            begin: worker.seen,
            end: Some(now()),
            graceful: false,
            failpoint,
            lost_from: None,
            clock_ms: None,
            text: None,
        };
        self.journal.write(fault).expect("the history is writable");
    }

    /// The target of what is done to a worker, where it lives.
    pub async fn target(&self, number: usize) -> Option<(usize, Target)> {
        let workers = self.workers.lock().await;
        let living: Vec<usize> = (0..workers.len()).filter(|n| workers[*n].life.is_some()).collect();
        let number = *living.get(number % living.len().max(1))?;
        let worker = &workers[number];
        Some((number, Target::Worker { worker: worker.name.clone(), incarnation: worker.next - 1 }))
    }

    /// Sends a worker a signal; returns whether it still lived the life that was meant.
    pub async fn signal(&self, number: usize, target: &Target, signal: Signal) -> bool {
        let mut workers = self.workers.lock().await;
        let worker = &mut workers[number];
        let Target::Worker { incarnation, .. } = target else { return false };
        if worker.next - 1 != *incarnation {
            return false;
        }
        let Some(life) = &worker.life else { return false };
        if matches!(signal, Signal::Kill | Signal::Term) {
            worker.asked = true;
            // It comes back when that is said.
            worker.back = None;
        }
        life.signal(signal);
        true
    }

    /// Waits until a worker's life is over; kills it where it takes too long, and returns false.
    pub async fn gone(&self, number: usize) -> bool {
        let until = Instant::now() + PATIENCE;
        loop {
            {
                let mut workers = self.workers.lock().await;
                let worker = &mut workers[number];
                match worker.life.as_ref().map(Life::status) {
                    None => return true,
                    Some(Some(status)) => {
                        let life = worker.life.take().expect("it has just been looked at");
                        life.signal(Signal::Kill);
                        let incarnation = worker.next - 1;
                        self.tell(worker, incarnation, history::Life::Exited, Some(status));
                        if status == ABORTED {
                            // It reached its failpoint before it could end as it was asked to.
                            self.tell_of_end(worker, incarnation, status);
                        }
                        return true;
                    }
                    Some(None) if Instant::now() > until => {
                        println!("{} did not end within {PATIENCE:?}", worker.name);
                        worker.life.as_ref().expect("it lives").signal(Signal::Kill);
                        return false;
                    }
                    Some(None) => worker.seen = now(),
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets a worker live again, after a while; where it dies by itself if so named. Returns when it has started.
    pub async fn back(&self, number: usize, after: Duration, failpoint: Option<String>) {
        {
            let mut workers = self.workers.lock().await;
            workers[number].failpoint = failpoint;
            workers[number].back = Some(Instant::now() + after);
        }
        while !self.ending.load(SeqCst) && self.workers.lock().await[number].life.is_none() {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Turns a worker's clock, where it has one that can be turned.
    pub async fn turn(&self, by: &str) -> Option<Target> {
        let workers = self.workers.lock().await;
        let worker = workers.first().filter(|worker| worker.life.is_some())?;
        let clock = worker.clock.as_ref()?;
        let next = clock.with_extension("next");
        std::fs::write(&next, by).and_then(|()| std::fs::rename(&next, clock)).expect("a writable directory");
        Some(Target::Worker { worker: worker.name.clone(), incarnation: worker.next - 1 })
    }

    /// All live, and none of them is to die by itself.
    pub async fn heal(&self) {
        loop {
            let all = {
                let mut workers = self.workers.lock().await;
                let first = self.mode.workers;
                for worker in workers.iter_mut().take(first).filter(|worker| worker.life.is_none()) {
                    worker.failpoint = None;
                    worker.back.get_or_insert(Instant::now());
                }
                workers.iter().take(first).all(|worker| worker.life.is_some())
            };
            if all {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        // Those that would still die by themselves are replaced.
        let count = self.workers.lock().await.len();
        for number in 0..count {
            let deadly = {
                let workers = self.workers.lock().await;
                workers[number].deadly.is_some() && workers[number].life.is_some()
            };
            if deadly && let Some((_, target)) = self.exactly(number).await {
                let mut fault = Fault {
                    number: self.faults.next(),
                    what: FaultKind::WorkerTerm,
                    target: target.clone(),
                    begin: now(),
                    end: None,
                    graceful: true,
                    failpoint: None,
                    lost_from: None,
                    clock_ms: None,
                    text: None,
                };
                self.signal(number, &target, Signal::Term).await;
                self.gone(number).await;
                fault.end = Some(now());
                self.journal.write(fault).expect("the history is writable");
                self.back(number, Duration::ZERO, None).await;
            }
        }
    }

    async fn exactly(&self, number: usize) -> Option<(usize, Target)> {
        let workers = self.workers.lock().await;
        let worker = &workers[number];
        worker.life.as_ref()?;
        Some((number, Target::Worker { worker: worker.name.clone(), incarnation: worker.next - 1 }))
    }

    /// Ends all in order; returns how many did not end by themselves.
    pub async fn end(&self) -> usize {
        self.ending.store(true, SeqCst);
        let count = self.workers.lock().await.len();
        for number in 0..count {
            if let Some((_, target)) = self.exactly(number).await {
                self.signal(number, &target, Signal::Term).await;
            }
        }
        let mut stuck = 0;
        for number in 0..count {
            stuck += usize::from(!self.gone(number).await);
        }
        stuck
    }

    /// Writes down how much memory each worker has, and what its sidecar counted.
    pub async fn weigh(&self) {
        let mut scrapes = Vec::new();
        let workers = self.workers.lock().await;
        for worker in workers.iter() {
            if let Some(rss_bytes) = worker.life.as_ref().and_then(Life::memory) {
                let weight = Memory { worker: worker.name.clone(), incarnation: worker.next - 1, rss_bytes };
                self.journal.write(weight).expect("the history is writable");
            }
            if let Some(port) = worker.life.as_ref().and_then(Life::health) {
                scrapes.push((worker.name.clone(), worker.next - 1, port));
            }
        }
        drop(workers);
        for (worker, incarnation, port) in scrapes {
            // One that is frozen does not answer.
            let Ok(Some(text)) = timeout(Duration::from_secs(1), scrape(port)).await else { continue };
            for counts in read_counts(&text, &worker, incarnation) {
                self.journal.write(Event::Counts(counts)).expect("the history is writable");
            }
        }
    }

    /// How many live.
    pub async fn living(&self) -> usize {
        self.workers.lock().await.iter().filter(|worker| worker.life.is_some()).count()
    }
}

async fn scrape(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n").await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(text)
}
