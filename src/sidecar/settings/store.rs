//! Where the states of IDs are kept.

use std::path::PathBuf;
use std::time::Duration;

use crate::sidecar::Secret;
use crate::store::{DoneMode, LeaseTerms};

/// Where the states of IDs are kept, and for how long.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Which store.
    pub kind: StoreKind,
    /// Lease, grace and window.
    pub terms: LeaseTerms,
    /// How many done IDs the local cache holds. Default 100,000.
    pub cache_entries: u64,
    /// For how long. Default 10 min.
    pub cache_lifetime: Duration,
}

/// Which store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreKind {
    /// Redis.
    Redis(Box<RedisSettings>),
    /// The memory of this process, which forgets all at its end: for trials.
    Memory,
}

/// How to reach Redis.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// The URL, which may hold a password.
    pub url: Secret,
    /// A CA in PEM beside those of the system.
    pub ca: Option<PathBuf>,
    /// A client certificate and its key, in PEM.
    pub client: Option<(PathBuf, PathBuf)>,
    /// User and password of sentinels.
    pub sentinel_login: Option<(Option<String>, Secret)>,
    /// How done IDs are kept.
    pub mode: DoneMode,
    /// How many IDs one window is expected to have; `None` learns it.
    pub expected_ids: Option<u64>,
    /// Whether a server that may forget is refused.
    pub strict: bool,
    /// How long one answer may take.
    pub response_limit: Duration,
}
