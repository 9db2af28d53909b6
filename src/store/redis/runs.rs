//! Which run of which server has each group, and since when.
//!
//! A server that was started anew, or another in its place, may have lost the last writes, or all: a lease that was taken
//! before may be gone. A connection that is merely made anew leads to the same run, and is no change.

use parking_lot::Mutex;
use tokio::time::Instant;

use super::connection::Link;
use super::layout::{GROUPS, Group};

/// What was seen of every group; all of them stand in one place where they lie on one server.
#[derive(Debug)]
pub(super) struct Runs(Mutex<Vec<Seen>>);

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    run: Option<u64>,
    changed_at: Option<Instant>,
}

impl Default for Runs {
    fn default() -> Self {
        Self(Mutex::new(vec![Seen::default(); GROUPS as usize + 1]))
    }
}

impl Runs {
    /// Takes down which run has these groups now.
    pub(super) fn note(&self, link: &Link, groups: &[Group]) {
        let now = Instant::now();
        let mut all = self.0.lock();
        let groups = if link.is_one() { &[Group::NAMESPACE] } else { groups };
        for group in groups {
            if let (Some(seen), Some(run)) = (all.get_mut(group.index()), link.run(*group)) {
                seen.saw(run, now);
            }
        }
    }

    /// Whether another run than before was seen of a group after that time.
    pub(super) fn changed_since(&self, link: &Link, group: Group, since: Instant) -> bool {
        let group = if link.is_one() { Group::NAMESPACE } else { group };
        let changed_at = self.0.lock().get(group.index()).and_then(|seen| seen.changed_at);
        changed_at.is_some_and(|at| at >= since)
    }
}

impl Seen {
    fn saw(&mut self, run: u64, now: Instant) {
        if self.run.replace(run).is_some_and(|before| before != run) {
            self.changed_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_another_run_is_a_change() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut seen = Seen::default();
        seen.saw(1, start);
        seen.saw(1, start + second);
        assert_eq!(seen.changed_at, None, "the first, and the same over another connection");
        seen.saw(2, start + 2 * second);
        seen.saw(2, start + 3 * second);
        assert_eq!(seen.changed_at, Some(start + 2 * second));
    }
}
