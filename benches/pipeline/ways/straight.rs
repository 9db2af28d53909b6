//! The straight loop: poll, one script that claims, the handler, one script that completes, commit, over and over.
//!
//! What somebody writes who knows both ends: one round trip per batch each way, a claim with a lease, and nothing that
//! survives a crash between effect and record. A claim in flight elsewhere, which it would have to wait for, never
//! happens here.

use std::sync::Arc;

use rdkafka::consumer::{CommitMode, Consumer};

use super::{consumer, id, poll};
use crate::load::Load;
use crate::service::unique;
use crate::watch::Watch;

/// `KEYS` IDs · `ARGV` who claims, for how long. 1: claimed; 0: done, or claimed by the same batch.
const CLAIM: &str = "local answers = {}
for i = 1, #KEYS do
  answers[i] = redis.call('SET', KEYS[i], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
end
return answers";

/// `KEYS` IDs · `ARGV` for how long they are remembered.
const COMPLETE: &str = "for i = 1, #KEYS do redis.call('SET', KEYS[i], 'done', 'PX', ARGV[1]) end
return #KEYS";

const LEASE_MS: u64 = 60_000;
const WINDOW_MS: u64 = 24 * 3_600_000;

pub async fn consume(load: &Load, redis: &str, watch: &Arc<Watch>) {
    let (consumer, watch, namespace) = (consumer(load), watch.clone(), unique("seen"));
    let mut redis = redis::Client::open(redis).expect("a URL").get_connection().expect("a connection");
    let [claim, complete] = [CLAIM, COMPLETE].map(|script| load_script(&mut redis, script));
    let consuming = move || {
        loop {
            let messages = poll(&consumer);
            if messages.is_empty() {
                continue;
            }
            watch.came();
            let keys: Vec<Vec<u8>> = messages.iter().map(|message| key(&namespace, id(message))).collect();
            let mut script = redis::cmd("EVALSHA");
            script.arg(&claim).arg(keys.len()).arg(&keys).arg("worker-1").arg(LEASE_MS);
            let claimed: Vec<u64> = script.query(&mut redis).expect("claims");
            let claimed: Vec<&Vec<u8>> =
                keys.iter().zip(&claimed).filter(|(_, claimed)| **claimed == 1).map(|(key, _)| key).collect();
            // The handler does nothing.
            claimed.iter().for_each(|_| watch.effect());
            let mut script = redis::cmd("EVALSHA");
            script.arg(&complete).arg(claimed.len());
            claimed.iter().for_each(|key| {
                script.arg(key.as_slice());
            });
            let completed: usize = script.arg(WINDOW_MS).query(&mut redis).expect("completions");
            assert_eq!(completed, claimed.len());
            consumer.commit_consumer_state(CommitMode::Async).expect("a commit");
            if watch.settled(messages.len() as u64) {
                return;
            }
        }
    };
    tokio::task::spawn_blocking(consuming).await.expect("a loop that ends");
}

fn key(namespace: &str, id: &[u8]) -> Vec<u8> {
    [namespace.as_bytes(), b":", id].concat()
}

fn load_script(redis: &mut redis::Connection, script: &str) -> String {
    redis::cmd("SCRIPT").arg("LOAD").arg(script).query(redis).expect("a script")
}
