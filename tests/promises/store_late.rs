//! Several workers ask of one ID at once, through a network that holds their commands back: some execute between the
//! commands of others, some long after their sender gave up. Every answer has to be one that a store could give that
//! does one thing after the other, each at some moment between question and answer, or, where there was no answer, at
//! any moment later or never.
//!
//! `HAPAX_LATE_SCHEDULES` sets how many schedules run, `HAPAX_LATE_SEED` runs one of them.

mod model;

use std::env;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use hapax::id::Namespace;
use hapax::store::{LeaseTerms, RedisStore, State, Store};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;

use crate::common::RedisServer;
use crate::conformance::{LONG, only, until};
use crate::store_proxy::{Gate, Proxy, Step};
use model::{Answer, Candidates, Op, Outcome};

const WORKERS: usize = 3;
const STEPS: usize = 40;
/// Servers, and so schedules, at once. A server may be full, so schedules share none at a time.
const LANES: u64 = 8;
const RESPONSE: Duration = Duration::from_millis(150);

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_an_order_that_explains_it() {
    let variable = |name: &str| env::var(name).ok().map(|value| value.parse::<u64>().expect(name));
    let (first, schedules) = match variable("HAPAX_LATE_SEED") {
        Some(seed) => (seed, 1),
        None => (rand::random::<u64>() >> 16, variable("HAPAX_LATE_SCHEDULES").unwrap_or(160)),
    };
    let lane = |lane: u64| async move {
        let server = RedisServer::start();
        for n in (lane..schedules).step_by(LANES as usize) {
            Schedule::new(&server, first + n).await.run().await;
        }
    };
    join_all((0..LANES.min(schedules)).map(lane)).await;
}

/// One worker: its store, what stands between it and Redis, and what it is about.
struct Worker {
    store: Arc<RedisStore>,
    proxy: Proxy,
    /// The token of its last claim, and whether a release of it was sent: then it is not claimed with again.
    token: Option<(u8, bool)>,
    asking: Option<Asking>,
}

/// A question under way, one of whose commands waits at a gate.
struct Asking {
    number: u32,
    answer: JoinHandle<Outcome>,
}

struct Schedule<'a> {
    seed: u64,
    rng: StdRng,
    server: &'a RedisServer,
    workers: Vec<Worker>,
    /// Holds leases that run out at once.
    dying: RedisStore,
    candidates: Candidates,
    gates: Vec<Arc<Gate>>,
    numbers: u32,
    tokens: u8,
    history: Vec<String>,
}

impl<'a> Schedule<'a> {
    async fn new(server: &'a RedisServer, seed: u64) -> Self {
        let namespace = Namespace::new(&format!("late-{seed}")).unwrap();
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let proxy = Proxy::start(server.port()).await;
            let builder = RedisStore::builder(proxy.url(), namespace.clone()).terms(LONG);
            let store = Arc::new(builder.response_limit(RESPONSE).timeouts_in_a_row(1).build().unwrap());
            // The connection stands before anything is held back. To make one may take longer than an answer may.
            until(async || store.inspect(vec![model::id()]).await.iter().all(Result::is_ok)).await;
            workers.push(Worker { store, proxy, token: None, asking: None });
        }
        let terms = LeaseTerms { lease: Duration::from_millis(1), ..LONG };
        let dying = RedisStore::builder(server.url(), namespace).terms(terms).build().unwrap();
        Self {
            seed,
            rng: StdRng::seed_from_u64(seed),
            server,
            workers,
            dying,
            candidates: Candidates::new(),
            gates: Vec::new(),
            numbers: 0,
            tokens: b'a',
            history: Vec::new(),
        }
    }

    async fn run(mut self) {
        for _ in 0..STEPS {
            match self.rng.random_range(0..20) {
                0..4 => self.open_a_gate().await,
                4 => self.give_up().await,
                5 => self.die().await,
                6 => {
                    let most = if self.rng.random_bool(0.5) { "1" } else { "0" };
                    self.server.cli(&["CONFIG", "SET", "maxmemory", most]);
                    self.history.push(format!("maxmemory {most}"));
                }
                _ => self.ask().await,
            }
        }
        self.server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
        while !self.gates.is_empty() {
            self.open_a_gate().await;
        }
        for worker in 0..WORKERS {
            self.answered(worker).await;
        }
        let state = only(self.dying.inspect(vec![model::id()]).await);
        let number = self.begin(Op::Inspect);
        self.end(number, Outcome::Answer(Answer::state(state)));
    }

    /// Lets a worker ask. It is answered, or one of its commands stops at a gate.
    async fn ask(&mut self) {
        let idle: Vec<usize> = (0..WORKERS).filter(|worker| self.workers[*worker].asking.is_none()).collect();
        if idle.is_empty() {
            return;
        }
        let worker = idle[self.rng.random_range(0..idle.len())];
        let op = self.choose(worker);
        let (gate, fault) = (Arc::new(Gate::default()), self.rng.random_range(0..10));
        let (mut commands, at) = (0, self.rng.random_range(1..4));
        let held = gate.clone();
        self.workers[worker].proxy.rule(move |_| {
            commands += 1;
            match fault {
                _ if commands != at => Step::Pass,
                0..4 => Step::Hold(held.clone()),
                4 => Step::LoseReply,
                _ => Step::Pass,
            }
        });
        let number = self.begin(op);
        let store = self.workers[worker].store.clone();
        let mut answer = tokio::spawn(async move { op.ask(&*store).await });
        tokio::select! {
            outcome = &mut answer => self.end(number, outcome.unwrap()),
            () = gate.reached() => {
                self.history.push(format!("#{number} held at its command {at}"));
                self.gates.push(gate);
                self.workers[worker].asking = Some(Asking { number, answer });
            }
        }
    }

    fn choose(&mut self, worker: usize) -> Op {
        let takes_over = self.rng.random_bool(0.5);
        let attempts = self.rng.random_bool(0.7).then(|| self.rng.random_range(0..3));
        let held = &mut self.workers[worker].token;
        match (self.rng.random_range(0..12), *held) {
            (0, _) => Op::Inspect,
            (1..4, Some((token, _))) => Op::Complete { token },
            (4, Some((token, _))) => Op::Renew { token },
            (5..8, Some((token, _))) => {
                *held = Some((token, true));
                Op::Release { token, attempts }
            }
            (_, Some((token, false))) => Op::Claim { token, takes_over },
            _ => {
                self.tokens += 1;
                *held = Some((self.tokens, false));
                Op::Claim { token: self.tokens, takes_over }
            }
        }
    }

    /// Lets what was held go on, whether or not its sender still waits.
    async fn open_a_gate(&mut self) {
        if self.gates.is_empty() {
            return;
        }
        let gate = self.gates.swap_remove(self.rng.random_range(0..self.gates.len()));
        gate.open();
        self.history.push("a gate opened".to_owned());
        // Whoever is answered now is noted now; of the others nothing is known.
        for worker in 0..WORKERS {
            let asking = self.workers[worker].asking.as_mut().map(|asking| &mut asking.answer);
            let Some(answer) = asking else { continue };
            let soon = tokio::time::timeout(Duration::from_millis(5), answer).await;
            if let Ok(outcome) = soon {
                let asking = self.workers[worker].asking.take().expect("looked at above");
                self.end(asking.number, outcome.unwrap());
            }
        }
    }

    /// Lets a worker whose command is held wait until it gives up, or is answered.
    async fn give_up(&mut self) {
        let worker = self.rng.random_range(0..WORKERS);
        self.answered(worker).await;
    }

    async fn answered(&mut self, worker: usize) {
        if let Some(Asking { number, answer }) = self.workers[worker].asking.take() {
            self.end(number, answer.await.unwrap());
        }
    }

    /// A worker claims and dies: its lease has run out when this returns.
    async fn die(&mut self) {
        self.tokens += 1;
        let op = Op::Claim { token: self.tokens, takes_over: self.rng.random_bool(0.5) };
        let number = self.begin(op);
        let outcome = op.ask(&self.dying).await;
        let claimed = matches!(outcome, Outcome::Answer(Answer::Claimed { .. }));
        let expires = claimed.then(|| self.begin(Op::Expire { token: self.tokens }));
        self.end(number, outcome);
        if let Some(expires) = expires {
            let state = || self.dying.inspect(vec![model::id()]).map(only);
            // The worker's term is a millisecond; in flight for longer, another has renewed or taken the ID.
            until(async || !matches!(state().await, State::InFlight { remaining, .. } if remaining.as_millis() <= 1))
                .await;
            self.end(expires, Outcome::Answer(Answer::Expired));
        }
    }

    fn begin(&mut self, op: Op) -> u32 {
        self.numbers += 1;
        self.history.push(format!("#{} {op:?}", self.numbers));
        self.candidates.begin(self.numbers, op);
        self.numbers
    }

    fn end(&mut self, number: u32, outcome: Outcome) {
        self.history.push(format!("#{number} -> {outcome:?}"));
        self.candidates.end(number, outcome);
        let Self { seed, history, .. } = self;
        assert!(
            !self.candidates.is_empty(),
            "HAPAX_LATE_SEED={seed}: no order of what was asked explains the last answer:\n{}",
            history.join("\n")
        );
    }
}
