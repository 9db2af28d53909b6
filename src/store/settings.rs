//! How long things hold, and what all processes of a namespace must agree on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Store;
use crate::id::IdKey;

/// How long claims hold and done IDs are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// How long a claim holds without renewal. Default 60 s: long enough that a pause of the process does not lose
    /// it, short enough that a crash holds nobody up for long.
    pub lease: Duration,
    /// How long an ID whose lease ran out, or whose attempt failed, keeps its count of attempts. Default 10 min.
    pub grace: Duration,
    /// How long a done ID is remembered, from its completion; a duplicate never extends it. Redis' compact mode remembers
    /// it for up to twice as long. Default 24 h. Must exceed
    /// the longest outage together with the longest time after which a producer resends.
    pub window: Duration,
}

impl Default for LeaseTerms {
    fn default() -> Self {
        Self { lease: Duration::from_secs(60), grace: Duration::from_secs(600), window: Duration::from_secs(24 * 3600) }
    }
}

/// A setting that cannot be as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct SettingsError {
    /// The setting's name.
    pub setting: &'static str,
    /// What is wrong with it, and the way out.
    pub problem: String,
}

impl LeaseTerms {
    /// Checks that every term is at least a millisecond, the store's resolution, and that sums do not overflow.
    ///
    /// # Errors
    ///
    /// Names the first term that is out of range.
    pub fn check(&self) -> Result<(), SettingsError> {
        const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
        let terms = [("lease", self.lease), ("grace", self.grace), ("window", self.window)];
        match terms.into_iter().find(|(_, term)| term.as_millis() == 0 || *term > LONGEST) {
            None => Ok(()),
            Some((setting, term)) => Err(SettingsError {
                setting,
                problem: format!("{term:?} is out of range; choose between 1 ms and ten years"),
            }),
        }
    }
}

/// What decides which fingerprint a message gets and how long it is remembered. All processes of a namespace must
/// have the same, or they would be blind to each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// How long done IDs are remembered, in milliseconds.
    pub window_ms: u64,
    /// How the store keeps done IDs.
    pub mode: String,
    /// How the ID is found, with its scope: [`Extract::rule`](crate::id::Extract::rule).
    pub id_rule: String,
    /// A value that is the same for the same ID key and tells nothing else about it.
    pub id_key_check: String,
}

impl Agreement {
    /// What a process with this store, this rule for finding the ID and this key would have to agree on.
    pub fn of(store: &dyn Store, id_rule: impl Into<String>, id_key: &IdKey) -> Self {
        Self {
            window_ms: u64::try_from(store.terms().window.as_millis()).unwrap_or(u64::MAX),
            mode: store.mode().to_owned(),
            id_rule: id_rule.into(),
            id_key_check: id_key.check_value(),
        }
    }

    /// One sentence per setting in which `theirs` differs.
    pub fn differences(&self, theirs: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |name: &str, ours: String, others: String| {
            if ours != others {
                differences.push(format!("{name} is {others} there and {ours} here"));
            }
        };
        compare("window", format!("{} ms", self.window_ms), format!("{} ms", theirs.window_ms));
        compare("mode", self.mode.clone(), theirs.mode.clone());
        compare("ID rule", self.id_rule.clone(), theirs.id_rule.clone());
        compare(
            "ID key",
            format!("one with check value {}", self.id_key_check),
            format!("one with check value {}", theirs.id_key_check),
        );
        differences
    }
}
