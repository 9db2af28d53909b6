//! Done IDs lie in compact sets, and none is missed while slices end, sets grow and clocks differ.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hapax::id::{Fingerprint, Namespace};
use hapax::store::{
    Agreement, Claim, ClaimOutcome, Completion, CompletionOutcome, DoneMode, Estimate, Lease, LeaseTerms, RedisStore,
    State, Store, Token,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use crate::common::{Proxy, RedisServer};
use crate::conformance::{LONG, assert_done, claimed, completion, id, origin, until};
use crate::store_proxy::{Gate, Proxy as Reader, Step, is};
use crate::store_redis::{NAMESPACE, cli, raw, worker};

/// Two seconds, and a sixteenth of a second for every bound.
const WINDOW: Duration = Duration::from_secs(2);
const BRIEF: LeaseTerms = LeaseTerms { window: WINDOW, lease: Duration::from_secs(1), grace: Duration::from_secs(1) };

fn store(url: &str, terms: LeaseTerms) -> Arc<RedisStore> {
    Arc::new(RedisStore::builder(url, Namespace::new(NAMESPACE).unwrap()).terms(terms).build().unwrap())
}

fn random_ids(seed: u64, count: usize) -> Vec<Fingerprint> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count).map(|_| Fingerprint::from_bytes(rng.random())).collect()
}

fn as_claims(ids: &[Fingerprint]) -> Vec<Claim> {
    let lease = |fingerprint| Lease { fingerprint, token: Token::random(&mut rand::rng()) };
    ids.iter().map(|id| Claim { lease: lease(*id), takes_over: false, origin: origin(), message: None }).collect()
}

fn as_completions(claims: &[Claim], held_for: Duration) -> Vec<Completion> {
    claims.iter().map(|claim| Completion { held_for, ..completion_of(claim) }).collect()
}

fn completion_of(claim: &Claim) -> Completion {
    Completion { lease: claim.lease, ..completion(0, b'a') }
}

/// Claims and completes.
async fn handle(store: &RedisStore, ids: &[Fingerprint]) {
    let began = Instant::now();
    let claims = as_claims(ids);
    for answer in store.claim(claims.clone()).await {
        assert!(matches!(answer, Ok(ClaimOutcome::Claimed { attempts: 0, .. })), "{answer:?}");
    }
    for answer in store.complete(as_completions(&claims, began.elapsed())).await {
        assert_eq!(answer.unwrap(), CompletionOutcome::Recorded);
    }
}

async fn assert_all_done(store: &RedisStore, ids: &[Fingerprint]) {
    let missed = store.claim(as_claims(ids)).await.into_iter().filter(|answer| !is_done(answer)).count();
    assert_eq!(missed, 0, "of {} done IDs so many were not found", ids.len());
}

fn is_done<E>(answer: &Result<ClaimOutcome, E>) -> bool {
    matches!(answer, Ok(ClaimOutcome::Done { .. }))
}

/// Every key there is, with its time to live.
async fn keys(redis: &mut redis::aio::MultiplexedConnection) -> HashMap<String, i64> {
    let names: Vec<String> = cli(redis, &["KEYS", "*"]).await;
    let mut keys = HashMap::new();
    for names in names.chunks(1000) {
        let mut pipeline = redis::pipe();
        names.iter().for_each(|name| {
            pipeline.cmd("PTTL").arg(name);
        });
        let left: Vec<i64> = pipeline.query_async(redis).await.unwrap();
        keys.extend(names.iter().cloned().zip(left));
    }
    keys
}

/// How many keys would stay for ever.
async fn lasting(redis: &mut redis::aio::MultiplexedConnection) -> usize {
    // -2 is one that went between the two questions.
    keys(redis).await.values().filter(|left| **left == -1).count()
}

/// The encodings of all sets, with how many have it.
async fn encodings(redis: &mut redis::aio::MultiplexedConnection) -> HashMap<String, usize> {
    let mut encodings = HashMap::new();
    for name in keys(redis).await.into_keys().filter(|name| name.contains("}:s:")) {
        let encoding: Option<String> = cli(redis, &["OBJECT", "ENCODING", &name]).await;
        if let Some(encoding) = encoding {
            *encodings.entry(encoding).or_default() += 1;
        }
    }
    encodings
}

/// Far more than was planned for: the sets grow in number, all stay within the server's limit and so compact, and every
/// ID is found.
#[tokio::test]
async fn a_burst_stays_compact() {
    // 2880 sets of 71 on average are safe: half of what comes.
    let server = RedisServer::start_with(&["--set-max-intset-entries", "128"]);
    let mut redis = raw(&server).await;
    let (store, other) = (store(&server.url(), LONG), self::store(&server.url(), LONG));
    let ids = random_ids(1, 300_000);
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for ids in ids.chunks(5000) {
        pace.tick().await;
        handle(&store, ids).await;
    }
    let encodings = encodings(&mut redis).await;
    assert_eq!(encodings.keys().collect::<Vec<_>>(), ["intset"], "{encodings:?}");
    let plan: HashMap<String, u64> = cli(&mut redis, &["HGETALL", &format!("hapax:1:{{{NAMESPACE}}}:plan")]).await;
    assert!(plan.values().any(|from| *from > 0), "a further generation was needed: {plan:?}");
    for ids in ids.chunks(50_000) {
        assert_all_done(&other, ids).await;
    }
    assert_eq!(lasting(&mut redis).await, 0);
}

/// After the window nothing is left, neither sets nor the plan nor what was agreed on.
#[tokio::test]
async fn after_the_window_no_key_is_left() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let store = store(&server.url(), BRIEF);
    let agreement = Agreement::of(&*store, "header ce_id", &hapax::id::IdKey::default());
    store.open(&agreement).await.unwrap();
    handle(&store, &random_ids(2, 1000)).await;
    assert!(keys(&mut redis).await.len() > 500);
    assert_eq!(lasting(&mut redis).await, 0);
    // The sets of a slice go two windows after its end, at the latest; what was agreed on, after four.
    until(async || cli::<u64>(&mut redis, &["DBSIZE"]).await == 0).await;
}

/// Two workers whose ideas of the time differ, for the way to one is slow and the way back from the other. Slices end
/// every two seconds and sets grow; whatever one handled the other finds, for a whole window.
#[tokio::test]
async fn no_done_id_is_missed_while_slices_end_and_grow_and_clocks_differ() {
    let server = RedisServer::start_with(&["--set-max-intset-entries", "64"]);
    let (to_a, to_b) = (Proxy::to_port(server.port()), Proxy::to_port(server.port()));
    to_a.delay(Duration::from_millis(15), Duration::ZERO);
    to_b.delay(Duration::ZERO, Duration::from_millis(15));
    let (a, b) = (store(&to_a.redis_url(), BRIEF), store(&to_b.redis_url(), BRIEF));
    let mut redis = raw(&server).await;
    let mut grew = false;
    // A slice is planned by the one before, and grows where much more comes: so little comes for two windows, and much for
    // the next two. On a busy machine it takes a few of these turns.
    let start = Instant::now();
    let (deadline, latest) = (start + 5 * WINDOW, start + 30 * WINDOW);
    let mut rng = StdRng::seed_from_u64(3);
    // What was done, and when at the latest.
    let mut done: Vec<(Instant, Fingerprint)> = Vec::new();
    let mut asked = 0;
    while Instant::now() < deadline || !grew && Instant::now() < latest {
        let little = start.elapsed().as_millis() / (2 * WINDOW).as_millis() % 2 == 1;
        let ids: Vec<Fingerprint> =
            (0..if little { 20 } else { 2000 }).map(|_| Fingerprint::from_bytes(rng.random())).collect();
        let (worker, other) = if rng.random() { (&a, &b) } else { (&b, &a) };
        let began = Instant::now();
        handle(worker, &ids).await;
        done.extend(ids.into_iter().map(|id| (began, id)));
        // Whatever will still be less than a window old when the answer is there.
        let margin = Duration::from_millis(300);
        done.retain(|(at, _)| at.elapsed() + margin < WINDOW);
        let some: Vec<(Instant, Fingerprint)> =
            (0..200).filter_map(|_| done.get(rng.random_range(0..done.len().max(1))).copied()).collect();
        let answers = other.claim(as_claims(&some.iter().map(|(_, id)| *id).collect::<Vec<_>>())).await;
        for ((at, id), answer) in some.iter().zip(answers) {
            let age = at.elapsed();
            assert!(is_done(&answer) || age > WINDOW, "{id} was done {age:?} ago: {answer:?}");
            asked += 1;
        }
        let plan: HashMap<String, u64> = cli(&mut redis, &["HGETALL", &format!("hapax:1:{{{NAMESPACE}}}:plan")]).await;
        grew |= plan.values().any(|from| *from > 0);
    }
    assert!(grew, "no slice grew: nothing was proven of growth");
    assert!(asked > 1000, "the rounds were too few to prove anything: {asked}");
}

/// A worker that cannot read the plan claims nothing: there may be sets of which it does not know.
#[tokio::test]
async fn whoever_cannot_read_the_plan_claims_nothing() {
    let server = RedisServer::start();
    let proxy = Reader::start(server.port()).await;
    let b = worker(&proxy.url());
    assert_eq!(b.claim(1, b'b').await, claimed(0));
    let gate = Arc::new(Gate::default());
    let held = gate.clone();
    proxy.rule(move |command| if is(command, "HGETALL", "") { Step::Hold(held.clone()) } else { Step::Pass });
    // Readings come with questions.
    let asking = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let b = b.clone();
            tokio::spawn(async move { drop(b.0.inspect(vec![id(9)]).await) });
        }
    };
    tokio::select! {
        () = gate.reached() => {}
        () = asking => {}
    }
    // Whatever it knew is too old by now. Its next claim waits for a reading.
    tokio::time::sleep(Duration::from_millis(600)).await;
    proxy.seen();
    let claiming = tokio::spawn({
        let b = b.clone();
        async move { b.claim(2, b'b').await }
    });
    // Meanwhile another generation came, and the ID lies there.
    let mut redis = raw(&server).await;
    let plan = format!("hapax:1:{{{NAMESPACE}}}:plan");
    let newest: Vec<String> = cli(&mut redis, &["HKEYS", &plan]).await;
    let slice = newest.iter().map(|field| field.split(':').next().unwrap().parse::<u64>().unwrap()).max().unwrap();
    cli::<()>(&mut redis, &["HSET", &plan, &format!("{slice}:77"), "1"]).await;
    let a = worker(&server.url());
    assert_eq!(a.complete(2, b'a').await, CompletionOutcome::Recorded);
    let sets: Vec<String> = cli(&mut redis, &["KEYS", "*}:s:*.77.*"]).await;
    assert_eq!(sets.len(), 1, "written to the new generation");
    proxy.rule(|_| Step::Pass);
    gate.open();
    assert_done(&claiming.await.unwrap());
}

/// A plan that was lost is put back by whoever knew it, before anybody looks elsewhere.
#[tokio::test]
async fn a_lost_plan_is_put_back() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let builder = RedisStore::builder(server.url(), Namespace::new(NAMESPACE).unwrap()).terms(LONG);
    let a = builder.expected_ids(10_000_000).build().unwrap();
    let ids = random_ids(5, 100);
    handle(&a, &ids).await;
    let plan = format!("hapax:1:{{{NAMESPACE}}}:plan");
    let before: HashMap<String, u64> = cli(&mut redis, &["HGETALL", &plan]).await;
    cli::<()>(&mut redis, &["DEL", &plan]).await;
    until(async || {
        assert_all_done(&a, &ids).await;
        cli::<HashMap<String, u64>>(&mut redis, &["HGETALL", &plan]).await == before
    })
    .await;
    // Somebody who expects less, and would plan otherwise.
    assert_all_done(&store(&server.url(), LONG), &ids).await;
    assert!(cli::<i64>(&mut redis, &["PTTL", &plan]).await > 0);
}

/// Sets that are made anew by plain commands, after Redis lost its data, get their expiry as soon as that is noticed.
#[tokio::test]
async fn after_redis_lost_its_data_every_set_expires_again() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let store = store(&server.url(), LONG);
    let ids = random_ids(6, 2000);
    handle(&store, &ids).await;
    handle(&store, &random_ids(7, 2000)).await;
    cli::<()>(&mut redis, &["FLUSHALL"]).await;
    handle(&store, &ids).await;
    until(async || {
        // Readings come with questions.
        store.inspect(vec![ids[0]]).await;
        lasting(&mut redis).await == 0
    })
    .await;
    assert_all_done(&store, &ids).await;
}

/// A second effect is told as one although the slice ended between claim and completion.
#[tokio::test]
async fn a_second_completion_in_the_next_slice_finds_the_first() {
    let server = RedisServer::start();
    let store = store(&server.url(), BRIEF);
    let began = Instant::now();
    let claims = as_claims(&random_ids(8, 50));
    assert!(store.claim(claims.clone()).await.iter().all(Result::is_ok));
    for answer in store.complete(as_completions(&claims, began.elapsed())).await {
        assert_eq!(answer.unwrap(), CompletionOutcome::Recorded);
    }
    // From here on the current slice is another one than that of the claim.
    tokio::time::sleep(WINDOW).await;
    for answer in store.complete(as_completions(&claims, began.elapsed())).await {
        assert_eq!(answer.unwrap(), CompletionOutcome::AlreadyDone);
    }
    assert!(matches!(store.inspect(vec![claims[0].lease.fingerprint]).await[..], [Ok(State::Done { .. })]));
}

#[tokio::test]
async fn a_window_too_short_for_slices_is_refused_with_the_way_out() {
    let terms = LeaseTerms { window: Duration::from_secs(1), ..LONG };
    let builder = RedisStore::builder("redis://localhost", Namespace::new(NAMESPACE).unwrap()).terms(terms);
    let error = builder.build().unwrap_err().to_string();
    assert!(error.starts_with("window: ") && error.contains("exact"), "{error}");
}

/// Neither mode reads every key, and both know about how many there are.
#[tokio::test]
async fn what_is_remembered_can_be_estimated() {
    for mode in [DoneMode::Compact, DoneMode::Exact] {
        let server = RedisServer::start();
        let builder = RedisStore::builder(server.url(), Namespace::new(NAMESPACE).unwrap()).terms(LONG).mode(mode);
        let store = builder.build().unwrap();
        assert_eq!(store.estimate().await.unwrap(), Estimate { ids: 0, bytes: 0 });
        for ids in random_ids(10, 50_000).chunks(5000) {
            handle(&store, ids).await;
        }
        let Estimate { ids, bytes } = store.estimate().await.unwrap();
        assert!((35_000..65_000).contains(&ids), "{mode:?}: {ids}");
        let expected = if mode == DoneMode::Compact { 8..40 } else { 80..200 };
        assert!(expected.contains(&(bytes / ids)), "{mode:?}: {bytes} bytes for {ids}");
    }
}

/// A script holds up everybody else. The longest that there is gives back what was taken for duplicates.
#[tokio::test]
async fn no_script_takes_two_milliseconds() {
    let server = RedisServer::start();
    let mut redis = raw(&server).await;
    let ids = random_ids(11, 10_000);
    handle(&store(&server.url(), LONG), &ids).await;
    // Each has seen no duplicates yet, and takes leases first.
    for _ in 0..10 {
        assert_all_done(&store(&server.url(), LONG), &ids[..1000]).await;
    }
    let stats: String = cli(&mut redis, &["INFO", "commandstats"]).await;
    let mut scripts = 0;
    for line in stats.lines().filter(|line| line.starts_with("cmdstat_eval")) {
        let micros = line.split("usec_per_call=").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
        assert!(micros.parse::<f64>().unwrap() < 2000.0, "{line}");
        scripts += 1;
    }
    assert!(scripts > 0, "none was called");
}

/// Where nearly everything was done before, it is looked up first, and no lease is taken for it.
#[tokio::test]
async fn a_flood_of_duplicates_takes_no_leases() {
    let server = RedisServer::start();
    let proxy = Reader::start(server.port()).await;
    let ids = random_ids(12, 4000);
    handle(&store(&server.url(), LONG), &ids[..3999]).await;
    let store = store(&proxy.url(), LONG);
    for ids in ids[..3000].chunks(500) {
        assert_all_done(&store, ids).await;
    }
    proxy.seen();
    let answers = store.claim(as_claims(&ids[3500..])).await;
    assert_eq!(answers.iter().filter(|answer| is_done(answer)).count(), 499);
    assert!(matches!(answers[499], Ok(ClaimOutcome::Claimed { .. })), "{:?}", answers[499]);
    let leases = proxy.seen().iter().filter(|command| is(command, "SET", ":l:")).count();
    assert_eq!(leases, 1, "of the fresh one");
}
