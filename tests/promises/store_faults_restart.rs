//! A Redis that forgets: killed without persistence, with its log, with a torn log, flushed, replaced by a replica that
//! lagged. Nothing is lost; what it forgot may be repeated, nothing else, and the repetition is seen.

use std::fs::{self, OpenOptions};
use std::time::Duration;

use hapax::dedup::Begin;
use hapax::id::IdKey;
use hapax::store::{Agreement, LeaseTerms, Store, Verdict};
use tokio::time::Instant;

use crate::common::{Mode, Proxy, RedisServer, await_until};
use crate::conformance::LONG;
use crate::store_faults::{Effects, Handled, RECOVERY, Site, recorded};

const PATIENCE: Duration = Duration::from_secs(30);

/// Every write is on the disk before it is answered.
const LOGGED: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// Ten are done and one is in flight when `fault` strikes; its handler ends after that.
async fn forgets(server: &RedisServer, fault: impl FnOnce()) {
    let effects = Effects::default();
    let (site, other) = (Site::new(&server.url(), "forgets"), Site::new(&server.url(), "forgets"));
    site.handle_all(&effects, 0..10).await;
    let guard = site.claim(10).await;
    fault();
    let gone = Instant::now();
    // Its owner finishes: recorded, although Redis knows nothing of the lease.
    effects.add(10);
    assert_eq!(recorded(guard.complete()).await, Verdict::First);
    assert!(gone.elapsed() < RECOVERY, "{:?}", gone.elapsed());
    assert_eq!(other.handle(&effects, 10).await, Handled::Duplicate);
    // All that was done before is handled once more, and once only.
    let again = other.handle_all(&effects, 0..10).await;
    assert_eq!(again, [Handled::Effect(Verdict::First); 10]);
    assert_eq!(site.handle_all(&effects, 0..11).await, [Handled::Duplicate; 11]);
    assert_eq!(effects.repeats(), 10, "possible: 10 done IDs that it forgot");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_empty_it_repeats_what_it_forgot() {
    let server = RedisServer::start();
    forgets(&server, || server.restart()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flushed_it_repeats_what_it_forgot() {
    let server = RedisServer::start();
    forgets(&server, || drop(server.cli(&["FLUSHALL"]))).await;
}

/// Two workers, for the lease was forgotten: the second effect is reported to the one that is recorded second.
#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_lease_lets_another_in_and_the_overrun_is_told() {
    let server = RedisServer::start();
    let (site, other) = (Site::new(&server.url(), "overrun"), Site::new(&server.url(), "overrun"));
    let effects = Effects::default();
    let guard = site.claim(1).await;
    server.restart();
    assert_eq!(other.handle(&effects, 1).await, Handled::Effect(Verdict::First));
    site.state(1).await;
    effects.add(1);
    assert_eq!(recorded(guard.complete()).await, Verdict::Overrun);
    assert_eq!(effects.repeats(), 1, "possible: the one in flight");
}

/// As a process does at its start: from then on a loss is told from a restart with all data.
async fn open(site: &Site) {
    let agreement = Agreement::of(&*site.store, "header ce_id", &IdKey::default());
    site.store.open(&agreement).await.unwrap();
}

/// The first sending of a completion is lost with the connection, Redis comes back empty and lets another worker in: what
/// is already done then is not taken for one's own earlier copy.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_over_another_connection_is_possible() {
    for opens in [true, false] {
        let server = RedisServer::start();
        let way = Proxy::to_port(server.port());
        let (site, other) = (Site::new(&way.redis_url(), "hidden"), Site::new(&server.url(), "hidden"));
        if opens {
            open(&site).await;
        }
        let effects = Effects::default();
        let guard = site.claim(1).await;
        way.set(Mode::Blackhole);
        effects.add(1);
        let recording = guard.complete();
        site.errors.until("complete", 1).await;
        assert_eq!(site.errors.kinds("complete"), ["unknown"], "it may have arrived");
        server.restart();
        assert_eq!(other.handle(&effects, 1).await, Handled::Effect(Verdict::First));
        way.set(Mode::Pass);
        assert_eq!(recorded(recording).await, Verdict::PossibleOverrun, "opened: {opens}");
        assert_eq!(effects.repeats(), 1);
    }
}

/// What was claimed before the data was lost may have been handled elsewhere and forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_completion_after_a_loss_is_a_possible_repeat() {
    let server = RedisServer::start();
    let (site, effects) = (Site::new(&server.url(), "lost"), Effects::default());
    open(&site).await;
    let before = site.claim(1).await;
    server.restart();
    effects.add(1);
    assert_eq!(recorded(before.complete()).await, Verdict::PossibleOverrun);
    assert_eq!(site.handle(&effects, 2).await, Handled::Effect(Verdict::First), "claimed after the loss");
}

/// Neither a restart with all data nor a mere reconnect says anything of the records in flight.
#[tokio::test(flavor = "multi_thread")]
async fn data_that_was_kept_makes_no_possible_repeat() {
    let server = RedisServer::start_with(&LOGGED);
    let way = Proxy::to_port(server.port());
    let (site, effects) = (Site::new(&way.redis_url(), "kept"), Effects::default());
    open(&site).await;
    // The completion is executed and its reply lost: already done at its second sending, over another connection.
    let guard = site.claim(1).await;
    way.set(Mode::SwallowReplies);
    effects.add(1);
    let recording = guard.complete();
    site.errors.until("complete", 1).await;
    way.set(Mode::Pass);
    assert_eq!(recorded(recording).await, Verdict::First, "the server is the same");
    let guards = [site.claim(2).await, site.claim(3).await];
    server.restart();
    for (n, guard) in [2, 3].into_iter().zip(guards) {
        effects.add(n);
        assert_eq!(recorded(guard.complete()).await, Verdict::First, "{n}");
    }
    assert_eq!(effects.repeats(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_with_its_log_it_repeats_nothing() {
    let server = RedisServer::start_with(&LOGGED);
    let (site, other) = (Site::new(&server.url(), "logged"), Site::new(&server.url(), "logged"));
    let effects = Effects::default();
    site.handle_all(&effects, 0..10).await;
    let guard = site.claim(10).await;
    server.restart();
    let back = Instant::now();
    assert_eq!(other.handle_all(&effects, 0..10).await, [Handled::Duplicate; 10]);
    assert!(matches!(other.begin(10).await, Begin::InFlight(_)), "the lease is remembered too");
    effects.add(10);
    assert_eq!(recorded(guard.complete()).await, Verdict::First);
    assert!(back.elapsed() < 2 * RECOVERY, "two workers one after the other: {:?}", back.elapsed());
    assert_eq!(other.handle(&effects, 10).await, Handled::Duplicate);
    assert_eq!(effects.repeats(), 0);
}

/// The end of the log is lost, as after a power failure with `everysec`, in the middle of a command.
#[tokio::test(flavor = "multi_thread")]
async fn a_torn_log_repeats_only_its_end() {
    let server = RedisServer::start_with(&[&LOGGED[..], &["--aof-load-truncated", "yes"]].concat());
    // A completion whose record was torn off leaves a lease behind, which has to run out.
    let terms = LeaseTerms { lease: Duration::from_secs(2), ..LONG };
    let site = Site::with(&server.url(), "torn", terms, Duration::from_millis(200));
    let effects = Effects::default();
    site.handle_all(&effects, 0..20).await;
    let log = fs::read_dir(server.directory().join("appendonlydir")).unwrap().map(|entry| entry.unwrap().path());
    let log = log.into_iter().find(|path| path.to_string_lossy().ends_with(".incr.aof")).expect("a log");
    server.kill();
    let length = fs::metadata(&log).unwrap().len();
    // Every ID wrote as much as any other: about four of them are gone, the first of those in part.
    OpenOptions::new().write(true).open(&log).unwrap().set_len(length - length / 5 - 3).unwrap();
    server.restart();
    let back = Instant::now();
    site.state(0).await;
    let mut done = Vec::new();
    for n in 0..20 {
        done.push(site.is_done(n).await);
    }
    let remembered = done.iter().filter(|done| **done).count();
    assert!((10..20).contains(&remembered), "{remembered} of 20 were kept");
    assert!(done[..remembered].iter().all(|done| *done), "only the end is lost: {done:?}");
    let handled = site.handle_all(&effects, 0..20).await;
    assert!(back.elapsed() < RECOVERY + terms.lease, "{:?}", back.elapsed());
    let repeated = handled.iter().filter(|handled| matches!(handled, Handled::Effect(_))).count();
    assert_eq!(repeated, 20 - remembered, "each of those that it forgot, and no other");
    assert_eq!(effects.repeats() as usize, repeated);
    assert_eq!(site.handle_all(&effects, 0..20).await, [Handled::Duplicate; 20]);
}

/// The replica's link is held, the master writes on and dies, the replica is promoted and clients are led to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lagged_repeats_what_it_never_saw() {
    let (master, replica) = (RedisServer::start(), RedisServer::start());
    let (link, way) = (Proxy::to_port(master.port()), Proxy::to_port(master.port()));
    replica.cli(&["REPLICAOF", "127.0.0.1", &link.port().to_string()]);
    let in_step = || replica.cli(&["INFO", "replication"]).contains("master_link_status:up");
    await_until("the replica is in step", PATIENCE, async || in_step()).await;
    let effects = Effects::default();
    let (site, other) = (Site::new(&way.redis_url(), "lagged"), Site::new(&way.redis_url(), "lagged"));
    site.handle_all(&effects, 0..10).await;
    let seen = site.claim(20).await;
    assert_eq!(master.cli(&["WAIT", "1", "10000"]), "1");

    link.set(Mode::Blackhole);
    site.handle_all(&effects, 10..15).await;
    let unseen = site.claim(21).await;
    master.kill();
    replica.cli(&["REPLICAOF", "NO", "ONE"]);
    way.retarget(([127, 0, 0, 1], replica.port()).into());
    let promoted = Instant::now();
    for (n, guard) in [(20, seen), (21, unseen)] {
        effects.add(n);
        assert_eq!(recorded(guard.complete()).await, Verdict::First, "{n}");
    }
    assert!(promoted.elapsed() < RECOVERY, "{:?}", promoted.elapsed());
    assert_eq!(other.handle_all(&effects, 0..10).await, [Handled::Duplicate; 10]);
    assert_eq!(other.handle_all(&effects, 10..15).await, [Handled::Effect(Verdict::First); 5]);
    assert_eq!(other.handle_all(&effects, 20..22).await, [Handled::Duplicate; 2]);
    assert_eq!(effects.repeats(), 5, "possible: the five that it never saw, and the one in flight");
}

/// A master that became a replica refuses writes; clients have to be led to the new one, and come there by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_master_is_left_for_its_successor() {
    let (master, successor) = (RedisServer::start(), RedisServer::start());
    let way = Proxy::to_port(master.port());
    successor.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    let in_step = || successor.cli(&["INFO", "replication"]).contains("master_link_status:up");
    await_until("the replica is in step", PATIENCE, async || in_step()).await;
    let effects = Effects::default();
    let site = Site::new(&way.redis_url(), "demoted");
    site.handle_all(&effects, 0..5).await;
    let guard = site.claim(5).await;
    assert_eq!(master.cli(&["WAIT", "1", "10000"]), "1");
    successor.cli(&["REPLICAOF", "NO", "ONE"]);
    master.cli(&["REPLICAOF", "127.0.0.1", &successor.port().to_string()]);
    effects.add(5);
    let recording = guard.complete();
    site.errors.until("complete", 1).await;
    assert_eq!(site.errors.kinds("complete"), ["unavailable"], "it said so itself: certainly not executed");
    way.retarget(([127, 0, 0, 1], successor.port()).into());
    let led = Instant::now();
    assert_eq!(recorded(recording).await, Verdict::First);
    assert!(led.elapsed() < RECOVERY, "{:?}", led.elapsed());
    assert_eq!(site.handle_all(&effects, 0..6).await, [Handled::Duplicate; 6]);
    assert_eq!(effects.repeats(), 0);
}
