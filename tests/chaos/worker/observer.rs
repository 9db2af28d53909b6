//! What the library reports, written into the history.

use std::time::Duration;

use hapax::observe::{CommitRefused, DuplicateBy, FailureKind, Observer, Outcome, PartitionStop, WaitsFor};
use hapax::record::{Epoch, Offset, Origin, Record, TopicPartition};
use hapax::store::{StoreError, StoreHealth, Verdict};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Job;
use crate::history::{Journal, Life, Process, Reported, What};

/// Writes a line for each thing that is reported; of errors of the store one a second.
#[derive(Debug)]
pub struct Written {
    worker: String,
    incarnation: u32,
    journal: Journal,
    ready: Mutex<bool>,
    errors: Mutex<(Option<Instant>, u64)>,
}

impl Written {
    pub fn new(job: &Job, journal: Journal) -> Self {
        let (ready, errors) = (Mutex::new(false), Mutex::new((None, 0)));
        Self { worker: job.worker.clone(), incarnation: job.incarnation, journal, ready, errors }
    }

    fn write(&self, what: What, change: impl FnOnce(&mut Reported)) {
        let mut reported = Reported::new(&self.worker, self.incarnation, what);
        change(&mut reported);
        self.journal.write(reported).expect("the history is writable");
    }

    fn of_record(&self, what: What, record: &Record) {
        self.write(what, |it| {
            place(it, record.partition(), Some(record.offset()));
            let id = record.headers().iter().rfind(|header| &*header.name == "ce_id");
            it.id = id.and_then(|id| id.value.as_ref()).map(|id| String::from_utf8_lossy(id).into_owned());
        });
    }

    fn of_partition(&self, what: What, partition: &TopicPartition, offset: Option<Offset>, epoch: Option<Epoch>) {
        self.write(what, |it| {
            place(it, partition, offset);
            it.epoch = epoch.map(|epoch| epoch.0);
        });
    }
}

fn place(reported: &mut Reported, partition: &TopicPartition, offset: Option<Offset>) {
    reported.topic = Some(partition.topic().to_owned());
    reported.partition = Some(partition.partition());
    reported.offset = offset;
}

impl Observer for Written {
    fn on_claim(&self, record: &Record, _: u32, suspect: bool) {
        if suspect {
            self.of_record(What::Suspect, record);
        }
    }

    fn on_duplicate(&self, record: &Record, by: DuplicateBy, _: Option<&Origin>) {
        let what = match by {
            DuplicateBy::Cache => What::DuplicateByCache,
            DuplicateBy::Process => What::DuplicateByProcess,
            _ => What::DuplicateByStore,
        };
        self.of_record(what, record);
    }

    fn on_failure(&self, record: &Record, _: u32, _: FailureKind) {
        self.of_record(What::Failed, record);
    }

    fn on_settle(&self, record: &Record, outcome: Outcome, _: Duration) {
        match outcome {
            Outcome::DeadLettered => self.of_record(What::DeadLettered, record),
            Outcome::Retried => self.of_record(What::Retried, record),
            Outcome::Expired => self.of_record(What::Expired, record),
            Outcome::Skipped => self.of_record(What::Skipped, record),
            _ => {}
        }
    }

    fn on_complete(&self, record: &Record, verdict: Verdict) {
        let what = match verdict {
            Verdict::First => What::CompletedFirst,
            Verdict::Overrun => What::CompletedOverrun,
            _ => What::CompletedPossibleOverrun,
        };
        self.of_record(what, record);
    }

    fn on_lease_lost(&self, record: &Record) {
        self.of_record(What::LeaseLost, record);
    }

    fn on_stop(&self, partition: &TopicPartition, stop: &PartitionStop) {
        self.write(What::Stopped, |it| {
            place(it, partition, Some(stop.offset));
            it.text = Some(stop.reason.to_string());
        });
    }

    fn on_commit(&self, partition: &TopicPartition, offset: Offset, _: Duration) {
        self.of_partition(What::Committed, partition, Some(offset), None);
    }

    fn on_commit_failed(&self, partition: &TopicPartition, offset: Offset, refused: &CommitRefused) {
        self.write(What::CommitFailed, |it| {
            place(it, partition, Some(offset));
            it.text = Some(refused.reason.clone());
        });
    }

    fn on_assign(&self, partition: &TopicPartition, epoch: Epoch) {
        if !std::mem::replace(&mut *self.ready.lock(), true) {
            let (worker, incarnation) = (self.worker.clone(), self.incarnation);
            let ready = Process { worker, incarnation, state: Life::Ready, code: None, signal: None };
            self.journal.write(ready).expect("the history is writable");
        }
        self.of_partition(What::Assigned, partition, None, Some(epoch));
    }

    fn on_revoke(&self, partition: &TopicPartition, epoch: Epoch, drained: bool) {
        let what = if drained { What::Drained } else { What::CutOff };
        self.of_partition(what, partition, None, Some(epoch));
    }

    fn on_lost(&self, partition: &TopicPartition, epoch: Epoch) {
        self.of_partition(What::Lost, partition, None, Some(epoch));
    }

    fn on_stall(&self, partition: &TopicPartition, offset: Offset, since: Duration, waits_for: &WaitsFor) {
        self.write(What::Stalled, |it| {
            place(it, partition, Some(offset));
            it.text = Some(format!("{since:?}: {}", waits_for.name()));
        });
    }

    fn on_stall_over(&self, partition: &TopicPartition) {
        self.of_partition(What::StallOver, partition, None, None);
    }

    fn on_store_error(&self, operation: &'static str, error: &StoreError) {
        let mut errors = self.errors.lock();
        errors.1 += 1;
        if errors.0.is_some_and(|last| last.elapsed() < Duration::from_secs(1)) {
            return;
        }
        let count = std::mem::take(&mut errors.1);
        errors.0 = Some(Instant::now());
        self.write(What::StoreError, |it| {
            it.count = count;
            it.text = Some(format!("{operation}: {error}"));
        });
    }

    fn on_store_health(&self, health: &StoreHealth) {
        for finding in &health.findings {
            let text = serde_json::to_string(finding).unwrap_or_default();
            let lost = matches!(finding.name, "records_lost" | "failed_over");
            let what = if lost { What::RecordsLost } else { What::Finding };
            self.write(what, |it| it.text = Some(text));
        }
    }
}
