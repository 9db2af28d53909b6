//! What operators ask: the state of an ID, and to forget it.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;

use super::batch::Batch;
use super::done::Lookup;
use super::layout::Group;
use super::scripts::{self, Call};
use super::slices::{Known, member};
use super::value::{self, Holding};
use super::{DoneMode, Inner, faults};
use crate::id::Fingerprint;
use crate::store::{Answers, State, StoreError};

pub(super) async fn inspect(inner: Arc<Inner>, ids: Vec<Fingerprint>) -> Answers<State> {
    let known = match inner.known().await {
        Ok(known) => known,
        Err(error) => return vec![Err(error); ids.len()],
    };
    inner.delete_now().await;
    let lookup = Lookup::by(inner.mode, &known);
    let call = |id: &Fingerprint| {
        let mut keys = inner.done_keys(&lookup, id);
        keys.insert(0, inner.layout.lease(id));
        Call { group: Group::of(id), keys, args: vec![member(id).to_string().into_bytes()] }
    };
    let calls: Vec<Call> = ids.iter().map(call).collect();
    let script = match inner.mode {
        DoneMode::Compact => &scripts::INSPECT_COMPACT,
        DoneMode::Exact => &scripts::INSPECT_EXACT,
    };
    let replies = scripts::run(&inner.link, script, &calls).await;
    let read = |(id, reply): (&Fingerprint, _)| {
        faults::read("the inspect script", reply, |reply| {
            let Value::Array(parts) = reply else { return None };
            let (lease, done) = parts.split_at_checked(2)?;
            let done = match &lookup {
                Lookup::Sets(_) => in_sets(&known, &lookup, id, done)?,
                Lookup::Keys => in_key(done)?,
            };
            done.map_or_else(|| in_lease(lease), Some)
        })
    };
    ids.iter().zip(replies).map(read).collect()
}

/// What the done ID's key says, if anything.
fn in_key(done: &[Value]) -> Option<Option<State>> {
    Some(match done {
        [Value::Nil, _] => None,
        [Value::BulkString(done), left] => Some(match value::read_done(done) {
            Some(record) => State::Done { remaining: time_left(left)?, record: Some(Arc::new(record)) },
            None => State::Unreadable,
        }),
        _ => return None,
    })
}

/// What the sets say, if anything: the newest tells how long the ID is remembered.
fn in_sets(known: &Known, lookup: &Lookup, id: &Fingerprint, hits: &[Value]) -> Option<Option<State>> {
    let Lookup::Sets(sets) = lookup else { return None };
    let hits = sets.of(id).zip(hits).filter(|(_, hit)| matches!(hit, Value::Int(1)));
    let remaining = hits.map(|(shard, _)| known.remembered_for(shard.generation)).max();
    Some(remaining.map(|ms| State::Done { remaining: Duration::from_millis(ms), record: None }))
}

fn in_lease(lease: &[Value]) -> Option<State> {
    let [lease, left] = lease else { return None };
    Some(match lease {
        Value::Nil => State::Absent,
        Value::BulkString(lease) => match Holding::read(lease) {
            None => State::Unreadable,
            Some(Holding { idle: true, attempts, given_up: None, .. }) => State::Idle { attempts },
            Some(Holding { idle: true, attempts, given_up: Some(to), .. }) => State::GivenUp { attempts, to },
            Some(Holding { attempts, grace, given_up, .. }) => match (time_left(left)?.saturating_sub(grace), given_up)
            {
                (Duration::ZERO, Some(to)) => State::GivenUp { attempts, to },
                (Duration::ZERO, None) => State::Expired { attempts },
                (remaining, _) => State::InFlight { attempts, remaining },
            },
        },
        _ => return None,
    })
}

/// A time to live. None at all, which only somebody else can bring about, reads as the longest.
fn time_left(reply: &Value) -> Option<Duration> {
    match reply {
        Value::Int(ms) => Some(u64::try_from(*ms).map_or(Duration::MAX, Duration::from_millis)),
        _ => None,
    }
}

pub(super) async fn forget(inner: Arc<Inner>, ids: Vec<Fingerprint>) -> Answers<bool> {
    let known = match inner.known().await {
        Ok(known) => known,
        Err(error) => return vec![Err(faults::not_sent(error)); ids.len()],
    };
    inner.delete_now().await;
    let lookup = Lookup::by(inner.mode, &known);
    let mut batch = Batch::default();
    for id in &ids {
        for key in inner.done_keys(&lookup, id) {
            let command = match inner.mode {
                DoneMode::Compact => redis::cmd("SREM").arg(key).arg(member(id)).take(),
                DoneMode::Exact => redis::cmd("DEL").arg(key).take(),
            };
            batch.push(Group::of(id), &command);
        }
    }
    let mut replies = inner.link.ask(batch).await.into_iter();
    let mut removed = || {
        let reply = replies.next().unwrap_or_else(|| Err(faults::of_misfit("a deletion").into()));
        faults::read("a deletion", reply, |reply| match reply {
            Value::Int(deleted) => Some(*deleted > 0),
            _ => None,
        })
    };
    // From every set, whether or not it was found in one; an error of any is an error of all.
    let all = |removed: Vec<_>| {
        removed.into_iter().try_fold(false, |any, one: Result<bool, StoreError>| one.map(|one| any || one))
    };
    ids.iter().map(|_| all((0..lookup.len()).map(|_| removed()).collect())).collect()
}
