//! How long to wait before the same question is asked again.

use std::time::Duration;

use rand::Rng;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// The pause after the `tries`-th try (from 1): 50 ms, doubling to 2 s, of which the upper half is drawn, so that
/// processes that lost the same store do not come back in step.
pub(super) fn pause(tries: u32, rng: &mut impl Rng) -> Duration {
    let whole = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST);
    whole.mul_f64(rng.random_range(0.5..=1.0))
}
