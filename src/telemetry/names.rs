//! Every metric: its name, its kind, its unit, its labels, its help text.

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, by the conventions of Prometheus.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels; every one of them has few values (topics, partitions, or those named here).
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*
        /// All of them.
        pub const ALL: &[Metric] =
            &[$(Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help }),*];
    };
}

metrics! {
    DELIVERED = Counter "hapax_records_delivered_total" ["topic"] "Records that arrived from the source.";
    HANDLED = Counter "hapax_records_handled_total" ["topic"] "Records whose handler's effect succeeded.";
    DUPLICATES = Counter "hapax_duplicates_total" ["topic", "by"] "Records dropped as duplicates, by who recognised them: cache, store or process.";
    CONFLICTS = Counter "hapax_conflicts_total" ["topic"] "Records whose ID was handled before with another payload.";
    ATTEMPTS_FAILED = Counter "hapax_attempts_failed_total" ["topic", "kind"] "Failed attempts of handlers, by kind: retryable, fatal, unavailable, panicked or timed_out.";
    HANDLER_SECONDS = Histogram "hapax_handler_duration_seconds" ["topic"] "How long successful attempts of handlers took.";
    COMPLETIONS = Counter "hapax_completions_total" ["topic", "verdict"] "Effects recorded as done, by verdict: first, overrun (a repeated effect) or possible_overrun.";
    CLAIMS = Counter "hapax_claims_total" ["topic"] "IDs claimed.";
    SUSPECTS = Counter "hapax_suspects_total" ["topic"] "IDs taken over from an owner whose lease ran out.";
    PARKED = Counter "hapax_parked_total" ["topic"] "Times that a record waited because its ID was in flight elsewhere.";
    LEASES_LOST = Counter "hapax_leases_lost_total" ["topic"] "Handlers that ran on although their lease could not be renewed in time.";
    STOPPED = Gauge "hapax_partition_stopped" ["topic", "partition"] "1 while a partition is stopped by a record that cannot be handled.";
    ASSIGNED = Gauge "hapax_partition_assigned" ["topic", "partition"] "1 while a partition is assigned to this process.";
    PAUSED = Gauge "hapax_partition_paused" ["topic", "partition"] "1 while a partition is held back.";
    COMMITTED_OFFSET = Gauge "hapax_committed_offset" ["topic", "partition"] "The next offset to read, as last committed by this process.";
    COMMITS_FAILED = Counter "hapax_commits_failed_total" ["topic"] "Commits that were refused.";
    REBALANCES = Counter "hapax_rebalances_total" ["kind"] "Partitions assigned, drained, cut_off (revoked before all that ran had ended) or lost.";
    STORE_ERRORS = Counter "hapax_store_errors_total" ["operation", "kind"] "Items that the store did not answer, by kind: unknown, unavailable, full or refused.";
    STORE_BREAKER = Gauge "hapax_store_breaker" [] "Whether the store is reached, by its worst server: 0 reached, 1 trying, 2 not reached.";
    STORE_FINDING = Gauge "hapax_store_finding" ["finding"] "1 while somebody should look at the store for this reason.";
    STORE_MEMORY = Gauge "hapax_store_used_memory_bytes" [] "Memory in use by the servers of the store.";
    STORE_EVICTED = Gauge "hapax_store_evicted_keys" [] "Keys that the servers of the store have evicted since they were started; what they remembered is handled again.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for metric in ALL {
            assert!(metric.name.starts_with("hapax_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert_eq!(metric.name.ends_with("_seconds"), metric.kind == Kind::Histogram, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
