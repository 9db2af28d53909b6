//! The pull API: each ID once, whatever its callers do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hapax::id::{IdKey, Namespace};
use hapax::observe::{Blind, Observer};
use hapax::record::Record;
use hapax::sidecar::listen::{Limits, guarded};
use hapax::sidecar::pull::{self, PullSettings, PullState};
use hapax::store::{Cached, DoneCache, LeaseTerms, RedisStore, Store, Verdict};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::common::{RedisServer, Signal, await_until, unique};
use crate::schema;
use crate::serving::{Served, client, post, settings};

const SOON: LeaseTerms =
    LeaseTerms { lease: Duration::from_millis(300), grace: Duration::from_secs(60), window: Duration::from_secs(3600) };

fn long() -> LeaseTerms {
    LeaseTerms::default()
}

/// A sidecar that serves the pull API.
struct Sidecar {
    served: Served,
    state: Arc<PullState>,
    client: reqwest::Client,
    document: Value,
}

impl Sidecar {
    async fn start(redis: &RedisServer, namespace: &str, terms: LeaseTerms) -> Self {
        Self::start_with(redis, namespace, terms, Arc::new(Blind)).await
    }

    async fn start_with(redis: &RedisServer, namespace: &str, terms: LeaseTerms, observer: Arc<dyn Observer>) -> Self {
        let store = RedisStore::builder(redis.url(), Namespace::new(namespace).unwrap()).terms(terms).build().unwrap();
        let cache = DoneCache::new(100_000, Duration::from_secs(600), terms.window);
        let store: Arc<dyn Store> = Arc::new(Cached::new(Arc::new(store), cache));
        let limits = PullSettings { id_key: IdKey::default(), max_ids: 1000, max_wait: Duration::from_secs(30) };
        store.open(&pull::agreement(&*store, &limits)).await.unwrap();
        let state = PullState::new(store, observer, limits);
        let router = guarded(pull::router(state.clone()), &settings()).unwrap();
        let served = Served::start(router, Limits::default(), None).await;
        let document = serde_json::from_str(include_str!("../../src/sidecar/pull/openapi.json")).unwrap();
        Self { served, state, client: client(), document }
    }

    /// Calls, and checks the answer against the document.
    async fn call(&self, path: &str, body: Value) -> (u16, Value) {
        let (status, answer) = post(&self.client, self.served.url(path), &body).await;
        schema::check(&self.document, path, "post", status, &answer);
        (status, answer)
    }

    /// Claims one ID; answers its result.
    async fn claim(&self, id: &str) -> Value {
        let (status, mut answer) = self.call("/v1/claim", json!({"ids": [{"id": id}]})).await;
        assert_eq!(status, 200);
        answer["results"][0].take()
    }

    /// Claims one ID, which must be free; answers its token.
    async fn token(&self, id: &str) -> String {
        let claimed = self.claim(id).await;
        assert_eq!(claimed["status"], "claimed", "{claimed}");
        claimed["token"].as_str().unwrap().to_owned()
    }

    /// Does something with one held ID; answers the status and the result.
    async fn act(&self, path: &str, id: &str, token: &str) -> (u16, Value) {
        let (status, mut answer) = self.call(path, json!({"items": [{"id": id, "token": token}]})).await;
        (status, answer["results"][0].take())
    }

    async fn release(&self, id: &str, token: &str, outcome: &str) -> (u16, Value) {
        let item = json!({"id": id, "token": token, "outcome": outcome});
        let (status, mut answer) = self.call("/v1/release", json!({"items": [item]})).await;
        (status, answer["results"][0].take())
    }
}

#[derive(Debug, Default)]
struct Verdicts(Mutex<Vec<Verdict>>);

impl Observer for Verdicts {
    fn on_complete(&self, _: &Record, verdict: Verdict) {
        self.0.lock().push(verdict);
    }
}

#[tokio::test]
async fn an_id_is_claimed_once_and_done_once() {
    let redis = RedisServer::start();
    let sidecar = Sidecar::start(&redis, "orders", long()).await;
    let token = sidecar.token("a").await;
    assert_eq!(sidecar.claim("a").await["status"], "in_flight");
    assert_eq!(sidecar.act("/v1/renew", "a", &token).await.1["status"], "renewed");
    assert_eq!(sidecar.act("/v1/complete", "a", &token).await, (200, json!({"id": "a", "status": "completed"})));
    assert_eq!(sidecar.claim("a").await["status"], "duplicate");
    // The answer was lost, and the call is repeated.
    assert_eq!(sidecar.act("/v1/complete", "a", &token).await, (200, json!({"id": "a", "status": "completed"})));
    let served = sidecar.client.get(sidecar.served.url("/openapi.json")).send().await.unwrap();
    assert_eq!(crate::serving::read(served).await, (200, sidecar.document.clone()));
    // Another scope is another message; the same bytes are the same.
    let call = json!({"ids": [{"id": "a", "scope": "b"}, {"id_base64": "YQ=="}]});
    let (_, answer) = sidecar.call("/v1/claim", call).await;
    assert_eq!(answer["results"][0]["status"], "claimed");
    assert_eq!(answer["results"][1], json!({"id_base64": "YQ==", "status": "duplicate"}));
}

#[tokio::test]
async fn a_stale_token_changes_nothing() {
    let redis = RedisServer::start();
    let sidecar = Sidecar::start(&redis, "orders", SOON).await;
    let first = sidecar.token("a").await;
    let call = json!({"ids": [{"id": "a"}], "wait_ms": 10_000});
    let (_, answer) = sidecar.call("/v1/claim", call).await;
    let second = &answer["results"][0];
    assert_eq!(
        (&second["status"], &second["suspect"], &second["attempt"]),
        (&"claimed".into(), &true.into(), &1.into())
    );
    for path in ["/v1/complete", "/v1/renew"] {
        let (status, result) = sidecar.act(path, "a", &first).await;
        assert_eq!((status, &result["status"]), (409, &"stale".into()));
        assert_ne!(result["state"], "done");
    }
    assert_eq!(sidecar.release("a", &first, "failed").await.0, 409);
    assert_eq!(sidecar.release("a", &first, "failed").await.0, 409, "nor when it is repeated");
    let token = second["token"].as_str().unwrap();
    assert_eq!(sidecar.act("/v1/complete", "a", token).await.1["status"], "completed");
    let (status, result) = sidecar.act("/v1/complete", "a", &first).await;
    assert_eq!((status, &result["state"]), (409, &"done".into()), "the loop may commit");
    // Beside a stale one, others are done.
    let other = sidecar.token("b").await;
    let items = json!({"items": [{"id": "a", "token": first}, {"id": "b", "token": other}]});
    let (status, answer) = sidecar.call("/v1/complete", items).await;
    assert_eq!((status, &answer["results"][1]["status"]), (409, &"completed".into()));
    let (_, never) = sidecar.act("/v1/complete", "never claimed", &first).await;
    assert_eq!(never["state"], "absent");
    assert_eq!(sidecar.claim("never claimed").await["status"], "claimed", "it was not recorded");
}

#[tokio::test]
async fn a_token_of_ones_own_asks_again_and_ends_with_its_release() {
    let redis = RedisServer::start();
    let sidecar = Sidecar::start(&redis, "orders", long()).await;
    let token = unique("a-token-of-my-own");
    let call = json!({"ids": [{"id": "a"}], "token": token});
    for _ in 0..2 {
        let (status, answer) = sidecar.call("/v1/claim", call.clone()).await;
        assert_eq!((status, &answer["results"][0]["status"]), (200, &"claimed".into()));
        assert_eq!((&answer["results"][0]["token"], &answer["results"][0]["attempt"]), (&json!(token), &1.into()));
    }
    for _ in 0..2 {
        assert_eq!(sidecar.release("a", &token, "failed").await, (200, json!({"id": "a", "status": "released"})));
    }
    assert_eq!(sidecar.call("/v1/claim", call).await.0, 409);
    assert_eq!(sidecar.act("/v1/complete", "a", &token).await.0, 409);
    let again = sidecar.claim("a").await;
    assert_eq!((&again["status"], &again["attempt"]), (&"claimed".into(), &2.into()), "the failed attempt counts");
    let token = again["token"].as_str().unwrap();
    assert_eq!(sidecar.release("a", token, "unstarted").await.0, 200);
    assert_eq!(sidecar.claim("a").await["attempt"], 2, "one that never started does not");
}

#[tokio::test]
async fn a_restart_between_claim_and_completion_loses_nothing() {
    let redis = RedisServer::start();
    let before = Sidecar::start(&redis, "orders", long()).await;
    let (done, failed) = (before.token("a").await, before.token("b").await);
    drop(before);
    let verdicts = Arc::new(Verdicts::default());
    let after = Sidecar::start_with(&redis, "orders", long(), verdicts.clone()).await;
    assert_eq!(after.act("/v1/complete", "a", &done).await, (200, json!({"id": "a", "status": "completed"})));
    assert_eq!(*verdicts.0.lock(), [Verdict::First]);
    let item = json!({"id": "b", "token": failed, "outcome": "failed", "attempt": 1});
    assert_eq!(after.call("/v1/release", json!({"items": [item]})).await.0, 200);
    assert_eq!(after.claim("b").await["attempt"], 2);
    assert_eq!(after.claim("a").await["status"], "duplicate");
}

#[tokio::test]
async fn a_claim_waits_for_the_end_of_another_and_no_longer_than_it_was_told() {
    let redis = RedisServer::start();
    let (one, other) = (Sidecar::start(&redis, "orders", long()).await, Sidecar::start(&redis, "orders", long()).await);
    let (a, b) = (one.token("a").await, one.token("b").await);
    let wait = async |id: &str, ms: u64| {
        let call = json!({"ids": [{"id": id}], "wait_ms": ms});
        other.call("/v1/claim", call).await.1["results"][0].take()
    };
    assert_eq!(wait("a", 200).await["status"], "in_flight");
    let (found, _) = tokio::join!(wait("a", 20_000), one.act("/v1/complete", "a", &a));
    assert_eq!(found["status"], "duplicate");
    let (found, _) = tokio::join!(wait("b", 20_000), one.release("b", &b, "unstarted"));
    assert_eq!((&found["status"], &found["attempt"]), (&"claimed".into(), &1.into()));
    // What is claimed is told at once, whatever else is in flight.
    let started = Instant::now();
    let call = json!({"ids": [{"id": "b"}, {"id": "c"}], "wait_ms": 20_000});
    let (_, answer) = one.call("/v1/claim", call).await;
    assert_eq!(
        (&answer["results"][0]["status"], &answer["results"][1]["status"]),
        (&"in_flight".into(), &"claimed".into())
    );
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_nothing_behind() {
    let redis = RedisServer::start();
    let sidecar = Sidecar::start(&redis, "orders", long()).await;
    let other = Sidecar::start(&redis, "orders", long()).await;
    // The store answers when the caller has gone.
    redis.signal(Signal::Stop);
    let body = json!({"ids": [{"id": "a"}]});
    let call = post(&sidecar.client, sidecar.served.url("/v1/claim"), &body);
    assert!(tokio::time::timeout(Duration::from_millis(300), call).await.is_err());
    redis.signal(Signal::Continue);
    // A lease of a minute does not run out meanwhile: it was given back, and no attempt was counted.
    let claimed = async || {
        let found = other.claim("a").await;
        assert!(found["status"] != "claimed" || found["attempt"] == 1, "{found}");
        found["status"] == "claimed"
    };
    await_until("a free ID", Duration::from_secs(20), claimed).await;
    sidecar.state.finish().await;
}

#[tokio::test]
async fn what_the_store_does_not_answer_is_unknown_and_may_be_repeated() {
    let redis = RedisServer::start();
    let verdicts = Arc::new(Verdicts::default());
    let sidecar = Sidecar::start_with(&redis, "orders", long(), verdicts.clone()).await;
    let token = sidecar.token("a").await;
    redis.signal(Signal::Stop);
    let item = json!({"items": [{"id": "a", "token": token}]});
    let claim = json!({"ids": [{"id": "b"}]});
    let (complete, claim) = tokio::join!(sidecar.call("/v1/complete", item), sidecar.call("/v1/claim", claim));
    assert_eq!((complete.0, &complete.1["results"][0]["status"]), (503, &"unknown".into()));
    assert_eq!((claim.0, &claim.1["results"][0]["status"]), (503, &"error".into()));
    redis.signal(Signal::Continue);
    let (status, done) = sidecar.act("/v1/complete", "a", &token).await;
    assert_eq!((status, &done["status"]), (200, &"completed".into()));
    assert!(done.get("overrun").is_none(), "one effect: {done}");
    assert_eq!(verdicts.0.lock().len(), 1);
    let again = json!({"ids": [{"id": "b"}], "token": claim.1["results"][0]["token"]});
    let (_, answer) = sidecar.call("/v1/claim", again).await;
    assert_eq!(answer["results"][0]["status"], "claimed");
}

#[tokio::test]
async fn a_wrong_call_is_explained() {
    let redis = RedisServer::start();
    let sidecar = Sidecar::start(&redis, "orders", long()).await;
    let many: Vec<_> = (0..1001).map(|n| json!({"id": n.to_string()})).collect();
    let cases = [
        ("/v1/claim", json!({"ids": [{"id": "a"}, {"id": "a"}]}), 400, "same ID as item 0"),
        ("/v1/claim", json!({"ids": [{"id": "a"}, {"id_base64": "YQ=="}]}), 400, "same ID as item 0"),
        ("/v1/claim", json!({"ids": [{"id": "a"}], "wait": 1}), 400, "`wait`"),
        ("/v1/claim", json!({"ids": [{"id": "a", "key": 1}]}), 400, "`key`"),
        ("/v1/claim", json!({"ids": [{"id": "a", "id_base64": "YQ=="}]}), 400, "either id or id_base64"),
        ("/v1/claim", json!({"ids": [{}]}), 400, "either id or id_base64"),
        ("/v1/claim", json!({"ids": [{"id_base64": "YQ"}]}), 400, "padded base64"),
        ("/v1/claim", json!({"ids": [{"id": ""}]}), 400, "empty"),
        ("/v1/claim", json!({"ids": [{"id": "x".repeat(1025)}]}), 400, "1025 bytes"),
        ("/v1/claim", json!({"ids": [{"id": "a", "scope": ""}]}), 400, "scope"),
        ("/v1/claim", json!({"ids": []}), 400, "no ID"),
        ("/v1/claim", json!({"ids": many}), 413, "1000"),
        ("/v1/claim", json!({"ids": [{"id": "a"}], "token": "short"}), 400, "16 to 128"),
        ("/v1/claim", json!({"ids": [{"id": "a"}], "wait_ms": 30_001}), 400, "30000"),
        ("/v1/complete", json!({"items": [{"id": "a"}]}), 400, "`token`"),
        ("/v1/release", json!({"items": [{"id": "a", "token": "x".repeat(16)}]}), 400, "`outcome`"),
        ("/v1/release", json!({"items": [{"id": "a", "token": "x".repeat(16), "outcome": "done"}]}), 400, "`failed`"),
    ];
    for (path, body, expected, words) in cases {
        let (status, problem) = sidecar.call(path, body).await;
        assert_eq!(status, expected, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{words}: {problem}");
    }
}

#[tokio::test]
async fn many_loops_with_crashes_and_stale_tokens_make_each_effect_once() {
    const IDS: usize = 300;
    let redis = RedisServer::start();
    let namespace = unique("orders");
    // Longer than a busy machine lets a loop wait between claim and completion.
    let terms = LeaseTerms { lease: Duration::from_secs(3), ..SOON };
    let sidecars = [
        Arc::new(Sidecar::start(&redis, &namespace, terms).await),
        Arc::new(Sidecar::start(&redis, &namespace, terms).await),
    ];
    let effects = Arc::new(Mutex::new(HashMap::<String, usize>::new()));
    let mut loops = tokio::task::JoinSet::new();
    for n in 0..6 {
        let (sidecar, effects) = (sidecars[n % 2].clone(), effects.clone());
        loops.spawn(async move {
            let (mut open, mut abandoned, mut step) = ((0..IDS).collect::<Vec<_>>(), Vec::new(), n);
            while !open.is_empty() {
                let some: Vec<_> = open.iter().take(20).map(|id| json!({"id": id.to_string()})).collect();
                let (_, answer) = sidecar.call("/v1/claim", json!({"ids": some, "wait_ms": 1000})).await;
                let mut complete = Vec::new();
                for result in answer["results"].as_array().unwrap() {
                    let id = result["id"].as_str().unwrap().to_owned();
                    match result["status"].as_str().unwrap() {
                        "duplicate" => open.retain(|open| *open != id.parse::<usize>().unwrap()),
                        "claimed" => {
                            step += 1;
                            let item = json!({"id": id, "token": result["token"]});
                            // Every seventh handler dies before its effect; its lease runs out.
                            if step % 7 == 0 {
                                abandoned.push(item);
                            } else {
                                *effects.lock().entry(id).or_default() += 1;
                                complete.push(item);
                            }
                        }
                        _ => {}
                    }
                }
                if !complete.is_empty() {
                    let (status, answer) = sidecar.call("/v1/complete", json!({"items": complete})).await;
                    assert_eq!(status, 200, "{answer}");
                }
                let some = open.len().min(20);
                open.rotate_left(some);
            }
            // What died comes back at last, with tokens that others' have replaced.
            for item in abandoned {
                let (status, answer) = sidecar.call("/v1/complete", json!({"items": [item]})).await;
                assert_eq!((status, &answer["results"][0]["state"]), (409, &"done".into()));
            }
        });
    }
    let all = async {
        while let Some(ended) = loops.join_next().await {
            ended.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(90), all).await.expect("all handled");
    let effects = effects.lock();
    assert_eq!(effects.len(), IDS);
    assert!(effects.values().all(|times| *times == 1), "{effects:?}");
}

/// `cargo test … --test sidecar speed -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, for a quiet machine"]
async fn speed() {
    const CALLS: usize = 100;
    let redis = RedisServer::start();
    let sidecar = Arc::new(Sidecar::start(&redis, "orders", long()).await);
    let started = Instant::now();
    let mut loops = tokio::task::JoinSet::new();
    for n in 0..8 {
        let sidecar = sidecar.clone();
        loops.spawn(async move {
            for call in 0..CALLS {
                let id = |i: usize| format!("{n}-{call}-{i}");
                let ids: Vec<_> = (0..100).map(|i| json!({"id": id(i)})).collect();
                let (_, answer) = post(&sidecar.client, sidecar.served.url("/v1/claim"), &json!({"ids": ids})).await;
                let token = &answer["results"][0]["token"];
                let items: Vec<_> = (0..100).map(|i| json!({"id": id(i), "token": token})).collect();
                let (status, _) =
                    post(&sidecar.client, sidecar.served.url("/v1/complete"), &json!({"items": items})).await;
                assert_eq!(status, 200);
            }
        });
    }
    while let Some(ended) = loops.join_next().await {
        ended.unwrap();
    }
    let ids = 8 * CALLS * 100;
    println!("{ids} IDs in {:?}: {:.0}/s", started.elapsed(), ids as f64 / started.elapsed().as_secs_f64());
    println!("{}", redis.cli(&["INFO", "cpu"]));
}
