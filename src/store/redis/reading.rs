//! What operators ask: the state of an ID, and to forget it.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;

use super::batch::Batch;
use super::layout::Group;
use super::scripts::{self, Call};
use super::value::{self, Holding};
use super::{Inner, faults};
use crate::id::Fingerprint;
use crate::store::{Answers, State};

pub(super) async fn inspect(inner: Arc<Inner>, ids: Vec<Fingerprint>) -> Answers<State> {
    let keys = |id: &Fingerprint| vec![inner.layout.lease(id), inner.layout.done(id)];
    let calls: Vec<Call> =
        ids.iter().map(|id| Call { group: Group::of(id), keys: keys(id), args: Vec::new() }).collect();
    let read = |reply| faults::read("the inspect script", reply, read_state);
    scripts::run(&inner.link, &scripts::INSPECT, &calls).await.into_iter().map(read).collect()
}

fn read_state(reply: &Value) -> Option<State> {
    let Value::Array(parts) = reply else { return None };
    let [lease, lease_left, done, done_left] = parts.as_slice() else { return None };
    Some(match (lease, done) {
        (_, Value::BulkString(done)) if value::is_done(done) => State::Done { remaining: left(done_left)? },
        (_, Value::BulkString(_)) => State::Unreadable,
        (Value::Nil, Value::Nil) => State::Absent,
        (Value::BulkString(lease), Value::Nil) => match Holding::read(lease) {
            None => State::Unreadable,
            Some(Holding { idle: true, attempts, .. }) => State::Idle { attempts },
            Some(Holding { attempts, grace, .. }) => match left(lease_left)?.saturating_sub(grace) {
                Duration::ZERO => State::Expired { attempts },
                remaining => State::InFlight { attempts, remaining },
            },
        },
        _ => return None,
    })
}

/// A time to live. None at all, which only somebody else can bring about, reads as the longest.
fn left(reply: &Value) -> Option<Duration> {
    match reply {
        Value::Int(ms) => Some(u64::try_from(*ms).map_or(Duration::MAX, Duration::from_millis)),
        _ => None,
    }
}

pub(super) async fn forget(inner: Arc<Inner>, ids: Vec<Fingerprint>) -> Answers<bool> {
    let mut batch = Batch::with_capacity(ids.len());
    ids.iter().for_each(|id| batch.push(Group::of(id), redis::cmd("DEL").arg(inner.layout.done(id)).take()));
    let read = |reply| {
        faults::read("DEL", reply, |reply| match reply {
            Value::Int(deleted) => Some(*deleted > 0),
            _ => None,
        })
    };
    inner.link.ask(batch).await.into_iter().map(read).collect()
}
