//! Limits of the pull API.

use std::time::Duration;

use crate::id::IdKey;

/// What the pull API allows.
#[derive(Clone, Debug)]
pub struct PullSettings {
    /// The secret that keys the fingerprints.
    pub id_key: IdKey,
    /// How many IDs one call may hold. Default 1,000.
    pub max_ids: usize,
    /// The longest time that a call may wait for IDs in flight elsewhere. Default 30 s.
    pub max_wait: Duration,
}
