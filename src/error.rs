//! What building and running a consumer can fail with.

use std::error::Error;

use crate::kafka::SourceError;
use crate::store::{OpenError, SettingsError};

/// A setting that has to be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct Problem {
    /// The setting's name, or that of a librdkafka property.
    pub setting: String,
    /// What is wrong with it, and the way out. Never holds the value of a secret.
    pub problem: String,
}

impl Problem {
    pub(crate) fn new(setting: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { setting: setting.into(), problem: problem.into() }
    }
}

impl From<SettingsError> for Problem {
    fn from(SettingsError { setting, problem }: SettingsError) -> Self {
        Self::new(setting, problem)
    }
}

impl From<SourceError> for Problem {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Setting { name, problem } => Self::new(name, problem),
            other => Self::new("kafka", other.to_string()),
        }
    }
}

/// Settings that cannot be as they are: all of them at once.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the settings contradict each other or are incomplete:{}", .problems.iter().map(|p| format!("\n  {p}")).collect::<String>())]
pub struct BuildError {
    /// One entry per setting that has to be changed.
    pub problems: Vec<Problem>,
}

/// Why a consumer could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The namespace could not be opened in the store.
    #[error("the store could not be opened")]
    Open(#[source] OpenError),
    /// The source could not be started, or failed for good. What was handled is recorded; what was not committed is
    /// delivered again to whoever reads the partition next.
    #[error("the source failed")]
    Source(#[source] SourceError),
}

impl RunError {
    /// Whether starting again later can succeed without anybody changing a setting, a permission or an offset.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Open(OpenError::Store(error)) => error.is_retryable(),
            Self::Open(_) => false,
            // Somebody has to grant the access, or to set the group's offset.
            Self::Source(SourceError::Denied { .. } | SourceError::OffsetLost { .. }) => false,
            Self::Source(error) => !error.is_configuration(),
        }
    }
}

/// What lies behind an error, from the next level down.
pub(crate) fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(error.source(), |error: &&'e (dyn Error + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Cause, StoreError};

    #[test]
    fn retryable_is_what_passes_without_anybody_doing_anything() {
        let source = |error| RunError::Source(error).is_retryable();
        let (text, limit) = (String::new, std::time::Duration::ZERO);
        assert!(source(SourceError::Unreachable { brokers: text(), limit, last: None }));
        assert!(source(SourceError::UnknownTopic { topic: text() }));
        assert!(source(SourceError::Rebalance { operation: "", reason: text() }));
        assert!(source(SourceError::Fatal { reason: text() }));
        assert!(source(SourceError::Thread { reason: text() }));
        assert!(!source(SourceError::Setting { name: text(), problem: text() }));
        assert!(!source(SourceError::Refused { reason: text() }));
        assert!(!source(SourceError::Denied { what: text(), reason: text() }));
        assert!(!source(SourceError::OffsetLost { partition: None, next: None, reason: text() }));

        let open = |error| RunError::Open(error).is_retryable();
        let cause = || Cause::new("away");
        assert!(open(StoreError::Unavailable(cause()).into()));
        assert!(open(StoreError::Unknown(cause()).into()));
        assert!(!open(StoreError::Refused(cause()).into()));
        assert!(!open(OpenError::Disagreement { namespace: text(), differences: Vec::new() }));
        assert!(!open(OpenError::Unreadable { namespace: text(), problem: text() }));
    }
}
