//! What a store can fail with, and what follows from each.

use std::fmt;

/// Why one item of a batch has no answer.
///
/// `Display` names this level only; the cause is in `source`.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A time-out or a dropped connection: the command may or may not have executed, or may still.
    /// Ask again with the same token.
    #[error("the store did not answer; the command may have executed")]
    Unknown(#[source] Cause),
    /// The command was certainly not executed, and asking again later can succeed: the store is away, loading, or a
    /// replica.
    #[error("the store is not available")]
    Unavailable(#[source] Cause),
    /// The store has no memory left for this command. Finished work is still recorded; nothing new is claimed.
    #[error("the store is full")]
    Full(#[source] Cause),
    /// The store refuses the command and will again: wrong credentials, missing permissions, a key of a foreign type.
    /// An operator has to change a setting.
    #[error("the store refuses the command: a setting has to be changed")]
    Refused(#[source] Cause),
}

impl StoreError {
    /// Whether asking again, with the same token, can succeed without anybody changing a setting.
    pub fn is_retryable(&self) -> bool {
        match self {
            // The same token makes a repeated command harmless.
            Self::Unknown(_) | Self::Unavailable(_) | Self::Full(_) => true,
            Self::Refused(_) => false,
        }
    }

    /// Whether the command may have executed although no answer came.
    pub fn may_have_executed(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// All that [`kind`](Self::kind) may return.
    pub(crate) const KINDS: [&'static str; 4] = ["unknown", "unavailable", "full", "refused"];

    /// A short name for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown",
            Self::Unavailable(_) => "unavailable",
            Self::Full(_) => "full",
            Self::Refused(_) => "refused",
        }
    }
}

/// What lay behind a [`StoreError`]; shared, because one fault answers a whole batch. Holds no secrets.
#[derive(Clone, Debug)]
pub struct Cause(std::sync::Arc<dyn std::error::Error + Send + Sync>);

impl Cause {
    /// Wraps an error of a client library, or a sentence.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into().into())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Why a namespace could not be opened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process opened the namespace with other settings. Two processes that disagree would be blind to each
    /// other's IDs.
    #[error(
        "namespace {namespace} was opened with other settings: {}. Give all its processes the same, or choose another \
         namespace, which knows nothing of what was handled in this one",
        .differences.join("; ")
    )]
    Disagreement {
        /// Whose settings disagree.
        namespace: String,
        /// One sentence per setting: its name, what the namespace has, what this process has. No secrets.
        differences: Vec<String>,
    },
    /// What the namespace agreed on cannot be read: a later version of hapax wrote it, or something else did.
    #[error("namespace {namespace} cannot be read: {problem}")]
    Unreadable {
        /// Which namespace.
        namespace: String,
        /// What is wrong with it, and the way out.
        problem: String,
    },
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}
