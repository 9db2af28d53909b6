//! What is known of the application.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::telemetry::Limiter;

/// How often each line is logged at most.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// How long the first pause is where the target is misconfigured, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// What is known of the application, by what it last answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum TargetState {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It answers.
    Ready,
    /// It cannot be reached, or asks for a pause. Messages wait, and no attempts are counted.
    Unavailable {
        /// What happens, for people.
        reason: String,
    },
    /// A person probably has to change something, there or here. If the application cannot have got the request, messages
    /// wait and no attempts are counted. An answer counts an attempt.
    Misconfigured {
        /// What happens and what can be done, for people.
        reason: String,
    },
    /// It wants no more messages: none is sent until an operator asks for it, or the process starts again.
    Stopped {
        /// What it said.
        reason: String,
    },
}

/// The state, for many to write and to watch.
#[derive(Debug)]
pub(super) struct Target {
    known: watch::Sender<TargetState>,
    /// When it became misconfigured.
    since: parking_lot::Mutex<Option<Instant>>,
    log: Limiter,
}

impl Target {
    pub(super) fn new() -> Self {
        Self { known: watch::Sender::default(), since: parking_lot::Mutex::default(), log: Limiter::new(LOG_INTERVAL) }
    }

    pub(super) fn state(&self) -> TargetState {
        self.known.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<TargetState> {
        self.known.subscribe()
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(*self.known.borrow(), TargetState::Stopped { .. })
    }

    /// It answered.
    pub(super) fn ready(&self) {
        // Many calls and few changes: only reading, no two of them wait for each other.
        if matches!(*self.known.borrow(), TargetState::Ready) {
            return;
        }
        *self.since.lock() = None;
        let before = self.change(TargetState::Ready);
        if matches!(before, Some(TargetState::Unavailable { .. } | TargetState::Misconfigured { .. }))
            && let Some(suppressed) = self.log.admit(tracing::Level::INFO, "ready", "")
        {
            tracing::info!(suppressed, "the application answers again");
        }
    }

    /// It cannot be reached, or asks for a pause.
    pub(super) fn unavailable(&self, reason: &str) {
        self.change(TargetState::Unavailable { reason: reason.into() });
        if let Some(suppressed) = self.log.admit(tracing::Level::WARN, "unavailable", reason) {
            tracing::warn!(reason, suppressed, "the application is not available; messages wait");
        }
    }

    /// A person probably has to change something. Returns how long to wait where no attempt is counted: the longer it
    /// lasts, the longer.
    pub(super) fn misconfigured(&self, reason: &str) -> Duration {
        let lasts = self.since.lock().get_or_insert_with(Instant::now).elapsed();
        self.change(TargetState::Misconfigured { reason: reason.into() });
        if let Some(suppressed) = self.log.admit(tracing::Level::ERROR, "misconfigured", reason) {
            tracing::error!(reason, suppressed, "the application cannot be used as it is");
        }
        lasts.clamp(PAUSE.0, PAUSE.1)
    }

    /// It wants no more messages. Returns whether that is new.
    pub(super) fn stopped(&self, reason: &str) -> bool {
        let new = self.change(TargetState::Stopped { reason: reason.into() }).is_some();
        if new {
            tracing::error!(reason, "the application wants no more messages; delivery stops");
        }
        new
    }

    /// An operator wants messages sent again. Returns whether it had wanted no more.
    pub(super) fn reopen(&self) -> bool {
        self.known.send_if_modified(|known| {
            let stopped = matches!(known, TargetState::Stopped { .. });
            if stopped {
                *known = TargetState::Unknown;
            }
            stopped
        })
    }

    /// The state before, where that was another one. By itself it never leaves [`TargetState::Stopped`].
    fn change(&self, to: TargetState) -> Option<TargetState> {
        if *self.known.borrow() == to {
            return None;
        }
        let mut before = None;
        self.known.send_if_modified(|known| {
            if *known == to || matches!(known, TargetState::Stopped { .. }) {
                return false;
            }
            before = Some(std::mem::replace(known, to));
            true
        });
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_json() {
        let json = |state| serde_json::to_string(&state).unwrap();
        assert_eq!(json(TargetState::Ready), r#"{"state":"ready"}"#);
        let reason = || "it answers 404".into();
        assert_eq!(
            json(TargetState::Misconfigured { reason: reason() }),
            r#"{"state":"misconfigured","reason":"it answers 404"}"#
        );
    }

    #[test]
    fn stopped_is_the_end_and_is_told_once() {
        let target = Target::new();
        assert_eq!(target.state(), TargetState::Unknown);
        target.ready();
        assert!(target.stopped("410"));
        assert!(!target.stopped("410"));
        assert!(!target.stopped("410 again"));
        target.ready();
        target.unavailable("away");
        assert_eq!(target.state(), TargetState::Stopped { reason: "410".into() });
        assert!(target.reopen() && !target.reopen());
        assert_eq!(target.state(), TargetState::Unknown);
        assert!(target.stopped("410"), "it is asked again");
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_it_answers() {
        let (target, second) = (Target::new(), Duration::from_secs(1));
        assert_eq!(target.misconfigured("404"), PAUSE.0);
        tokio::time::advance(second).await;
        assert_eq!(target.misconfigured("405"), second);
        tokio::time::advance(second).await;
        target.unavailable("away while it is replaced");
        assert_eq!(target.misconfigured("404"), 2 * second);
        tokio::time::advance(100 * second).await;
        assert_eq!(target.misconfigured("404"), PAUSE.1);
        target.ready();
        assert_eq!(target.misconfigured("404"), PAUSE.0);
    }
}
