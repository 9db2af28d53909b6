//! The task that connects to a server.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::dial;
use super::info::{Info, Needs};
use super::node::{Find, Live, Rights, Shared, State, cause};
use super::upkeep;
use crate::store::redis::rights;
use crate::store::{Cause, StoreError};

/// The pause after a failed attempt, doubled by each that follows, up to the longest; each shortened by up to half at
/// random, so that the workers do not come back all at once.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A connection that lasted less than this counts as a failed attempt, or one that is refused after the check would
/// be made anew by every question.
pub(super) const SHORT_LIVED: Duration = Duration::from_secs(1);

/// Begins to connect, after a pause where one is given. The state says already that it is so.
pub(super) fn start(shared: &Arc<Shared>, pause: Option<Duration>) {
    tokio::spawn(connect(Task { shared: Arc::downgrade(shared), up: false }, pause));
}

/// Where it ends without a connection (its runtime was shut down), the next question begins anew.
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
        let Some(shared) = task.shared.upgrade() else { return };
        if std::mem::replace(&mut pauses_first, true) {
            shared.state.send_if_modified(|state| match state {
                State::Connecting { trying, .. } => !std::mem::replace(trying, true),
                _ => false,
            });
        }
        match attempt(&shared).await {
            Ok(live) => {
                tracing::info!(address = %live.address, "connected to Redis");
                task.up = true;
                upkeep::start(&shared, &live);
                let lacking = matches!(&*shared.rights.borrow(), Rights::Lacking(_));
                shared.state.send_replace(State::Up(live.clone()));
                if lacking {
                    upkeep::settle(&shared, &live);
                }
                return;
            }
            Err(why) => {
                tracing::debug!(address = %shared.name, reason = %cause(&why), "no connection to Redis");
                shared.state.send_replace(State::Connecting { trying: false, failed: Some(why) });
            }
        }
    }
}

/// Makes and checks a connection, within the limit.
async fn attempt(shared: &Shared) -> Result<Live, StoreError> {
    let target = &shared.target;
    let limit = target.dial.connect_limit;
    let attempt = async {
        let place = match &target.find {
            Find::At(place) => place.clone(),
            Find::By(sentinels) => sentinels.master(&target.dial).await?,
        };
        let mut connection = target.dial.connect(&place).await?;
        let address: Arc<str> = place.to_string().into();
        let refused = |error| dial::failed(&address, error);
        let info: String = redis::cmd("INFO").query_async(&mut connection).await.map_err(refused)?;
        let info = Info::new(info);
        info.check(&address, Needs { cluster: target.cluster, strict: target.dial.strict })?;
        let snapshots = upkeep::snapshots(&mut connection).await;
        let refusal = rights::ask(&mut connection, &target.dial.questions, shared.has()).await.map_err(refused)?;
        upkeep::note(shared, &address, &info, snapshots);
        upkeep::take_rights(shared, &address, refusal);
        Ok(Live::new(address, connection))
    };
    tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
        // Some servers without TLS wait for more when they are spoken to in it.
        let hint =
            if target.dial.tls.is_some() { "; if the port is not one for TLS, write redis:// instead" } else { "" };
        Err(StoreError::Unavailable(Cause::new(format!(
            "Redis at {}: no connection within {limit:?}{hint}",
            shared.name
        ))))
    })
}
