//! The bare client: a connection, pipelines, nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value};

use crate::recording::{Batch, Commands};

/// How many batches are under way at once: as with a deduplicator, of which one batch of claims and one of completions
/// travel at the same time.
pub const LANES: usize = 2;

/// Sends these batches, each its claim and then its completion.
pub async fn send(redis: &MultiplexedConnection, batches: &Arc<Vec<Batch>>) {
    let next = Arc::new(AtomicUsize::new(0));
    let lane = |_| {
        let (mut redis, batches, next) = (redis.clone(), batches.clone(), next.clone());
        tokio::spawn(async move {
            let mut before = None;
            while let Some(batch) = batches.get(next.fetch_add(1, Relaxed)) {
                send_one(&mut redis, before, batch).await;
                before = Some(batch);
            }
        })
    };
    for lane in (0..LANES).map(lane).collect::<Vec<_>>() {
        lane.await.expect("a lane that ends");
    }
}

/// One batch: the claim answered, with what the batch before left to be told in front of it, as the store does; then the
/// completion answered.
pub async fn send_one(redis: &mut MultiplexedConnection, before: Option<&Batch>, batch: &Batch) {
    let left = before.map(|before| &before.tell);
    ask(redis, left.into_iter().chain([&batch.claim])).await;
    ask(redis, [&batch.complete]).await;
}

async fn ask<'a>(redis: &mut MultiplexedConnection, commands: impl IntoIterator<Item = &'a Commands>) {
    let mut pipeline = Pipeline::new();
    commands.into_iter().flat_map(Commands::iter).for_each(|command| {
        pipeline.add_command(command);
    });
    if pipeline.is_empty() {
        return;
    }
    let replies = redis.send_packed_commands(&pipeline, 0, pipeline.len()).await.expect("an answer");
    assert!(!replies.iter().any(|reply| matches!(reply, Value::ServerError(_))), "{replies:?}");
}

/// A loop that awaits one `SET NX PX` per ID, as most hand-written de-duplication does.
pub async fn one_by_one(redis: &mut MultiplexedConnection, ids: impl Iterator<Item = hapax::id::Fingerprint>) {
    for id in ids {
        let mut set = redis::cmd("SET");
        set.arg(format!("seen:{id}")).arg("1").arg("NX").arg("PX").arg(86_400_000);
        let new: Option<String> = set.query_async(redis).await.expect("an answer");
        assert!(new.is_some(), "a fresh ID");
    }
}
