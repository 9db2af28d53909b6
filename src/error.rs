//! What building and running a consumer can fail with.

use crate::store::{OpenError, SettingsError};

/// Settings that cannot be as they are: all of them at once.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the settings contradict each other or are incomplete:{}", .problems.iter().map(|p| format!("\n  {p}")).collect::<String>())]
pub struct BuildError {
    /// One entry per setting that has to be changed.
    pub problems: Vec<SettingsError>,
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
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl RunError {
    /// Whether starting again later can succeed without anybody changing a setting.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Open(OpenError::Store(error)) => error.is_retryable(),
            Self::Open(_) => false,
            // A broker that is away comes back; a topic that is missing is somebody's to create. The source's error tells.
            Self::Source(_) => true,
        }
    }
}
