//! Waiting for services at the start.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{RunError, causes};

/// The first pause between two attempts, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How often a failed attempt is logged at most, the first one apart.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The time that a start may take: attempts, pauses that grow, and a limit.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    since: Instant,
}

impl Patience {
    /// Begins now. With a limit of zero there is one attempt.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, since: Instant::now() }
    }

    /// The time that is left.
    fn left(&self) -> Duration {
        self.limit.saturating_sub(self.since.elapsed())
    }

    /// Tries until it succeeds, until no repetition can help, or until the time is up; the last error is returned. Each
    /// attempt gets the time that it may take: the time that is left, or `None` where it is the first and none is left.
    /// `failed` is called with each error that is followed by another attempt.
    ///
    /// # Cancel safety
    ///
    /// As safe as the attempt.
    pub(crate) async fn until<T, A>(
        &self,
        what: &'static str,
        failed: impl Fn(String),
        mut attempt: impl FnMut(Option<Duration>) -> A,
    ) -> Result<T, RunError>
    where
        A: Future<Output = Result<T, RunError>>,
    {
        let (mut attempts, mut logged) = (0, None::<Instant>);
        loop {
            let error = match attempt(Some(self.left()).filter(|left| !left.is_zero())).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let left = self.left();
            if !error.is_retryable() || left.is_zero() {
                return Err(error);
            }
            attempts += 1;
            let cause = chain(&error);
            if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
                logged = Some(Instant::now());
                tracing::warn!(attempts, for_at_most = ?left, cause, "{what} is not available yet; trying again");
            }
            failed(format!("{what} is not available yet: {cause}"));
            sleep(pause_after(attempts).min(left)).await;
        }
    }
}

/// How long to wait after so many failed attempts.
pub(crate) fn pause_after(attempts: u32) -> Duration {
    (PAUSE.0 * 2u32.saturating_pow(attempts.saturating_sub(1).min(8))).min(PAUSE.1)
}

/// An error with all that lies behind it, on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::kafka::SourceError;
    use crate::store::{Cause, OpenError, StoreError};

    fn away() -> RunError {
        RunError::Open(OpenError::Store(StoreError::Unavailable(Cause::new("away"))))
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn patience_tries_until_success_or_the_limit() {
        let (left, failed) = (Cell::new(3), Cell::new(0));
        let patience = Patience::new(MINUTE);
        let tried = patience.until(
            "the store",
            |why| {
                assert_eq!(
                    why,
                    "the store is not available yet: the store could not be opened: the store is not available: away"
                );
                failed.set(failed.get() + 1);
            },
            async |_| {
                left.set(left.get() - 1);
                if left.get() == 0 { Ok("here") } else { Err(away()) }
            },
        );
        assert_eq!((tried.await.unwrap(), failed.get()), ("here", 2));
        let begun = Instant::now();
        let patience = Patience::new(MINUTE);
        let tried = patience.until("the store", drop, async |left| {
            assert_eq!(left, Some(MINUTE.saturating_sub(begun.elapsed())).filter(|left| !left.is_zero()));
            Err::<(), _>(away())
        });
        assert!(tried.await.is_err());
        assert_eq!(begun.elapsed(), MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_returns_at_once_what_no_time_mends() {
        let begun = Instant::now();
        let denied = || SourceError::Denied { what: "the login".to_owned(), reason: "no".to_owned() };
        let wrong = async |_| Err::<(), _>(RunError::Source(denied()));
        let failed = |_| panic!("no other attempt follows");
        assert!(Patience::new(MINUTE).until("Kafka", failed, wrong).await.is_err());
        assert!(begun.elapsed().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn patience_of_zero_makes_one_attempt_without_limit() {
        let attempts = Cell::new(0);
        let patience = Patience::new(Duration::ZERO);
        let tried = patience.until("Kafka", drop, async |left| {
            attempts.set(attempts.get() + 1);
            assert_eq!(left, None);
            Err::<(), _>(away())
        });
        assert!(tried.await.is_err());
        assert_eq!(attempts.get(), 1);
    }
}
