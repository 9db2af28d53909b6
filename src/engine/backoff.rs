//! The delays between the attempts at one record.

use std::time::Duration;

use rand::Rng;

use super::EngineConfig;

/// The delays between attempts: each has a bound, which doubles from the first to the longest, and is drawn from the upper
/// half of its bound.
///
/// The lower half is left out, so that the attempts of a record span a time that can be relied on: an application that is
/// replaced must not use up all of them. The upper half is drawn, so that records that failed together do not come back
/// together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first delay.
    pub first: Duration,
    /// The bound of the longest.
    pub cap: Duration,
}

impl Backoff {
    /// The longest delay after so many tries.
    pub fn bound(&self, tries: u32) -> Duration {
        self.first.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(self.cap)
    }

    /// A delay after so many tries.
    pub(super) fn draw(&self, rng: &mut impl Rng, tries: u32) -> Duration {
        self.bound(tries).mul_f64(1.0 - rng.random::<f64>() / 2.0)
    }

    /// The longest time that all delays between so many attempts take together; the shortest is half of it.
    pub fn longest(&self, attempts: u32) -> Duration {
        let doubling = attempts.saturating_sub(1).min(21);
        let doubled: Duration =
            (1..=doubling).map(|tries| self.bound(tries)).fold(Duration::ZERO, Duration::saturating_add);
        let rest = attempts.saturating_sub(1) - doubling;
        doubled.saturating_add(self.bound(u32::MAX).saturating_mul(rest))
    }
}

impl EngineConfig {
    /// The delays between the attempts at one record.
    pub fn backoff(&self) -> Backoff {
        Backoff { first: self.backoff_first, cap: self.backoff_cap }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn backoff_default_takes_two_to_four_minutes() {
        let config = EngineConfig::default();
        let bounds: Vec<u64> = (1..config.max_attempts).map(|tries| config.backoff().bound(tries).as_secs()).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(config.backoff().longest(config.max_attempts), Duration::from_secs(243));
    }

    #[test]
    fn backoff_draw_stays_in_the_upper_half() {
        let (backoff, mut rng) = (EngineConfig::default().backoff(), StdRng::seed_from_u64(1));
        for tries in [1, 2, 6, 7, 30, u32::MAX] {
            let bound = backoff.bound(tries);
            let drawn: Vec<Duration> = (0..1000).map(|_| backoff.draw(&mut rng, tries)).collect();
            assert!(drawn.iter().all(|delay| (bound / 2..=bound).contains(delay)), "{tries}");
            let (least, most) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
            assert!(*least < bound.mul_f64(0.52) && *most > bound.mul_f64(0.98), "{tries}: {least:?} to {most:?}");
        }
    }

    #[test]
    fn backoff_longest_adds_every_delay_up() {
        let backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(60) };
        let seconds = |attempts| backoff.longest(attempts).as_secs();
        assert_eq!([0, 1, 2, 5, 20, 50].map(seconds), [0, 0, 1, 15, 843, 2643]);
        assert_eq!(
            Backoff { cap: Duration::from_secs(86_400), ..backoff }.longest(22).as_secs(),
            (1 << 17) - 1 + 4 * 86_400
        );
        assert!(backoff.longest(u32::MAX) > Duration::from_secs(200_000_000_000));
    }
}
