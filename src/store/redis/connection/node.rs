//! The connection to one server: made when it is needed, checked before it is used, given up when it is no good.
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
//! a failed attempt everybody is told at once that Redis is not available, while the task goes on trying: the breaker.
//!
//! The client library's own manager is not used: it does not reconnect on time-outs (a half-open connection would
//! time out for the quarter of an hour that a kernel takes to give up), nor on `READONLY` (a demoted master), and
//! lets callers wait for six attempts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use redis::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::connect::{self, FIRST_PAUSE, SHORT_LIVED};
use super::dial::Dial;
use super::pipe::Pipe;
use super::place::Place;
use super::redirect::Redirect;
use super::sentinel::Sentinels;
use super::upkeep::{self, Known};
use crate::store::health::{Breaker, NodeHealth, Refusal};
use crate::store::redis::batch::{Fault, Names, Reply, Request};
use crate::store::redis::commands::Has;
use crate::store::redis::faults::{self, Connection};
use crate::store::redis::layout::Group;
use crate::store::redis::rights;
use crate::store::redis::runs::Run;
use crate::store::{Cause, StoreError};

/// Which server to connect to, and how.
pub(super) struct Target {
    pub(super) find: Find,
    pub(super) dial: Arc<Dial>,
    /// Whether it has to be a node of a cluster.
    pub(super) cluster: bool,
}

/// Where the server is.
pub(super) enum Find {
    At(Place),
    /// Wherever these say that the master is, at each attempt.
    By(Sentinels),
}

impl Target {
    /// What errors and logs call it.
    pub(super) fn name(&self) -> String {
        match &self.find {
            Find::At(place) => place.to_string(),
            Find::By(sentinels) => sentinels.name(),
        }
    }
}

/// The way to one server.
pub(super) struct Node {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) target: Target,
    /// Where it is, for errors and logs.
    pub(super) name: Arc<str>,
    pub(super) state: watch::Sender<State>,
    pub(super) known: Mutex<Known>,
    /// The run of the server that was seen last.
    pub(super) run: Mutex<Option<Run>>,
    /// What lies there, of all that the store has.
    has: Mutex<Has>,
    /// What the server refuses.
    pub(super) rights: watch::Sender<Rights>,
    /// How often anything was asked: whether it is in use.
    pub(super) asked: AtomicU64,
}

/// Whether a server does all that the store asks of it.
#[derive(Clone, Debug)]
pub(super) enum Rights {
    /// It did when it was asked last.
    Whole,
    /// It refused something since; it is being asked.
    Doubted,
    /// It refuses this.
    Lacking(Refusal),
}

#[derive(Clone)]
pub(super) enum State {
    Idle,
    /// A task is connecting: `trying` just now, or pausing. `failed` tells what became of its last attempt.
    Connecting {
        trying: bool,
        failed: Option<StoreError>,
    },
    Up(Live),
}

#[derive(Clone)]
pub(super) struct Live {
    /// Where it leads.
    pub(super) address: Arc<str>,
    pub(super) connection: Pipe,
    pub(super) since: Instant,
    /// Tells one connection of the process from the next.
    pub(super) serial: u64,
    /// Time-outs since the last reply.
    pub(super) timeouts: Arc<AtomicU32>,
}

impl Live {
    pub(super) fn new(address: Arc<str>, connection: Pipe) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { address, connection, since: Instant::now(), serial, timeouts: Arc::default() }
    }
}

impl Node {
    pub(super) fn new(target: Target) -> Self {
        let name = target.name().into();
        let alone = !target.cluster;
        let shared = Shared {
            target,
            name,
            state: watch::Sender::new(State::Idle),
            known: Mutex::default(),
            run: Mutex::default(),
            has: Mutex::new(Has { group: Group::nth(0), plan: alone }),
            rights: watch::Sender::new(Rights::Whole),
            asked: AtomicU64::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    /// Where it is, where that is fixed.
    pub(super) fn place(&self) -> Option<&Place> {
        match &self.shared.target.find {
            Find::At(place) => Some(place),
            Find::By(_) => None,
        }
    }

    /// Which connection is up, if one is.
    pub(super) fn serial(&self) -> Option<u64> {
        match &*self.shared.state.borrow() {
            State::Up(live) => Some(live.serial),
            _ => None,
        }
    }

    /// Takes down which groups lie there, in a cluster.
    pub(super) fn has(&self, groups: &[Group]) {
        let plan = groups.contains(&Group::NAMESPACE);
        if let Some(group) = groups.iter().find(|group| **group != Group::NAMESPACE) {
            *self.shared.has.lock() = Has { group: *group, plan };
        }
    }

    /// Which run of the server was seen last.
    pub(super) fn run(&self) -> Option<Run> {
        *self.shared.run.lock()
    }

    pub(super) fn breaker(&self) -> Breaker {
        match &*self.shared.state.borrow() {
            State::Idle | State::Up(_) => Breaker::Closed,
            State::Connecting { trying: true, .. } => Breaker::HalfOpen,
            State::Connecting { trying: false, .. } => Breaker::Open,
        }
    }

    pub(super) fn health(&self) -> NodeHealth {
        let breaker = self.breaker();
        let (address, problem) = match &*self.shared.state.borrow() {
            State::Up(live) => (live.address.to_string(), None),
            State::Connecting { failed: Some(why), .. } => (self.shared.name.to_string(), Some(cause(why).to_string())),
            _ => (self.shared.name.to_string(), None),
        };
        let known = self.shared.known.lock();
        NodeHealth { address, breaker, problem, server: known.server.clone(), refuses: known.refuses.clone() }
    }

    /// Connects, and returns what the server refuses of all that the store sends.
    pub(super) async fn check(&self) -> Result<Option<StoreError>, StoreError> {
        self.live().await?;
        Ok(self.refusal().await)
    }

    /// Whether the server is known to do all that the store asks of it, or there is no connection to tell.
    pub(super) fn is_whole(&self) -> bool {
        matches!(&*self.shared.rights.borrow(), Rights::Whole)
    }

    /// What the server refuses; waits while that is being found out. Nothing where there is no connection.
    pub(super) async fn refusal(&self) -> Option<StoreError> {
        let State::Up(live) = self.shared.state.borrow().clone() else { return None };
        let mut rights = self.shared.rights.subscribe();
        let settled = rights.wait_for(|rights| !matches!(rights, Rights::Doubted));
        let settled = tokio::time::timeout(self.shared.target.dial.response_limit, settled).await;
        match settled {
            Ok(Ok(rights)) => match &*rights {
                Rights::Lacking(refusal) => Some(rights::error(&live.address, refusal)),
                Rights::Whole | Rights::Doubted => None,
            },
            Ok(Err(_)) => None,
            Err(_) => Some(StoreError::Unavailable(Cause::new(format!(
                "Redis at {} refused a command and has not answered yet what else it refuses",
                live.address
            )))),
        }
    }

    /// Sends the commands in one go and returns a reply for each.
    pub(super) async fn ask(&self, request: Request) -> Vec<Reply> {
        let commands = request.commands();
        let answers = match self.live().await {
            Ok(live) => self.ask_live(live, request).await,
            Err(error) => Err(error),
        };
        answers.unwrap_or_else(|error| vec![Err(error.into()); commands])
    }

    async fn ask_live(&self, live: Live, request: Request) -> Result<Vec<Reply>, StoreError> {
        self.shared.asked.fetch_add(1, Ordering::Relaxed);
        let (commands, bytes) = (request.commands(), request.into_bytes());
        match live.connection.ask(bytes.clone(), commands).await {
            Ok(replies) => {
                live.timeouts.store(0, Ordering::Relaxed);
                let mut names = Names::of(bytes);
                let replies = replies.into_iter().enumerate();
                Ok(replies.map(|(place, reply)| self.judge(&live, || names.at(place), reply)).collect())
            }
            Err(error) => Err(self.fail(&live, faults::of_request(&live.address, error))),
        }
    }

    /// Sends commands whose replies nobody reads. They are queued behind what was sent before, and before what the
    /// caller sends next, when this returns; whether they arrive is unknown. Not sent at all, and not waited for, where
    /// there is no connection.
    pub(super) async fn tell(&self, request: Request) {
        let State::Up(live) = self.shared.state.borrow().clone() else { return };
        let commands = request.commands();
        if let Err(error) = live.connection.send(request.into_bytes(), commands).await {
            self.fail(&live, faults::of_request(&live.address, error));
        }
    }

    /// A reply, or what it means that it is an error, for the caller and for the connection. `name` returns the name of
    /// the command.
    fn judge(&self, live: &Live, name: impl FnOnce() -> Option<Bytes>, reply: Value) -> Reply {
        if let Value::ServerError(error) = &reply
            && name().is_some_and(|name| rights::is_doubtful(&name, error))
        {
            self.shared.doubt(live);
        }
        reply_of(&live.address, reply).map_err(|(mut fault, connection)| {
            // A node tells its fellows' addresses without the host where that is its own.
            if let (Some(redirect), Some(place)) = (&mut fault.redirect, self.place()) {
                redirect.told_by(place);
            }
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
                live.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= self.shared.target.dial.timeouts
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
                State::Connecting { failed: Some(why), .. } => return Err(why.clone()),
                State::Connecting { failed: None, .. } | State::Idle => {}
            }
            self.shared.start();
            if states.changed().await.is_err() {
                return Err(StoreError::Unavailable(Cause::new("the store was closed")));
            }
        }
    }
}

impl Shared {
    /// What the server is asked about.
    pub(super) fn has(&self) -> Has {
        *self.has.lock()
    }

    /// Begins to connect, unless that is under way or done.
    fn start(self: &Arc<Self>) {
        let begins = self.state.send_if_modified(|state| {
            let idle = matches!(state, State::Idle);
            if idle {
                *state = State::Connecting { trying: true, failed: None };
            }
            idle
        });
        if begins {
            connect::start(self, None);
        }
    }

    /// Asks again what the server refuses; until that is answered nothing is claimed there.
    pub(super) fn doubt(self: &Arc<Self>, live: &Live) {
        let begins = self.rights.send_if_modified(|rights| {
            let whole = matches!(rights, Rights::Whole);
            if whole {
                *rights = Rights::Doubted;
            }
            whole
        });
        if begins {
            upkeep::settle(self, live);
        }
    }

    /// Gives a connection up and makes another, unless that has happened.
    pub(super) fn lose(self: &Arc<Self>, lost: &Live, why: StoreError) {
        let short_lived = lost.since.elapsed() < SHORT_LIVED;
        let begins = self.state.send_if_modified(|state| {
            let current = matches!(state, State::Up(live) if live.serial == lost.serial);
            if current {
                tracing::warn!(address = %lost.address, reason = %cause(&why), "connection to Redis given up");
                let failed = short_lived.then(|| match &why {
                    StoreError::Refused(cause) => StoreError::Refused(cause.clone()),
                    why => StoreError::Unavailable(cause(why)),
                });
                *state = State::Connecting { trying: !short_lived, failed };
            }
            current
        });
        if begins {
            connect::start(self, short_lived.then_some(FIRST_PAUSE));
        }
    }
}

/// A reply, or what it means that it is an error.
fn reply_of(address: &Arc<str>, reply: Value) -> Result<Value, (Fault, Connection)> {
    let Value::ServerError(error) = reply else { return Ok(reply) };
    let (why, connection) = faults::of_reply(address, &error);
    let fault = Fault {
        error: why,
        unknown_script: error.code() == "NOSCRIPT",
        redirect: Redirect::read(&error).map(Box::new),
    };
    Err((fault, connection))
}

pub(super) fn cause(error: &StoreError) -> Cause {
    match error {
        StoreError::Unknown(cause)
        | StoreError::Unavailable(cause)
        | StoreError::Full(cause)
        | StoreError::Refused(cause) => cause.clone(),
    }
}
