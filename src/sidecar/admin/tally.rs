//! Counts for the status page, since the start of the process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::rates::{Rates, TOLD, per_second};
use crate::observe::{CommitRefused, DuplicateBy, FailureKind, Observer, Outcome, PartitionStop, RefusalKind};
use crate::record::{Offset, Origin, Record, TopicPartition};
use crate::store::{StoreError, Verdict};

macro_rules! counts {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// How often what happened since the start.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Counts {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        struct Numbers {
            $($name: AtomicU64,)*
        }

        impl Numbers {
            fn read(&self) -> Counts {
                Counts { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counts! {
    /// Records that arrived from the source.
    delivered,
    /// Records whose effect succeeded and is recorded as done.
    handled,
    /// Duplicates that the local cache recognised.
    duplicates_by_cache,
    /// Duplicates that the store recognised.
    duplicates_by_store,
    /// Duplicates of another record that this process had in flight.
    duplicates_by_process,
    /// Records whose ID was handled before with another payload.
    conflicts,
    /// Records in the dead-letter topic.
    dead_letters,
    /// Records of which a copy lies in a retry topic.
    sent_to_retry,
    /// Records that were too old.
    expired,
    /// Records that their handler skipped.
    skipped,
    /// Records that an operator skipped.
    skipped_by_operator,
    /// Delivered records that were given back without an outcome.
    given_back,
    /// Attempts that failed.
    failures,
    /// Attempts that failed because what they need is away; they count for no record.
    unavailable,
    /// Failed records that are tried again here.
    retries,
    /// Effects that are known to have happened before.
    repeated_effects,
    /// Effects that may have happened before.
    possibly_repeated_effects,
    /// Copies that the dead-letter topic or a retry topic did not take.
    deliveries_failed,
    /// Commits that were refused, apart from those that a rebalance explains.
    commits_failed,
    /// Partitions that stopped.
    stops,
    /// Leases that could not be renewed in time.
    leases_lost,
    /// Items that the store did not answer.
    store_errors,
}

impl Counts {
    /// Duplicates, by whomever they were recognised.
    pub fn duplicates(&self) -> u64 {
        self.duplicates_by_cache + self.duplicates_by_store + self.duplicates_by_process
    }
}

/// How much of a kind happens per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Over the last ten seconds.
    pub last_10_s: f64,
    /// Over the last minute.
    pub last_60_s: f64,
    /// In each of the last 60 seconds, oldest first.
    pub seconds: Vec<u32>,
}

/// What happens per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RatesTold {
    /// Records that arrive.
    pub delivered: Rate,
    /// Records handled.
    pub handled: Rate,
    /// Duplicates recognised.
    pub duplicates: Rate,
    /// Attempts that fail.
    pub failures: Rate,
}

/// Counts what the engine decides, for [`GET /v1/status`](super). An [`Observer`] that takes no lock; join it with
/// [`Telemetry`](crate::telemetry::Telemetry) in a [`Fan`](crate::observe::Fan).
#[derive(Debug)]
pub struct Tally {
    start: Instant,
    numbers: Numbers,
    delivered: Rates,
    handled: Rates,
    duplicates: Rates,
    failures: Rates,
}

impl Tally {
    /// Counts from now on.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            numbers: Numbers::default(),
            delivered: Rates::default(),
            handled: Rates::default(),
            duplicates: Rates::default(),
            failures: Rates::default(),
        }
    }

    /// How long it has been counting.
    pub fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    /// What it has counted.
    pub fn counts(&self) -> Counts {
        self.numbers.read()
    }

    pub(super) fn rates(&self) -> RatesTold {
        let second = self.second();
        let told = |rates: &Rates| {
            let last: [u32; TOLD] = rates.last(second);
            Rate {
                last_10_s: per_second(&last, 10, second),
                last_60_s: per_second(&last, 60, second),
                seconds: last.to_vec(),
            }
        };
        RatesTold {
            delivered: told(&self.delivered),
            handled: told(&self.handled),
            duplicates: told(&self.duplicates),
            failures: told(&self.failures),
        }
    }

    fn second(&self) -> u32 {
        u32::try_from(self.start.elapsed().as_secs()).unwrap_or(u32::MAX)
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

fn more(number: &AtomicU64, by: usize) {
    number.fetch_add(by as u64, Ordering::Relaxed);
}

impl Observer for Tally {
    fn on_delivered(&self, _: &TopicPartition, records: usize) {
        more(&self.numbers.delivered, records);
        self.delivered.add(self.second(), u32::try_from(records).unwrap_or(u32::MAX));
    }

    fn on_duplicate(&self, _: &Record, by: DuplicateBy, _: Option<&Origin>) {
        let number = match by {
            DuplicateBy::Cache => &self.numbers.duplicates_by_cache,
            DuplicateBy::Store => &self.numbers.duplicates_by_store,
            DuplicateBy::Process => &self.numbers.duplicates_by_process,
        };
        more(number, 1);
        self.duplicates.add(self.second(), 1);
    }

    fn on_conflict(&self, _: &Record, _: &Origin) {
        more(&self.numbers.conflicts, 1);
    }

    fn on_failure(&self, _: &Record, _: u32, kind: FailureKind) {
        match kind {
            // Nothing is wrong: it settles as skipped.
            FailureKind::Skip => return,
            FailureKind::Unavailable => more(&self.numbers.unavailable, 1),
            _ => more(&self.numbers.failures, 1),
        }
        self.failures.add(self.second(), 1);
    }

    fn on_retry(&self, _: &Record, _: u32, _: Duration) {
        more(&self.numbers.retries, 1);
    }

    fn on_delivery_failed(&self, _: &Record, _: &str) {
        more(&self.numbers.deliveries_failed, 1);
    }

    fn on_settle(&self, _: &Record, outcome: Outcome, _: Duration) {
        let number = match outcome {
            Outcome::Handled => {
                self.handled.add(self.second(), 1);
                &self.numbers.handled
            }
            // Counted when it was recognised, by whom.
            Outcome::Duplicate => return,
            Outcome::DeadLettered => &self.numbers.dead_letters,
            Outcome::Retried => &self.numbers.sent_to_retry,
            Outcome::Expired => &self.numbers.expired,
            Outcome::Skipped => &self.numbers.skipped,
            Outcome::SkippedByOperator => &self.numbers.skipped_by_operator,
        };
        more(number, 1);
    }

    fn on_give_back(&self, _: &TopicPartition, records: usize) {
        more(&self.numbers.given_back, records);
    }

    fn on_complete(&self, _: &Record, verdict: Verdict) {
        match verdict {
            Verdict::Overrun => more(&self.numbers.repeated_effects, 1),
            Verdict::PossibleOverrun => more(&self.numbers.possibly_repeated_effects, 1),
            _ => {}
        }
    }

    fn on_lease_lost(&self, _: &Record) {
        more(&self.numbers.leases_lost, 1);
    }

    fn on_stop(&self, _: &TopicPartition, stop: &PartitionStop) {
        if stop.tries == 0 {
            more(&self.numbers.stops, 1);
        }
    }

    fn on_commit_failed(&self, _: &TopicPartition, _: Offset, refused: &CommitRefused) {
        // Each rebalance has its own; they need no action.
        if refused.kind != RefusalKind::Rebalance {
            more(&self.numbers.commits_failed, 1);
        }
    }

    fn on_store_error(&self, _: &'static str, _: &StoreError) {
        more(&self.numbers.store_errors, 1);
    }
}
