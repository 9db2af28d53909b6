//! Time, cut into slices.

use std::time::Duration;

/// The shortest window that can be cut into slices: below it the bounds would be shorter than round trips.
pub(in super::super) const SHORTEST_WINDOW: Duration = Duration::from_secs(2);

/// How wrong workers may be about Redis' time, as a part of the window and at most. Half of it is for the round trip by
/// which they learn the time; the other half, for the difference between the clocks of a cluster's nodes.
const BOUND_PART: u64 = 32;
const LARGEST_BOUND: u64 = 500;

/// Slices of one window's length, counted from the Unix epoch. All times are milliseconds of Redis' clock.
///
/// Every number here follows from the window, on which all processes of a namespace agree: they have to be the same for
/// everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Calendar {
    window: u64,
    bound: u64,
}

impl Calendar {
    pub(in super::super) fn new(window_ms: u64) -> Self {
        let window = window_ms.max(1);
        Self { window, bound: (window / BOUND_PART).clamp(2, LARGEST_BOUND) }
    }

    /// U: how wrong anyone's idea of Redis' time may be.
    pub(super) fn bound(&self) -> u64 {
        self.bound
    }

    /// How long a reading of the plan is good, from before it was asked for until the last reply that relies on it.
    pub(super) fn good_for(&self) -> Duration {
        Duration::from_millis(self.bound)
    }

    /// After how long it is read again: twice within the time for which it is good.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(self.bound / 2)
    }

    /// How long before it is written to a generation is announced. Its first writer may be U early, and a look-up may
    /// rely on a reading that is as old as they may be: then 2 U would do. The rest is a margin.
    pub(super) fn notice(&self) -> u64 {
        self.bound * 5 / 2
    }

    /// The slice of a time.
    pub(super) fn slice(&self, at: u64) -> u64 {
        at / self.window
    }

    pub(super) fn start(&self, slice: u64) -> u64 {
        slice.saturating_mul(self.window)
    }

    /// The oldest slice in which an ID may lie that was done less than a window ago: a look-up asks this slice and all
    /// that follow. Its writer and whoever looks may each be wrong by U.
    pub(super) fn oldest(&self, at: u64) -> u64 {
        self.slice(at.saturating_sub(self.window + 2 * self.bound))
    }

    /// The newest slice in which another worker may be writing.
    pub(super) fn newest(&self, at: u64) -> u64 {
        self.slice(at + 2 * self.bound)
    }

    /// When the sets of a slice go: as soon as nobody looks into it any more. A look-up happens before its reply, by
    /// which its coverage is judged, so no request time-out need be added.
    pub(super) fn gone_at(&self, slice: u64) -> u64 {
        self.start(slice + 2) + 4 * self.bound
    }

    /// Whether it is time to agree on the slice that follows.
    pub(super) fn plans_ahead(&self, at: u64) -> bool {
        self.slice(at + 2 * self.notice()) != self.slice(at)
    }

    /// How long what the namespace agreed on is kept after it was last read: longer than all that relies on it.
    pub(in super::super) fn kept_for(&self) -> u64 {
        4 * self.window + 10 * self.bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600 * 1000;

    #[test]
    fn a_look_up_asks_two_slices_and_three_near_a_boundary() {
        let calendar = Calendar::new(DAY);
        let asked = |at| (calendar.oldest(at), calendar.newest(at));
        assert_eq!(asked(10 * DAY + DAY / 2), (9, 10));
        assert_eq!(asked(11 * DAY - 1), (9, 11), "another's clock may be ahead");
        assert_eq!(asked(11 * DAY + 1), (9, 11), "another's clock may be behind, and its ID nearly a window old");
        assert_eq!(asked(11 * DAY + 2 * calendar.bound()), (10, 11));
    }

    /// Whatever was done within a window is asked for, and is still there, by whichever clocks within the bound.
    #[test]
    fn what_is_less_than_a_window_old_is_asked_for_and_there() {
        for window in [2000, 60_000, DAY] {
            let calendar = Calendar::new(window);
            let bound = calendar.bound() as i64;
            let edge = 100 * window as i64;
            for done_at in [edge - 1, edge, edge + 1, edge - bound, edge + bound, edge + window as i64 / 2] {
                for (writer, reader) in [(-bound, bound), (bound, -bound), (0, 0), (bound, bound), (-bound, -bound)] {
                    for age in [0, 1, window as i64 / 2, window as i64 - 1] {
                        let slice = calendar.slice((done_at + writer) as u64);
                        let looked_at = done_at + age;
                        let by_reader = (looked_at + reader) as u64;
                        let asked = calendar.oldest(by_reader)..=calendar.newest(by_reader);
                        assert!(asked.contains(&slice), "{window} {done_at} {writer} {reader} {age}");
                        assert!(calendar.gone_at(slice) as i64 > looked_at + bound, "its node's clock, too");
                    }
                }
            }
        }
    }

    #[test]
    fn whoever_writes_to_a_generation_writes_to_what_everyone_has_read() {
        for window in [2000, 60_000, DAY] {
            let calendar = Calendar::new(window);
            let good_for = calendar.good_for().as_millis() as u64;
            // Announced at 0, written to from then on by whoever is U ahead.
            let first_write = calendar.notice() - calendar.bound();
            assert!(first_write > good_for, "a reading from before the announcement is too old by then");
        }
    }
}
