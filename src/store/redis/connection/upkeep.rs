//! How a server is doing: read with every new connection, and from time to time while it is in use.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use redis::aio::MultiplexedConnection;

use super::info::{Info, Needs};
use super::node::{Live, Shared, State};
use crate::store::health::{NodeHealth, Server, Severity};

/// What is known of a server, whichever connection it was read through.
#[derive(Default)]
pub(super) struct Known {
    pub(super) server: Option<Server>,
    run: String,
    snapshots: Option<bool>,
    /// The findings that were logged, so that each is only once.
    logged: BTreeSet<&'static str>,
}

/// Whether the server is told to take snapshots, which `INFO` does not say. Nothing where it may not be asked, as with
/// many a managed Redis.
pub(super) async fn snapshots(connection: &mut MultiplexedConnection) -> Option<bool> {
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
    known.snapshots = snapshots;
    let seen = NodeHealth { address: address.to_owned(), server: Some(server.clone()), ..NodeHealth::default() };
    let findings = seen.findings();
    for finding in findings.iter().filter(|finding| !known.logged.contains(finding.name)) {
        match finding.severity {
            Severity::Warning => {
                tracing::warn!(address, finding = finding.name, remedy = finding.remedy, "Redis: {}", finding.says);
            }
            Severity::Error => {
                tracing::error!(address, finding = finding.name, remedy = finding.remedy, "Redis: {}", finding.says);
            }
        }
    }
    let now: BTreeSet<_> = findings.iter().map(|finding| finding.name).collect();
    for gone in known.logged.difference(&now) {
        tracing::info!(address, finding = gone, "Redis: this is no longer so");
    }
    known.logged = now;
    known.server = Some(server);
}

/// Asks from time to time for as long as this connection is the one in use.
pub(super) fn start(shared: &Arc<Shared>, live: &Live) {
    let (shared, mut live) = (Arc::downgrade(shared), live.clone());
    tokio::spawn(async move {
        loop {
            let Some(interval) = shared.upgrade().map(|shared| shared.target.dial.health_interval) else { return };
            tokio::time::sleep(interval).await;
            let Some(shared) = shared.upgrade() else { return };
            if !matches!(&*shared.state.borrow(), State::Up(current) if current.serial == live.serial) {
                return;
            }
            if !shared.used.swap(false, Ordering::Relaxed) {
                continue;
            }
            // Where the connection is lost, whoever asks something finds out, and what to do about it.
            let Ok(info) = redis::cmd("INFO").query_async::<String>(&mut live.connection).await else { continue };
            let info = Info::new(info);
            let snapshots = shared.known.lock().snapshots;
            note(&shared, &live.address, &info, snapshots);
            let needs = Needs { cluster: shared.target.cluster, strict: shared.target.dial.strict };
            if let Err(why) = info.check(&live.address, needs) {
                shared.lose(&live, why);
                return;
            }
        }
    });
}
