//! Waiting for services at the start: a line for each attempt, and a limit.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::consumer::Shutdown;
use crate::error::causes;
use crate::sidecar::SidecarError;

/// The first pause between two attempts, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How long something is tried again.
#[derive(Debug)]
pub(super) struct Patience {
    what: &'static str,
    limit: Duration,
    since: Instant,
    attempts: u32,
}

impl Patience {
    /// Begins now.
    pub(super) fn new(what: &'static str, limit: Duration) -> Self {
        Self { what, limit, since: Instant::now(), attempts: 0 }
    }

    /// Tries until it succeeds; `None` where the end was asked for meanwhile.
    pub(super) async fn until<T>(
        mut self,
        shutdown: &Shutdown,
        mut attempt: impl AsyncFnMut() -> Result<T, SidecarError>,
    ) -> Result<Option<T>, SidecarError> {
        loop {
            let tried = tokio::select! {
                tried = attempt() => tried,
                () = shutdown.drain_asked() => return Ok(None),
            };
            match tried {
                Ok(value) => return Ok(Some(value)),
                Err(error) => {
                    let pause = self.after(error)?;
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = shutdown.drain_asked() => return Ok(None),
                    }
                }
            }
        }
    }

    /// How long to wait after a failed attempt; the error itself where another is no use, or the time is up.
    pub(super) fn after(&mut self, error: SidecarError) -> Result<Duration, SidecarError> {
        let pause = (PAUSE.0 * 2u32.saturating_pow(self.attempts.min(8))).min(PAUSE.1);
        self.attempts += 1;
        let left = self.limit.saturating_sub(self.since.elapsed());
        if !error.is_retryable() || left.is_zero() {
            return Err(error);
        }
        let (what, attempt) = (self.what, self.attempts);
        tracing::warn!(attempt, ?pause, for_at_most = ?left, cause = chain(&error), "{what} is not available yet; trying again");
        Ok(pause.min(left))
    }
}

/// An error with all that lies behind it, on one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Problem;
    use crate::store::{Cause, OpenError, StoreError};

    fn away() -> SidecarError {
        SidecarError::Open(OpenError::Store(StoreError::Unavailable(Cause::new("away"))))
    }

    #[tokio::test(start_paused = true)]
    async fn it_tries_until_it_succeeds_or_the_time_is_up() {
        let shutdown = Shutdown::new();
        let mut left = 3;
        let patience = Patience::new("the store", Duration::from_secs(60));
        let tried = patience.until(&shutdown, async || {
            left -= 1;
            if left == 0 { Ok("here") } else { Err(away()) }
        });
        assert_eq!(tried.await.unwrap(), Some("here"));
        let begun = Instant::now();
        let patience = Patience::new("the store", Duration::from_secs(60));
        let tried = patience.until(&shutdown, async || Err::<(), _>(away())).await;
        assert!(tried.is_err() && begun.elapsed() >= Duration::from_secs(60), "{:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(70), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_time_mends_is_told_at_once() {
        let patience = Patience::new("the store", Duration::from_secs(60));
        let begun = Instant::now();
        let wrong = async || Err::<(), _>(SidecarError::Setting(Problem::new("HAPAX_X", "is wrong")));
        assert!(patience.until(&Shutdown::new(), wrong).await.is_err());
        assert!(begun.elapsed().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_ends_the_wait() {
        let shutdown = Shutdown::new();
        shutdown.drain();
        let patience = Patience::new("the store", Duration::from_secs(60));
        assert_eq!(patience.until(&shutdown, async || Err::<(), _>(away())).await.unwrap(), None);
    }
}
