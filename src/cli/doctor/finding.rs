//! What the doctor says.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// As it should be, or worth knowing.
    Note,
    /// It may cost a repeated effect or a stop some day.
    Warning,
    /// It costs them now, or it may lose records.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// Of what: `kafka`, `topic orders`, `group billing`, `redis`, `application`.
    pub(super) about: String,
    /// A short name that stays the same, for scripts.
    pub(super) name: &'static str,
    /// What is the case, and what follows.
    pub(super) says: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn note(about: impl Into<String>, name: &'static str, says: impl Into<String>) -> Self {
        Self { severity: Severity::Note, about: about.into(), name, says: says.into(), remedy: None }
    }

    pub(super) fn warning(
        about: impl Into<String>,
        name: &'static str,
        says: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = Some(remedy.into());
        Self { severity: Severity::Warning, about: about.into(), name, says: says.into(), remedy }
    }

    pub(super) fn error(
        about: impl Into<String>,
        name: &'static str,
        says: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Error, ..Self::warning(about, name, says, remedy) }
    }
}
