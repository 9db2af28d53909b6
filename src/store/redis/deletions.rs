//! Leases of recorded IDs, on their way out.
//!
//! A lease is deleted only after its done ID was answered, and nobody waits for that: it travels with the next batch of
//! claims or completions, or by itself where none comes soon. Sent by itself each time it would cost a packet and a turn
//! of Redis' loop per batch (measured: a tenth of the rate).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Inner;
use super::batch::Batch;
use crate::id::Fingerprint;

/// How long deletions wait for a batch that takes them along. Until then whoever claims the ID finds it done.
const PATIENCE: Duration = Duration::from_millis(5);

/// What is to be deleted.
#[derive(Debug, Default)]
pub(super) struct Deletions(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    leases: Vec<Fingerprint>,
    /// Whether a task will see to them where no batch does.
    is_seen_to: bool,
}

impl Inner {
    /// Deletes leases with the next batch, or soon.
    pub(super) fn delete_later(self: &Arc<Self>, leases: impl Iterator<Item = Fingerprint>) {
        let mut pending = self.deletions.0.lock();
        pending.leases.extend(leases);
        if pending.leases.is_empty() || std::mem::replace(&mut pending.is_seen_to, true) {
            return;
        }
        let inner = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            inner.deletions.0.lock().is_seen_to = false;
            inner.delete_now().await;
        });
    }

    /// Lets a batch take along what is to be deleted, in front of all else, so that it cannot overtake a later claim.
    /// Returns how many commands these are. Their replies mean nothing.
    pub(super) fn take_deletions_along(&self, batch: &mut Batch) -> usize {
        let before = batch.len();
        let mut leases = std::mem::take(&mut self.deletions.0.lock().leases);
        leases.sort_unstable_by_key(|lease| self.together_with(lease));
        // One command for all that may stand together.
        for leases in leases.chunk_by(|one, next| self.together_with(one) == self.together_with(next)) {
            batch.write(self.together_with(&leases[0]), 1 + leases.len(), |words| {
                words.add(b"DEL");
                for lease in leases {
                    words.add_by(self.layout.key_length(), |key| self.layout.write_lease(key, lease));
                }
            });
        }
        batch.len() - before
    }

    /// Sends them by themselves: they are queued before whatever the caller sends next.
    pub(super) async fn delete_now(&self) {
        let mut batch = Batch::default();
        if self.take_deletions_along(&mut batch) > 0 {
            self.link.tell(batch).await;
        }
    }
}
