//! What all processes of a namespace agreed on.

use redis::Value;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Reply};
use super::faults;
use super::layout::{GROUPS, Group, Layout, VERSION};
use crate::store::{Agreement, Cause, OpenError, StoreError};

/// The agreement as it stands in Redis.
#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    /// The version of the layout.
    format: u32,
    groups: u32,
    /// Drawn by whoever wrote it. Another one than before means that what was agreed on was gone meanwhile, and with it
    /// what was remembered. Absent from what an earlier version wrote.
    #[serde(default)]
    written: Option<u64>,
    #[serde(flatten)]
    agreement: Agreement,
}

/// Which writing of the agreement was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written(Option<u64>);

impl Written {
    pub(super) fn new(number: Option<u64>) -> Self {
        Self(number)
    }
}

/// Which version wrote it; all that has to stay readable.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

const FORMAT: u32 = (VERSION - b'0') as u32;

/// Asks for the agreement, and writes it where there is none: two commands, and with their replies [`judge`] decides. They are sent with every reading of the plan: a Redis that
/// lost its data has lost the agreement, too, and the next to come could open the namespace with other settings beside
/// those who still work under these.
pub(super) fn ask(batch: &mut Batch, layout: &Layout, agreement: &Agreement, kept_ms: u64) -> Result<(), StoreError> {
    let key = layout.meta();
    let ours = Meta { format: FORMAT, groups: GROUPS, written: Some(rand::random()), agreement: agreement.clone() };
    let json = serde_json::to_string(&ours).map_err(|error| StoreError::Refused(Cause::new(error)))?;
    batch.push(Group::NAMESPACE, redis::cmd("SET").arg(&key).arg(json).arg("NX").arg("PX").arg(kept_ms));
    batch.push(Group::NAMESPACE, redis::cmd("GET").arg(&key));
    Ok(())
}

/// Lets the agreement live on: it outlives everything that relies on it, and goes when nobody works any more.
pub(super) fn keep(batch: &mut Batch, layout: &Layout, kept_ms: u64) {
    batch.push(Group::NAMESPACE, redis::cmd("PEXPIRE").arg(layout.meta()).arg(kept_ms));
}

/// What a question of the store is told where the settings disagree.
pub(super) fn refusal(error: OpenError) -> StoreError {
    match error {
        OpenError::Store(error) => error,
        error => StoreError::Refused(Cause::new(error)),
    }
}

/// Compares what was asked for, and tells which writing of it that is.
pub(super) fn judge(layout: &Layout, agreement: &Agreement, [set, get]: [Reply; 2]) -> Result<Written, OpenError> {
    let key = layout.meta();
    if let (Err(fault), Ok(Value::Nil)) = (&set, &get) {
        return Err(fault.error.clone().into());
    }
    let theirs = faults::read("GET", get, |reply| match reply {
        Value::BulkString(json) => Some(json.clone()),
        _ => None,
    })?;

    let namespace = layout.namespace().to_string();
    let unreadable = |problem: String| OpenError::Unreadable { namespace: namespace.clone(), problem };
    let not_ours = || {
        unreadable(format!(
            "its key {key} holds something else; delete the key if nothing needs it, or choose another namespace"
        ))
    };
    let Format { format } = serde_json::from_slice(&theirs).map_err(|_| not_ours())?;
    if format != FORMAT {
        return Err(unreadable(format!(
            "it is of format {format} and this version writes format {FORMAT}; use the same version of hapax \
             everywhere, or another namespace"
        )));
    }
    let theirs: Meta = serde_json::from_slice(&theirs).map_err(|_| not_ours())?;
    let mut differences = agreement.differences(&theirs.agreement);
    if theirs.groups != GROUPS {
        differences.push(format!("group count is {} there and {GROUPS} here", theirs.groups));
    }
    match differences.is_empty() {
        true => Ok(Written::new(theirs.written)),
        false => Err(OpenError::Disagreement { namespace, differences }),
    }
}
