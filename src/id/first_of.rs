//! IDs that lie in one of several places.

use std::sync::Arc;

use crate::record::Record;

use super::{Extract, IdProblem, Identity};

/// Asks several extractors in turn: the next only where the one before says that its ID is not there at all
/// ([`IdProblem::Missing`]).
///
/// An ID that is there but null, empty, repeated, without its scope or otherwise unusable ends the search with that
/// problem: what comes next could take two messages for one.
///
/// # Examples
///
/// ```
/// use hapax::id::{Extract, FirstOf, HeaderId, RecordKey};
///
/// let ids = FirstOf::new(HeaderId::cloud_events()).or(HeaderId::new("x-message-id")).or(RecordKey::new());
/// assert_eq!(
///     ids.rule(),
///     r#"first of [header "ce_id" (scope header "ce_source"), header "x-message-id" (scope topic), key (scope topic)]"#,
/// );
/// ```
#[derive(Clone, Debug)]
pub struct FirstOf {
    extractors: Vec<Arc<dyn Extract>>,
    rules: Arc<str>,
}

impl FirstOf {
    /// Starts with the extractor that is asked first.
    pub fn new(first: impl Extract) -> Self {
        Self { rules: first.rule().into(), extractors: vec![Arc::new(first)] }
    }

    /// Adds the extractor that is asked where all before it found nothing.
    #[must_use]
    pub fn or(mut self, next: impl Extract) -> Self {
        self.rules = format!("{}, {}", self.rules, next.rule()).into();
        self.extractors.push(Arc::new(next));
        self
    }
}

impl Extract for FirstOf {
    fn extract(&self, record: &Record) -> Result<Identity, IdProblem> {
        for extractor in &self.extractors {
            match extractor.extract(record) {
                Err(IdProblem::Missing { .. }) => {}
                found => return found,
            }
        }
        Err(IdProblem::Missing { part: format!("each of [{}]", self.rules).into() })
    }

    fn rule(&self) -> String {
        format!("first of [{}]", self.rules)
    }
}
