//! The observer that writes log lines: WARN where something was recovered and nothing lost, ERROR where a person is
//! needed, single records at TRACE only.

use std::error::Error;
use std::time::Duration;

use crate::observe::{DuplicateBy, Observer};
use crate::record::{Epoch, Offset, Origin, Record, TopicPartition};
use crate::store::{StoreError, Verdict};

/// Writes what matters through `tracing`. Never an ID, a key or a payload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

impl Observer for Log {
    fn on_claim(&self, record: &Record, attempts: u32, suspect: bool) {
        if suspect {
            tracing::warn!(origin = %record.origin(), attempts, "took over a record whose owner's lease ran out");
        }
    }

    fn on_duplicate(&self, record: &Record, by: DuplicateBy, first: Option<&Origin>) {
        tracing::trace!(origin = %record.origin(), ?by, ?first, "dropped a duplicate");
    }

    fn on_conflict(&self, record: &Record, first: &Origin) {
        tracing::warn!(
            origin = %record.origin(), %first,
            "a conflict: its message ID was handled before with another payload"
        );
    }

    fn on_park(&self, record: &Record, remaining: Option<Duration>) {
        tracing::debug!(origin = %record.origin(), ?remaining, "waits: its ID is in flight elsewhere");
    }

    fn on_complete(&self, record: &Record, verdict: Verdict) {
        match verdict {
            Verdict::First => tracing::trace!(origin = %record.origin(), "recorded as done"),
            Verdict::Overrun => tracing::error!(
                origin = %record.origin(),
                "a repeated effect: another attempt had finished before this one was recorded"
            ),
            Verdict::PossibleOverrun => tracing::warn!(
                origin = %record.origin(),
                "possibly a repeated effect: recording it took longer than its lease was held"
            ),
        }
    }

    fn on_lease_lost(&self, record: &Record) {
        tracing::warn!(
            origin = %record.origin(),
            "its lease could not be renewed in time: another worker may handle it, too"
        );
    }

    fn on_stop(&self, partition: &TopicPartition, offset: Offset, reason: &str) {
        tracing::error!(%partition, offset, reason, "the partition stops here; nothing is skipped");
    }

    fn on_commit(&self, partition: &TopicPartition, offset: Offset, lag: Duration) {
        tracing::debug!(%partition, offset, ?lag, "committed");
    }

    fn on_commit_failed(&self, partition: &TopicPartition, offset: Offset, reason: &str) {
        tracing::warn!(%partition, offset, reason, "a commit was refused; its records may be delivered again");
    }

    fn on_assign(&self, partition: &TopicPartition, epoch: Epoch) {
        tracing::info!(%partition, epoch = epoch.0, "assigned");
    }

    fn on_revoke(&self, partition: &TopicPartition, epoch: Epoch, drained: bool) {
        tracing::info!(%partition, epoch = epoch.0, drained, "revoked");
    }

    fn on_lost(&self, partition: &TopicPartition, epoch: Epoch) {
        tracing::warn!(%partition, epoch = epoch.0, "lost; its records are delivered again elsewhere");
    }

    fn on_pause(&self, partition: &TopicPartition, paused: bool) {
        tracing::debug!(%partition, paused, "back-pressure");
    }

    fn on_store_error(&self, operation: &'static str, error: &StoreError) {
        tracing::debug!(operation, %error, cause = error.source().map(tracing::field::display), "no answer from the store");
    }
}
