//! IDs in record keys.

use crate::record::Record;

use super::{Extract, IdProblem, Identity, MessageId, ScopeRule};

/// The ID is the record's key.
///
/// For topics whose key names the message. Where it names the entity that the message is about, as keys do on compacted
/// topics, the second message about an entity would be taken for a duplicate of the first: choose another extractor.
#[derive(Clone, Debug, Default)]
pub struct RecordKey {
    scope: ScopeRule,
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
        Ok(Identity::new(self.scope.scope_of(record)?, id))
    }

    fn rule(&self) -> String {
        format!("key ({})", self.scope)
    }
}
