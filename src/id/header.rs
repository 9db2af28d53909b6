//! IDs in headers.

use std::sync::Arc;

use crate::record::Record;

use super::extract::quoted;
use super::{Extract, IdProblem, Identity, MessageId, ScopeRule};

/// The ID is the value of a header.
///
/// The header's name and value are compared byte for byte. A header that occurs more than once is
/// [`IdProblem::Repeated`], even where all its values are equal.
#[derive(Clone, Debug)]
pub struct HeaderId {
    name: Arc<str>,
    part: Arc<str>,
    scope: ScopeRule,
}

impl HeaderId {
    /// The header of that name, with the topic as its scope.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        Self { part: format!("header {name}").into(), name, scope: ScopeRule::Topic }
    }

    /// The header `ce_id` with the scope `ce_source`: CloudEvents in Kafka's binary mode, where source and ID together
    /// are unique for each event. [`CloudEvents`](super::CloudEvents) reads those in structured mode, too.
    pub fn cloud_events() -> Self {
        Self::new("ce_id").scope(ScopeRule::Header("ce_source".into()))
    }

    /// Chooses what the ID is unique in.
    #[must_use]
    pub fn scope(mut self, scope: ScopeRule) -> Self {
        self.scope = scope;
        self
    }
}

impl Default for HeaderId {
    /// [`HeaderId::cloud_events`].
    fn default() -> Self {
        Self::cloud_events()
    }
}

impl Extract for HeaderId {
    fn extract(&self, record: &Record) -> Result<Identity, IdProblem> {
        let part = || Arc::clone(&self.part);
        let mut values = record.header_values(&self.name);
        let value = values.next().ok_or_else(|| IdProblem::Missing { part: part() })?;
        if values.next().is_some() {
            return Err(IdProblem::Repeated { part: part() });
        }
        let value = value.ok_or_else(|| IdProblem::Null { part: part() })?;
        let id = MessageId::new(value.clone())?;
        Ok(Identity::new(self.scope.scope_of(record)?, id))
    }

    fn rule(&self) -> String {
        format!("header {} ({})", quoted(&self.name), self.scope)
    }
}
