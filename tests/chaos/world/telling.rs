//! Reports of a sidecar, read from its log: it has no observer that the harness could be.

use serde_json::Value;

use crate::history::{Journal, Life, Process, Reported, What};
use crate::worker::Job;

/// Reads the log of one sidecar, line by line.
pub struct Telling {
    worker: String,
    incarnation: u32,
    journal: Journal,
    ready: bool,
}

impl Telling {
    pub fn new(job: &Job, journal: Journal) -> Self {
        Self { worker: job.worker.clone(), incarnation: job.incarnation, journal, ready: false }
    }

    pub fn line(&mut self, line: &str) {
        let Ok(line) = serde_json::from_str::<Value>(line) else { return };
        let fields = if line["fields"].is_object() { &line["fields"] } else { &line };
        let Some(message) = fields["message"].as_str() else { return };
        let text = |name: &str| fields[name].as_str().unwrap_or_default();
        let what = match message {
            "recorded as done" => What::CompletedFirst,
            "dropped a duplicate" => match text("by") {
                "Cache" => What::DuplicateByCache,
                "Process" => What::DuplicateByProcess,
                _ => What::DuplicateByStore,
            },
            "an attempt failed" => What::Failed,
            "settled" => match text("outcome") {
                "DeadLettered" => What::DeadLettered,
                "Retried" => What::Retried,
                "Expired" => What::Expired,
                "Skipped" => What::Skipped,
                _ => return,
            },
            "committed" => What::Committed,
            "assigned" => What::Assigned,
            _ if matches!(text("finding"), "records_lost" | "failed_over") => What::RecordsLost,
            "revoked" if fields["drained"] == Value::Bool(true) => What::Drained,
            "revoked" => What::CutOff,
            // The first of a partition and its burst, and the others.
            _ if message.starts_with("taking over records of a partition") => What::Suspect,
            _ if message.starts_with("took over a record") => What::Suspect,
            _ if message.starts_with("a repeated effect") => What::CompletedOverrun,
            _ if message.starts_with("possibly a repeated effect") => What::CompletedPossibleOverrun,
            _ if message.starts_with("its lease could not be renewed") => What::LeaseLost,
            _ if message.starts_with("the partition stops here") => What::Stopped,
            _ if message.starts_with("a commit was refused") => What::CommitFailed,
            _ if message.starts_with("lost;") => What::Lost,
            _ if message.starts_with("the partition makes no progress") => What::Stalled,
            _ if message.starts_with("the partition goes on") => What::StallOver,
            _ if message.starts_with("no answer from the store") => What::StoreError,
            _ => return,
        };
        if what == What::Assigned && !std::mem::replace(&mut self.ready, true) {
            let (worker, incarnation) = (self.worker.clone(), self.incarnation);
            self.write(Process { worker, incarnation, state: Life::Ready, code: None, signal: None });
        }
        let mut reported = Reported::new(&self.worker, self.incarnation, what);
        let (place, offset) = match text("origin").split_once('@') {
            Some((place, offset)) => (place, offset.parse().ok()),
            None => (text("partition"), fields["offset"].as_i64()),
        };
        if let Some((topic, partition)) = place.rsplit_once('-') {
            reported.topic = Some(topic.to_owned());
            reported.partition = partition.parse().ok();
            reported.offset = offset;
        }
        reported.epoch = fields["epoch"].as_u64();
        let said = [text("reason"), text("error")].into_iter().find(|said| !said.is_empty());
        reported.text = said.map(str::to_owned).or_else(|| (what == What::Stalled).then(|| message.to_owned()));
        self.write(reported);
    }

    fn write(&self, event: impl Into<crate::history::Event>) {
        self.journal.write(event).expect("the history is writable");
    }
}
