//! Two messages under one ID: done before, but with another payload.

use crate::observe::{DuplicateBy, Outcome};
use crate::record::Origin;

use super::work::Stage;
use super::{Destination, Engine, WorkId};

/// What happens to a record whose ID was handled before with another payload. Only a store that
/// [keeps details](crate::store::Store::keeps_details) can tell.
///
/// Under every policy the conflict is counted and logged, with the coordinates of both records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConflictPolicy {
    /// Its partition stops with an error that names both records and the ways out: the default, for one of the two
    /// messages would be lost. Nothing behind it is handled until a person acts.
    #[default]
    Stop,
    /// It settles as a duplicate: for producers that send a message again with, say, another time in its payload.
    /// Where they give two messages one ID, the second is dropped.
    Duplicate,
    /// It goes to the dead-letter topic, which the consumer must have. Neither message is lost.
    DeadLetter,
}

/// A partition stopped at a record whose ID was handled before with another payload.
///
/// Not retryable: both records stay as they are until the policy, the store or the committed offset is changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the record at {origin} has the message ID of the record at {first}, which was handled, and another payload: its \
     producer gave two messages one ID, or changed a message when it sent it again. If it is a message of its own, forget \
     the ID and start again, so that it is handled; if it can be dropped, commit past it; if all such records can be \
     dropped, choose the conflict policy duplicate instead of stop"
)]
pub struct MessageConflict {
    /// The record that cannot be handled.
    pub origin: Origin,
    /// The record that was handled under the same ID.
    pub first: Origin,
}

impl Engine {
    /// Decides what becomes of a record whose ID was handled before with another payload. Whoever waits for it in this
    /// process asks the store itself: what is true of this payload need not be of theirs.
    pub(super) fn conflicting(&mut self, id: WorkId, first: Origin) {
        let policy = self.config.conflict_policy;
        let Some(work) = self.work_mut(id) else { return };
        (work.token, work.hold) = (None, None);
        let (record, fingerprint) = (work.record.clone(), work.fingerprint);
        self.report_doubt(id, Some(&first));
        self.observer.on_conflict(&record, &first);
        match policy {
            ConflictPolicy::Stop => {
                let conflict = MessageConflict { origin: record.origin(), first };
                self.enter(id, Stage::Unusable(conflict.to_string()));
                if let Some(fingerprint) = fingerprint {
                    self.disown(fingerprint, id);
                }
            }
            ConflictPolicy::Duplicate => {
                self.observer.on_duplicate(&record, DuplicateBy::Store, Some(&first));
                self.unparked(id);
                self.settle(id, Outcome::Duplicate);
            }
            ConflictPolicy::DeadLetter => {
                // From here on it is a record without a claim: what its ID stands for was handled.
                if let Some(fingerprint) = fingerprint {
                    self.disown(fingerprint, id);
                }
                let reason = format!("its message ID is that of the record at {first}, which has another payload");
                if let Some(work) = self.work_mut(id) {
                    work.fingerprint = None;
                    work.bound_for = Some(Destination::DeadLetter { reason: reason.into() });
                }
                self.unparked(id);
                self.enter(id, Stage::Held);
            }
        }
    }
}
