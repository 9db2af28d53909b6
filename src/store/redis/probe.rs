//! A look at the servers and the namespace that changes nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::Value;
use tokio::time::Instant;

use super::batch::Batch;
use super::layout::Group;
use super::slices::read_time;
use super::{RedisStore, faults, meta};
use crate::store::{Agreement, OpenError, StoreError};

/// What a look at the store found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Probe {
    /// How far the server's clock is ahead of this machine's, in milliseconds.
    pub clock_ahead_ms: i64,
    /// How wrong that can be: half the time in which the answer came.
    pub clock_error: Duration,
    /// Whether other processes work under the same settings; `None` where nobody opened the namespace.
    pub agrees: Option<Result<(), OpenError>>,
}

impl RedisStore {
    /// Looks at the server's clock and at what the namespace agreed on, without opening it.
    ///
    /// # Errors
    ///
    /// As any question; retryable as its [`StoreError`] says.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn probe(&self, agreement: &Agreement) -> Result<Probe, StoreError> {
        let inner = &self.inner;
        // The first question makes the connections, which must not count as the time of the answer. What a server refuses
        // stands in the health of the store.
        drop(inner.link.check().await);
        let mut batch = time();
        batch.push(Group::NAMESPACE, redis::cmd("GET").arg(inner.layout.meta()));
        let asked = Instant::now();
        let mut replies = inner.link.ask(batch).await.into_iter();
        let took = asked.elapsed();
        let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut next = || replies.next().unwrap_or_else(|| Err(faults::of_misfit("a look").into()));
        let there = faults::read("TIME", next(), read_time)?;
        let agrees = match next() {
            Ok(Value::Nil) => None,
            found => Some(meta::judge(&inner.layout, agreement, [Ok(Value::Nil), found]).map(drop)),
        };
        let middle = here.saturating_sub(took / 2).as_millis();
        let clock_ahead_ms = i64::try_from(there).unwrap_or(i64::MAX) - i64::try_from(middle).unwrap_or(i64::MAX);
        Ok(Probe { clock_ahead_ms, clock_error: took / 2, agrees })
    }
}

fn time() -> Batch {
    let mut batch = Batch::default();
    batch.push(Group::NAMESPACE, &redis::cmd("TIME"));
    batch
}
