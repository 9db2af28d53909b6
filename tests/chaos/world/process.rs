//! The processes that one life of a worker consists of.

use std::collections::BTreeMap;
use std::env;
use std::fs::{File, create_dir_all};
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use super::telling::Telling;
use crate::common::{Program, Signal};
use crate::history::{Journal, Order};
use crate::mode::*;
use crate::worker::{JOB, Job, LISTENS, ROLE};

/// What a worker is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Library,
    Push,
    Pull,
}

/// One life of a worker.
pub struct Life {
    /// The one that reads Kafka: its end is the worker's end.
    pub main: Program,
    /// The application, or the sidecar of a loop.
    beside: Option<Program>,
    /// Where the sidecar exposes its metrics.
    health: Option<u16>,
}

impl Life {
    /// Starts the processes; `environment` is for those that hold hapax.
    pub async fn start(kind: Kind, job: &Job, environment: &BTreeMap<String, String>, journal: &Journal) -> Self {
        match kind {
            Kind::Library => {
                let mut command = role("library", job);
                command.envs(environment);
                Self { main: logged(job, "library", &command, |_| {}), beside: None, health: None }
            }
            Kind::Push => {
                let mut command = role("app", job);
                command.envs(environment.iter().filter(|(name, _)| *name == "FAILPOINT"));
                let app = logged(job, "app", &command, |_| {});
                let said = app.line(LISTENS).await;
                let port = said.rsplit(' ').next().expect("a port");
                let mut telling = Telling::new(job, journal.clone());
                let mut command = hapax();
                let health = free_port();
                command
                    .envs(push(job, port))
                    .envs(environment)
                    .env("HAPAX_HEALTH_LISTEN", format!("127.0.0.1:{health}"));
                let main = logged(job, "push", &command, move |line| telling.line(line));
                Self { main, beside: Some(app), health: Some(health) }
            }
            Kind::Pull => {
                let (port, health) = (free_port(), free_port());
                let mut command = hapax();
                command.envs(store(job));
                command.env("HAPAX_DELIVERY", "pull").env("HAPAX_NAMESPACE", &job.group);
                command.env("HAPAX_LISTEN", format!("127.0.0.1:{port}")).envs(environment);
                command.env("HAPAX_HEALTH_LISTEN", format!("127.0.0.1:{health}"));
                let beside = logged(job, "sidecar", &command, |_| {});
                let job = Job { pull: format!("http://127.0.0.1:{port}"), ..job.clone() };
                let mut command = role("pull", &job);
                // Failpoints of the handler are the loop's.
                command.envs(environment.iter().filter(|(name, _)| *name == "FAILPOINT"));
                Self { main: logged(&job, "pull", &command, |_| {}), beside: Some(beside), health: Some(health) }
            }
        }
    }

    /// Sends all of its processes a signal. One that is to end in order is asked alone: what it stands on stays.
    pub fn signal(&self, signal: Signal) {
        if signal != Signal::Term
            && let Some(beside) = &self.beside
        {
            beside.signal(signal);
        }
        self.main.signal(signal);
    }

    /// How it ended, where one of its processes has.
    pub fn status(&self) -> Option<i32> {
        self.main.status().or_else(|| self.beside.as_ref()?.status())
    }

    /// Where its metrics are exposed, where that is by HTTP.
    pub fn health(&self) -> Option<u16> {
        self.health
    }

    /// The resident memory of the process that holds hapax, in bytes.
    pub fn memory(&self) -> Option<u64> {
        let pid = self.main.pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port()
}

fn role(name: &str, job: &Job) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.env(ROLE, name).env(JOB, serde_json::to_string(job).expect("a job"));
    command
}

fn hapax() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hapax"));
    command.arg("run");
    command
}

/// Starts a process whose output goes into a file of the run's directory.
fn logged(job: &Job, what: &str, command: &Command, mut watch: impl FnMut(&str) + Send + 'static) -> Program {
    let logs = job.out.join("logs");
    create_dir_all(&logs).expect("a writable directory");
    let mut file = File::create(path(&logs, job, what)).expect("a writable directory");
    Program::start_watched(&format!("{what} of {}", job.worker), command, move |line| {
        watch(line);
        // The lines about single records are in the history already.
        if !line.contains("\"level\":\"TRACE\"") {
            drop(writeln!(file, "{line}"));
        }
    })
}

fn path(logs: &Path, job: &Job, what: &str) -> std::path::PathBuf {
    logs.join(format!("{}-{}.{what}.log", job.worker, job.incarnation))
}

fn ms(time: std::time::Duration) -> String {
    format!("{}ms", time.as_millis())
}

fn store(job: &Job) -> Vec<(&'static str, String)> {
    vec![
        ("HAPAX_REDIS_URL", job.redis.clone()),
        ("HAPAX_DONE_MODE", if job.mode.exact { "exact" } else { "compact" }.to_owned()),
        ("HAPAX_LEASE", ms(LEASE)),
        ("HAPAX_GRACE", ms(GRACE)),
        ("HAPAX_WINDOW", ms(WINDOW)),
        ("HAPAX_START_WAIT", "300s".to_owned()),
        ("HAPAX_LOG_FORMAT", "json".to_owned()),
        ("HAPAX_LOG", "hapax::telemetry::log=trace,hapax=info,warn".to_owned()),
        ("HAPAX_SHUTDOWN_LIMIT", "10s".to_owned()),
    ]
}

fn push(job: &Job, port: &str) -> Vec<(&'static str, String)> {
    let mode = &job.mode;
    let order = match mode.order {
        Order::Partition => "partition",
        Order::Key => "key",
        Order::Unordered => "unordered",
    };
    let mut variables = store(job);
    variables.extend([
        ("HAPAX_BROKERS", job.brokers.clone()),
        ("HAPAX_GROUP", job.group.clone()),
        ("HAPAX_TOPICS", job.topic.clone()),
        ("HAPAX_PUSH_URL", format!("http://127.0.0.1:{port}/")),
        ("HAPAX_PUSH_CONTENT_TYPE", "application/json".to_owned()),
        ("HAPAX_LISTEN", "127.0.0.1:0".to_owned()),
        ("HAPAX_ORDER", order.to_owned()),
        ("HAPAX_CONCURRENCY", CONCURRENCY.to_string()),
        ("HAPAX_BATCH", mode.batch.to_string()),
        ("HAPAX_MAX_EXPOSED", mode.exposed.to_string()),
        ("HAPAX_MAX_ATTEMPTS", MAX_ATTEMPTS.to_string()),
        ("HAPAX_BACKOFF_FIRST", ms(BACKOFF.0)),
        ("HAPAX_BACKOFF_CAP", ms(BACKOFF.1)),
        ("HAPAX_HANDLER_TIME_LIMIT", ms(HANDLER_LIMIT)),
        ("HAPAX_DRAIN_LIMIT", ms(DRAIN)),
        ("HAPAX_COMMIT_INTERVAL", ms(COMMIT)),
        ("HAPAX_DEAD_LETTER_TOPIC", job.dead.clone()),
        ("HAPAX_ID_POLICY", "dead-letter".to_owned()),
        ("HAPAX_KAFKA_CONSUMER_SESSION_TIMEOUT_MS", SESSION.as_millis().to_string()),
        ("HAPAX_KAFKA_CONSUMER_HEARTBEAT_INTERVAL_MS", (SESSION / 5).as_millis().to_string()),
        ("HAPAX_KAFKA_CONSUMER_MAX_POLL_INTERVAL_MS", POLL.as_millis().to_string()),
    ]);
    if mode.retry {
        let topics: Vec<String> = job.retries.iter().map(|topic| format!("{topic}={}", ms(RETRY_DELAY))).collect();
        variables.push(("HAPAX_RETRY_TOPICS", topics.join(",")));
        variables.push(("HAPAX_DEAD_LETTER_SHARE", "1".to_owned()));
    }
    if mode.static_members {
        variables.push(("HAPAX_STATIC_MEMBER", format!("{}-{}", job.group, job.worker)));
    }
    variables
}
