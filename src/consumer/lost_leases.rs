//! The tokens by which running attempts learn that their lease is lost.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::engine::WorkId;

/// One token for each attempt that asked for it, or whose lease was lost. Clones share them.
///
/// Most handlers never ask, so most attempts need none.
#[derive(Clone, Debug, Default)]
pub(super) struct LostLeases {
    tokens: Arc<Mutex<HashMap<WorkId, CancellationToken>>>,
}

impl LostLeases {
    /// The token of an attempt.
    pub(super) fn token(&self, work: WorkId) -> CancellationToken {
        self.tokens.lock().entry(work).or_default().clone()
    }

    /// The lease of an attempt is lost.
    pub(super) fn lose(&self, work: WorkId) {
        self.tokens.lock().entry(work).or_default().cancel();
    }

    /// An attempt has ended.
    pub(super) fn end(&self, work: WorkId) {
        let mut tokens = self.tokens.lock();
        if !tokens.is_empty() {
            tokens.remove(&work);
        }
    }

    /// Forgets attempts that ended before they asked, if there are many.
    pub(super) fn retain(&self, bound: usize, runs: impl Fn(WorkId) -> bool) {
        let mut tokens = self.tokens.lock();
        if tokens.len() > bound {
            tokens.retain(|work, _| runs(*work));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_fires_whether_it_is_asked_for_before_or_after() {
        let leases = LostLeases::default();
        let (before, other) = (leases.token(WorkId(1)), leases.token(WorkId(2)));
        leases.lose(WorkId(1));
        assert!(before.is_cancelled() && leases.token(WorkId(1)).is_cancelled() && !other.is_cancelled());
    }

    #[test]
    fn token_is_forgotten_with_its_attempt() {
        let leases = LostLeases::default();
        let lost = leases.token(WorkId(1));
        leases.lose(WorkId(1));
        leases.end(WorkId(1));
        assert!(lost.is_cancelled() && !leases.token(WorkId(1)).is_cancelled());
        leases.retain(0, |_| false);
        assert!(leases.tokens.lock().is_empty());
    }
}
