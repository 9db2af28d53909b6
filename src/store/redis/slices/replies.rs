//! What Redis answers to a reading, as values of ours.

use redis::Value;

use super::plan::{Generation, Plan};
use crate::store::redis::batch::Reply;

/// Seconds and microseconds, as milliseconds.
pub(in crate::store::redis) fn read_time(reply: &Value) -> Option<u64> {
    let Value::Array(parts) = reply else { return None };
    let [seconds, micros] = parts.as_slice() else { return None };
    Some(number(seconds)? * 1000 + number(micros)? / 1000)
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// The fields of the plan's key: `<slice>:<shards>` → from when on it is written to.
pub(super) fn read_plan(reply: &Value) -> Option<Plan> {
    let generation = |(field, from): (&Value, &Value)| {
        let Value::BulkString(field) = field else { return None };
        let (slice, shards) = std::str::from_utf8(field).ok()?.split_once(':')?;
        let shards = shards.parse().ok().filter(|shards| *shards > 0)?;
        Some(Generation { slice: slice.parse().ok()?, shards, from: number(from)? })
    };
    match reply {
        Value::Array(parts) if parts.len() % 2 == 0 => {
            parts.chunks_exact(2).map(|pair| generation((&pair[0], &pair[1]))).collect()
        }
        Value::Map(pairs) => pairs.iter().map(|(field, from)| generation((field, from))).collect(),
        _ => None,
    }
}

/// What `CONFIG GET` tells, where it is allowed.
pub(super) fn read_limit(reply: Reply) -> Option<u32> {
    match reply.ok()? {
        Value::Array(pair) => number(pair.get(1)?)?.try_into().ok(),
        Value::Map(pairs) => number(&pairs.first()?.1)?.try_into().ok(),
        _ => None,
    }
}

/// The members of a set. One that cannot be asked now counts as empty: samples only decide on sizes.
pub(super) fn read_count(reply: Reply) -> f64 {
    match reply {
        Ok(Value::Int(count)) => count as f64,
        _ => 0.0,
    }
}
