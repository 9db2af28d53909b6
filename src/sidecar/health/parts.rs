//! What each part of the process says of itself.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde::Serialize;

/// A part that has to start before the process may be given work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// The group was joined; an empty assignment will do.
    Kafka,
    /// The store was opened.
    Store,
    /// The application that messages are pushed to has answered.
    Application,
    /// The listener of the pull API and the administration accepts calls.
    Listener,
}

/// How a part is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Standing {
    /// It has not started yet.
    Starting,
    /// It works.
    Started,
    /// It does not work, for this reason.
    Failed {
        /// Fixed words: whoever asks may be anybody.
        reason: &'static str,
        /// Whether it worked before.
        started: bool,
    },
}

/// What `GET /ready` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether the process may be given work.
    pub ready: bool,
    /// Whether its end has begun.
    pub shutting_down: bool,
    /// Each part that counts.
    pub parts: BTreeMap<Part, Standing>,
}

/// Latches that the parts of the process set, and probes read.
#[derive(Debug)]
pub struct Health(Mutex<Report>);

impl Health {
    /// Counts on these parts, none of which has started.
    pub fn new(parts: impl IntoIterator<Item = Part>) -> Self {
        let parts = parts.into_iter().map(|part| (part, Standing::Starting)).collect();
        Self(Mutex::new(Report { ready: false, shutting_down: false, parts }.judged()))
    }

    /// The part works, for the first time or again. One that nobody counts on is not added.
    pub fn started(&self, part: Part) {
        self.change(part, |_| Standing::Started);
    }

    /// The part does not work. `reason` is shown to anybody who asks: fixed words, such as `not reached`.
    pub fn failed(&self, part: Part, reason: &'static str) {
        self.change(part, |before| Standing::Failed { reason, started: before.has_started() });
    }

    /// The end has begun: the process is not ready from now on, before anything else ends.
    pub fn shutting_down(&self) {
        let mut report = self.0.lock();
        report.shutting_down = true;
        report.ready = false;
    }

    /// What is known now.
    pub fn report(&self) -> Report {
        self.0.lock().clone()
    }

    fn change(&self, part: Part, to: impl FnOnce(&Standing) -> Standing) {
        let mut report = self.0.lock();
        if let Some(standing) = report.parts.get_mut(&part) {
            *standing = to(standing);
        }
        report.ready = is_ready(&report);
    }
}

impl Standing {
    fn has_started(&self) -> bool {
        matches!(self, Self::Started | Self::Failed { started: true, .. })
    }
}

impl Report {
    fn judged(mut self) -> Self {
        self.ready = is_ready(&self);
        self
    }
}

/// Ready is who has started once, in all parts, and is not ending.
fn is_ready(report: &Report) -> bool {
    !report.shutting_down && report.parts.values().all(Standing::has_started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_who_has_started_once_and_is_not_ending() {
        let health = Health::new([Part::Kafka, Part::Store]);
        let ready = |health: &Health| health.report().ready;
        assert!(!ready(&health));
        health.started(Part::Kafka);
        assert!(!ready(&health));
        health.failed(Part::Store, "not reached");
        assert!(!ready(&health), "it has never started");
        health.started(Part::Store);
        assert!(ready(&health));
        health.failed(Part::Store, "not reached");
        assert!(ready(&health), "an outage takes no pod out of its Service");
        health.failed(Part::Store, "refused");
        assert!(ready(&health), "nor does another one after it");
        health.started(Part::Application);
        assert_eq!(health.report().parts.len(), 2, "nobody counts on it");
        health.shutting_down();
        assert!(!ready(&health));
        health.started(Part::Store);
        assert!(!ready(&health), "the end is final");
    }

    #[test]
    fn who_counts_on_nothing_is_ready_at_once() {
        assert!(Health::new([]).report().ready);
    }

    #[test]
    fn the_report_names_each_part() {
        let health = Health::new([Part::Kafka, Part::Store, Part::Listener]);
        health.started(Part::Listener);
        health.failed(Part::Store, "not reached");
        let report = serde_json::to_value(health.report()).unwrap();
        let expected = serde_json::json!({
            "ready": false, "shutting_down": false,
            "parts": {
                "kafka": {"state": "starting"},
                "store": {"state": "failed", "reason": "not reached", "started": false},
                "listener": {"state": "started"},
            },
        });
        assert_eq!(report, expected);
    }
}
