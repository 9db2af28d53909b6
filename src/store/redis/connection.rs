//! The one connection of a store: made when it is needed, checked before it is used, given up when it is no good.
//!
//! ```text
//! idle ──a question──▶ connecting ──checked──▶ up
//!                        │    ▲                 │
//!                        └────┘ refused,        │ dropped · time-outs in a row · READONLY, MASTERDOWN, LOADING
//!                          again after a pause  │
//!                             ▲─────────────────┘
//! ```
//!
//! One task connects, however many ask. Who asks during the first attempt waits for it, which the limit bounds; after
//! a failed attempt everybody is told at once that Redis is not available, while the task goes on trying.
//!
//! The client library's own manager is not used: it does not reconnect on time-outs (a half-open connection would
//! time out for the quarter of an hour that a kernel takes to give up), nor on `READONLY` (a demoted master), and
//! lets callers wait for six attempts.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use super::batch::{Batch, Fault, Reply};
use super::faults::{self, Connection};
use super::layout::Group;
use crate::store::{Cause, StoreError};

/// The pause after a failed attempt, doubled by each that follows, up to the longest; each shortened by up to half at
/// random, so that the workers do not come back all at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection that lasted less than this counts as a failed attempt, or one that is refused after the check would
/// be made anew by every question.
const SHORT_LIVED: Duration = Duration::from_secs(1);

/// The oldest Redis that knows what the scripts need (`flags=allow-oom`).
const OLDEST_MAJOR: u32 = 7;

/// Counts the connections of this process.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

/// What a connection is made with.
pub(super) struct Target {
    /// Host and port, or a path: what errors and logs may show.
    pub(super) address: Arc<str>,
    pub(super) client: Client,
    /// From the first packet until the server is checked.
    pub(super) connect_limit: Duration,
    pub(super) config: AsyncConnectionConfig,
    /// After how many time-outs in a row the connection is given up.
    pub(super) timeouts: u32,
}

/// The way to Redis.
pub(super) struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    target: Target,
    state: watch::Sender<State>,
}

#[derive(Clone)]
enum State {
    Idle,
    /// A task is connecting; `failed` tells what became of its last attempt.
    Connecting {
        failed: Option<StoreError>,
    },
    Up(Live),
}

#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    serial: u64,
    since: Instant,
    /// Time-outs since the last reply.
    timeouts: Arc<AtomicU32>,
}

impl Link {
    pub(super) fn new(target: Target) -> Self {
        Self { shared: Arc::new(Shared { target, state: watch::Sender::new(State::Idle) }) }
    }

    pub(super) fn address(&self) -> &Arc<str> {
        &self.shared.target.address
    }

    /// Tells the connection that is in use from every other; `None` where there is none.
    pub(super) fn serial(&self, _group: Group) -> Option<u64> {
        match &*self.shared.state.borrow() {
            State::Up(live) => Some(live.serial),
            State::Idle | State::Connecting { .. } => None,
        }
    }

    /// Sends the commands in one go and returns a reply for each.
    pub(super) async fn ask(&self, batch: Batch) -> Vec<Reply> {
        let asked = batch.len();
        self.ask_all(&batch.into_pipeline()).await.unwrap_or_else(|error| vec![Err(error.into()); asked])
    }

    async fn ask_all(&self, pipeline: &Pipeline) -> Result<Vec<Reply>, StoreError> {
        let mut live = self.live().await?;
        let fault = match live.connection.send_packed_commands(pipeline, 0, pipeline.len()).await {
            Ok(replies) if replies.len() == pipeline.len() => {
                live.timeouts.store(0, Ordering::Relaxed);
                return Ok(replies.into_iter().map(|reply| self.judge(&live, reply)).collect());
            }
            Ok(_) => (faults::of_misfit("a pipeline"), Connection::IsBuiltAnew),
            Err(error) => faults::of_request(self.address(), error),
        };
        Err(self.fail(&live, fault))
    }

    /// Sends commands whose replies nobody reads. They are queued behind what was sent before, and before what the
    /// caller sends next, when this returns; whether they arrive is unknown. Not sent at all, and not waited for, where
    /// there is no connection.
    pub(super) async fn tell(&self, batch: Batch) {
        let State::Up(mut live) = self.shared.state.borrow().clone() else { return };
        for mut command in batch.into_commands() {
            command.set_no_response(true);
            if let Err(error) = live.connection.send_packed_command(&command).await {
                self.fail(&live, faults::of_request(self.address(), error));
                return;
            }
        }
    }

    /// A reply, or what it means that it is an error, for the caller and for the connection.
    fn judge(&self, live: &Live, reply: Value) -> Reply {
        reply_of(self.address(), reply).map_err(|(fault, connection)| {
            if connection == Connection::IsBuiltAnew {
                self.shared.lose(live, fault.error.clone());
            }
            fault
        })
    }

    fn fail(&self, live: &Live, (error, connection): (StoreError, Connection)) -> StoreError {
        let lost = match connection {
            Connection::Stays => false,
            Connection::IsBuiltAnew => true,
            Connection::CountsATimeout => {
                live.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= self.shared.target.timeouts
            }
        };
        if lost {
            self.shared.lose(live, error.clone());
        }
        error
    }

    /// The connection, or why there is none.
    async fn live(&self) -> Result<Live, StoreError> {
        let mut states = self.shared.state.subscribe();
        loop {
            match &*states.borrow_and_update() {
                State::Up(live) => return Ok(live.clone()),
                State::Connecting { failed: Some(why) } => return Err(why.clone()),
                State::Connecting { failed: None } | State::Idle => {}
            }
            self.shared.start();
            if states.changed().await.is_err() {
                return Err(StoreError::Unavailable(Cause::new("the store was closed")));
            }
        }
    }
}

impl Shared {
    /// Begins to connect, unless that is under way or done.
    fn start(self: &Arc<Self>) {
        let begins = self.state.send_if_modified(|state| {
            let idle = matches!(state, State::Idle);
            if idle {
                *state = State::Connecting { failed: None };
            }
            idle
        });
        if begins {
            tokio::spawn(connect(Task { shared: Arc::downgrade(self), up: false }, None));
        }
    }

    /// Gives a connection up and makes another, unless that has happened.
    fn lose(self: &Arc<Self>, lost: &Live, why: StoreError) {
        let short_lived = lost.since.elapsed() < SHORT_LIVED;
        let begins = self.state.send_if_modified(|state| {
            let current = matches!(state, State::Up(live) if live.serial == lost.serial);
            if current {
                tracing::warn!(address = %self.target.address, reason = %cause(&why), "connection to Redis given up");
                *state = State::Connecting { failed: short_lived.then(|| StoreError::Unavailable(cause(&why))) };
            }
            current
        });
        if begins {
            let pause = short_lived.then_some(FIRST_PAUSE);
            tokio::spawn(connect(Task { shared: Arc::downgrade(self), up: false }, pause));
        }
    }

    /// Makes and checks a connection, within the limit.
    async fn attempt(&self) -> Result<Live, StoreError> {
        let Target { address, client, connect_limit, config, .. } = &self.target;
        let attempt = async {
            let refused = |error| faults::of_connecting(address, error);
            let mut connection = client.get_multiplexed_async_connection_with_config(config).await.map_err(refused)?;
            let info: String = redis::cmd("INFO").query_async(&mut connection).await.map_err(refused)?;
            check(address, &info)?;
            let serial = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
            Ok(Live { connection, serial, since: Instant::now(), timeouts: Arc::default() })
        };
        tokio::time::timeout(*connect_limit, attempt).await.unwrap_or_else(|_| {
            let why = format!("Redis at {address}: no connection within {connect_limit:?}");
            Err(StoreError::Unavailable(Cause::new(why)))
        })
    }
}

/// The task that connects. Where it ends without a connection (its runtime was shut down), the next question begins
/// anew.
struct Task {
    shared: Weak<Shared>,
    up: bool,
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade().filter(|_| !self.up) {
            shared.state.send_replace(State::Idle);
        }
    }
}

/// Tries until there is a connection or no store.
async fn connect(mut task: Task, first_pause: Option<Duration>) {
    let mut pause = first_pause.unwrap_or(FIRST_PAUSE);
    let mut pauses_first = first_pause.is_some();
    loop {
        if pauses_first {
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..=1.0))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        pauses_first = true;
        let Some(shared) = task.shared.upgrade() else { return };
        match shared.attempt().await {
            Ok(live) => {
                tracing::info!(address = %shared.target.address, "connected to Redis");
                task.up = true;
                shared.state.send_replace(State::Up(live));
                return;
            }
            Err(why) => {
                tracing::debug!(address = %shared.target.address, reason = %cause(&why), "no connection to Redis");
                shared.state.send_replace(State::Connecting { failed: Some(why) });
            }
        }
    }
}

/// A reply, or what it means that it is an error.
fn reply_of(address: &Arc<str>, reply: Value) -> Result<Value, (Fault, Connection)> {
    let Value::ServerError(error) = reply else { return Ok(reply) };
    let (why, connection) = faults::of_reply(address, &error);
    Err((Fault { error: why, unknown_script: error.code() == "NOSCRIPT" }, connection))
}

fn cause(error: &StoreError) -> Cause {
    match error {
        StoreError::Unknown(cause)
        | StoreError::Unavailable(cause)
        | StoreError::Full(cause)
        | StoreError::Refused(cause) => cause.clone(),
    }
}

/// Whether the server can be used, by what `INFO` says.
fn check(address: &str, info: &str) -> Result<(), StoreError> {
    let field = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim).unwrap_or_default()
    };
    let refuse = |why: String| Err(StoreError::Refused(Cause::new(format!("Redis at {address} {why}"))));
    let wait = |why: &str| Err(StoreError::Unavailable(Cause::new(format!("Redis at {address} {why}"))));
    let version = field("redis_version");
    match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major >= OLDEST_MAJOR => {}
        Some(_) => return refuse(format!("is version {version}; use {OLDEST_MAJOR}.0 or later")),
        None => return refuse("does not tell its version; allow the command INFO".to_owned()),
    }
    match field("redis_mode") {
        "cluster" => return refuse("is a node of a cluster; use one that is not".to_owned()),
        "sentinel" => return refuse("is a sentinel; use the address of the master".to_owned()),
        _ => {}
    }
    if field("loading") == "1" {
        return wait("is loading its data");
    }
    match field("role") {
        "master" => Ok(()),
        _ => wait("is not a master; it may become one, or the address has to lead to the master"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(info: &str) -> &'static str {
        check("somewhere:1", info).map_or_else(|error| error.kind(), |()| "usable")
    }

    #[test]
    fn only_a_loaded_master_of_7_0_or_later_is_usable() {
        let good = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nloading:0\r\nrole:master\r\n";
        assert_eq!(kind(good), "usable");
        assert_eq!(kind(&good.replace("7.0.15", "10.2.0")), "usable");
        assert_eq!(kind(&good.replace("7.0.15", "6.2.14")), "refused");
        assert_eq!(kind(&good.replace("redis_version", "version")), "refused");
        assert_eq!(kind(&good.replace("standalone", "cluster")), "refused");
        assert_eq!(kind(&good.replace("standalone", "sentinel")), "refused");
        assert_eq!(kind(&good.replace("loading:0", "loading:1")), "unavailable");
        assert_eq!(kind(&good.replace("master", "slave")), "unavailable");
    }
}
