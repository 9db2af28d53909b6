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
    SETTLED = Counter "hapax_records_settled_total" ["topic", "outcome"] "Records that need nothing more, by outcome: handled (and recorded as done), duplicate, dead_lettered, retried (a copy lies in a retry topic), expired, skipped (as the handler said) or skipped_by_operator.";
    GIVEN_BACK = Counter "hapax_records_given_back_total" ["topic"] "Delivered records left without an outcome, for their partition was revoked, lost or stopped; who reads it next gets them again.";
    IN_FLIGHT = Gauge "hapax_records_in_flight" ["topic"] "Delivered records that are neither settled nor given back.";
    DUPLICATES = Counter "hapax_duplicates_total" ["topic", "by"] "Duplicates, by who recognised them: cache, store or process.";
    CONFLICTS = Counter "hapax_conflicts_total" ["topic"] "Records whose ID was handled before with another payload.";
    CLAIMS = Counter "hapax_claims_total" ["topic"] "IDs claimed.";
    SUSPECTS = Counter "hapax_suspects_total" ["topic"] "IDs taken over from an owner whose lease ran out.";
    PARKED = Counter "hapax_parked_total" ["topic"] "Times that a record waited because its ID was in flight elsewhere.";
    LEASES_LOST = Counter "hapax_leases_lost_total" ["topic"] "Handlers that ran on although their lease could not be renewed in time.";
    ATTEMPTS_FAILED = Counter "hapax_attempts_failed_total" ["topic", "kind"] "Attempts of handlers that did not succeed, by kind: retryable, fatal, skip, unavailable, panicked or timed_out.";
    RETRIES = Counter "hapax_retries_total" ["topic"] "Failed records that are tried again here, after a delay.";
    DEAD_LETTERS = Counter "hapax_dead_letters_total" ["topic"] "Records given up for the dead-letter topic; they are settled once their copy lies there.";
    DELIVERIES_FAILED = Counter "hapax_deliveries_failed_total" ["topic"] "Copies that the dead-letter topic or a retry topic did not take; they are sent again.";
    COMPLETIONS = Counter "hapax_completions_total" ["topic", "verdict"] "Effects recorded as done, by verdict: first, overrun (a repeated effect) or possible_overrun.";
    HANDLER_SECONDS = Histogram "hapax_handler_duration_seconds" ["topic"] "How long the attempts of handlers took whose effect succeeded; it is recorded as done after that.";
    SETTLE_SECONDS = Histogram "hapax_settle_duration_seconds" ["topic"] "How long after its arrival from the source a record settled.";
    RECORD_AGE = Histogram "hapax_record_age_seconds" ["topic"] "How old a record was when it settled: the wall clock less its timestamp; records without one are left out.";
    COMMITS = Counter "hapax_commits_total" ["topic"] "Commits of a partition that the source has taken.";
    COMMITS_FAILED = Counter "hapax_commits_failed_total" ["topic", "kind"] "Commits that were refused, by kind: rebalance (expected with each, needs nothing), failed, or fenced (another consumer has the same static member ID).";
    COMMIT_LAG = Histogram "hapax_commit_lag_seconds" ["topic"] "How long after the first of its records had settled a commit was taken.";
    COMMITTED_OFFSET = Gauge "hapax_committed_offset" ["topic", "partition"] "The next offset to read, as last committed by this process.";
    ASSIGNED = Gauge "hapax_partition_assigned" ["topic", "partition"] "1 while a partition is assigned to this process.";
    STOPPED = Gauge "hapax_partition_stopped" ["topic", "partition"] "1 while a partition is stopped by a record that cannot be handled.";
    PAUSED = Gauge "hapax_partition_paused" ["topic", "partition"] "1 while a partition is held back.";
    STALLED = Gauge "hapax_partition_stalled" ["topic", "partition"] "1 while a partition settles nothing although records of it are in flight.";
    STALLS = Counter "hapax_stalls_total" ["topic", "waits_for"] "Stalls of partitions, by what the first record that is not settled waits for: claim, elsewhere, twin, turn, handler, backoff, completion, delivery or stopped; one that comes to wait for something else counts again.";
    REBALANCES = Counter "hapax_rebalances_total" ["kind"] "Partitions assigned, drained, cut_off (revoked before all that ran had ended) or lost.";
    KAFKA_STATE = Gauge "hapax_kafka_state" ["client"] "Whether Kafka is reached, by client (consumer, or producer of copies): 0 reached, 1 without a coordinator of the group, 2 not reached, 3 denied (the login or the TLS handshake fails).";
    KAFKA_ANSWER = Gauge "hapax_kafka_last_answer_timestamp_seconds" ["client"] "When a broker last answered, in seconds since the Unix epoch, by client (consumer, or producer of copies).";
    KAFKA_JOINED = Gauge "hapax_kafka_group_joined" [] "1 while this process is a member of its consumer group, with or without partitions.";
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
            let is_time = metric.name.ends_with("_timestamp_seconds");
            assert_eq!(
                metric.name.ends_with("_seconds") && !is_time,
                metric.kind == Kind::Histogram,
                "{}",
                metric.name
            );
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

    /// The table of the page on metrics.
    fn table() -> String {
        let mut table = String::from("| metric | kind | labels | what it counts |\n|---|---|---|---|\n");
        for metric in ALL {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            table += &format!("| `{}` | {kind} | {} | {} |\n", metric.name, labels.join(", "), metric.help);
        }
        table
    }

    #[test]
    fn the_page_lists_every_metric_and_no_other() {
        let page = include_str!("../docs/metrics.md");
        assert!(page.contains(&table()), "src/docs/metrics.md lacks this table:\n{}", table());
        let words = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("hapax_")) {
            let series = name.trim_end_matches("_count").trim_end_matches("_sum").trim_end_matches("_bucket");
            assert!(ALL.iter().any(|metric| metric.name == series), "{name} does not exist");
        }
    }
}
