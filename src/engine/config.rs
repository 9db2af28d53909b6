//! The engine's settings, all of them plain values.

use std::time::Duration;

use super::{ConflictPolicy, Order};
use crate::store::{LeaseTerms, SettingsError};

/// The greatest limit on records in flight: each has a slot, whose number fits into the low bits of a
/// [`WorkId`](super::WorkId), with room for the batches that may exceed it.
const MOST_IN_FLIGHT: usize = 10_000_000;
/// The longest back-off and commit interval.
const LONGEST_TIME: Duration = Duration::from_secs(24 * 3600);

/// How the engine behaves. The defaults are those of the documentation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EngineConfig {
    /// The store's terms: the engine renews, refreshes and gives back by them.
    pub terms: LeaseTerms,
    /// Whether the leases of running handlers are renewed. Default true. Without it the lease must outlast the handler.
    pub renewal: bool,
    /// Starts counted until a failing record is given up. At least 2: one crash must not condemn a record. Default 10:
    /// with the default back-off these take two to four minutes.
    pub max_attempts: u32,
    /// The longest delay before the second attempt; it doubles from there. Each delay is drawn from the upper half of its
    /// bound. Default 1 s.
    pub backoff_first: Duration,
    /// The longest delay before any attempt. Default 1 min.
    pub backoff_cap: Duration,
    /// Handlers running and completions under way at once, in the whole process: what one crash can repeat.
    /// Default 256; 1 is strict.
    pub max_exposed: usize,
    /// Records in flight at once, in the whole process. Default 10,000. What the source has on its way may exceed it.
    pub max_in_flight: usize,
    /// Bytes in flight at once, in the whole process. Default 64 MiB. What the source has on its way may exceed it. Memory that
    /// records share counts until the last of them has settled.
    pub max_in_flight_bytes: usize,
    /// Which records are handled one after the other. Default: those of a partition.
    pub order: Order,
    /// Calls of the handler running at once in the whole process, where the order is by key or none. Default 64. In the
    /// order of partitions there is one for each.
    pub concurrency: usize,
    /// The same of one partition. Default: no bound of its own.
    pub partition_concurrency: Option<usize>,
    /// How many records one call of the handler takes at most. Default 1. At most [`max_exposed`](Self::max_exposed).
    pub batch: usize,
    /// How many records of a partition are claimed at most before their handlers start; the engine claims less far ahead
    /// where handlers are slow. Default 1,024.
    pub max_claims_ahead: usize,
    /// How many records of a partition may have been delivered since the first that is not settled: so many are
    /// remembered, and read again after a crash. Default 10,000.
    pub max_span: usize,
    /// After which time without progress a partition is reported. Default 60 s.
    pub stall_after: Duration,
    /// How often offsets are committed. Default 1 s.
    pub commit_interval: Duration,
    /// After how many settled records of a partition its offset is committed earlier. Default 10,000.
    pub commit_records: usize,
    /// What happens to a record whose ID was handled before with another payload. Default: its partition stops.
    pub conflict_policy: ConflictPolicy,
    /// Whether there is a dead-letter topic. Default false: the partition of a record that cannot be handled stops.
    pub dead_letter: bool,
    /// How many of the last 1,000 outcomes may be dead letters, as a share, from the 20th on; beyond it a partition stops
    /// instead. Default 0.1; 1.0 switches the limit off, and a fault of the handler then empties the topic.
    pub dead_letter_share: f64,
    /// Whether a record that is too old goes to the dead-letter topic. Default false: it settles.
    pub expired_to_dead_letter: bool,
    /// How many done IDs are kept in memory, whose duplicates are settled without asking the store. Default 100,000. Zero if
    /// the store [keeps details](crate::store::Store::keeps_details): what is kept here would hide a conflict.
    pub cache_entries: usize,
    /// How long each of them counts, at most the store's window. Default 10 min.
    pub cache_lifetime: Duration,
    /// How many retry topics there are. Default 0: a failed attempt is followed by another in place, after a back-off.
    pub retry_steps: u32,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            terms: LeaseTerms::default(),
            renewal: true,
            max_attempts: 10,
            backoff_first: Duration::from_secs(1),
            backoff_cap: Duration::from_secs(60),
            max_exposed: 256,
            max_in_flight: 10_000,
            max_in_flight_bytes: 64 << 20,
            order: Order::default(),
            concurrency: 64,
            partition_concurrency: None,
            batch: 1,
            max_claims_ahead: 1024,
            max_span: 10_000,
            stall_after: Duration::from_secs(60),
            commit_interval: Duration::from_secs(1),
            commit_records: 10_000,
            conflict_policy: ConflictPolicy::default(),
            dead_letter: false,
            dead_letter_share: 0.1,
            expired_to_dead_letter: false,
            retry_steps: 0,
            cache_entries: 100_000,
            cache_lifetime: Duration::from_secs(600),
        }
    }
}

impl EngineConfig {
    /// Checks that no setting contradicts another.
    ///
    /// # Errors
    ///
    /// The first of [`problems`](Self::problems).
    pub fn check(&self) -> Result<(), SettingsError> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// Every setting that cannot be as it is, with the way out.
    pub fn problems(&self) -> Vec<SettingsError> {
        let mut problems: Vec<_> = self.terms.check().err().into_iter().collect();
        let mut refuse = |setting, problem: &str| problems.push(SettingsError { setting, problem: problem.into() });
        if self.max_attempts < 2 {
            refuse("max_attempts", "must be at least 2, or one crash of the process would condemn a record");
        }
        for (setting, value) in [
            ("max_exposed", self.max_exposed),
            ("max_in_flight", self.max_in_flight),
            ("max_in_flight_bytes", self.max_in_flight_bytes),
            ("commit_records", self.commit_records),
            ("concurrency", self.concurrency),
            ("partition_concurrency", self.partition_concurrency.unwrap_or(1)),
            ("batch", self.batch),
            ("max_span", self.max_span),
        ] {
            if value == 0 {
                refuse(setting, "must be at least 1, or nothing could ever be handled");
            }
        }
        if self.max_in_flight > MOST_IN_FLIGHT {
            refuse("max_in_flight", "must be at most 10,000,000");
        }
        if self.backoff_first > self.backoff_cap {
            refuse("backoff_first", "must not be longer than backoff_cap");
        }
        // Sums of these and of the time since the start must not overflow.
        if self.backoff_cap > LONGEST_TIME {
            refuse("backoff_cap", "must be at most a day");
        }
        if self.batch > self.max_exposed.max(1) {
            refuse("batch", "must not be greater than max_exposed, or no batch could ever be full");
        }
        if self.stall_after.is_zero() || self.stall_after > LONGEST_TIME {
            refuse("stall_after", "must be longer than zero and at most a day");
        }
        if self.commit_interval.is_zero() || self.commit_interval > LONGEST_TIME {
            refuse("commit_interval", "must be longer than zero and at most a day");
        }
        if self.conflict_policy == ConflictPolicy::DeadLetter && !self.dead_letter {
            refuse("conflict_policy", "dead-letter needs a dead-letter topic; name one, or choose stop or duplicate");
        }
        if self.expired_to_dead_letter && !self.dead_letter {
            refuse("expired_to_dead_letter", "needs a dead-letter topic; name one, or let expired records settle");
        }
        if !(self.dead_letter_share > 0.0 && self.dead_letter_share <= 1.0) {
            refuse("dead_letter_share", "must be more than 0 and at most 1, which switches the limit off");
        }
        if self.retry_steps > 0 && self.retry_steps >= self.max_attempts {
            refuse("max_attempts", "must be greater than the number of retry topics, or the last is never reached");
        }
        // What failed is handled after what lies behind it. Whoever asked for an order must not lose it unawares.
        if self.retry_steps > 0 && self.order != Order::Unordered {
            refuse(
                "order",
                "must be unordered where there are retry topics, for they give up the order; or leave them out, and records that fail are tried again in place",
            );
        }
        problems
    }

    /// How long a claim is surely held after it was sent: the lease less a tenth, for clocks do not run equally fast.
    pub fn surely_held(&self) -> Duration {
        self.terms.lease - self.terms.lease / 10
    }

    /// The age at which a running handler's lease is renewed.
    pub(super) fn renew_age(&self) -> Duration {
        self.terms.lease / 3
    }

    /// The age from which a claim made ahead is renewed before its handler starts: two thirds of the lease are left.
    pub(super) fn stale_age(&self) -> Duration {
        self.terms.lease / 3
    }

    /// The age at which a claim made ahead is given back rather than let run out, for a lease that ran out would make
    /// its innocent record a suspect.
    pub(super) fn give_back_age(&self) -> Duration {
        self.terms.lease / 3 * 2
    }

    /// How often leases are looked at. Shorter than the margin of [`surely_held`](Self::surely_held).
    pub(super) fn scan_interval(&self) -> Duration {
        (self.terms.lease / 12).clamp(Duration::from_millis(1), Duration::from_secs(5))
    }

    /// The longest time between two questions after a parked record: well before a whole lease has passed.
    pub(super) fn park_interval(&self) -> Duration {
        (self.terms.lease / 4).clamp(Duration::from_millis(1), Duration::from_secs(1))
    }
}
