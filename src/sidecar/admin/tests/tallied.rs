//! What is counted: each thing once.

use std::time::Duration;

use super::super::tally::{Counts, Tally};
use crate::observe::{CommitRefused, DuplicateBy, FailureKind, Observer, Outcome, PartitionStop, StopCause};
use crate::record::{Record, TopicPartition};
use crate::store::{Cause, StoreError, Verdict};

#[tokio::test(start_paused = true)]
async fn each_thing_that_is_told_is_counted_once() {
    let tally = Tally::new();
    let partition = TopicPartition::new("t", 0);
    let record = Record::builder(partition.clone(), 0).build();
    tally.on_delivered(&partition, 5);
    for by in [DuplicateBy::Cache, DuplicateBy::Store, DuplicateBy::Process] {
        tally.on_duplicate(&record, by, None);
        tally.on_settle(&record, Outcome::Duplicate, Duration::ZERO);
    }
    use Outcome::{DeadLettered, Expired, Handled, Retried, Skipped, SkippedByOperator};
    for outcome in [Handled, DeadLettered, Retried, Expired, Skipped, SkippedByOperator] {
        tally.on_settle(&record, outcome, Duration::ZERO);
    }
    for kind in [FailureKind::Retryable, FailureKind::Unavailable, FailureKind::Skip] {
        tally.on_failure(&record, 1, kind);
    }
    for verdict in [Verdict::First, Verdict::Overrun, Verdict::PossibleOverrun] {
        tally.on_complete(&record, verdict);
    }
    tally.on_conflict(&record, &record.origin());
    tally.on_retry(&record, 1, Duration::ZERO);
    tally.on_delivery_failed(&record, "");
    tally.on_give_back(&partition, 1);
    tally.on_lease_lost(&record);
    let mut stop = PartitionStop::new(0, StopCause::HandlerFailed, "");
    tally.on_stop(&partition, &stop);
    stop.tries = 1;
    tally.on_stop(&partition, &stop);
    tally.on_commit_failed(&partition, 0, &CommitRefused::failed(""));
    tally.on_commit_failed(&partition, 0, &CommitRefused::by_rebalance("expected, and not counted"));
    tally.on_store_error("claim", &StoreError::Unavailable(Cause::new("away")));
    let once = Counts {
        delivered: 5,
        handled: 1,
        duplicates_by_cache: 1,
        duplicates_by_store: 1,
        duplicates_by_process: 1,
        conflicts: 1,
        dead_letters: 1,
        sent_to_retry: 1,
        expired: 1,
        skipped: 1,
        skipped_by_operator: 1,
        given_back: 1,
        failures: 1,
        unavailable: 1,
        retries: 1,
        repeated_effects: 1,
        possibly_repeated_effects: 1,
        deliveries_failed: 1,
        commits_failed: 1,
        stops: 1,
        leases_lost: 1,
        store_errors: 1,
    };
    assert_eq!(tally.counts(), once);
    assert_eq!(once.duplicates(), 3);
    tokio::time::advance(Duration::from_secs(10)).await;
    let rates = tally.rates();
    assert_eq!((rates.delivered.last_10_s, rates.handled.last_10_s, rates.duplicates.last_10_s), (0.5, 0.1, 0.3));
    assert_eq!((rates.failures.last_60_s, rates.failures.seconds.len()), (0.2, 60));
}
