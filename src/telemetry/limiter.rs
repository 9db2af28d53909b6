//! Keeps the log readable when a thing goes wrong thousands of times a second.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use tracing::Level;
use tracing::instrument::WithSubscriber;

/// How many subjects of one kind are told apart; all others share one line.
const MOST_SUBJECTS: usize = 256;

/// A limit on log lines: the first of a kind about a subject at once, then one per interval, with how many were left out
/// before it.
///
/// When a burst is over, how many were left out at its end is written by itself: two intervals after the last line, or
/// when this is dropped. So the lines and what they state as `suppressed` add up to what happened. One task per limiter
/// sees to that, and it lives only while something was left out. On a thread without a runtime there is no such task;
/// its owner calls [`settle`](Self::settle) now and then.
#[derive(Debug)]
pub(crate) struct Limiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kinds: HashMap<&'static str, HashMap<String, Line>>,
    /// When the first of the lines that left something out is due; `None` where none did.
    due: Option<Instant>,
    /// Whether a task waits for that.
    watched: bool,
}

/// The last line about a subject.
#[derive(Debug)]
struct Line {
    at: Instant,
    level: Level,
    left_out: u64,
}

/// What was left out at the end of a burst.
#[derive(Debug, PartialEq, Eq)]
struct Rest {
    level: Level,
    kind: &'static str,
    subject: String,
    left_out: u64,
}

impl Limiter {
    /// One line per kind, subject and interval.
    pub(crate) fn new(interval: Duration) -> Self {
        Self(Arc::new(Shared { interval, state: Mutex::default() }))
    }

    /// How many lines were left out since the last one, where one may be written now, at `level`.
    pub(crate) fn admit(&self, level: Level, kind: &'static str, subject: &str) -> Option<u64> {
        self.admit_at(level, kind, subject, Instant::now())
    }

    fn admit_at(&self, level: Level, kind: &'static str, subject: &str, now: Instant) -> Option<u64> {
        let mut state = self.0.state.lock();
        let subjects = state.kinds.entry(kind).or_default();
        let known = subjects.len() < MOST_SUBJECTS || subjects.contains_key(subject);
        let subject = if known { subject } else { "" };
        let Some(line) = subjects.get_mut(subject) else {
            subjects.insert(subject.to_owned(), Line { at: now, level, left_out: 0 });
            return Some(0);
        };
        if now.duration_since(line.at) < self.0.interval {
            line.left_out += 1;
            line.level = level;
            let due = line.at + self.0.patience();
            state.due = Some(state.due.map_or(due, |earlier| earlier.min(due)));
            if !state.watched
                && let Ok(runtime) = Handle::try_current()
            {
                state.watched = true;
                let watch = Watch { shared: Arc::downgrade(&self.0), ended: false };
                drop(runtime.spawn(watch.run().with_current_subscriber()));
            }
            return None;
        }
        line.at = now;
        Some(std::mem::take(&mut line.left_out))
    }

    /// Writes what was left out by bursts that are over. Costs nearly nothing where there is none.
    #[cfg(feature = "kafka")]
    pub(crate) fn settle(&self) {
        self.0.settle(Instant::now());
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Shared {
    /// How long after its last line a burst is over. As long as it lasts, its next line comes after one interval.
    fn patience(&self) -> Duration {
        self.interval * 2
    }

    /// Writes what was left out by bursts that are over; returns when the next may be.
    fn settle(&self, now: Instant) -> Option<Instant> {
        let mut rests = Vec::new();
        let due = {
            let mut state = self.state.lock();
            if state.due.is_some_and(|due| due <= now) {
                state.due = state.take(&mut rests, now, self.patience());
            }
            state.watched &= state.due.is_some();
            state.due
        };
        rests.iter().for_each(Rest::write);
        due
    }

    /// Writes all that was left out.
    fn end(&self) {
        let mut rests = Vec::new();
        {
            let mut state = self.state.lock();
            state.due = state.take(&mut rests, Instant::now(), Duration::ZERO);
            state.watched = false;
        }
        rests.iter().for_each(Rest::write);
    }
}

impl State {
    /// Takes what was left out behind lines that are older than `patience`; returns when the next one is.
    fn take(&mut self, rests: &mut Vec<Rest>, now: Instant, patience: Duration) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for (kind, subjects) in &mut self.kinds {
            for (subject, line) in subjects.iter_mut().filter(|(_, line)| line.left_out > 0) {
                let due = line.at + patience;
                if due <= now {
                    line.at = now;
                    let left_out = std::mem::take(&mut line.left_out);
                    rests.push(Rest { level: line.level, kind, subject: subject.clone(), left_out });
                } else {
                    next = Some(next.map_or(due, |earlier| earlier.min(due)));
                }
            }
        }
        next
    }
}

impl Rest {
    fn write(&self) {
        let Self { kind, subject, left_out: suppressed, .. } = self;
        macro_rules! write {
            ($level:ident) => {
                tracing::$level!(suppressed, kind, subject, "the end of a burst: log lines of this kind were left out")
            };
        }
        match self.level {
            Level::ERROR => write!(error),
            Level::WARN => write!(warn),
            Level::INFO => write!(info),
            Level::DEBUG => write!(debug),
            Level::TRACE => write!(trace),
        }
    }
}

/// The wait for the end of bursts.
#[derive(Debug)]
struct Watch {
    shared: Weak<Shared>,
    ended: bool,
}

impl Watch {
    async fn run(mut self) {
        while let Some(shared) = self.shared.upgrade() {
            let Some(due) = shared.settle(Instant::now()) else { break };
            drop(shared);
            sleep_until(due).await;
        }
        self.ended = true;
    }
}

impl Drop for Watch {
    /// The runtime may end before the limiter does; nothing is watched then.
    fn drop(&mut self) {
        if !self.ended
            && let Some(shared) = self.shared.upgrade()
        {
            shared.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WARN: Level = Level::WARN;
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_is_told_and_then_one_per_interval_with_what_was_left_out() {
        let (limiter, start) = (Limiter::new(SECOND), Instant::now());
        assert_eq!(limiter.admit_at(WARN, "retry", "orders", start), Some(0));
        for millis in 1..1000 {
            assert_eq!(limiter.admit_at(WARN, "retry", "orders", start + Duration::from_millis(millis)), None);
        }
        assert_eq!(limiter.admit_at(WARN, "retry", "orders", start + SECOND), Some(999));
        assert_eq!(limiter.admit_at(WARN, "retry", "orders", start + 3 * SECOND), Some(0));
    }

    /// One that is watched by nothing.
    fn rests(limiter: &Limiter, now: Instant) -> Vec<(String, u64)> {
        let mut rests = Vec::new();
        let mut state = limiter.0.state.lock();
        state.due = state.take(&mut rests, now, limiter.0.patience());
        rests.into_iter().map(|rest| (rest.subject, rest.left_out)).collect()
    }

    #[test]
    fn rest_is_due_two_intervals_after_the_last_line() {
        let (limiter, start) = (Limiter::new(SECOND), Instant::now());
        let at = |limiter: &Limiter, millis| {
            limiter.admit_at(WARN, "retry", "orders", start + Duration::from_millis(millis))
        };
        assert_eq!([at(&limiter, 0), at(&limiter, 1), at(&limiter, 999)], [Some(0), None, None]);
        assert_eq!(limiter.0.state.lock().due, Some(start + 2 * SECOND));
        assert_eq!(rests(&limiter, start + Duration::from_millis(1999)), []);
        assert_eq!(rests(&limiter, start + 2 * SECOND), [("orders".to_owned(), 2)]);
        assert_eq!(limiter.0.state.lock().due, None);
        assert_eq!(rests(&limiter, start + 9 * SECOND), []);
        assert_eq!([at(&limiter, 2500), at(&limiter, 3000)], [None, Some(1)], "the rest was a line, too");
    }

    #[test]
    fn rest_of_a_burst_that_lasts_is_that_of_its_lines() {
        let (limiter, start) = (Limiter::new(SECOND), Instant::now());
        let mut stated = 0;
        for millis in 0..10_000 {
            let now = start + Duration::from_millis(millis);
            stated += limiter.admit_at(WARN, "retry", "orders", now).map_or(0, |left_out| left_out + 1);
            assert_eq!(rests(&limiter, now), [], "{millis}");
        }
        stated += rests(&limiter, start + 20 * SECOND).iter().map(|(_, left_out)| left_out).sum::<u64>();
        assert_eq!(stated, 10_000);
    }

    #[test]
    fn kinds_and_subjects_are_told_apart() {
        let (limiter, now) = (Limiter::new(SECOND), Instant::now());
        assert_eq!(limiter.admit_at(WARN, "retry", "orders", now), Some(0));
        assert_eq!(limiter.admit_at(WARN, "retry", "payments", now), Some(0));
        assert_eq!(limiter.admit_at(WARN, "expired", "orders", now), Some(0));
        assert_eq!(limiter.admit_at(WARN, "expired", "orders", now), None);
    }

    #[test]
    fn too_many_subjects_share_a_line_and_take_no_more_memory() {
        let (limiter, now) = (Limiter::new(SECOND), Instant::now());
        let told =
            (0..10 * MOST_SUBJECTS).filter(|n| limiter.admit_at(WARN, "retry", &n.to_string(), now).is_some()).count();
        assert_eq!(told, MOST_SUBJECTS + 1, "one line for all the others");
        assert_eq!(limiter.0.state.lock().kinds["retry"].len(), MOST_SUBJECTS + 1);
        let left_out = (9 * MOST_SUBJECTS - 1) as u64;
        assert_eq!(limiter.admit_at(WARN, "retry", "another", now + SECOND), Some(left_out));
    }
}
