//! IDs that lie in one of several places.

use std::sync::Arc;

use crate::record::Record;

use super::{Extract, IdProblem, Identity};

/// A list of extractors, asked in turn. The next is asked only where the one before found no place to take an ID from
/// ([`IdProblem::is_absent`]): the place is missing or null, or there is no payload to look in.
///
/// An ID that is there but empty, repeated, without its scope or otherwise unusable ends the search, because what comes
/// next could take two messages for one. The problem is then [`IdProblem::InList`], with what each extractor found.
///
/// A record key behind the first rule is an ID of its own kind, because it names an entity more often than a message: the
/// key `a7` never equals an ID `a7` that another rule found.
///
/// # Examples
///
/// ```
/// use hapax::id::{Extract, FirstOf, HeaderId, RecordKey};
///
/// let ids = FirstOf::new(HeaderId::cloud_events()).or(HeaderId::new("x-message-id")).or(RecordKey::new());
/// assert_eq!(
///     ids.rule(),
///     r#"first of [header "ce_id" (scope header "ce_source"), header "x-message-id" (scope topic), key as fallback (scope topic)]"#,
/// );
/// ```
#[derive(Clone, Debug)]
pub struct FirstOf {
    /// Each with its rule.
    extractors: Vec<(Arc<str>, Arc<dyn Extract>)>,
}

impl FirstOf {
    /// Starts with the extractor that is asked first.
    pub fn new(first: impl Extract) -> Self {
        Self { extractors: Vec::new() }.or(first)
    }

    /// Adds the extractor that is asked where all before it found nothing.
    #[must_use]
    pub fn or(mut self, next: impl Extract) -> Self {
        let fallback = if self.extractors.is_empty() { None } else { next.as_fallback() };
        self.push(fallback.unwrap_or_else(|| Arc::new(next)));
        self
    }

    fn push(&mut self, next: Arc<dyn Extract>) {
        self.extractors.push((next.rule().into(), next));
    }
}

impl Extract for FirstOf {
    fn extract(&self, record: &Record) -> Result<Identity, IdProblem> {
        let mut tried = Vec::new();
        for (rule, extractor) in &self.extractors {
            match extractor.extract(record) {
                Ok(identity) => return Ok(identity),
                Err(problem) => {
                    let ends = !problem.is_absent();
                    tried.push((Arc::clone(rule), problem));
                    if ends {
                        break;
                    }
                }
            }
        }
        Err(IdProblem::InList { tried: tried.into() })
    }

    fn rule(&self) -> String {
        let rules: Vec<&str> = self.extractors.iter().map(|(rule, _)| &**rule).collect();
        format!("first of [{}]", rules.join(", "))
    }

    fn as_fallback(&self) -> Option<Arc<dyn Extract>> {
        let mut list = Self { extractors: Vec::new() };
        for (_, extractor) in &self.extractors {
            list.push(extractor.as_fallback().unwrap_or_else(|| Arc::clone(extractor)));
        }
        Some(Arc::new(list))
    }
}
