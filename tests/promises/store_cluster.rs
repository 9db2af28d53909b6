//! A cluster whose slots move and whose masters die: what is answered, and that nothing is lost or turned around.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use hapax::id::{Fingerprint, IdKey, Namespace};
use hapax::store::{
    Agreement, Claim, ClaimOutcome, Completion, CompletionOutcome, DoneMode, Lease, OpenError, RedisStore, Store,
    StoreError, Token,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::common::{RedisCluster, RedisServer, await_until};
use crate::conformance::{LONG, Worker, all, claimed, origin};
use crate::store_redis::NAMESPACE;
use crate::store_redis_faults::chain;

const WHILE: Duration = Duration::from_secs(60);

fn store(url: &str) -> RedisStore {
    RedisStore::builder(url, Namespace::new(NAMESPACE).unwrap()).terms(LONG).build().unwrap()
}

/// The `n`-th ID of a group.
fn id_of(group: u8, n: u32) -> Fingerprint {
    let mut bytes = [0x5a; 16];
    bytes[0] = group << 2;
    bytes[4..8].copy_from_slice(&n.to_be_bytes());
    bytes[8..12].copy_from_slice(&n.to_be_bytes());
    Fingerprint::from_bytes(bytes)
}

fn lease(fingerprint: Fingerprint, name: u8) -> Lease {
    let mut token = *fingerprint.as_bytes();
    token[15] = name;
    Lease { fingerprint, token: Token::from_bytes(token) }
}

fn claim(fingerprint: Fingerprint, name: u8) -> Claim {
    Claim { lease: lease(fingerprint, name), takes_over: false, origin: origin(), message: None }
}

/// The hash tag of a group, as it stands in its keys.
async fn tag(cluster: &RedisCluster, group: u8) -> String {
    let probe = id_of(group, u32::MAX);
    all(store(&cluster.url()).claim(vec![claim(probe, b'p')]).await);
    let keys: String = cluster.nodes()[..3].iter().map(|node| node.cli(&["KEYS", &format!("*:l:{probe}")])).collect();
    keys.split(['{', '}']).nth(1).expect("a key with a tag").to_owned()
}

/// The index of the master that has a slot, and the slot.
fn owner(cluster: &RedisCluster, tag: &str) -> (usize, u16) {
    let slot: u16 = cluster.nodes()[0].cli(&["CLUSTER", "KEYSLOT", tag]).parse().unwrap();
    (usize::from(slot) * 3 / 16384, slot)
}

/// What happened to IDs that several workers wanted at once.
#[derive(Default)]
struct Seen {
    effects: Mutex<Vec<Fingerprint>>,
    /// Completions that were not the first, although they were sent for the first time.
    overruns: AtomicU32,
    /// The kinds of errors.
    errors: Mutex<BTreeSet<&'static str>>,
    answered: AtomicU32,
    refused: Mutex<Option<String>>,
}

impl Seen {
    fn failed(&self, error: &StoreError) {
        if !error.is_retryable() {
            self.refused.lock().get_or_insert_with(|| format!("{error:?}"));
        }
        self.errors.lock().insert(error.kind());
    }

    /// How many effects there were beyond one per ID.
    fn repeats(&self) -> usize {
        let effects = self.effects.lock();
        effects.len() - effects.iter().collect::<BTreeSet<_>>().len()
    }
}

/// Handles batches of IDs, which others want too, until it is told to stop; each batch to its end.
async fn work(
    store: RedisStore,
    name: u8,
    next: impl Fn(u32) -> Vec<Fingerprint>,
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
) -> u32 {
    for batch in 0.. {
        if stop.load(Relaxed) {
            return batch;
        }
        let mut wanted = next(batch);
        while !wanted.is_empty() {
            let answers = store.claim(wanted.iter().map(|id| claim(*id, name)).collect()).await;
            let (mut mine, mut later) = (Vec::new(), Vec::new());
            for (id, answer) in wanted.into_iter().zip(answers) {
                match answer {
                    Ok(ClaimOutcome::Claimed { .. }) => {
                        seen.effects.lock().push(id);
                        mine.push(id);
                    }
                    Ok(ClaimOutcome::Done { .. }) => {}
                    Ok(_) => later.push(id),
                    Err(error) => {
                        seen.failed(&error);
                        later.push(id);
                    }
                }
            }
            let mut first = true;
            while !mine.is_empty() {
                let completion = |id: &Fingerprint| Completion {
                    lease: lease(*id, name),
                    origin: origin(),
                    held_for: Duration::from_secs(1),
                    message: None,
                };
                let answers = store.complete(mine.iter().map(completion).collect()).await;
                let mut again = Vec::new();
                for (id, answer) in mine.into_iter().zip(answers) {
                    match answer {
                        Ok(CompletionOutcome::AlreadyDone) if first => drop(seen.overruns.fetch_add(1, Relaxed)),
                        Ok(_) => drop(seen.answered.fetch_add(1, Relaxed)),
                        Err(error) => {
                            seen.failed(&error);
                            again.push(id);
                        }
                    }
                }
                (mine, first) = (again, false);
                if !mine.is_empty() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            wanted = later;
            if !wanted.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    unreachable!("stopped before")
}

/// While a slot is handed over with keys on both sides, then wholly, then known to be elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_moved_under_load_repeats_and_loses_nothing() {
    const GROUP: u8 = 9;
    let cluster = RedisCluster::start();
    let tag = tag(&cluster, GROUP).await;
    let (from, slot) = owner(&cluster, &tag);
    let to = (from + 1) % 3;
    let (source, target, number) = (&cluster.nodes()[from], &cluster.nodes()[to], slot.to_string());

    let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
    // Half of a batch lies in the slot that moves. Both want the same IDs.
    let next = |batch: u32| -> Vec<Fingerprint> {
        (0..16).map(|n| id_of(if n % 2 == 0 { GROUP } else { (n * 4) as u8 }, batch * 16 + n)).collect()
    };
    let workers: Vec<_> = (b'a'..=b'b')
        .map(|name| tokio::spawn(work(store(&cluster.url()), name, next, seen.clone(), stop.clone())))
        .collect();
    let progress = async |what: &str| {
        let before = seen.answered.load(Relaxed);
        await_until(what, WHILE, async || seen.answered.load(Relaxed) > before + 100).await;
    };
    progress("some are handled").await;
    assert_eq!((cluster.errors("ASK"), cluster.errors("MOVED")), (0, 0));

    target.cli(&["CLUSTER", "SETSLOT", &number, "IMPORTING", cluster.id(from)]);
    source.cli(&["CLUSTER", "SETSLOT", &number, "MIGRATING", cluster.id(to)]);
    // A lease on one side and no done ID on either: nobody can answer the script until the slot has moved.
    await_until("ASK and TRYAGAIN", WHILE, async || cluster.errors("ASK") > 20 && cluster.errors("TRYAGAIN") > 0).await;
    let port = target.port().to_string();
    loop {
        let keys = source.cli(&["CLUSTER", "GETKEYSINSLOT", &number, "50"]);
        let keys: Vec<&str> = keys.lines().filter(|key| !key.is_empty()).collect();
        if keys.is_empty() {
            break;
        }
        source.cli(&[&["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"], &keys[..]].concat());
    }
    let (ask, again) = (cluster.errors("ASK"), cluster.errors("TRYAGAIN"));
    for node in [to, from, (to + 1) % 3] {
        cluster.nodes()[node].cli(&["CLUSTER", "SETSLOT", &number, "NODE", cluster.id(to)]);
    }
    progress("more are handled after the move").await;
    stop.store(true, Relaxed);
    let mut batches = 0;
    for worker in workers {
        batches = batches.max(worker.await.unwrap());
    }
    let moved = cluster.errors("MOVED");
    println!("{batches} batches, ASK {ask}, TRYAGAIN {again}, MOVED {moved}, errors told {:?}", seen.errors.lock());
    assert!(moved > 0, "the new owner was learnt by being sent there");
    assert_eq!(*seen.refused.lock(), None);
    assert_eq!(seen.repeats(), 0, "nothing was lost by Redis, so nothing is repeated");
    assert_eq!(seen.overruns.load(Relaxed), 0);
    let ids: Vec<Fingerprint> = (0..batches).flat_map(next).collect();
    assert_eq!(seen.effects.lock().len(), ids.len(), "each was handled");
    let fresh = Worker(Arc::new(store(&cluster.url())));
    let states = all(fresh.0.claim(ids.iter().map(|id| claim(*id, b'c')).collect()).await);
    assert!(states.iter().all(|state| matches!(state, ClaimOutcome::Done { .. })), "and is remembered");
}

/// A lease that was sent on to another node is taken before the look-up that counts, although the first look-up was
/// answered before it.
#[tokio::test]
async fn a_look_up_counts_only_after_its_lease() {
    const GROUP: u8 = 17;
    let cluster = RedisCluster::start();
    let tag = tag(&cluster, GROUP).await;
    let (from, slot) = owner(&cluster, &tag);
    let to = (from + 1) % 3;
    let builder = RedisStore::builder(cluster.url(), Namespace::new(NAMESPACE).unwrap()).terms(LONG);
    let worker = builder.mode(DoneMode::Exact).build().unwrap();
    // Its done ID stays on the side that the slot moves away from.
    let known = id_of(GROUP, 1);
    all(worker
        .complete(vec![Completion {
            lease: lease(known, b'a'),
            origin: origin(),
            held_for: Duration::from_secs(1),
            message: None,
        }])
        .await);
    cluster.nodes()[to].cli(&["CLUSTER", "SETSLOT", &slot.to_string(), "IMPORTING", cluster.id(from)]);
    cluster.nodes()[from].cli(&["CLUSTER", "SETSLOT", &slot.to_string(), "MIGRATING", cluster.id(to)]);
    let watch = async |node: usize| {
        let client = redis::Client::open(cluster.nodes()[node].url()).unwrap();
        client.get_async_monitor().await.unwrap().into_on_message::<String>()
    };
    let (source, target) = (watch(from).await, watch(to).await);
    let answer = all(worker.claim(vec![claim(known, b'b'), claim(id_of(GROUP, 2), b'b')]).await);
    assert!(matches!(answer[..], [ClaimOutcome::Done { .. }, ClaimOutcome::Claimed { .. }]), "{answer:?}");
    assert!(cluster.errors("ASK") >= 3, "both leases and one look-up were sent on");

    // An end that can be recognised, behind all that was executed.
    for node in [from, to] {
        cluster.nodes()[node].cli(&["PING", "the-end"]);
    }
    use futures_util::StreamExt;
    let executed =
        async |messages: &mut (dyn futures_util::Stream<Item = String> + Unpin), command: &str, key: &str| {
            let mut times = Vec::new();
            while let Some(line) = messages.next().await {
                if line.contains("the-end") {
                    break;
                }
                if line.contains(&format!("\"{command}\"")) && line.contains(key) {
                    times.push(line.split(' ').next().unwrap().parse::<f64>().unwrap());
                }
            }
            times
        };
    let (mut source, mut target) = (Box::pin(source), Box::pin(target));
    let looked_up = executed(&mut source, "GET", &format!(":d:{known}")).await;
    let leased = executed(&mut target, "SET", &format!(":l:{known}")).await;
    let [leased] = leased[..] else { panic!("taken once, not {leased:?}") };
    assert!(looked_up.iter().any(|at| *at < leased), "the pipeline was answered out of order: {looked_up:?}");
    assert!(looked_up.iter().any(|at| *at > leased), "so it was asked again: {looked_up:?}, {leased}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_fails_its_own_items_until_its_replica_takes_over() {
    let cluster = RedisCluster::start();
    let (planner, _) = owner(&cluster, NAMESPACE);
    let partly = lose_a_master(&cluster, (planner + 1) % 3).await;
    assert!(partly, "the other masters went on");
}

/// Nobody claims without a reading of the plan, so all wait for the one that has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_with_the_plan_holds_up_all_until_its_replica_takes_over() {
    let cluster = RedisCluster::start();
    let (planner, _) = owner(&cluster, NAMESPACE);
    lose_a_master(&cluster, planner).await;
}

/// Kills a master under load, and proves that nothing is lost. Answers whether claims on the others went on meanwhile.
async fn lose_a_master(cluster: &RedisCluster, master: usize) -> bool {
    let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
    let next = |batch: u32| -> Vec<Fingerprint> { (0..16).map(|n| id_of((n * 4) as u8, batch * 16 + n)).collect() };
    let workers: Vec<_> = (b'a'..=b'b')
        .map(|name| tokio::spawn(work(store(&cluster.url()), name, next, seen.clone(), stop.clone())))
        .collect();
    await_until("some are handled", WHILE, async || seen.answered.load(Relaxed) > 200).await;

    // One ID per group, claimed again and again by one token.
    let probe = store(&cluster.url());
    let claims: Vec<Claim> = (0..64).map(|group| claim(id_of(group, u32::MAX), b'p')).collect();
    all(probe.claim(claims.clone()).await);
    cluster.nodes()[master].kill();
    let killed = Instant::now();
    let mut partly = false;
    let mut kinds = BTreeSet::new();
    await_until("all groups are served", WHILE, async || {
        let answers = probe.claim(claims.clone()).await;
        let failed: Vec<&StoreError> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert!(failed.iter().all(|error| error.is_retryable()), "{failed:?}");
        kinds.extend(failed.iter().map(|error| error.kind()));
        partly |= !failed.is_empty() && failed.len() < claims.len();
        failed.is_empty()
    })
    .await;
    let recovered = killed.elapsed();
    let before = seen.answered.load(Relaxed);
    await_until("work goes on", WHILE, async || seen.answered.load(Relaxed) > before + 200).await;
    stop.store(true, Relaxed);
    let mut batches = 0;
    for worker in workers {
        batches = batches.max(worker.await.unwrap());
    }
    assert_eq!(*seen.refused.lock(), None);
    let ids: Vec<Fingerprint> = (0..batches).flat_map(next).collect();
    let handled: BTreeSet<Fingerprint> = seen.effects.lock().iter().copied().collect();
    assert!(ids.iter().all(|id| handled.contains(id)), "each was handled");
    let states = all(probe.claim(ids.iter().map(|id| claim(*id, b'c')).collect()).await);
    let forgotten = states.iter().filter(|state| !matches!(state, ClaimOutcome::Done { .. })).count();
    println!(
        "recovered after {recovered:?} (node time-out 1.5 s), kinds {kinds:?}, {} repeats seen, {forgotten} forgotten of {}",
        seen.repeats(),
        ids.len()
    );
    // What the master had answered and not yet passed on: at most what two workers had under way.
    assert!(seen.repeats() + forgotten <= 2 * 16, "{} repeats, {forgotten} forgotten", seen.repeats());
    assert!(recovered < Duration::from_secs(15), "{recovered:?}");
    partly
}

#[tokio::test]
async fn one_living_seed_is_enough() {
    let cluster = RedisCluster::start();
    let gone = RedisServer::start();
    let url = format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", gone.port(), cluster.nodes()[4].port());
    drop(gone);
    let worker = store(&url);
    all(worker.claim((0..64).map(|group| claim(id_of(group, 1), b'a')).collect()).await);

    // The nodes' own errors say which URL would be right.
    let alone = cluster.nodes()[0].url();
    for (url, says) in [(alone.clone(), "redis+cluster://"), (alone.replace("redis:", "redis+cluster:"), "")] {
        let store = store(&url);
        match store.open(&Agreement::of(&store, "header ce_id", &IdKey::default())).await {
            Ok(()) => assert_eq!(says, ""),
            Err(error) => {
                assert!(matches!(error, OpenError::Store(StoreError::Refused(_))), "{error:?}");
                assert!(!says.is_empty() && chain(&error).contains(says), "{error:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_documented_permissions_suffice_in_a_cluster() {
    let cluster = RedisCluster::start();
    for node in cluster.nodes() {
        let allowed = format!("on >pw {} +cluster|slots +asking", RedisStore::PERMISSIONS);
        let words: Vec<&str> = ["ACL", "SETUSER", "hapax"].into_iter().chain(allowed.split(' ')).collect();
        node.cli(&words);
    }
    let url = cluster.url().replace("://", "://hapax:pw@");
    let worker = Worker(Arc::new(store(&url)));
    assert_eq!(worker.claim(1, b'a').await, claimed(0));
    worker.claim(1, b'b').await;
    assert_eq!(worker.complete(1, b'a').await, CompletionOutcome::Recorded);
    // While the slot of an ID moves, too.
    const GROUP: u8 = 5;
    let tag = tag(&cluster, GROUP).await;
    let (from, slot) = owner(&cluster, &tag);
    let to = (from + 1) % 3;
    cluster.nodes()[to].cli(&["CLUSTER", "SETSLOT", &slot.to_string(), "IMPORTING", cluster.id(from)]);
    cluster.nodes()[from].cli(&["CLUSTER", "SETSLOT", &slot.to_string(), "MIGRATING", cluster.id(to)]);
    all(worker.0.claim(vec![claim(id_of(GROUP, 7), b'a')]).await);
    assert!(cluster.errors("ASK") > 0);

    for node in cluster.nodes() {
        node.cli(&["ACL", "SETUSER", "hapax", "-cluster"]);
    }
    let store = store(&url);
    let error = store.open(&Agreement::of(&store, "header ce_id", &IdKey::default())).await.unwrap_err();
    assert!(matches!(error, OpenError::Store(StoreError::Refused(_))), "{error:?}");
    assert!(chain(&error).contains("+cluster|slots"), "what to allow: {error:?}");
}
