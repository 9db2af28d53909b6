//! What all processes of a namespace agreed on.

use redis::Value;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Reply};
use super::layout::{GROUPS, Group, Layout, VERSION};
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

/// Writes the agreement where there is none, reads it, and compares. From then on every new connection does the same:
/// a Redis that lost its data has lost the agreement, too, and the next to come could open the namespace with other
/// settings beside those who still work under these.
pub(super) async fn agree(inner: &Inner, agreement: &Agreement) -> Result<(), OpenError> {
    let replies = inner.link.ask(request(&inner.layout, agreement)?).await;
    compare(&inner.layout, agreement, replies)?;
    let (layout, agreement) = (inner.layout.clone(), agreement.clone());
    inner.link.greet_with(request(&layout, &agreement)?, move |replies| {
        compare(&layout, &agreement, replies).map_err(|error| match error {
            OpenError::Store(error) => error,
            error => StoreError::Refused(Cause::new(error)),
        })
    });
    Ok(())
}

fn request(layout: &Layout, agreement: &Agreement) -> Result<Batch, StoreError> {
    let key = layout.meta();
    let ours = Meta { format: FORMAT, groups: GROUPS, agreement: agreement.clone() };
    let json = serde_json::to_string(&ours).map_err(|error| StoreError::Refused(Cause::new(error)))?;
    let mut batch = Batch::with_capacity(2);
    batch.push(Group::NAMESPACE, redis::cmd("SET").arg(&key).arg(json).arg("NX").take());
    batch.push(Group::NAMESPACE, redis::cmd("GET").arg(&key).take());
    Ok(batch)
}

fn compare(layout: &Layout, agreement: &Agreement, replies: Vec<Reply>) -> Result<(), OpenError> {
    let key = layout.meta();
    let [set, get] = <[Reply; 2]>::try_from(replies).map_err(|_| faults::of_misfit("SET and GET"))?;
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
        true => Ok(()),
        false => Err(OpenError::Disagreement { namespace, differences }),
    }
}
