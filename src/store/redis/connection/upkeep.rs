//! How a server is doing, and whether it is still the master: asked with every new connection, and from time to time
//! while it is in use.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::info::{Info, Needs};
use super::node::{Find, Live, Rights, Shared, State};
use super::pipe::Pipe;
use crate::store::health::{NodeHealth, Refusal, Server, Severity};
use crate::store::redis::rights;
use crate::store::redis::runs::Run;
use crate::store::{Cause, StoreError};

/// What is known of a server, whichever connection it was read through.
#[derive(Default)]
pub(super) struct Known {
    pub(super) server: Option<Server>,
    pub(super) refuses: Option<Refusal>,
    run: String,
    /// The findings that were logged, so that each is only once.
    logged: BTreeSet<&'static str>,
}

/// Whether the server is told to take snapshots, which `INFO` does not say. Nothing where it may not be asked, as with
/// many a managed Redis.
pub(super) async fn snapshots(connection: &mut Pipe) -> Option<bool> {
    let answer = redis::cmd("CONFIG").arg("GET").arg("save").query_async::<Vec<String>>(connection).await;
    Some(!answer.ok()?.get(1)?.is_empty())
}

/// Takes down what a server told, and logs what changed.
pub(super) fn note(shared: &Shared, address: &str, info: &Info, snapshots: Option<bool>) {
    let mut known = shared.known.lock();
    let known = &mut *known;
    // Another server, or the same after a restart: its count began anew.
    let before = known.server.as_ref().filter(|_| known.run == info.run());
    let server = info.server(snapshots, before);
    info.run().clone_into(&mut known.run);
    let mut hasher = DefaultHasher::new();
    info.run().hash(&mut hasher);
    *shared.run.lock() = Some(Run { number: hasher.finish(), follows_another: info.follows_another() });
    known.server = Some(server);
    known.log(address);
}

/// Takes down what a server refuses, and logs what changed.
pub(super) fn take_rights(shared: &Shared, address: &str, refusal: Option<Refusal>) {
    {
        let mut known = shared.known.lock();
        known.refuses.clone_from(&refusal);
        known.log(address);
    }
    shared.rights.send_replace(refusal.map_or(Rights::Whole, Rights::Lacking));
}

impl Known {
    /// Logs the findings that are new, and those that are over.
    fn log(&mut self, address: &str) {
        let known = self;
        let (server, refuses) = (known.server.clone(), known.refuses.clone());
        let seen = NodeHealth { address: address.to_owned(), server, refuses, ..NodeHealth::default() };
        let findings = seen.findings();
        for finding in findings.iter().filter(|finding| !known.logged.contains(finding.name)) {
            match finding.severity {
                Severity::Warning => {
                    tracing::warn!(address, finding = finding.name, remedy = finding.remedy, "Redis: {}", finding.says);
                }
                Severity::Error => {
                    tracing::error!(
                        address,
                        finding = finding.name,
                        remedy = finding.remedy,
                        "Redis: {}",
                        finding.says
                    );
                }
            }
        }
        let now: BTreeSet<_> = findings.iter().map(|finding| finding.name).collect();
        for gone in known.logged.difference(&now) {
            tracing::info!(address, finding = gone, "Redis: this is no longer so");
        }
        known.logged = now;
    }
}

/// How soon a server that refuses something is asked again.
const ASKED_AGAIN: Duration = Duration::from_millis(500);

/// Asks over and over what a server refuses, until that is nothing or the connection is no longer the one in use.
pub(super) fn settle(shared: &Arc<Shared>, live: &Live) {
    tokio::spawn(ask_rights(Arc::downgrade(shared), live.clone()));
}

async fn ask_rights(shared: Weak<Shared>, mut live: Live) {
    loop {
        let Some((dial, has)) = shared.upgrade().map(|shared| (Arc::clone(&shared.target.dial), shared.has())) else {
            return;
        };
        let answer = rights::ask(&mut live.connection, &dial.questions, has).await;
        let Some(shared) = shared.upgrade() else { return };
        if !is_current(&shared, &live) {
            // The next connection was asked, or will be.
            return;
        }
        // If the connection is lost, the next request finds out and acts on it.
        if let Ok(refusal) = answer {
            let whole = refusal.is_none();
            take_rights(&shared, &live.address, refusal);
            if whole {
                return;
            }
        }
        drop(shared);
        tokio::time::sleep(ASKED_AGAIN).await;
    }
}

fn is_current(shared: &Shared, live: &Live) -> bool {
    matches!(&*shared.state.borrow(), State::Up(current) if current.serial == live.serial)
}

/// How often sentinels are asked whether the master is still the same.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// Looks after this connection for as long as it is the one in use.
pub(super) fn start(shared: &Arc<Shared>, live: &Live) {
    tokio::spawn(read_again(Arc::downgrade(shared), live.clone()));
    if matches!(shared.target.find, Find::By(_)) {
        tokio::spawn(follow(Arc::downgrade(shared), live.clone()));
    }
}

/// Asks the server from time to time how it is doing.
async fn read_again(shared: Weak<Shared>, mut live: Live) {
    let Some(interval) = shared.upgrade().map(|shared| shared.target.dial.health_interval) else { return };
    let mut asked = 0;
    while let Some(shared) = after(interval, &shared, &live, &mut asked).await {
        // If the connection is lost, the next request finds out and acts on it.
        let Some(shared) = shared else { continue };
        let Ok(info) = redis::cmd("INFO").query_async::<String>(&mut live.connection).await else { continue };
        let info = Info::new(info);
        let snapshots = snapshots(&mut live.connection).await;
        note(&shared, &live.address, &info, snapshots);
        let needs = Needs { cluster: shared.target.cluster, strict: shared.target.dial.strict };
        if let Err(why) = info.check(&live.address, needs) {
            shared.lose(&live, why);
        } else {
            // A right that was taken away is noticed before it is needed.
            shared.doubt(&live);
        }
    }
}

/// Asks the sentinels whether this is still the master. Replaced by them though it is well, a master goes on taking writes
/// for about ten seconds, until they tell it; all of them are lost.
async fn follow(shared: Weak<Shared>, live: Live) {
    let mut asked = 0;
    while let Some(shared) = after(FOLLOW_INTERVAL, &shared, &live, &mut asked).await {
        let Some(shared) = shared else { continue };
        let Find::By(sentinels) = &shared.target.find else { return };
        // Sentinels that do not answer change nothing: the master may be well without them.
        if let Ok(place) = sentinels.master(&shared.target.dial).await
            && *place.to_string() != *live.address
        {
            let why = format!("Redis at {}: the sentinels name another master, {place}", live.address);
            shared.lose(&live, StoreError::Unavailable(Cause::new(why)));
        }
    }
}

/// Waits, and answers nothing where this connection is no longer the one in use, and nobody where nothing was asked
/// through it meanwhile.
async fn after(interval: Duration, shared: &Weak<Shared>, live: &Live, asked: &mut u64) -> Option<Option<Arc<Shared>>> {
    tokio::time::sleep(interval).await;
    let shared = shared.upgrade()?;
    let current = is_current(&shared, live);
    let now = shared.asked.load(Ordering::Relaxed);
    let used = std::mem::replace(asked, now) != now;
    current.then(|| used.then_some(shared))
}
