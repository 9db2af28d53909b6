//! Memory of a process that runs nothing but hapax, as fast as it can, with default settings.

use std::process::Command;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::load::{Load, SMALL, Shape};
use crate::meter::{Meter, median};
use crate::options::Options;
use crate::service::{Kafka, Program, RedisServer};
use crate::table::{Table, figure, progress, ratio};
use crate::watch::Watch;
use crate::ways::hapax;

const PARTITIONS: i32 = 12;
const SAMPLE: Duration = Duration::from_millis(200);
const MIB: f64 = 1024.0;

/// The variables that make this program the worker: brokers, topic, Redis.
const VARIABLES: [&str; 3] = ["HAPAX_BENCH_BROKERS", "HAPAX_BENCH_TOPIC", "HAPAX_BENCH_REDIS"];

/// What a worker prints, with the number behind it.
const SETTLED: &str = "settled ";

/// What this process is to do where it is a worker.
#[derive(Debug)]
pub struct Task {
    variables: [String; 3],
}

impl Task {
    pub fn of_this_process() -> Option<Self> {
        let [brokers, topic, redis] = VARIABLES.map(|name| std::env::var(name).ok());
        Some(Self { variables: [brokers?, topic?, redis?] })
    }
}

/// Handles records until it is killed.
pub async fn work(task: Task) {
    let [brokers, topic, redis] = &task.variables;
    let watch = Watch::for_records(u64::MAX);
    let told = watch.clone();
    tokio::spawn(async move {
        loop {
            println!("{SETTLED}{}", told.so_far());
            sleep(SAMPLE).await;
        }
    });
    hapax::consume(hapax::Ends { brokers, topic, redis }, &watch, |builder| builder, |_| std::future::ready(())).await;
}

pub async fn measure(options: &Options, table: &mut Table, kafka: &Kafka, redis: &RedisServer) {
    let title = format!("Memory of a process with one consumer at full speed, default settings, {:?}", options.watched);
    let columns =
        ["records of", "records/s", "MiB at the most", "MiB in the second fifth", "MiB in the last fifth", ""];
    table.section(&title, &columns);
    for (name, shape, share) in [("200 B", SMALL, 1), ("10 kB", Shape { payload: 10_000, ..SMALL }, 20)] {
        progress(&format!("memory, records of {name}"));
        Meter::new(redis).await.flush().await;
        let ahead = (options.records / share).max(1_000);
        let seen = watch(options, kafka, redis, shape, ahead).await;
        let aim = ratio(seen.most, |most| most <= 256.0, "256 or less");
        let growth = seen.last / seen.second;
        let flat = ratio(growth, |growth| growth <= 1.1, "growth of 1.1 or less");
        let cells = [figure(seen.rate), aim, figure(seen.second), figure(seen.last), flat];
        let [rate, most, second, last, flat] = cells;
        table.row([name.to_owned(), rate, most, second, last, flat]);
    }
}

struct Seen {
    rate: f64,
    /// In MiB, as those below.
    most: f64,
    second: f64,
    last: f64,
}

/// Runs a worker, and keeps so many records before it.
async fn watch(options: &Options, kafka: &Kafka, redis: &RedisServer, shape: Shape, ahead: u64) -> Seen {
    let load = Load::produce_into(
        kafka,
        PARTITIONS,
        ahead,
        shape,
        &[("retention.bytes", "67108864"), ("segment.bytes", "33554432")],
    )
    .await;
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command.envs(VARIABLES.into_iter().zip([load.brokers.clone(), load.topic.clone(), redis.url()]));
    let worker = Program::start("the worker", &command);
    worker.line(SETTLED).await;
    let mut produced = ahead;
    let settled = || {
        let output = worker.output();
        let last = output.lines().rev().find_map(|line| line.strip_prefix(SETTLED)?.parse::<u64>().ok());
        last.expect("a number")
    };
    // Joining its group does not count.
    while settled() == 0 {
        sleep(SAMPLE).await;
    }
    let (started, mut samples) = (Instant::now(), Vec::new());
    while started.elapsed() < options.watched {
        assert!(worker.runs(), "{}", worker.output());
        samples.push(status(worker.pid(), "VmRSS:"));
        let chunk = (ahead / 20).max(1);
        if settled() + ahead > produced + chunk {
            shape.produce(kafka, &load.topic, produced..produced + chunk).await;
            produced += chunk;
        } else {
            sleep(SAMPLE).await;
        }
    }
    let rate = settled() as f64 / started.elapsed().as_secs_f64();
    let fifth = samples.len() / 5;
    let middle = |samples: &[f64]| median(samples.iter().copied());
    Seen {
        rate,
        most: status(worker.pid(), "VmHWM:"),
        second: middle(&samples[fifth..2 * fifth.max(1)]),
        last: middle(&samples[samples.len() - fifth.max(1)..]),
    }
}

/// A line of `/proc/<pid>/status`, in MiB; not a number where the system has none.
fn status(pid: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib / MIB)
}
