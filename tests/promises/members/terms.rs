//! How a member consumes, and what its handlers do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a member consumes. All of it is shorter than anybody would choose, so that tests need not wait.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Terms {
    pub lease: Duration,
    pub session: Duration,
    /// `max.poll.interval.ms`.
    pub poll: Duration,
    pub drain: Duration,
    /// How often offsets are committed.
    pub commit: Duration,
    pub exposed: usize,
    pub strategy: String,
    pub static_member: Option<String>,
    pub work: Work,
}

/// What a handler does beside its effect.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Work {
    pub before: Duration,
    pub after: Duration,
    /// From which of its effects on a member's handlers never end, and where they hang.
    pub hold: Option<(usize, Hold)>,
}

/// Where a handler hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    BeforeEffect,
    AfterEffect,
    /// Before its effect and until its lease is lost; then it fails and has none.
    UntilLeaseLost,
    /// The handler of just this effect keeps its thread for so long, before the effect.
    Thread(Duration),
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(5),
            session: Duration::from_millis(1500),
            poll: Duration::from_secs(10),
            drain: Duration::from_secs(2),
            commit: Duration::from_millis(200),
            exposed: 16,
            strategy: "cooperative-sticky".to_owned(),
            static_member: None,
            work: Work { before: Duration::from_millis(1), after: Duration::from_millis(1), hold: None },
        }
    }
}

impl Terms {
    /// With handlers that hang from this effect of a member on.
    pub fn hold(mut self, from: usize, hold: Hold) -> Self {
        self.work.hold = Some((from, hold));
        self
    }
}
