//! What all processes of a namespace agreed on.

use redis::{Pipeline, Value};
use serde::{Deserialize, Serialize};

use super::layout::{GROUPS, VERSION};
use super::{Inner, faults};
use crate::store::{Agreement, Cause, OpenError, StoreError};

/// The agreement as it stands in Redis. It has no expiry: done IDs of the namespace may be written at any time.
#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    /// The version of the layout.
    format: u32,
    groups: u32,
    #[serde(flatten)]
    agreement: Agreement,
}

/// Which version wrote it; all that has to stay readable.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

const FORMAT: u32 = (VERSION - b'0') as u32;

/// Writes the agreement where there is none, reads it, and compares.
pub(super) async fn agree(inner: &Inner, agreement: &Agreement) -> Result<(), OpenError> {
    let key = inner.layout.meta();
    let ours = Meta { format: FORMAT, groups: GROUPS, agreement: agreement.clone() };
    let json = serde_json::to_string(&ours).map_err(|error| StoreError::Refused(Cause::new(error)))?;
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.cmd("SET").arg(&key).arg(json).arg("NX").cmd("GET").arg(&key);
    let replies = inner.link.ask(&pipeline).await?;
    let [set, get] =
        <[Value; 2]>::try_from(replies).map_err(|_| faults::of_misfit(inner.link.address(), "SET and GET"))?;
    if let (Value::ServerError(error), Value::Nil) = (&set, &get) {
        return Err(faults::of_reply(inner.link.address(), error).0.into());
    }
    let theirs = faults::read(inner.link.address(), "GET", get, |reply| match reply {
        Value::BulkString(json) => Some(json.clone()),
        _ => None,
    })?;

    let namespace = inner.layout.namespace().to_string();
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
        true => Ok(()),
        false => Err(OpenError::Disagreement { namespace, differences }),
    }
}
