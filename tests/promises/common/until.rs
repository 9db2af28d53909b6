//! Waiting for what gives no signal, and names that nobody else has.

use std::time::Duration;

/// Polls `condition` until it holds; panics with `what` when it does not within `deadline`.
///
/// For conditions of the world outside that offer no signal: a port that closes, a committed offset that moves.
#[track_caller]
pub fn await_until<C>(what: &str, deadline: Duration, mut condition: C) -> impl Future<Output = ()>
where
    C: AsyncFnMut() -> bool,
{
    let caller = std::panic::Location::caller();
    async move {
        let polling = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(deadline, polling).await.is_err() {
            panic!("not within {deadline:?}: {what} (awaited at {caller})");
        }
    }
}

/// `prefix` with 48 random bits: a topic, a group or a key prefix that no other test has.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{:012x}", rand::random::<u64>() >> 16)
}
