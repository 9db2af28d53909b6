//! A network that cuts, swallows, delays and trickles, and a Redis that is frozen: before the claim's reply and before
//! the completion's. One effect each, and the work goes on by itself.

use std::time::Duration;

use futures_util::future::join_all;
use hapax::dedup::Begin;
use hapax::store::Verdict;
use tokio::time::Instant;

use crate::common::{Mode, Proxy, RedisServer, Signal};
use crate::conformance::LONG;
use crate::store_faults::{Effects, Handled, RECOVERY, Site, recorded};

/// What a network does, and of which kinds the errors are.
#[derive(Clone, Copy, Debug)]
struct Weather {
    mode: Mode,
    /// Each way, while it lasts.
    delay: Duration,
    kinds: &'static [&'static str],
}

const UNKNOWN_OR_AWAY: &[&str] = &["unavailable", "unknown"];

const STORMS: [Weather; 6] = [
    Weather { mode: Mode::Cut, delay: Duration::ZERO, kinds: UNKNOWN_OR_AWAY },
    Weather { mode: Mode::Blackhole, delay: Duration::ZERO, kinds: UNKNOWN_OR_AWAY },
    Weather { mode: Mode::SwallowReplies, delay: Duration::ZERO, kinds: UNKNOWN_OR_AWAY },
    Weather { mode: Mode::Hold, delay: Duration::ZERO, kinds: UNKNOWN_OR_AWAY },
    Weather { mode: Mode::Pass, delay: Duration::from_millis(300), kinds: UNKNOWN_OR_AWAY },
    Weather { mode: Mode::Trickle, delay: Duration::ZERO, kinds: UNKNOWN_OR_AWAY },
];

impl Weather {
    fn begins(self, proxy: &Proxy) {
        proxy.delay(self.delay, self.delay);
        proxy.set(self.mode);
    }

    fn ends(proxy: &Proxy) {
        proxy.delay(Duration::ZERO, Duration::ZERO);
        proxy.set(Mode::Pass);
    }
}

async fn during_the_claim(server: &RedisServer, weather: Weather, namespace: &str) {
    let (proxy, effects) = (Proxy::to_port(server.port()), Effects::default());
    let (site, other) = (Site::new(&proxy.redis_url(), namespace), Site::new(&server.url(), namespace));
    site.handle(&effects, 0).await;
    weather.begins(&proxy);
    let handling = tokio::spawn({
        let (site, effects) = (site.clone(), effects.clone());
        async move { site.handle(&effects, 1).await }
    });
    site.errors.until("claim", 3).await;
    assert_eq!(effects.of(1), 0, "{weather:?}: no effect without an answered claim");
    Weather::ends(&proxy);
    let calm = Instant::now();
    assert_eq!(handling.await.unwrap(), Handled::Effect(Verdict::First), "{weather:?}");
    assert!(calm.elapsed() < RECOVERY, "{weather:?}: {:?}", calm.elapsed());
    assert!(site.errors.kinds("claim").iter().all(|kind| weather.kinds.contains(kind)), "{weather:?}");
    assert!(site.errors.kinds("claim").contains(&"unknown"), "{weather:?}: of the first claim nobody knows");
    assert_eq!(other.handle(&effects, 1).await, Handled::Duplicate, "{weather:?}");
    assert_eq!((effects.of(1), effects.repeats()), (1, 0), "{weather:?}");
}

async fn during_the_completion(server: &RedisServer, weather: Weather, namespace: &str) {
    let (proxy, effects) = (Proxy::to_port(server.port()), Effects::default());
    let (site, other) = (Site::new(&proxy.redis_url(), namespace), Site::new(&server.url(), namespace));
    let guard = site.claim(1).await;
    effects.add(1);
    weather.begins(&proxy);
    let recording = guard.complete();
    site.errors.until("complete", 3).await;
    // Executed unseen or not executed yet, but never free.
    assert!(!matches!(other.begin(1).await, Begin::Claimed(_)), "{weather:?}");
    Weather::ends(&proxy);
    let calm = Instant::now();
    let verdict =
        tokio::time::timeout(RECOVERY, recording).await.unwrap_or_else(|_| panic!("{weather:?}: not recorded"));
    assert_eq!(verdict.unwrap(), Verdict::First, "{weather:?}: its own earlier copy is no second effect");
    assert!(calm.elapsed() < RECOVERY, "{weather:?}: {:?}", calm.elapsed());
    assert!(site.errors.kinds("complete").iter().all(|kind| weather.kinds.contains(kind)), "{weather:?}");
    assert_eq!(other.handle(&effects, 1).await, Handled::Duplicate, "{weather:?}");
    assert_eq!((effects.of(1), effects.repeats()), (1, 0), "{weather:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_before_the_claims_reply_repeats_nothing() {
    let server = RedisServer::start();
    join_all(STORMS.map(|weather| {
        let (server, namespace) = (&server, format!("claim-{:?}-{}", weather.mode, weather.delay.as_millis()));
        async move { during_the_claim(server, weather, &namespace).await }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_before_the_completions_reply_repeats_nothing() {
    let server = RedisServer::start();
    join_all(STORMS.map(|weather| {
        let (server, namespace) = (&server, format!("complete-{:?}-{}", weather.mode, weather.delay.as_millis()));
        async move { during_the_completion(server, weather, &namespace).await }
    }))
    .await;
}

/// Slow is not broken: within the limit nothing is asked twice, and no connection is given up.
#[tokio::test]
async fn delays_and_trickles_within_the_limit_are_no_error() {
    let server = RedisServer::start();
    let (proxy, effects) = (Proxy::to_port(server.port()), Effects::default());
    let site = Site::with(&proxy.redis_url(), "slow", LONG, Duration::from_secs(20));
    site.handle(&effects, 0).await;
    let connections = proxy.accepted();
    proxy.delay(Duration::from_millis(50), Duration::from_millis(50));
    assert_eq!(site.handle(&effects, 1).await, Handled::Effect(Verdict::First));
    proxy.delay(Duration::ZERO, Duration::ZERO);
    proxy.set(Mode::Trickle);
    assert_eq!(site.handle(&effects, 2).await, Handled::Effect(Verdict::First));
    assert_eq!(site.handle(&effects, 1).await, Handled::Duplicate);
    assert_eq!(proxy.accepted(), connections);
    assert!(site.errors.kinds("claim").is_empty() && site.errors.kinds("complete").is_empty());
}

/// Frozen, it accepts and says nothing; what was sent meanwhile it executes when it goes on, late and several times.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_is_unknown_and_goes_on() {
    let (server, effects) = (RedisServer::start(), Effects::default());
    let (site, other) = (Site::new(&server.url(), "frozen"), Site::new(&server.url(), "frozen"));
    let guard = site.claim(1).await;
    other.handle(&effects, 0).await;
    server.signal(Signal::Stop);
    effects.add(1);
    let recording = guard.complete();
    let handling = tokio::spawn({
        let (site, effects) = (site.clone(), effects.clone());
        async move { site.handle(&effects, 2).await }
    });
    // Long enough for the connection to be given up, and for another not to be had.
    site.errors.until("claim", 6).await;
    site.errors.until("complete", 6).await;
    for operation in ["claim", "complete"] {
        assert_eq!(site.errors.kinds(operation), ["unavailable", "unknown"]);
    }
    assert_eq!(effects.of(2), 0);
    server.signal(Signal::Continue);
    let goes_on = Instant::now();
    assert_eq!(recorded(recording).await, Verdict::First);
    assert_eq!(handling.await.unwrap(), Handled::Effect(Verdict::First));
    assert!(goes_on.elapsed() < RECOVERY, "{:?}", goes_on.elapsed());
    assert_eq!(other.handle_all(&effects, [0, 1, 2]).await, [Handled::Duplicate; 3]);
    assert_eq!(effects.repeats(), 0);
}
