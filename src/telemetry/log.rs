//! The observer that writes log lines, by consequence: WARN where something was recovered and nothing lost, or dropped
//! by policy, ERROR where an effect was repeated or a person is needed, single records at TRACE.
//!
//! When something is badly wrong it is wrong for every record. So a line about a record, at WARN or ERROR, stands for
//! its kind: the first of a kind and topic is written at once, then one a second at most, and `suppressed` is how many were
//! left out before it. Takeovers are one line per partition and ten seconds. Those that are left out appear at TRACE. How
//! many were left out at the end of a burst is a line of its own, two intervals after the last one or when the [`Log`] is
//! dropped. The metrics count them all.

use std::error::Error;
use std::time::Duration;

use tracing::Level;

use super::{Limiter, stall};
use crate::observe::{
    CommitRefused, DuplicateBy, FailureKind, Observer, Outcome, PartitionStop, RefusalKind, WaitsFor,
};
use crate::record::{Epoch, Offset, Origin, Record, TopicPartition};
use crate::store::{StoreError, Verdict};

/// How often one kind of line about one topic is written at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// The same of takeovers in one partition. All that an owner held runs out within seconds of its end, so one line stands for
/// one owner.
const TAKEOVERS: Duration = Duration::from_secs(10);

/// Writes what matters through `tracing`. Never an ID, a key or a payload.
#[derive(Debug)]
pub struct Log {
    limiter: Limiter,
    takeovers: Limiter,
}

impl Log {
    /// Writes at most one line a second of each kind and topic, where a line is about a single record.
    pub fn new() -> Self {
        Self { limiter: Limiter::new(INTERVAL), takeovers: Limiter::new(TAKEOVERS) }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

macro_rules! level {
    (error) => {
        Level::ERROR
    };
    (warn) => {
        Level::WARN
    };
    (debug) => {
        Level::DEBUG
    };
}

/// Writes a line of a kind about a subject, unless one was written within the last second: then it is one for TRACE.
macro_rules! sampled {
    ($log:expr, $level:ident, $kind:literal, $subject:expr, $($line:tt)*) => {
        if let Some(suppressed) = $log.limiter.admit(level!($level), $kind, $subject) {
            tracing::$level!(suppressed, $($line)*);
        } else {
            tracing::trace!($($line)*);
        }
    };
}

impl Observer for Log {
    fn on_claim(&self, record: &Record, attempts: u32, suspect: bool) {
        if !suspect {
            return;
        }
        let origin = record.origin();
        match self.takeovers.admit(Level::WARN, "takeover", &record.partition().to_string()) {
            Some(suppressed) => tracing::warn!(
                suppressed, %origin, attempts,
                "taking over records of a partition: the leases of their owner ran out. It ended, or did nothing for long; \
                 `suppressed` counts records, not ends of processes"
            ),
            None => tracing::trace!(%origin, attempts, "took over a record whose owner's lease ran out"),
        }
    }

    fn on_duplicate(&self, record: &Record, by: DuplicateBy, first: Option<&Origin>) {
        tracing::trace!(origin = %record.origin(), ?by, ?first, "dropped a duplicate");
    }

    fn on_conflict(&self, record: &Record, first: &Origin) {
        sampled!(
            self, warn, "conflict", record.topic(),
            origin = %record.origin(), %first,
            "a conflict: its message ID was handled before with another payload"
        );
    }

    fn on_park(&self, record: &Record, remaining: Option<Duration>) {
        tracing::trace!(origin = %record.origin(), ?remaining, "waits: its ID is in flight elsewhere");
    }

    fn on_handled(&self, record: &Record, attempt: u32, took: Duration) {
        tracing::trace!(origin = %record.origin(), attempt, ?took, "handled");
    }

    /// Whoever runs the handler logs the error itself, which is not known here.
    fn on_failure(&self, record: &Record, attempt: u32, kind: FailureKind) {
        tracing::trace!(origin = %record.origin(), attempt, ?kind, "an attempt failed");
    }

    fn on_retry(&self, record: &Record, attempt: u32, delay: Duration) {
        sampled!(
            self, warn, "retry", record.topic(),
            origin = %record.origin(), attempt, ?delay, "a failed record is tried again after that time at most"
        );
    }

    fn on_dead_letter(&self, record: &Record, attempts: u32, reason: &str) {
        sampled!(
            self, error, "dead letter", record.topic(),
            origin = %record.origin(), attempts, reason,
            "a record is given up and goes to the dead-letter topic, from where somebody may replay it"
        );
    }

    fn on_delivery_failed(&self, record: &Record, reason: &str) {
        sampled!(
            self, warn, "delivery failed", record.topic(),
            origin = %record.origin(), reason,
            "a copy for the dead-letter or a retry topic was not delivered; it is sent again, and the record waits"
        );
    }

    fn on_expire(&self, record: &Record, late: Duration) {
        sampled!(
            self, warn, "expired", record.topic(),
            origin = %record.origin(), ?late, "a record is too old by that much and is not handled"
        );
    }

    fn on_settle(&self, record: &Record, outcome: Outcome, since_delivery: Duration) {
        if outcome == Outcome::SkippedByOperator {
            // There are as many of them as operators ask for: none is left out.
            tracing::warn!(origin = %record.origin(), "an operator skipped a record: it is settled and not handled");
        }
        tracing::trace!(origin = %record.origin(), ?outcome, ?since_delivery, "settled");
    }

    fn on_give_back(&self, partition: &TopicPartition, records: usize) {
        tracing::debug!(%partition, records, "given back; whoever reads the partition next gets them again");
    }

    fn on_complete(&self, record: &Record, verdict: Verdict) {
        match verdict {
            Verdict::First => tracing::trace!(origin = %record.origin(), "recorded as done"),
            Verdict::Overrun => sampled!(
                self, error, "overrun", record.topic(),
                origin = %record.origin(),
                "a repeated effect: another attempt had finished before this one was recorded"
            ),
            Verdict::PossibleOverrun => sampled!(
                self, warn, "possible overrun", record.topic(),
                origin = %record.origin(),
                "possibly a repeated effect: it was already recorded when its lease may have run out, or the store lost data since \
                 its claim"
            ),
        }
    }

    fn on_possible_repeat(&self, record: &Record, first: Option<&Origin>) {
        sampled!(
            self, warn, "possible overrun", record.topic(),
            origin = %record.origin(), first = first.map(tracing::field::display),
            "possibly a repeated effect: an attempt ended without it being known whether it had its effect, and another \
             attempt has the message ID since"
        );
    }

    fn on_lease_lost(&self, record: &Record) {
        sampled!(
            self, warn, "lease lost", record.topic(),
            origin = %record.origin(),
            "its lease could not be renewed in time: another worker may handle it, too"
        );
    }

    fn on_stop(&self, partition: &TopicPartition, stop: &PartitionStop) {
        let PartitionStop { offset, cause, reason, answered, tries, next_try, .. } = stop;
        let next_try = next_try.map(tracing::field::debug);
        tracing::error!(
            %partition, offset, cause = cause.name(), reason = &**reason, answered = answered.as_deref(), tries, next_try,
            "the partition stops here; nothing is skipped"
        );
    }

    fn on_try(&self, partition: &TopicPartition, offset: Offset, tries: u32, by_operator: bool) {
        tracing::info!(%partition, offset, tries, by_operator, "the stopped partition tries its record again");
    }

    fn on_stop_over(&self, partition: &TopicPartition) {
        tracing::info!(%partition, "the stopped partition goes on");
    }

    fn on_commit(&self, partition: &TopicPartition, offset: Offset, lag: Duration) {
        tracing::debug!(%partition, offset, ?lag, "committed");
    }

    fn on_commit_failed(&self, partition: &TopicPartition, offset: Offset, refused: &CommitRefused) {
        let reason = &refused.reason;
        match refused.kind {
            RefusalKind::Rebalance => tracing::debug!(
                %partition, offset, reason, "a commit was refused by a rebalance; the next commit or the next owner covers it"
            ),
            RefusalKind::Failed => sampled!(
                self, warn, "commit failed", partition.topic(),
                %partition, offset, reason, "a commit was refused; its records may be delivered again"
            ),
            RefusalKind::Fenced => sampled!(
                self, error, "commit fenced", partition.topic(),
                %partition, offset, reason,
                "a commit was refused: another consumer has the same static member ID; give each its own"
            ),
        }
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

    fn on_stall(&self, partition: &TopicPartition, offset: Offset, since: Duration, waits_for: &WaitsFor) {
        tracing::warn!(
            %partition, offset, ?since,
            "the partition makes no progress; its first record that is not settled waits for {}",
            stall::in_words(waits_for)
        );
    }

    fn on_stall_over(&self, partition: &TopicPartition) {
        tracing::info!(%partition, "the partition goes on, or is no longer this process's");
    }

    fn on_pause(&self, partition: &TopicPartition, paused: bool) {
        tracing::debug!(%partition, paused, "back-pressure");
    }

    /// The store itself logs when it is lost and found.
    fn on_store_error(&self, operation: &'static str, error: &StoreError) {
        sampled!(
            self, debug, "store", operation,
            operation, %error, cause = error.source().map(tracing::field::display), "no answer from the store"
        );
    }
}
