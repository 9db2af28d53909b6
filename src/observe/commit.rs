//! Refused commits, and what each refusal means.

/// A commit that was refused. Nothing is lost by it: the next commit of the partition covers it, or the partition's next
/// owner reads the records again and drops them as duplicates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct CommitRefused {
    /// What the refusal means.
    pub kind: RefusalKind,
    /// The broker's or librdkafka's own words.
    pub reason: String,
}

/// What a refused commit means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The group is rebalancing, or the partition has left this process. Expected with every rebalance; no action is needed.
    Rebalance,
    /// The broker did not take it, or did not answer. Worth a look where it goes on.
    Failed,
    /// Another consumer runs with the same static member ID, and this one is shut out. An operator has to change a setting.
    Fenced,
}

impl RefusalKind {
    /// A short name that stays the same: for labels and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rebalance => "rebalance",
            Self::Failed => "failed",
            Self::Fenced => "fenced",
        }
    }
}

impl CommitRefused {
    /// A refusal that belongs to a rebalance.
    pub fn by_rebalance(reason: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Rebalance, reason: reason.into() }
    }

    /// A refusal that no rebalance explains.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Failed, reason: reason.into() }
    }
}
