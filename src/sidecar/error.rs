//! Why the sidecar could not start, or ended.

use std::net::SocketAddr;

use crate::error::{Problem, RunError};

/// Why the sidecar could not start, or could not go on. Nothing is lost by it: what was not committed is delivered again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SidecarError {
    /// A setting, or a file that one names, cannot be used. Starting again is no use before somebody changes it.
    #[error(transparent)]
    Setting(#[from] Problem),
    /// An address cannot be listened on.
    #[error("{setting}: {address} cannot be listened on; is another process there already?")]
    Listen {
        /// The setting that names it.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The consumer could not start, or could not go on.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Something that should not happen.
    #[error("an error of hapax itself: {0}")]
    Internal(String),
}

impl SidecarError {
    /// Whether starting again later can succeed without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Setting(_) | Self::Internal(_) => false,
            // The one that has the address may end.
            Self::Listen { .. } => true,
            Self::Run(error) => error.is_retryable(),
        }
    }
}
