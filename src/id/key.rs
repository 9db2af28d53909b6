//! IDs in record keys.

use std::sync::Arc;

use crate::record::Record;

use super::{Extract, IdProblem, Identity, MessageId, ScopeRule};

/// The ID is the record's key.
///
/// For topics whose key names the message. Where it names the entity that the message is about, as keys do on compacted
/// topics, the second message about an entity would be taken for a duplicate of the first: choose another extractor.
///
/// Behind other rules of a list ([`FirstOf`](super::FirstOf)) the key is an ID of its own kind: it never equals an ID that
/// another rule found. Two records without any other ID and with one key are still one message. So are the tombstones of
/// two deletions: take [`IdPolicy::Coordinates`](super::IdPolicy::Coordinates) for them instead.
#[derive(Clone, Debug, Default)]
pub struct RecordKey {
    scope: ScopeRule,
    is_fallback: bool,
}

impl RecordKey {
    /// The record's key, with the topic as its scope.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses what the ID is unique in.
    #[must_use]
    pub fn scope(mut self, scope: ScopeRule) -> Self {
        self.scope = scope;
        self
    }
}

impl Extract for RecordKey {
    fn extract(&self, record: &Record) -> Result<Identity, IdProblem> {
        let key = record.key().ok_or_else(|| IdProblem::Missing { part: "record key".into() })?;
        let id = MessageId::new(key.clone())?;
        let id = if self.is_fallback { id.of_fallback_key() } else { id };
        Ok(Identity::new(self.scope.scope_of(record)?, id))
    }

    fn rule(&self) -> String {
        let fallback = if self.is_fallback { " as fallback" } else { "" };
        format!("key{fallback} ({})", self.scope)
    }

    fn as_fallback(&self) -> Option<Arc<dyn Extract>> {
        Some(Arc::new(Self { is_fallback: true, ..self.clone() }))
    }
}
