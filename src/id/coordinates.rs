//! IDs made of where a record lies.

use std::sync::Arc;

use bytes::Bytes;

use crate::record::{Offset, Record};

use super::identity::Kind;
use super::{Extract, IdProblem, Identity, MessageId, Scope};

/// The ID is the record's place: topic, partition and offset. Every record has one.
///
/// It **catches redelivery only**: a record that is read again after a crash, a rebalance or a reset of offsets. A
/// message that its producer sent twice lies at two offsets and is handled twice. A topic that was deleted and created
/// anew counts its offsets from zero again: forget the namespace's IDs first, or its new records are taken for the old.
///
/// The scope is always the topic, for offsets mean nothing without it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coordinates;

impl Coordinates {
    /// The identity of a record by its place.
    pub fn identity(record: &Record) -> Identity {
        let partition = record.partition();
        let id = Self::id(partition.partition(), record.offset());
        Identity::new(Scope::Topic(Arc::clone(partition.topic_arc())), id)
    }

    /// Four bytes of partition, eight of offset, both little-endian.
    pub(super) fn id(partition: i32, offset: Offset) -> MessageId {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&partition.to_le_bytes());
        bytes[4..].copy_from_slice(&offset.to_le_bytes());
        MessageId::of_kind(Kind::Coordinates, Bytes::copy_from_slice(&bytes))
    }
}

impl Extract for Coordinates {
    /// Never fails.
    fn extract(&self, record: &Record) -> Result<Identity, IdProblem> {
        Ok(Self::identity(record))
    }

    fn rule(&self) -> String {
        "coordinates".to_owned()
    }
}
