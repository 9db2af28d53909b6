//! Which run of which server has each group, and since when.
//!
//! A server that was started anew, or another in its place, may have lost the last writes, or all: a lease that was taken
//! before may be gone. A connection that is merely made anew leads to the same run, and is no change.
//!
//! If the new run goes on with the data of another, as a promoted replica does, then writes may be missing that were
//! acknowledged last. Redis does not tell which. (If all is missing, [`loss`](super::loss) finds that.)

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Inner;
use super::connection::Link;
use super::layout::{GROUPS, Group};
use super::loss::Missing;

/// What was seen of every group; all of them stand in one place where they lie on one server.
#[derive(Debug)]
pub(super) struct Runs(Mutex<Vec<Seen>>);

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    run: Option<Run>,
    changed_at: Option<Instant>,
    replaced_at: Option<Instant>,
}

/// One run of a server, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Tells it from every other run of every server.
    pub(super) number: u64,
    /// Whether it goes on with the data of another run.
    pub(super) follows_another: bool,
}

impl Default for Runs {
    fn default() -> Self {
        Self(Mutex::new(vec![Seen::default(); GROUPS as usize + 1]))
    }
}

impl Inner {
    /// Takes down which runs of the servers have these groups, and logs a fail-over.
    pub(super) fn note_runs(&self, groups: impl IntoIterator<Item = Group>) {
        if self.runs.note(&self.link, groups) {
            Missing::TheLast.log(self.layout.namespace());
        }
    }
}

impl Runs {
    /// Takes down which run has these groups now. Returns whether a run that goes on with the data of another has
    /// replaced the one before.
    fn note(&self, link: &Link, groups: impl IntoIterator<Item = Group>) -> bool {
        let now = Instant::now();
        let mut all = self.0.lock();
        let mut note = |group: Group| match (all.get_mut(group.index()), link.run(group)) {
            (Some(seen), Some(run)) => seen.saw(run, now),
            _ => false,
        };
        match link.is_one() {
            true => note(Group::NAMESPACE),
            false => groups.into_iter().fold(false, |replaced, group| note(group) | replaced),
        }
    }

    /// How long ago a run that goes on with the data of another was last seen to replace the one before.
    pub(super) fn replaced_for(&self) -> Option<Duration> {
        self.0.lock().iter().filter_map(|seen| seen.replaced_at).max().map(|at| at.elapsed())
    }

    /// Whether another run than before was seen of a group after that time.
    pub(super) fn changed_since(&self, link: &Link, group: Group, since: Instant) -> bool {
        let group = if link.is_one() { Group::NAMESPACE } else { group };
        let changed_at = self.0.lock().get(group.index()).and_then(|seen| seen.changed_at);
        changed_at.is_some_and(|at| at >= since)
    }
}

impl Seen {
    fn saw(&mut self, run: Run, now: Instant) -> bool {
        let changed = self.run.replace(run).is_some_and(|before| before != run);
        if changed {
            self.changed_at = Some(now);
        }
        let replaced = changed && run.follows_another;
        if replaced {
            self.replaced_at = Some(now);
        }
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn run(number: u64) -> Run {
        Run { number, follows_another: false }
    }

    #[test]
    fn only_another_run_is_a_change() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut seen = Seen::default();
        seen.saw(run(1), start);
        seen.saw(run(1), start + second);
        assert_eq!(seen.changed_at, None, "the first, and the same over another connection");
        seen.saw(run(2), start + 2 * second);
        seen.saw(run(2), start + 3 * second);
        assert_eq!(seen.changed_at, Some(start + 2 * second));
    }

    #[test]
    fn runs_report_only_a_successor_of_a_known_run() {
        let (now, promoted) = (Instant::now(), Run { number: 2, follows_another: true });
        let mut seen = Seen::default();
        assert!(!seen.saw(promoted, now), "the first one that is seen replaces nothing here");
        assert!(!seen.saw(run(3), now), "it begins without data, which the agreement tells");
        assert!(seen.saw(promoted, now) && seen.replaced_at == Some(now));
        assert!(!seen.saw(promoted, now), "the same over another connection");
    }
}
