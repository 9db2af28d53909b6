//! IDs made of what a record holds.

use bytes::Bytes;

use crate::record::Record;

use super::identity::Kind;
use super::{Extract, IdProblem, Identity, MessageId, ScopeRule};

/// The ID is a hash of the record's key and payload: **two equal messages are one**.
///
/// For messages that carry no ID and never repeat on purpose. "Add 5 to account 7", sent twice and meant twice, is added
/// once; a tombstone for the same key counts once per window. Headers and the timestamp are not part of it, since
/// producers and tracing change them when a message is sent again. The cost grows with the payload.
///
/// The hash is the 256 bits of plain BLAKE3 over key and payload, each written as: one byte, 0 for null and 1 otherwise;
/// where not null, the length as eight little-endian bytes and the bytes themselves. So null is told from empty, and a
/// byte that moves from the key to the payload makes another message. A record with neither key nor payload has no
/// content, [`IdProblem::Missing`], or all of them would be one message.
#[derive(Clone, Debug, Default)]
pub struct ContentHash {
    scope: ScopeRule,
}

impl ContentHash {
    /// The hash of key and payload, with the topic as its scope.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses what the hash is unique in.
    #[must_use]
    pub fn scope(mut self, scope: ScopeRule) -> Self {
        self.scope = scope;
        self
    }
}

/// The hash of a key and a payload, by the definition above.
pub(super) fn content_hash(key: Option<&Bytes>, payload: Option<&Bytes>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in [key, payload] {
        match part {
            None => {
                hasher.update(&[0]);
            }
            Some(bytes) => {
                hasher.update(&[1]);
                hasher.update(&(bytes.len() as u64).to_le_bytes());
                hasher.update(bytes);
            }
        }
    }
    *hasher.finalize().as_bytes()
}

impl Extract for ContentHash {
    fn extract(&self, record: &Record) -> Result<Identity, IdProblem> {
        let (key, payload) = (record.key(), record.payload());
        if key.is_none() && payload.is_none() {
            return Err(IdProblem::Missing { part: "content (key and payload)".into() });
        }
        let scope = self.scope.scope_of(record)?;
        let hash = Bytes::copy_from_slice(&content_hash(key, payload));
        Ok(Identity::new(scope, MessageId::of_kind(Kind::Content, hash)))
    }

    fn rule(&self) -> String {
        format!("content ({})", self.scope)
    }
}
