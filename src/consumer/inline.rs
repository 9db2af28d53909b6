//! Whether a handler may be polled where it is started, instead of in a task of its own.

use std::time::Duration;

/// A first poll that takes longer than this costs more than a task would.
const SLOW: Duration = Duration::from_micros(20);
/// One that takes longer than this blocks its thread, and may do so for any time.
const BLOCKS: Duration = Duration::from_millis(1);
/// How many calls get a task after a slow one, before another is tried without.
const CALLS: u32 = 1024;

/// How long the first polls of a handler took.
///
/// A task lets a handler that computes run beside others on another core, and costs about a microsecond; a handler that
/// is ready at its first poll, as one that only sends into a channel, is better off without. Which it is shows: after a
/// poll that was slow the next calls get tasks, and after one that blocked all of them do.
#[derive(Debug, Default)]
pub(super) struct Pace {
    tasks: u32,
    blocks: bool,
}

impl Pace {
    /// Whether the next call is polled at once.
    pub(super) fn tries_at_once(&mut self) -> bool {
        let at_once = !self.blocks && self.tasks == 0;
        self.tasks = self.tasks.saturating_sub(1);
        at_once
    }

    /// A call that was polled at once took that long to end or to come to its first await.
    pub(super) fn took(&mut self, time: Duration) {
        if time >= SLOW {
            self.tasks = CALLS;
        }
        self.blocks |= time >= BLOCKS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_handlers_stay_without_a_task() {
        let mut pace = Pace::default();
        for _ in 0..3000 {
            assert!(pace.tries_at_once());
            pace.took(SLOW / 2);
        }
    }

    #[test]
    fn after_a_slow_one_the_next_calls_get_tasks() {
        let mut pace = Pace::default();
        assert!(pace.tries_at_once());
        pace.took(SLOW);
        assert_eq!((0..3000).position(|_| pace.tries_at_once()), Some(CALLS as usize));
    }

    #[test]
    fn after_one_that_blocks_all_get_tasks() {
        let mut pace = Pace::default();
        assert!(pace.tries_at_once());
        pace.took(BLOCKS);
        assert!((0..3000).all(|_| !pace.tries_at_once()));
    }
}
