//! The clock of Redis jumps an hour, each way. It decides when leases and done IDs end, so a jump ends them early or
//! late; nothing is lost, and what is repeated is told.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hapax::dedup::Begin;
use hapax::store::{LeaseTerms, State, Store, Verdict};
use tempfile::TempDir;

use crate::common::{RedisServer, tools};
use crate::conformance::{LONG, lease, only, until};
use crate::store_faults::{Effects, Handled, Site, recorded};

const HOUR: Duration = Duration::from_secs(3600);
/// A window that a jump of an hour does not end.
const DAY: LeaseTerms = LeaseTerms { window: Duration::from_secs(86_400), ..LONG };

/// A Redis whose clock is turned by what stands in a file. It begins at noon: no turn of an hour crosses midnight, where a
/// slice of time ends whose window is a day.
struct Turned {
    server: RedisServer,
    directory: TempDir,
    /// How many seconds its noon lies ahead.
    noon: i64,
}

impl Turned {
    fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("hapax-clock-").tempdir().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let noon = (12 * 3600 - (now % 86_400) as i64).rem_euclid(86_400);
        write(directory.path(), noon);
        // The C library's own malloc before jemalloc, which asks for the time while it is initialised, before libfaketime
        // is: that would go in circles, and Redis would not start.
        let preload = format!("{}:libc.so.6", tools::faketime().display());
        let file = directory.path().join("clock");
        let server = RedisServer::start_in(
            &[
                ("LD_PRELOAD", &preload),
                ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
                ("FAKETIME_NO_CACHE", "1"),
                // Only the time of day jumps. Redis measures its own pauses by the other clock.
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                ("DONT_FAKE_MONOTONIC", "1"),
            ],
            &[],
        );
        Self { server, directory, noon }
    }

    /// Turns it; when this returns Redis goes by it.
    async fn turn(&self, by: i64) {
        let now = || self.server.cli(&["TIME"]).lines().next().unwrap().parse::<i64>().unwrap();
        let before = now();
        write(self.directory.path(), self.noon + by);
        until(async || (now() - before).abs() > 3000).await;
    }

    fn site(&self, terms: LeaseTerms) -> Site {
        Site::with(&self.server.url(), "clock", terms, Duration::from_secs(2))
    }
}

/// Never half written.
fn write(directory: &Path, by: i64) {
    fs::write(directory.join("next"), format!("{by:+}")).unwrap();
    fs::rename(directory.join("next"), directory.join("clock")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_forward_ends_leases_and_the_second_effect_is_told() {
    let redis = Turned::start();
    let (site, other, effects) = (redis.site(DAY), redis.site(DAY), Effects::default());
    site.handle_all(&effects, 0..5).await;
    let guard = site.claim(10).await;
    redis.turn(3600).await;
    assert_eq!(site.handle_all(&effects, 0..5).await, [Handled::Duplicate; 5], "a window of a day is not over");
    // The lease, of a minute and ten, is: another worker comes in, and the first learns of it.
    assert_eq!(other.handle(&effects, 10).await, Handled::Effect(Verdict::First));
    effects.add(10);
    assert_eq!(recorded(guard.complete()).await, Verdict::Overrun);
    assert_eq!(effects.repeats(), 1, "possible: the one in flight");
    assert_eq!(other.handle_all(&effects, [10, 11]).await, [Handled::Duplicate, Handled::Effect(Verdict::First)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_forward_ends_the_windows_that_are_shorter() {
    // In either way of remembering done IDs, which may keep one for up to two windows.
    let short = LeaseTerms { window: Duration::from_secs(600), ..LONG };
    let redis = Turned::start();
    let (site, effects) = (redis.site(short), Effects::default());
    site.handle_all(&effects, 0..5).await;
    redis.turn(3600).await;
    assert_eq!(site.handle_all(&effects, 0..5).await, [Handled::Effect(Verdict::First); 5]);
    assert_eq!(effects.repeats(), 5, "possible: the five whose window is over by Redis' clock");
    assert_eq!(site.handle_all(&effects, 0..5).await, [Handled::Duplicate; 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_back_keeps_leases_longer_and_repeats_nothing() {
    let redis = Turned::start();
    let (site, other, effects) = (redis.site(DAY), redis.site(DAY), Effects::default());
    site.handle_all(&effects, 0..5).await;
    let guard = site.claim(10).await;
    // A worker that died: nobody renews this lease, and it ends an hour late.
    only(site.store.claim(vec![crate::conformance::claim(11, b'x')]).await);
    redis.turn(-3600).await;
    assert_eq!(other.handle_all(&effects, 0..5).await, [Handled::Duplicate; 5]);
    assert!(matches!(other.begin(10).await, Begin::InFlight(_)), "nobody comes in");
    assert!(matches!(other.begin(11).await, Begin::InFlight(_)), "it is waited for, not lost");
    let State::InFlight { remaining, .. } = site.state(11).await else { panic!("in flight") };
    assert!(remaining <= HOUR + LONG.lease, "{remaining:?}");
    // Its owner ends it at any time, and a renewal sets it right.
    only(site.store.renew(vec![lease(11, b'x')]).await);
    let State::InFlight { remaining, .. } = site.state(11).await else { panic!("in flight") };
    assert!(remaining <= LONG.lease, "{remaining:?}");
    effects.add(10);
    assert_eq!(recorded(guard.complete()).await, Verdict::First);
    assert_eq!(other.handle_all(&effects, [10, 12]).await, [Handled::Duplicate, Handled::Effect(Verdict::First)]);
    assert_eq!(effects.repeats(), 0);
}
