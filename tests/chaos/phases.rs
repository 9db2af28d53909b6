//! A run, from its start to its verdict.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::checker::{self, Past, State};
use super::history::{Event, Leftover, Phase, Role, Run, Stage, Topic, now};
use super::mode::*;
use super::nemesis::{Nemesis, Numbers};
use super::options::Options;
use super::report;
use super::schedule::Schedule;
use super::world::{Fleet, Producer, Sampler, World, copies, journal, unwritten};

/// How long after the last fault everything may take to be committed.
const HEAL: Duration = Duration::from_secs(180);
/// How long a partition may commit nothing while nothing is broken.
const STALL: Duration = Duration::from_secs(30);
/// How long members may take to join.
const JOIN: Duration = Duration::from_secs(6);
/// How long everything runs well at first.
const WARM_UP: Duration = Duration::from_secs(8);
/// The resident memory of a worker.
const MEMORY: u64 = 600 * 1024 * 1024;

/// The runs of `--ci`: seed, mode, whether only graceful faults, and how long.
const CI: &[(u64, &str, bool, u64)] =
    &[(11, "library,key", false, 40), (12, "push", false, 35), (13, "library,strict,volatile,exact", false, 35)];

/// Does what the command line asks for; returns whether all was as it is to be.
pub async fn run_all(options: &Options) -> bool {
    if let Some(judged) = &options.judge {
        return judge(judged, options.planted.as_deref());
    }
    if !options.ci {
        return run(options).await;
    }
    let mut passed = true;
    for (seed, mode, graceful, seconds) in CI {
        let options = Options {
            seed: *seed,
            mode: Some((*mode).to_owned()),
            graceful: *graceful,
            length: Duration::from_secs(*seconds),
            ..options.clone()
        };
        passed &= run(&options).await;
    }
    passed
}

async fn run(options: &Options) -> bool {
    let mode = options.mode().expect("it was looked at before");
    let out = directory(options);
    std::fs::create_dir_all(&out).expect("a writable directory");
    println!("seed {}, mode {}{}, history in {}", options.seed, mode.name, graceful(&mode), out.display());
    let begun = Instant::now();
    let world = Arc::new(World::start(&mode).await);
    println!("{:>4} s  brokers and Redis are up", begun.elapsed().as_secs());

    let book = journal(&out, "harness");
    book.write(describe(options, &mode, &world)).expect("the history is writable");
    let numbers = Arc::new(Numbers::default());
    let sampler = Sampler::start(&world.kafka.bootstrap(), &world.names, journal(&out, "committed"));
    let fleet = Fleet::start(&world, &mode, out.clone(), options.planted.clone(), Arc::clone(&numbers)).await;
    let rate = options.rate.unwrap_or(if mode.exposed == 1 { 200 } else { 400 });
    // All are members before there is anything to do.
    sleep(JOIN).await;
    let (bootstrap, topic) = (world.kafka.bootstrap(), world.names.topic.clone());
    let planted = options.planted.as_deref();
    let slow = planted == Some("stale_release");
    let producer = Producer::start(&bootstrap, &topic, &mode, options.seed, rate, slow, journal(&out, "producer"));

    let schedule = Schedule::new(options.seed, &mode, planted, WARM_UP, options.length);
    std::fs::write(out.join("plan.txt"), format!("{mode:#?}\n{schedule:#?}\n")).expect("a writable directory");
    book.write(Phase { stage: Stage::Faults }).expect("the history is writable");
    let start = Instant::now();
    let nemesis = Nemesis {
        world: Arc::clone(&world),
        fleet: Arc::clone(&fleet),
        numbers: Arc::clone(&numbers),
        journal: journal(&out, "nemesis"),
        begun: start,
    };
    let mut tracks = JoinSet::new();
    for track in [schedule.workers, schedule.store, schedule.brokers] {
        tracks.spawn(nemesis.clone().follow(track));
    }
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seconds = 0_u64;
    while start.elapsed() < options.length {
        second.tick().await;
        seconds += 1;
        if seconds.is_multiple_of(5) {
            fleet.weigh().await;
        }
        if seconds.is_multiple_of(10) {
            let lag = sampler.lag(0).map_or("unknown".to_owned(), |lag| lag.to_string());
            println!(
                "{:>4} s  {} records acknowledged, lag {lag}, {} faults, {} workers live",
                begun.elapsed().as_secs(),
                producer.acknowledged.load(SeqCst),
                numbers.count(),
                fleet.living().await,
            );
        }
    }
    while let Some(track) = tracks.join_next().await {
        track.expect("a nemesis that works");
    }
    fleet.heal().await;
    let (sent, places) = producer.end().await;
    let unknown = unwritten(&world.kafka, &topic, &sent, &places, &book).await;
    book.write(Phase { stage: Stage::Healed }).expect("the history is writable");
    println!("{:>4} s  healed; {} records sent, {unknown} unknown", begun.elapsed().as_secs(), sent.len());

    let (healed, since) = (Instant::now(), now());
    let mut caught_up = None;
    while caught_up.is_none() && healed.elapsed() < HEAL {
        sleep(Duration::from_millis(200)).await;
        caught_up = (sampler.lag(since) == Some(0)).then(|| healed.elapsed());
    }
    match caught_up {
        Some(took) => println!("{:>4} s  lag 0, {took:.1?} after the heal", begun.elapsed().as_secs()),
        None => {
            println!("{:>4} s  lag {:?} still, {HEAL:?} after the heal", begun.elapsed().as_secs(), sampler.lag(since))
        }
    }
    book.write(Phase { stage: Stage::End }).expect("the history is writable");
    fleet.weigh().await;
    let stuck = fleet.end().await;
    if stuck > 0 {
        let leftover = Leftover { what: "workers that did not end in order".to_owned(), count: stuck as u64 };
        book.write(Event::Leftover(leftover)).expect("the history is writable");
    }
    sleep(Duration::from_millis(1_200)).await;
    sampler.end().await;
    let dead = copies(&world.kafka, &world.names.dead, &book).await;
    let mut retried = 0;
    for retry in &world.names.retries {
        retried += copies(&world.kafka, retry, &book).await;
    }
    println!("{:>4} s  ended; {dead} dead letters, {retried} copies in retry topics", begun.elapsed().as_secs());
    drop(world);
    let passed = judge(&out, options.planted.as_deref());
    if !passed {
        println!("FAILED: seed {}, mode {}{}, history in {}", options.seed, mode.name, graceful(&mode), out.display());
    }
    passed
}

fn graceful(mode: &Mode) -> &'static str {
    if mode.graceful { ", graceful" } else { "" }
}

fn directory(options: &Options) -> PathBuf {
    if let (Some(out), false) = (&options.out, options.ci) {
        return out.clone();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    target.join("chaos").join(format!("{at}-{}", options.seed))
}

fn describe(options: &Options, mode: &Mode, world: &World) -> Run {
    let ms = |time: Duration| u64::try_from(time.as_millis()).expect("a short time");
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_micros();
    let mut topics = vec![
        Topic { name: world.names.topic.clone(), partitions: PARTITIONS, role: Role::Source },
        Topic { name: world.names.dead.clone(), partitions: 2, role: Role::DeadLetter },
    ];
    for retry in &world.names.retries {
        topics.push(Topic { name: retry.clone(), partitions: RETRY_PARTITIONS, role: Role::Retry });
    }
    Run {
        seed: options.seed,
        mode: format!("{}{}", mode.name, graceful(mode)),
        group: world.names.group.clone(),
        topics,
        order: if mode.kinds == Kinds::Pull { super::history::Order::Unordered } else { mode.order },
        batch: mode.batch,
        concurrency: CONCURRENCY,
        max_exposed: mode.exposed,
        max_attempts: MAX_ATTEMPTS,
        lease_ms: ms(LEASE),
        grace_ms: ms(GRACE),
        window_ms: ms(WINDOW),
        handler_limit_ms: ms(HANDLER_LIMIT),
        drain_ms: ms(DRAIN),
        commit_interval_ms: ms(COMMIT),
        session_ms: ms(SESSION),
        store: format!("{:?}", mode.redis),
        heal_limit_ms: ms(HEAL),
        stall_limit_ms: ms(STALL),
        memory_limit_bytes: MEMORY,
        wall_offset_us: i64::try_from(wall).expect("this century") - i64::try_from(now()).expect("a short time"),
        versions: vec![("hapax".to_owned(), env!("CARGO_PKG_VERSION").to_owned())],
    }
}

/// Judges a history and prints what comes of it; returns whether all is as it is to be.
fn judge(out: &Path, planted: Option<&str>) -> bool {
    let past = match Past::load(out) {
        Ok(past) => past,
        Err(problem) => {
            println!("the history cannot be judged: {problem}");
            return false;
        }
    };
    let judgement = checker::judge(&past);
    match report::write(&past, &judgement, out) {
        Ok(text) => println!("{text}\nreport with a timeline: {}", out.join("report.html").display()),
        Err(problem) => println!("the report cannot be written into {}: {problem}", out.display()),
    }
    let Some(bug) = planted else { return judgement.passed() };
    let right = match bug {
        "past_failed" | "by_last_success" => ["I1", "I2"],
        _ => ["I3", "I5"],
    };
    let by: Vec<&str> =
        judgement.verdicts.iter().filter(|it| it.state == State::Violated).map(|it| it.invariant).collect();
    let caught = by.iter().any(|invariant| right.contains(invariant));
    println!("the planted bug {bug} was {}caught, by {by:?}", if caught { "" } else { "NOT " });
    caught
}
