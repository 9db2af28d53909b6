//! How many IDs are remembered, and what they take.

use std::collections::HashSet;
use std::sync::Arc;

use redis::Value;

use super::batch::{Batch, Reply};
use super::layout::Group;
use super::{DoneMode, Inner, RedisStore, faults};
use crate::store::StoreError;

/// How many keys of each server are looked at in the exact mode.
const SAMPLE: usize = 400;

/// What a namespace remembers, by a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Done IDs.
    pub ids: u64,
    /// What they take in Redis' memory, their keys included.
    pub bytes: u64,
}

impl RedisStore {
    /// Estimates how many IDs the namespace remembers and how many bytes they take, from a few hundred questions that
    /// change nothing: in the compact mode from one set of each generation and group, to about one per cent; in the
    /// exact mode from keys taken at random, the rougher the more the servers are shared with others.
    ///
    /// Needs more than [`PERMISSIONS`](Self::PERMISSIONS): `+memory|usage`, and in the exact mode `+dbsize +randomkey`.
    ///
    /// # Errors
    ///
    /// As any question; retryable as its [`StoreError`] says.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn estimate(&self) -> Result<Estimate, StoreError> {
        match self.inner.mode {
            DoneMode::Compact => self.inner.estimate_sets().await,
            DoneMode::Exact => self.inner.estimate_keys().await,
        }
    }
}

impl Inner {
    async fn estimate_sets(self: &Arc<Self>) -> Result<Estimate, StoreError> {
        let known = self.known().await?;
        let sets = known.one_of_each();
        let mut batch = Batch::default();
        for (group, shard) in &sets {
            let key = self.layout.set(*group, shard);
            batch.push(*group, redis::cmd("SCARD").arg(&key));
            batch.push(*group, &memory_usage(&key));
        }
        let mut replies = self.link.ask(batch).await.into_iter();
        let mut next = || read_count(replies.next());
        let (mut ids, mut bytes) = (0, 0);
        for (_, shard) in sets {
            let alike = u64::from(shard.generation.name().1);
            ids += alike * next()?;
            bytes += alike * next()?;
        }
        Ok(Estimate { ids, bytes })
    }

    async fn estimate_keys(self: &Arc<Self>) -> Result<Estimate, StoreError> {
        // A reading makes connections where there are none.
        self.known().await?;
        let mut servers = HashSet::new();
        let one_of_each = Group::all().filter(|group| servers.insert(self.link.serial(*group)));
        let (mut ids, mut bytes) = (0.0, 0.0);
        for group in one_of_each.collect::<Vec<_>>() {
            let mut batch = Batch::default();
            batch.push(group, &redis::cmd("DBSIZE"));
            (0..SAMPLE).for_each(|_| batch.push(group, &redis::cmd("RANDOMKEY")));
            let mut replies = self.link.ask(batch).await.into_iter();
            let all = read_count(replies.next())? as f64;
            let mut ours = Batch::default();
            for reply in replies {
                if let Value::BulkString(key) = reply?
                    && self.layout.is_done_key(&key)
                {
                    ours.push(group, &memory_usage(&key));
                }
            }
            let share = all / SAMPLE as f64;
            for reply in self.link.ask(ours).await {
                ids += share;
                bytes += share * read_count(Some(reply))? as f64;
            }
        }
        Ok(Estimate { ids: ids as u64, bytes: bytes as u64 })
    }
}

fn memory_usage(key: &[u8]) -> redis::Cmd {
    redis::cmd("MEMORY").arg("USAGE").arg(key).take()
}

/// A number; that of a key that is not there is nil, or 0.
fn read_count(reply: Option<Reply>) -> Result<u64, StoreError> {
    let reply = reply.unwrap_or_else(|| Err(faults::of_misfit("an estimate").into()));
    faults::read("an estimate", reply, |reply| match reply {
        Value::Int(count) => u64::try_from(*count).ok(),
        Value::Nil => Some(0),
        _ => None,
    })
}
