//! What follows from an answer, for the record and for what is known of the application.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::fault::Fault;
use super::state::Target;
use super::verdict::{Verdict, remedy};
use crate::consumer::Failure;

/// How long after an answer that another attempt is under way there.
const IN_PROGRESS: Duration = Duration::from_secs(1);
/// How long a record waits that is not sent because the application wants none: the process is about to end.
const STOPPED: Duration = Duration::from_secs(30);

/// Turns answers into what follows.
pub(super) struct Outcomes {
    pub(super) target: Target,
    on_stop: Arc<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcomes").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Why there is no answer, and what follows.
#[derive(Clone, Debug)]
pub(super) enum Unsent {
    /// No effect: waits, without counting an attempt.
    Waits(String, Option<Duration>),
    /// The effect may have happened: an attempt.
    Unknown(String),
}

impl From<Unsent> for Failure {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Waits(reason, None) => Self::unavailable(reason),
            Unsent::Waits(reason, Some(pause)) => Self::unavailable(reason).after(pause),
            Unsent::Unknown(reason) => Self::retryable(reason.clone()).answered(&reason),
        }
    }
}

impl Outcomes {
    pub(super) fn new(on_stop: Arc<dyn Fn(&str) + Send + Sync>) -> Self {
        Self { target: Target::new(), on_stop }
    }

    /// Whether the application still wants messages.
    pub(super) fn may_send(&self) -> Result<(), Unsent> {
        match self.target.is_stopped() {
            true => Err(Unsent::Waits("the application wants no more messages".to_owned(), Some(STOPPED))),
            false => Ok(()),
        }
    }

    /// No answer came.
    pub(super) fn no_answer(&self, fault: Fault) -> Unsent {
        match fault {
            Fault::Away(reason) => {
                self.target.unavailable(&reason);
                Unsent::Waits(reason, None)
            }
            Fault::Misconfigured(reason) => {
                let pause = self.target.misconfigured(&reason);
                Unsent::Waits(reason, Some(pause))
            }
            Fault::Unknown(reason) => Unsent::Unknown(reason),
        }
    }

    /// An answer came; what was `said` goes into the failure, and into log lines with it.
    pub(super) fn follows(
        &self,
        verdict: Verdict,
        status: u16,
        retry_after: Option<Duration>,
        said: impl Fn() -> String,
    ) -> Result<(), Failure> {
        match verdict {
            Verdict::Busy => self.target.unavailable(&format!("it answers {status}")),
            Verdict::Misconfigured | Verdict::Stop => {}
            _ => self.target.ready(),
        }
        let (failure, at_least) = match verdict {
            Verdict::Handled => return Ok(()),
            Verdict::Skip => return Err(Failure::skip(said())),
            Verdict::Poison => return Err(Failure::fatal(said())),
            Verdict::Retry => (Failure::retryable(said()), None),
            Verdict::Busy => (Failure::unavailable(said()), None),
            Verdict::InProgress => (Failure::unavailable(said()), Some(IN_PROGRESS)),
            Verdict::Misconfigured => {
                self.target.misconfigured(&format!("it answers {status}: {}", remedy(status)));
                // Whether the effect happened is as open as after a 500.
                (Failure::retryable(said()), None)
            }
            Verdict::Stop => {
                let said = said();
                if self.target.stopped(&said) {
                    (self.on_stop)(&said);
                }
                return Err(Failure::unavailable(said).after(STOPPED));
            }
        };
        Err(match retry_after.or(at_least) {
            Some(pause) => failure.after(pause),
            None => failure,
        })
    }
}
