//! What operators ask: the state of an ID, and to forget it.

use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, Value};

use super::scripts::{self, Call};
use super::value::{self, Holding};
use super::{Inner, faults};
use crate::id::Fingerprint;
use crate::store::{Answers, State};

pub(super) async fn inspect(inner: Arc<Inner>, ids: Vec<Fingerprint>) -> Answers<State> {
    let keys = |id: &Fingerprint| vec![inner.layout.lease(id), inner.layout.done(id)];
    let calls: Vec<Call> = ids.iter().map(|id| Call { keys: keys(id), args: Vec::new() }).collect();
    let replies = match scripts::run(&inner.link, &scripts::INSPECT, &calls).await {
        Ok(replies) => replies,
        Err(error) => return vec![Err(error); ids.len()],
    };
    let read = |reply| faults::read(inner.link.address(), "the inspect script", reply, read_state);
    replies.into_iter().map(read).collect()
}

fn read_state(reply: &Value) -> Option<State> {
    let Value::Array(parts) = reply else { return None };
    let [lease, lease_left, done, done_left] = parts.as_slice() else { return None };
    Some(match (lease, done) {
        (_, Value::BulkString(done)) if value::is_done(done) => {
            State::Done { remaining: left(done_left)?, record: None }
        }
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
    let mut pipeline = Pipeline::with_capacity(ids.len());
    ids.iter().for_each(|id| {
        pipeline.cmd("DEL").arg(inner.layout.done(id));
    });
    let replies = match inner.link.ask(&pipeline).await {
        Ok(replies) => replies,
        Err(error) => return vec![Err(error); ids.len()],
    };
    let read = |reply| {
        faults::read(inner.link.address(), "DEL", reply, |reply| match reply {
            Value::Int(deleted) => Some(*deleted > 0),
            _ => None,
        })
    };
    replies.into_iter().map(read).collect()
}
