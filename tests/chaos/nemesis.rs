//! What breaks things: each deed of the plan, done, undone and written down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::common::{Mode as Weather, Proxy, RedisServer, Signal};
use super::history::{Fault, FaultKind, Journal, Target, WRITES_REFUSED, now};
use super::schedule::{Deed, Due};
use super::world::{Fleet, World};

/// How long a replica may take to be promoted, and the next master to be known.
const PROMOTION: Duration = Duration::from_secs(5);
/// How far behind its master a replica may be, in microseconds.
const BEHIND: u64 = 2_000_000;

/// The numbers of a run's faults.
#[derive(Debug, Default)]
pub struct Numbers(AtomicU64);

impl Numbers {
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, SeqCst)
    }

    pub fn count(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

/// The nemesis of a run.
#[derive(Clone)]
pub struct Nemesis {
    pub world: Arc<World>,
    pub fleet: Arc<Fleet>,
    pub numbers: Arc<Numbers>,
    pub journal: Journal,
    pub begun: Instant,
}

/// A fault that lasts.
struct Lasting<'a> {
    journal: &'a Journal,
    fault: Fault,
}

impl Lasting<'_> {
    fn over(mut self) {
        self.fault.end = Some(now());
        self.journal.write(self.fault).expect("the history is writable");
    }
}

impl Nemesis {
    /// Does what a track says, each at its time or as soon as the one before is over.
    pub async fn follow(self, track: Vec<Due>) {
        for Due { at, deed } in track {
            sleep_until(self.begun + at).await;
            self.act(&deed).await;
        }
    }

    fn begin(&self, what: FaultKind, target: Target, graceful: bool, change: impl FnOnce(&mut Fault)) -> Lasting<'_> {
        let mut fault = Fault {
            number: self.numbers.next(),
            what,
            target,
            begin: now(),
            end: None,
            graceful,
            failpoint: None,
            lost_from: None,
            clock_ms: None,
            text: None,
        };
        change(&mut fault);
        self.journal.write(fault.clone()).expect("the history is writable");
        Lasting { journal: &self.journal, fault }
    }

    async fn act(&self, deed: &Deed) {
        match deed {
            Deed::Kill { worker, back } => self.kill(*worker, *back, None).await,
            Deed::Failpoint { worker, point, time, back } => {
                self.kill(*worker, *back, Some(format!("{point}:{time}"))).await;
            }
            Deed::Freeze { worker, lasts } => {
                let Some((number, target)) = self.fleet.target(*worker).await else { return };
                let fault = self.begin(FaultKind::WorkerFreeze, target.clone(), false, |_| {});
                self.fleet.signal(number, &target, Signal::Stop).await;
                pause(*lasts).await;
                self.fleet.signal(number, &target, Signal::Continue).await;
                fault.over();
            }
            Deed::Term { worker, back } => {
                if self.fleet.living().await > 1 {
                    self.term(*worker, Some(*back)).await;
                }
            }
            Deed::Join { lasts } => {
                let fault = self.begin(FaultKind::WorkerJoin, Target::Workers, true, |_| {});
                let number = self.fleet.add().await;
                fault.over();
                pause(*lasts).await;
                self.term(number, None).await;
            }
            Deed::Storm { back } => {
                let fault = self.begin(FaultKind::Rebalance, Target::Workers, true, |_| {});
                let half = (self.fleet.living().await / 2).max(1);
                for worker in 0..half {
                    self.term(worker, Some(*back)).await;
                }
                fault.over();
            }
            Deed::WorkerClock { by, lasts } => {
                let Some(target) = self.fleet.target(0).await.map(|(_, target)| target) else { return };
                let fault = self.begin(FaultKind::WorkerClock, target, false, |it| it.clock_ms = Some(*by));
                self.fleet.turn(&seconds(*by)).await;
                pause(*lasts).await;
                self.fleet.turn("+0").await;
                // The library looks at the file once a second.
                pause(1_500).await;
                fault.over();
            }
            deed => {
                if !self.act_on_store(deed).await {
                    self.act_on_broker(deed).await;
                }
            }
        }
    }

    async fn kill(&self, worker: usize, back: u64, failpoint: Option<String>) {
        let Some((number, target)) = self.fleet.target(worker).await else { return };
        let fault = self.begin(FaultKind::WorkerKill, target.clone(), false, |_| {});
        if self.fleet.signal(number, &target, Signal::Kill).await {
            self.fleet.gone(number).await;
            let fleet = Arc::clone(&self.fleet);
            let (journal, over) = (self.journal.clone(), fault.fault.clone());
            // The next deed need not wait for the successor.
            tokio::spawn(async move {
                fleet.back(number, Duration::from_millis(back), failpoint).await;
                Lasting { journal: &journal, fault: over }.over();
            });
            return;
        }
        fault.over();
    }

    async fn term(&self, worker: usize, back: Option<u64>) {
        let Some((number, target)) = self.fleet.target(worker).await else { return };
        let fault = self.begin(FaultKind::WorkerTerm, target.clone(), true, |_| {});
        if self.fleet.signal(number, &target, Signal::Term).await {
            if !self.fleet.gone(number).await {
                let kill = self.begin(FaultKind::WorkerKill, target, false, |it| {
                    it.begin -= BEHIND;
                    it.text = Some("it did not end in order".to_owned());
                });
                self.fleet.gone(number).await;
                kill.over();
            }
            if let Some(back) = back {
                let fleet = Arc::clone(&self.fleet);
                tokio::spawn(async move { fleet.back(number, Duration::from_millis(back), None).await });
            }
        }
        fault.over();
    }

    async fn act_on_store(&self, deed: &Deed) -> bool {
        let redis = &self.world.redis;
        let servers = redis.servers();
        let one = Target::Store("redis".to_owned());
        match deed {
            Deed::StoreFreeze { node, lasts } => {
                let server = servers[node % servers.len()];
                // Frozen for longer than the others wait, a master is replaced.
                let lost =
                    |it: &mut Fault| it.lost_from = redis.is_replicated().then(|| it.begin.saturating_sub(BEHIND));
                let fault = self.begin(FaultKind::StoreFreeze, one, false, lost);
                server.signal(Signal::Stop);
                pause(*lasts).await;
                server.signal(Signal::Continue);
                if redis.is_replicated() {
                    // It may be a master still, until it hears of the other.
                    sleep(PROMOTION).await;
                }
                fault.over();
            }
            Deed::StoreKill { node, lasts } => {
                let server = servers[node % servers.len()];
                let lost = |it: &mut Fault| {
                    it.lost_from = match (redis.is_replicated(), redis.forgets()) {
                        (true, _) => Some(it.begin.saturating_sub(BEHIND)),
                        (false, true) => Some(0),
                        (false, false) => None,
                    };
                };
                let fault = self.begin(FaultKind::StoreKill, one, false, lost);
                blocking(|| server.kill());
                // One that comes back empty before the others have given it up would be a master still.
                let away = if redis.is_replicated() { (*lasts).max(6_000) } else { *lasts };
                pause(away).await;
                blocking(|| server.restart());
                if redis.is_replicated() {
                    sleep(PROMOTION).await;
                }
                fault.over();
            }
            Deed::StoreFailover { node } => {
                let lost = |it: &mut Fault| it.lost_from = Some(it.begin.saturating_sub(BEHIND));
                let fault = self.begin(FaultKind::StoreFailover, one, false, lost);
                match redis.sentinels() {
                    Some(sentinels) => blocking(|| sentinels.try_fail_over()),
                    None => {
                        let replicas: Vec<_> = servers.iter().filter(|server| role(server) == Some("slave")).collect();
                        if let Some(replica) = replicas.get(node % replicas.len().max(1)) {
                            ask(replica, &["CLUSTER", "FAILOVER"]);
                        }
                    }
                }
                sleep(PROMOTION).await;
                fault.over();
            }
            Deed::StoreFull { lasts } => {
                let fault = self.begin(FaultKind::StoreFull, one, false, |_| {});
                servers.iter().for_each(|server| drop(ask(server, &["CONFIG", "SET", "maxmemory", "1"])));
                pause(*lasts).await;
                servers.iter().for_each(|server| drop(ask(server, &["CONFIG", "SET", "maxmemory", "0"])));
                fault.over();
            }
            Deed::StoreRefuses { lasts } => {
                let fault =
                    self.begin(FaultKind::StoreBusy, one, false, |it| it.text = Some(WRITES_REFUSED.to_owned()));
                servers.iter().for_each(|server| drop(ask(server, &["ACL", "SETUSER", "default", "-set", "-sadd"])));
                pause(*lasts).await;
                servers.iter().for_each(|server| drop(ask(server, &["ACL", "SETUSER", "default", "+set", "+sadd"])));
                fault.over();
            }
            Deed::StoreClientKill => {
                let fault = self.begin(FaultKind::StoreCut, one, true, |it| it.text = Some("CLIENT KILL".to_owned()));
                servers.iter().for_each(|server| drop(ask(server, &["CLIENT", "KILL", "TYPE", "normal"])));
                fault.over();
            }
            Deed::StoreScriptFlush => {
                let fault = self.begin(FaultKind::StoreBusy, one, true, |it| it.text = Some("SCRIPT FLUSH".to_owned()));
                servers.iter().for_each(|server| drop(ask(server, &["SCRIPT", "FLUSH"])));
                fault.over();
            }
            Deed::StoreClock { by, lasts } => {
                let fault = self.begin(FaultKind::StoreClock, one, false, |it| it.clock_ms = Some(*by));
                redis.turn(&seconds(*by));
                pause(*lasts).await;
                redis.turn("+0");
                pause(200).await;
                fault.over();
            }
            Deed::StoreCut { worker, lasts } => self.weather(FaultKind::StoreCut, *worker, *lasts, Weather::Cut).await,
            Deed::StoreHang { worker, lasts, replies } => {
                let mode = if *replies { Weather::SwallowReplies } else { Weather::Blackhole };
                self.weather(FaultKind::StoreHang, *worker, *lasts, mode).await;
            }
            Deed::StoreSlow { worker, by, lasts } => {
                let fault = self.begin(FaultKind::StoreSlow, link(*worker), false, |_| {});
                let (proxies, by) = (self.ways(*worker), Duration::from_millis(*by));
                proxies.iter().for_each(|proxy| proxy.delay(by / 2, by / 2));
                pause(*lasts).await;
                proxies.iter().for_each(|proxy| proxy.delay(Duration::ZERO, Duration::ZERO));
                fault.over();
            }
            _ => return false,
        }
        true
    }

    fn ways(&self, worker: Option<usize>) -> Vec<&Proxy> {
        let proxies = self.world.redis.proxies();
        match worker {
            Some(worker) => proxies.iter().skip(worker % 4).take(1).collect(),
            None => proxies.iter().collect(),
        }
    }

    async fn weather(&self, what: FaultKind, worker: Option<usize>, lasts: u64, mode: Weather) {
        let fault = self.begin(what, link(worker), false, |it| it.text = Some(format!("{mode:?}")));
        let proxies = self.ways(worker);
        proxies.iter().for_each(|proxy| proxy.set(mode));
        pause(lasts).await;
        proxies.iter().for_each(|proxy| proxy.set(Weather::Pass));
        fault.over();
    }

    async fn act_on_broker(&self, deed: &Deed) {
        let kafka = &self.world.kafka;
        let (Deed::BrokerKill { broker, lasts }
        | Deed::BrokerTerm { broker, lasts }
        | Deed::BrokerFreeze { broker, lasts }
        | Deed::BrokerCut { broker, lasts }
        | Deed::BrokerHang { broker, lasts }
        | Deed::BrokerSlow { broker, lasts, .. }) = deed
        else {
            return;
        };
        let broker = broker % kafka.len();
        let target = Target::Broker((broker + 1).to_string());
        let way = &kafka.proxies()[broker];
        match deed {
            Deed::BrokerKill { .. } | Deed::BrokerTerm { .. } => {
                let orderly = matches!(deed, Deed::BrokerTerm { .. });
                let what = if orderly { FaultKind::BrokerTerm } else { FaultKind::BrokerKill };
                let fault = self.begin(what, target, orderly, |_| {});
                kafka.signal(broker, if orderly { Signal::Term } else { Signal::Kill });
                let until = Instant::now() + Duration::from_secs(60);
                while kafka.runs(broker) {
                    if Instant::now() > until {
                        kafka.signal(broker, Signal::Kill);
                    }
                    pause(50).await;
                }
                pause(*lasts).await;
                kafka.again(broker).await;
                // It has to be a follower again, or the next one that goes leaves too few.
                pause(2_000).await;
                fault.over();
            }
            Deed::BrokerFreeze { .. } => {
                let fault = self.begin(FaultKind::BrokerFreeze, target, false, |_| {});
                kafka.signal(broker, Signal::Stop);
                pause(*lasts).await;
                kafka.signal(broker, Signal::Continue);
                fault.over();
            }
            Deed::BrokerCut { .. } | Deed::BrokerHang { .. } => {
                let cut = matches!(deed, Deed::BrokerCut { .. });
                let what = if cut { FaultKind::BrokerCut } else { FaultKind::BrokerHang };
                let fault = self.begin(what, link(None), false, |_| {});
                way.set(if cut { Weather::Cut } else { Weather::Blackhole });
                pause(*lasts).await;
                way.set(Weather::Pass);
                fault.over();
            }
            Deed::BrokerSlow { by, .. } => {
                let fault = self.begin(FaultKind::BrokerSlow, link(None), true, |_| {});
                let by = Duration::from_millis(*by) / 2;
                way.delay(by, by);
                pause(*lasts).await;
                way.delay(Duration::ZERO, Duration::ZERO);
                fault.over();
            }
            _ => {}
        }
    }
}

/// The way of one worker, or of all.
fn link(worker: Option<usize>) -> Target {
    Target::Link { worker: worker.map(|worker| format!("w{}", worker % 4)) }
}

/// As libfaketime reads it.
fn seconds(ms: i64) -> String {
    format!("{:+}", ms as f64 / 1000.0)
}

async fn pause(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}

fn blocking<T>(call: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(call)
}

/// Asks a server that may be away.
fn ask(server: &RedisServer, command: &[&str]) -> Option<String> {
    blocking(|| server.try_cli(command))
}

fn role(server: &RedisServer) -> Option<&'static str> {
    let said = ask(server, &["ROLE"])?;
    Some(if said.starts_with("slave") { "slave" } else { "master" })
}
