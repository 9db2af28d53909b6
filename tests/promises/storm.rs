//! A rebalance storm: members join and leave, asked to, killed or dropped, faster than the group settles.
//!
//! No message is lost; each repeated effect is one that a dead member did not live to record, and they are bounded; in
//! every partition the first effects are in the order of the log; nothing is committed before its effect. Afterwards
//! every partition goes on to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hapax::record::Offset;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::common::{Kafka, RedisServer, Signal, Worker, await_until, role};
use super::consuming::Running;
use super::members::{Crowd, Deaths, LISTENS, Ledger, Terms, now, work};
use super::proof::plan::Plan;

/// How long a storm may take to be over once members stay: sessions and leases of the dead end, and what is left is
/// handled.
const HEAL: Duration = Duration::from_secs(60);
const BEAT: Duration = Duration::from_millis(500);
const PARTITIONS: i32 = 9;
const FEWEST: usize = 2;
const MOST: usize = 6;

struct Storm {
    beats: usize,
    /// Records per second, of which a tenth are sent again.
    rate: usize,
    terms: Terms,
    /// Whether members have names that the group knows them by, and come back with.
    named: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_come_and_go_lose_and_repeat_nothing_without_a_reason() {
    if role().is_some() {
        return work().await;
    }
    let test = "storm::members_that_come_and_go_lose_and_repeat_nothing_without_a_reason";
    Storm { beats: 120, rate: 400, terms: Terms::default(), named: false }.rage(test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_where_each_rebalance_takes_everything_back() {
    if role().is_some() {
        return work().await;
    }
    let terms = Terms { strategy: "range,roundrobin".to_owned(), ..Terms::default() };
    let test = "storm::neither_where_each_rebalance_takes_everything_back";
    Storm { beats: 30, rate: 400, terms, named: false }.rage(test).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_with_static_members() {
    if role().is_some() {
        return work().await;
    }
    Storm { beats: 30, rate: 400, terms: Terms::default(), named: true }
        .rage("storm::neither_with_static_members")
        .await;
}

enum Member {
    Process(Worker),
    Within(Running),
}

impl Storm {
    async fn rage(&self, test: &'static str) {
        let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
        let crowd = Crowd::new(test);
        let beats = u32::try_from(self.beats).unwrap();
        let records = self.rate * (BEAT * beats).as_millis() as usize / 1000;
        let plan = Plan::new(records, PARTITIONS);
        kafka.create_topic(&crowd.topic, PARTITIONS).await;

        let seed = rand::random::<u64>();
        println!("seed {seed}");
        let mut weather = Weather {
            storm: self,
            crowd: &crowd,
            addresses: (kafka.bootstrap(), redis.url()),
            rng: StdRng::seed_from_u64(seed),
            present: BTreeMap::new(),
            joined: 0,
            leaving: JoinSet::new(),
            held: BTreeSet::new(),
            deaths: Deaths::new(),
        };
        weather.join();
        let producing = produce(kafka, &crowd.topic, &plan, self.rate);
        let raging = async {
            let mut beat = interval(BEAT);
            for _ in 0..self.beats {
                beat.tick().await;
                weather.turn();
            }
        };
        let mut commits = Commits::new();
        tokio::select! {
            _ = async { tokio::join!(producing, raging) } => {}
            () = watch(kafka, &crowd, &mut commits) => {}
        }

        let calm = Instant::now();
        while weather.present.len() < FEWEST {
            weather.join();
        }
        let ends = kafka.end_offsets(&crowd.topic).await;
        assert_eq!(ends.values().sum::<Offset>(), records as Offset);
        let what = format!("all of {ends:?} is committed after the storm");
        await_until(&what, HEAL, async || kafka.committed_offsets(&crowd.group, &crowd.topic).await == ends).await;
        let healed = calm.elapsed();
        commits.push((now(), ends.clone()));
        let joined = weather.joined;
        let deaths = weather.clear().await;
        assert_eq!(kafka.committed_offsets(&crowd.group, &crowd.topic).await, ends, "nothing goes back at the end");

        let ledger = crowd.ledger();
        ledger.check_complete(plan.messages);
        let repeated = ledger.check_repeats(&deaths, self.terms.exposed);
        ledger.check_order();
        check_commits(&plan, &ledger, &commits);
        println!(
            "{} messages, {joined} members, {} of them died, {repeated} repeated effects, healed in {healed:?}",
            plan.messages,
            deaths.len()
        );
    }
}

/// Who is there, and how they end.
struct Weather<'a> {
    storm: &'a Storm,
    crowd: &'a Crowd,
    addresses: (String, String),
    rng: StdRng,
    /// By the number of its place: a static member comes back to its own.
    present: BTreeMap<usize, (String, Member)>,
    joined: usize,
    /// Those that were told to leave.
    leaving: JoinSet<usize>,
    /// The places that they hold until then.
    held: BTreeSet<usize>,
    deaths: Deaths,
}

impl Weather<'_> {
    fn turn(&mut self) {
        while let Some(left) = self.leaving.try_join_next() {
            self.held.remove(&left.expect("a member that left in order"));
        }
        let grows = match self.present.len() {
            FEWEST => true,
            MOST => false,
            _ => self.rng.random(),
        };
        if grows { self.join() } else { self.leave() }
    }

    fn join(&mut self) {
        // Only a place whose last member is surely gone: two static members of one name would stop each other.
        let place =
            (0..).find(|place| !self.present.contains_key(place) && !self.held.contains(place)).unwrap_or_default();
        self.joined += 1;
        let name = format!("{:03}", self.joined);
        let mut terms = self.storm.terms.clone();
        terms.static_member = self.storm.named.then(|| format!("{}-{place}", self.crowd.group));
        let (brokers, redis) = self.addresses.clone();
        let member = match self.rng.random_bool(0.4) {
            true => Member::Process(self.crowd.process(&name, brokers, redis, &terms)),
            false => Member::Within(self.crowd.member(&name, brokers, redis, &terms)),
        };
        self.present.insert(place, (name, member));
    }

    fn leave(&mut self) {
        let places: Vec<usize> = self.present.keys().copied().collect();
        let Some(place) = places.choose(&mut self.rng).copied() else { return };
        let Some((name, member)) = self.present.remove(&place) else { return };
        let asked = self.rng.random_bool(0.4);
        match member {
            member if asked => self.ask(place, member),
            Member::Process(worker) => {
                self.deaths.insert(name, now());
                worker.signal(Signal::Kill);
            }
            Member::Within(running) => {
                self.deaths.insert(name, now());
                self.held.insert(place);
                self.leaving.spawn(async move {
                    running.crash().await;
                    place
                });
            }
        }
    }

    fn ask(&mut self, place: usize, member: Member) {
        self.held.insert(place);
        self.leaving.spawn(async move {
            match member {
                Member::Process(worker) => {
                    // Who does not listen for it yet would die of it.
                    worker.line(LISTENS).await;
                    worker.signal(Signal::Term);
                    assert_eq!(worker.exit().await, 0, "{}", worker.output());
                }
                Member::Within(running) => running.stop().await,
            }
            place
        });
    }

    async fn clear(mut self) -> Deaths {
        for (place, (_, member)) in std::mem::take(&mut self.present) {
            self.ask(place, member);
        }
        while let Some(left) = self.leaving.join_next().await {
            left.expect("a member that left in order");
        }
        self.deaths
    }
}

/// Sends the records, so many a second.
async fn produce(kafka: &Kafka, topic: &str, plan: &Plan, rate: usize) {
    let mut messages = plan.messages().peekable();
    let mut second = interval(Duration::from_secs(1));
    while messages.peek().is_some() {
        second.tick().await;
        kafka.produce(topic, messages.by_ref().take(rate).collect::<Vec<_>>()).await;
    }
}

type Commits = Vec<(u128, BTreeMap<i32, Offset>)>;

/// Notes what is committed, now and then.
async fn watch(kafka: &Kafka, crowd: &Crowd, commits: &mut Commits) {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        second.tick().await;
        let committed = crowd.committed(kafka).await;
        commits.push((now(), committed));
    }
}

/// What is committed never goes back, and whatever lies behind it had its effect before.
fn check_commits(plan: &Plan, ledger: &Ledger, commits: &Commits) {
    let effects = ledger.by_message();
    for partition in 0..PARTITIONS {
        let (mut reached, mut latest) = (0, 0);
        for (at, committed) in commits {
            let Some(committed) = committed.get(&partition).map(|offset| usize::try_from(*offset).unwrap()) else {
                assert_eq!(reached, 0, "the commits of partition {partition} vanished");
                continue;
            };
            assert!(reached <= committed, "partition {partition} was committed to {reached}, then to {committed}");
            for message in &plan.of_partition(partition)[reached..committed] {
                latest = latest.max(effects[message.to_string().as_str()][0].at);
            }
            reached = committed;
            assert!(latest < *at, "{committed} of partition {partition} was committed before an effect behind it");
        }
    }
}
