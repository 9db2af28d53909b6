//! A Redis that refuses a command: it is found out before anything is claimed, named with its remedy, and no effect begins
//! whose completion is known to be impossible.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hapax::id::{IdKey, Namespace};
use hapax::store::{
    Agreement, DoneMode, OpenError, RedisStore, RedisStoreBuilder, Severity, Store, StoreError, Verdict,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::common::{RedisCluster, RedisServer, tools};
use crate::conformance::{LONG, Worker, all, assert_done, claim, claimed, completion, id, until};
use crate::store_faults::{Effects, Handled, RECOVERY, Site, recorded};
use crate::store_redis::{NAMESPACE, key};
use crate::store_redis_faults::chain;

const MODES: [DoneMode; 2] = [DoneMode::Compact, DoneMode::Exact];

fn builder(url: &str, mode: DoneMode) -> RedisStoreBuilder {
    let builder = RedisStore::builder(url, Namespace::new(NAMESPACE).unwrap()).terms(LONG).mode(mode);
    builder.health_interval(Duration::from_millis(50))
}

fn store(url: &str, mode: DoneMode) -> RedisStore {
    builder(url, mode).build().unwrap()
}

async fn open(store: &RedisStore) -> Result<(), OpenError> {
    store.open(&Agreement::of(store, "header ce_id", &IdKey::default())).await
}

/// Makes a user who may do what the store needs, and then this.
fn user(server: &RedisServer, name: &str, more: &[&str]) -> String {
    let allowed = format!("reset on >pw {}", RedisStore::PERMISSIONS);
    let words = ["ACL", "SETUSER", name].into_iter().chain(allowed.split(' ')).chain(more.iter().copied());
    server.cli(&words.collect::<Vec<_>>());
    server.url().replace("://", &format!("://{name}:pw@"))
}

fn findings(store: &RedisStore) -> Vec<&'static str> {
    store.health().findings.iter().filter(|finding| finding.severity == Severity::Error).map(|it| it.name).collect()
}

/// What every process of the server executes, from now on, but for the examples that ask what is allowed.
struct Monitor {
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Monitor {
    async fn start(server: &RedisServer) -> Self {
        let mut command = Command::new(tools::redis_cli());
        command.args(["-h", "127.0.0.1", "-p", &server.port().to_string(), "MONITOR"]).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (lines, output) = (Arc::new(Mutex::new(Vec::new())), process.stdout.take().unwrap());
        let seen = lines.clone();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).for_each(|line| seen.lock().push(line));
        });
        let this = Self { process, lines };
        until(async || this.lines.lock().iter().any(|line| line == "OK")).await;
        this
    }

    fn commands(&self) -> BTreeSet<String> {
        let zero = format!(":{}\"", "0".repeat(32));
        let is_example = |line: &str| {
            line.contains(&zero)
                || line.contains(":s:0.0.0\"")
                || line.contains("\"probe\"")
                || line.contains("\"server\"")
        };
        let lines = self.lines.lock();
        let ours = lines.iter().filter(|line| !is_example(line));
        ours.filter_map(|line| line.split('"').nth(1)).map(str::to_uppercase).collect()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The list is what is sent, no more and no less.
#[tokio::test]
async fn the_listed_commands_are_those_that_are_sent() {
    let server = RedisServer::start();
    let url = user(&server, "hapax", &[]);
    let monitor = Monitor::start(&server).await;
    let plan = format!("hapax:1:{{{NAMESPACE}}}:plan");
    for mode in MODES {
        // A slice that nobody needs any more, to be tidied up.
        server.cli(&["DEL", &format!("hapax:1:{{{NAMESPACE}}}:meta")]);
        server.cli(&["HSET", &plan, "1:45", "0"]);
        let store = store(&url, mode);
        open(&store).await.unwrap();
        let worker = Worker(Arc::new(store.clone()));
        for n in 1..40 {
            worker.claim(n, b'a').await;
        }
        worker.claim(1, b'b').await;
        worker.renew(1, b'a').await;
        worker.release(1, b'a', 2).await;
        assert_eq!(worker.claim(1, b'c').await, claimed(2));
        // Twice to the same set: by the script and then by the plain command.
        for n in 2..40 {
            worker.complete(n, b'a').await;
        }
        for n in 2..40 {
            worker.complete(n, b'a').await;
        }
        assert_done(&worker.claim(2, b'b').await);
        worker.inspect(2).await;
        assert!(worker.forget(2).await);
        let sent = |name: &str| monitor.commands().contains(name);
        until(async || {
            worker.inspect(2).await;
            mode == DoneMode::Exact || sent("SCARD")
        })
        .await;
    }
    let listed: BTreeSet<String> = RedisStore::PERMISSIONS.split(" +").skip(1).map(str::to_uppercase).collect();
    // What a connection begins with, what may be refused, and what the test itself sends.
    let others = ["HELLO", "AUTH", "CLIENT", "CONFIG", "HSET", "ACL", "COMMAND", "MONITOR"];
    let sent: BTreeSet<String> =
        monitor.commands().into_iter().filter(|name| !others.contains(&name.as_str())).collect();
    // `INFO` is sent by connections alone, and is told apart by its argument.
    let listed: BTreeSet<String> = listed.into_iter().filter(|name| name != "INFO" || sent.contains("INFO")).collect();
    assert_eq!(sent, listed);
    let left: String = server.cli(&["KEYS", "*"]);
    assert!(!left.contains(&"0".repeat(32)) && !left.contains(":s:0.0.0"), "examples leave nothing: {left}");
}

/// Each one that is missing is enough, and is named.
#[tokio::test]
async fn a_missing_command_is_refused_before_anything_is_claimed() {
    let server = RedisServer::start();
    for mode in MODES {
        for command in RedisStore::PERMISSIONS.split(" +").skip(1) {
            let url = user(&server, "less", &[&format!("-{command}")]);
            let store = store(&url, mode);
            let opened = open(&store).await;
            let needless = mode == DoneMode::Exact
                && ["pexpireat", "sadd", "sismember", "srem", "scard", "hgetall", "hsetnx", "hdel"].contains(&command);
            if needless {
                opened.unwrap_or_else(|error| panic!("{mode:?} needs no {command}: {error:?}"));
                continue;
            }
            let error = opened.expect_err(command);
            assert!(matches!(error, OpenError::Store(StoreError::Refused(_))), "{command}: {error:?}");
            let text = chain(&error);
            let address = format!("127.0.0.1:{}", server.port());
            for part in [command, "NOPERM", "ACL SETUSER <user> ~hapax:*", &address] {
                assert!(text.to_lowercase().contains(&part.to_lowercase()), "{command}: {part} is not in {text}");
            }
            let answer = store.claim(vec![claim(1, b'a')]).await.pop().unwrap();
            assert!(matches!(answer, Err(StoreError::Refused(_))), "{command}: {answer:?}");
            if command != "info" {
                assert_eq!(findings(&store).first(), Some(&"commands_refused"), "{command}");
                assert!(store.health().findings[0].says.contains(&command.to_uppercase()), "{command}");
                assert!(store.health().refuses());
            }
        }
    }
    // The example may be there still, for a second, where it may not be deleted.
    let claimed = server.cli(&["KEYS", "*:l:*"]);
    assert!(claimed.lines().all(|key| key.ends_with(&"0".repeat(32))), "nothing was claimed: {claimed}");
}

/// Keys of one kind are out of reach, though every command is allowed.
#[tokio::test]
async fn patterns_that_do_not_cover_the_keys_are_refused() {
    let server = RedisServer::start();
    for (mode, patterns) in [
        (DoneMode::Compact, &["~hapax:1:*:l:*", "~hapax:1:*:meta", "~hapax:1:*:plan"][..]),
        (DoneMode::Compact, &["~hapax:1:*:l:*", "~hapax:1:*:meta", "~hapax:1:*:s:*", "%R~hapax:1:*:plan"]),
        (DoneMode::Compact, &["~other:*"]),
        (DoneMode::Exact, &["~hapax:1:*:l:*", "~hapax:1:*:meta", "%R~hapax:1:*:d:*"]),
    ] {
        let url = user(&server, "half", &[&["resetkeys"], patterns].concat());
        let store = store(&url, mode);
        let error = open(&store).await.expect_err("out of reach");
        assert!(chain(&error).contains("one of the keys"), "{patterns:?}: {error:?}");
        let answer = store.claim(vec![claim(1, b'a')]).await.pop().unwrap();
        assert!(matches!(answer, Err(StoreError::Refused(_))), "{patterns:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_renamed_command_is_refused_with_its_own_remedy() {
    for command in ["EVALSHA", "SADD"] {
        let server = RedisServer::start_with(&["--rename-command", command, ""]);
        let store = store(&server.url(), DoneMode::Compact);
        let text = chain(&open(&store).await.expect_err(command));
        assert!(text.contains(command) && text.contains("rename-command"), "{text}");
        assert_eq!(findings(&store), ["commands_refused"]);
    }
}

/// A right is taken away while one effect is under way, and comes back: nothing begins meanwhile, duplicates are known.
#[tokio::test(flavor = "multi_thread")]
async fn a_right_taken_away_stops_claims_until_it_is_back() {
    let server = RedisServer::start();
    let (site, effects) = (Site::new(&server.url(), "rights"), Effects::default());
    site.handle(&effects, 0).await;
    let guard = site.claim(1).await;
    server.cli(&["ACL", "SETUSER", "default", "-sadd"]);
    effects.add(1);
    let recording = guard.complete();
    site.errors.until("complete", 1).await;
    until(async || site.store.health().refuses()).await;
    // The command of a claim is allowed, and its completion is not.
    let error = site.one_claim(2, b'a').await.expect_err("its completion is impossible");
    assert!(matches!(error, StoreError::Refused(_)) && chain(&error).contains("SADD"), "{error:?}");
    assert_done(&site.one_claim(0, b'a').await.expect("what needs no completion is answered"));
    assert_eq!(server.cli(&["EXISTS", &key('l', 2).replace(NAMESPACE, "rights")]).trim(), "0", "no lease was taken");
    server.cli(&["ACL", "SETUSER", "default", "+@all"]);
    let back = Instant::now();
    assert_eq!(recorded(recording).await, Verdict::First);
    until(async || site.one_claim(2, b'a').await.is_ok()).await;
    assert!(back.elapsed() < RECOVERY, "{:?}", back.elapsed());
    assert!(!site.store.health().refuses());
    assert_eq!(effects.repeats(), 0);
}

/// Scripts serve the rare paths only, and are missed all the same; what can be recorded without them is.
#[tokio::test]
async fn scripts_taken_away_are_noticed_before_they_are_needed() {
    let server = RedisServer::start();
    let store = store(&server.url(), DoneMode::Exact);
    open(&store).await.unwrap();
    let worker = Worker(Arc::new(store.clone()));
    assert_eq!(worker.claim(1, b'a').await, claimed(0));
    server.cli(&["ACL", "SETUSER", "default", "-evalsha"]);
    let mut n = 1;
    until(async || {
        n += 1;
        matches!(&store.claim(vec![claim(n, b'a')]).await[0], Err(error) if chain(error).contains("EVALSHA"))
    })
    .await;
    all(store.complete(vec![completion(1, b'a')]).await);
    assert_done(&worker.claim(1, b'b').await);
}

/// The next connection is asked as the first was.
#[tokio::test]
async fn a_new_connection_is_asked_again() {
    let server = RedisServer::start();
    let url = user(&server, "hapax", &[]);
    let store = store(&url, DoneMode::Compact);
    open(&store).await.unwrap();
    user(&server, "hapax", &["-evalsha"]);
    server.cli(&["CLIENT", "KILL", "USER", "hapax"]);
    until(
        async || matches!(&store.claim(vec![claim(1, b'a')]).await[0], Err(error) if chain(error).contains("EVALSHA")),
    )
    .await;
}

#[tokio::test]
async fn a_node_of_a_cluster_that_refuses_is_named() {
    let cluster = RedisCluster::start();
    for node in cluster.nodes() {
        user(node, "hapax", &["+cluster|slots", "+asking"]);
    }
    let url = cluster.url().replace("://", "://hapax:pw@");
    let whole = store(&url, DoneMode::Compact);
    open(&whole).await.unwrap();
    let odd = &cluster.nodes()[1];
    user(odd, "hapax", &["+cluster|slots", "+asking", "-sadd"]);
    // At the start,
    let late = store(&url, DoneMode::Compact);
    let text = chain(&open(&late).await.expect_err("one node refuses"));
    assert!(text.contains("SADD") && text.contains(&odd.port().to_string()), "{text}");
    // and at work: its IDs only.
    until(async || {
        whole.inspect((0..64).map(id).collect()).await;
        whole.health().refuses()
    })
    .await;
    let answers = whole.claim((0..200).map(|n| claim(n, b'a')).collect()).await;
    let refused = answers.iter().filter(|answer| matches!(answer, Err(StoreError::Refused(_)))).count();
    let claimed = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(refused > 20 && claimed > 60 && refused + claimed == 200, "{refused} refused, {claimed} claimed");
    assert_eq!(odd.cli(&["KEYS", "*:l:*"]).trim(), "", "nothing was claimed there");
}

/// Redis takes no writes: that passes, and says so meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn writes_refused_are_found_and_waited_for() {
    let server = RedisServer::start_with(&["--min-replicas-to-write", "1"]);
    let store = store(&server.url(), DoneMode::Compact);
    let error = open(&store).await.unwrap_err();
    assert!(matches!(error, OpenError::Store(StoreError::Unavailable(_))), "{error:?}");
    assert!(chain(&error).contains("NOREPLICAS") && chain(&error).contains("min-replicas-to-write"), "{error:?}");
    assert_eq!(findings(&store), ["writes_refused"]);
    server.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    until(async || open(&store).await.is_ok()).await;
    let worker = Worker(Arc::new(store.clone()));
    assert_eq!(worker.claim(1, b'a').await, claimed(0));
    // While it works: the completion waits, nothing new is claimed, and both go on by themselves.
    let site = Site::new(&server.url(), "writes");
    let effects = Effects::default();
    site.handle(&effects, 0).await;
    let guard = site.claim(1).await;
    server.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    effects.add(1);
    let recording = guard.complete();
    site.errors.until("complete", 1).await;
    until(async || site.store.health().findings.iter().any(|finding| finding.name == "writes_refused")).await;
    assert_eq!(site.one_claim(2, b'a').await.unwrap_err().kind(), "unavailable");
    server.cli(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    assert_eq!(recorded(recording).await, Verdict::First);
    assert_eq!(site.handle_all(&effects, [0, 1]).await, [Handled::Duplicate; 2]);
    until(async || !site.store.health().refuses()).await;
}

/// A foreign key in the place of one of ours: the claim meets it first, so no effect begins that could not be recorded.
#[tokio::test]
async fn keys_of_a_foreign_type_are_met_by_the_claim() {
    for mode in MODES {
        let server = RedisServer::start();
        let store = store(&server.url(), mode);
        open(&store).await.unwrap();
        let worker = Worker(Arc::new(store.clone()));
        worker.claim(1, b'a').await;
        worker.complete(1, b'a').await;
        let kind = if mode == DoneMode::Exact { "*:d:*" } else { "*:s:*" };
        let done = server.cli(&["KEYS", kind]).trim().to_owned();
        for (n, foreign) in [(1, done), (2, key('l', 2))] {
            server.cli(&["DEL", &foreign]);
            server.cli(&["RPUSH", &foreign, "foreign"]);
            let answer = store.claim(vec![claim(n, b'b')]).await.pop().unwrap();
            assert!(
                matches!(&answer, Err(error) if chain(error).contains("WRONGTYPE")),
                "{mode:?} {foreign}: {answer:?}"
            );
        }
        assert_eq!(worker.claim(3, b'a').await, claimed(0), "all others go on");
        assert!(!store.health().refuses());
    }
}

/// A full Redis refuses writes and still takes completions: that is no missing right.
#[tokio::test]
async fn a_full_redis_lacks_no_right() {
    let server = RedisServer::start_with(&["--maxmemory", "1"]);
    let store = store(&server.url(), DoneMode::Compact);
    assert!(matches!(open(&store).await, Err(OpenError::Store(StoreError::Full(_)))));
    assert!(!store.health().refuses(), "{:?}", store.health().findings);
    all(store.complete(vec![completion(1, b'a')]).await);
}
