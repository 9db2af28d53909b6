//! Keeps the log readable when a thing goes wrong thousands of times a second.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How many subjects of one kind are told apart; all others share one line.
const MOST_SUBJECTS: usize = 256;

/// Lets the first line of a kind about a subject through at once, then one per interval, and tells how many were left
/// out in between.
///
/// What was left out after the last line of a burst is told with the next line, whenever that is. The metrics count
/// all.
#[derive(Debug)]
pub(crate) struct Limiter {
    interval: Duration,
    kinds: Mutex<HashMap<&'static str, HashMap<String, Line>>>,
}

/// The last line about a subject.
#[derive(Debug)]
struct Line {
    at: Instant,
    left_out: u64,
}

impl Limiter {
    /// One line per kind, subject and interval.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, kinds: Mutex::default() }
    }

    /// How many lines were left out since the last one, where one may be written now.
    pub(crate) fn admit(&self, kind: &'static str, subject: &str) -> Option<u64> {
        self.admit_at(kind, subject, Instant::now())
    }

    fn admit_at(&self, kind: &'static str, subject: &str, now: Instant) -> Option<u64> {
        let mut kinds = self.kinds.lock();
        let subjects = kinds.entry(kind).or_default();
        let known = subjects.len() < MOST_SUBJECTS || subjects.contains_key(subject);
        let subject = if known { subject } else { "" };
        let Some(line) = subjects.get_mut(subject) else {
            subjects.insert(subject.to_owned(), Line { at: now, left_out: 0 });
            return Some(0);
        };
        if now.duration_since(line.at) < self.interval {
            line.left_out += 1;
            return None;
        }
        line.at = now;
        Some(std::mem::take(&mut line.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_is_told_and_then_one_per_interval_with_what_was_left_out() {
        let (limiter, start) = (Limiter::new(SECOND), Instant::now());
        assert_eq!(limiter.admit_at("retry", "orders", start), Some(0));
        for millis in 1..1000 {
            assert_eq!(limiter.admit_at("retry", "orders", start + Duration::from_millis(millis)), None);
        }
        assert_eq!(limiter.admit_at("retry", "orders", start + SECOND), Some(999));
        assert_eq!(limiter.admit_at("retry", "orders", start + 3 * SECOND), Some(0));
    }

    #[test]
    fn kinds_and_subjects_are_told_apart() {
        let (limiter, now) = (Limiter::new(SECOND), Instant::now());
        assert_eq!(limiter.admit_at("retry", "orders", now), Some(0));
        assert_eq!(limiter.admit_at("retry", "payments", now), Some(0));
        assert_eq!(limiter.admit_at("expired", "orders", now), Some(0));
        assert_eq!(limiter.admit_at("expired", "orders", now), None);
    }

    #[test]
    fn too_many_subjects_share_a_line_and_take_no_more_memory() {
        let (limiter, now) = (Limiter::new(SECOND), Instant::now());
        let told = (0..10 * MOST_SUBJECTS).filter(|n| limiter.admit_at("retry", &n.to_string(), now).is_some()).count();
        assert_eq!(told, MOST_SUBJECTS + 1, "one line for all the others");
        assert_eq!(limiter.kinds.lock()["retry"].len(), MOST_SUBJECTS + 1);
        let left_out = (9 * MOST_SUBJECTS - 1) as u64;
        assert_eq!(limiter.admit_at("retry", "another", now + SECOND), Some(left_out));
    }
}
