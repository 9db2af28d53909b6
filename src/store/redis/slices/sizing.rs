//! How many shards a slice gets.

/// Shards of a group that are spare: room for 1,100,000 IDs, so that even the fastest burst, of [`FASTEST`], finds room until
/// a further generation can be written to. So the fewest that there are. Where there are only a few IDs, 2880 sets at most
/// lie nearly empty, which is some 500 KB.
const SPARE: f64 = 45.0;
/// As many as a first reading may ask for, whatever was expected: a billion IDs.
const MOST: f64 = 65536.0;
/// IDs per millisecond that one Redis can remember at most, about.
const FASTEST: f64 = 400.0;
/// A burst for which there is always room, as a multiple of the rate.
const BURST: f64 = 10.0;
/// How much greater than everything before a generation is, at least and at most: below two there would be many, and
/// each costs a look-up; above four a short burst would leave its sets nearly empty.
const GROWTH: std::ops::RangeInclusive<f64> = 2.0..=4.0;

/// What the counts of shards are chosen by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sizing {
    groups: u32,
    /// Members of the fullest set that is still compact: the server's `set-max-intset-entries`.
    limit: u32,
    /// How many IDs a window brings, where somebody said so.
    expected: Option<u64>,
}

/// How full a slice is, by a sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fill {
    /// The newest generation of the slice: its shards per group, and the members of one of its sets, on average.
    pub(super) shards: u32,
    pub(super) mean: f64,
    /// IDs per group in all generations.
    pub(super) count: f64,
    /// IDs per millisecond and group, lately.
    pub(super) rate: f64,
}

impl Sizing {
    pub(super) fn new(groups: u32, limit: u32, expected: Option<u64>) -> Self {
        // Sets of very few members are not worth their keys; of very many, slow to write to.
        Self { groups, limit: limit.clamp(64, 8192), expected }
    }

    /// The mean at which even the fullest of thousands of sets is within the limit: members are spread at random, so
    /// they differ by five times the root at most.
    fn fullest(&self) -> f64 {
        let limit = f64::from(self.limit);
        limit - 5.0 * limit.sqrt()
    }

    /// The mean that is planned for: room for a third more than was expected.
    fn aim(&self) -> f64 {
        0.75 * self.fullest()
    }

    /// For a slice of which nothing is known.
    pub(super) fn first(&self) -> u32 {
        self.shards_for(self.expected.unwrap_or_default() as f64 / f64::from(self.groups))
    }

    /// For the slice after one that holds `count` IDs per group: a quarter more.
    pub(super) fn next(&self, count: f64) -> u32 {
        self.shards_for(1.25 * count).max(self.first())
    }

    fn shards_for(&self, count: f64) -> u32 {
        // Between the spare ones and the most, so it fits.
        (count / self.aim()).max(count / self.fullest() + SPARE).ceil().clamp(SPARE, MOST) as u32
    }

    /// The shards of a further generation, where one has to be announced now: what may be written in the `horizon`,
    /// until it can be written to, would not fit any more. `left` is the rest of the slice. Both in milliseconds.
    pub(super) fn grows(&self, fill: &Fill, horizon: f64, left: f64) -> Option<u32> {
        let burst = (BURST * fill.rate).min(FASTEST / f64::from(self.groups)).max(fill.rate);
        let room = (self.fullest() - fill.mean) * f64::from(fill.shards);
        if room >= burst * horizon {
            return None;
        }
        let wanted = fill.rate * left / self.aim();
        let shards = f64::from(fill.shards);
        let grown = wanted.clamp(GROWTH.start() * shards, GROWTH.end() * shards).min(f64::from(u32::MAX / 2));
        Some(grown.ceil() as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds from a sample until what it brought about can be written to.
    const HORIZON: f64 = 2500.0;

    fn sizing(expected: Option<u64>) -> Sizing {
        Sizing::new(64, 512, expected)
    }

    #[test]
    fn shards_are_planned_for_200_to_300_members() {
        let sizing = sizing(Some(1_000_000));
        for (expected, means) in [(1_000_000, 180.0..300.0), (10_000_000, 290.0..310.0)] {
            let mean = expected as f64 / 64.0 / f64::from(Sizing::new(64, 512, Some(expected)).first());
            assert!(means.contains(&mean), "{mean}");
        }
        assert_eq!(sizing.next(0.0), sizing.first(), "what was expected may still come");
        let untold = Sizing::new(64, 512, None);
        assert_eq!(f64::from(untold.first()), SPARE);
        let mean = 100_000.0 / f64::from(untold.next(100_000.0));
        assert!((200.0..300.0).contains(&mean), "a quarter more may come: {mean}");
    }

    #[test]
    fn a_quiet_slice_never_grows_and_a_full_one_does() {
        let sizing = sizing(None);
        let fill = |mean, rate| Fill { shards: 32, mean, count: mean * 32.0, rate };
        assert_eq!(sizing.grows(&fill(300.0, 0.0), HORIZON, 1e6), None);
        assert_eq!(sizing.grows(&fill(398.0, 0.0), HORIZON, 1e6), None);
        assert_eq!(sizing.grows(&fill(400.0, 0.0), HORIZON, 1e6), Some(64), "full");
        assert_eq!(sizing.grows(&fill(300.0, 3.0), HORIZON, 1e9), Some(128), "no more than four times");
        assert_eq!(sizing.grows(&fill(100.0, 0.001), HORIZON, 1e6), None);
    }

    /// From the first ID to ten times what was expected, at full speed, sampled every second: no set is over the limit,
    /// and the sets that there are stay filled.
    #[test]
    fn a_tenfold_burst_stays_compact() {
        for (expected, per_ms) in
            [(Some(1_000_000), 150.0), (Some(1_000_000), 20.0), (None, 150.0), (Some(100_000), 150.0)]
        {
            let sizing = sizing(expected);
            let rate = per_ms / 64.0;
            let total = 10.0 * expected.unwrap_or(1_000_000) as f64 / 64.0;
            let mut generations: Vec<(u32, f64)> = vec![(sizing.first(), 0.0)];
            let (mut count, mut pending, mut sampled_at) = (0.0, None::<(f64, u32)>, 0.0);
            let mut now = 0.0;
            while count < total {
                now += 50.0;
                if let Some((from, shards)) = pending
                    && from <= now
                {
                    generations.push((shards, 0.0));
                    pending = None;
                }
                if let Some((_, members)) = generations.last_mut() {
                    *members += rate * 50.0;
                }
                count += rate * 50.0;
                if now - sampled_at >= 1000.0 {
                    let (shards, members) = *generations.last().unwrap();
                    // The first sample knows no rate.
                    let known_rate = if sampled_at == 0.0 { 0.0 } else { rate };
                    sampled_at = now;
                    let fill = Fill { shards, mean: members / f64::from(shards), count, rate: known_rate };
                    if pending.is_none()
                        && let Some(grown) = sizing.grows(&fill, HORIZON, 8.64e7)
                    {
                        pending = Some((now + 1250.0, grown));
                    }
                }
            }
            for (shards, members) in &generations {
                let mean = members / f64::from(*shards);
                // The mean of the fullest of thousands stays within 512 up to here.
                assert!(mean <= 420.0, "{expected:?} at {per_ms}: {generations:?}");
            }
            let sets: f64 = generations.iter().map(|(shards, members)| f64::from(*shards).min(*members)).sum();
            assert!(count / sets > 40.0, "{expected:?} at {per_ms}: {:.0} members a set", count / sets);
        }
    }
}
