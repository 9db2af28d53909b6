//! Leases of recorded IDs, on their way out.
//!
//! A lease is deleted only after its done ID was answered, and nobody waits for that: it travels with the next batch of
//! claims or completions, or by itself where none comes soon. Sent by itself each time it would cost a packet and a turn
//! of Redis' loop per batch (measured: a tenth of the rate).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::Cmd;

use super::Inner;
use super::batch::Batch;
use super::layout::Group;
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
    /// Answers how many commands that are; their replies mean nothing.
    pub(super) fn take_deletions_along(&self, batch: &mut Batch) -> usize {
        let deletions = self.deletions();
        let count = deletions.len();
        deletions.into_iter().for_each(|(group, command)| batch.push(group, command));
        count
    }

    /// Sends them by themselves: they are queued before whatever the caller sends next.
    pub(super) async fn delete_now(&self) {
        let deletions = self.deletions();
        if !deletions.is_empty() {
            self.link.tell(deletions.into_iter().collect()).await;
        }
    }

    /// One command for all that may stand together.
    fn deletions(&self) -> BTreeMap<Group, Cmd> {
        let leases = std::mem::take(&mut self.deletions.0.lock().leases);
        let mut commands = BTreeMap::new();
        for fingerprint in leases {
            let command = commands.entry(self.together_with(&fingerprint)).or_insert_with(|| redis::cmd("DEL"));
            command.arg(self.layout.lease(&fingerprint));
        }
        commands
    }
}
