//! What is known of a record before the engine sees it: its ID, when it is due, and until when.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Arrival, Event, Identified};
use crate::id::{Identification, NoMessageId};
use crate::kafka::Batch;
use crate::record::Record;
use crate::store::MessageDetails;

use super::age::{EXPIRES, Expiry};
use super::calls::Call;
use super::driver::Driver;
use super::retry;

impl<C: Call> Driver<C> {
    pub(super) fn records(&mut self, batch: Batch) {
        let (now, wall) = (self.now(), retry::wall_clock());
        let arrivals = batch.records.into_iter().map(|record| self.arrive(record, now, wall)).collect();
        self.step(Event::Records { assignment: batch.assignment, arrivals });
    }

    /// Finds out all that is known of a record beside what it holds. Times of the wall clock are turned into the engine's
    /// once, here.
    fn arrive(&mut self, record: Record, now: Duration, wall: i64) -> Arrival {
        let retried = retry::read(&record, &self.parts.topics.retries, wall);
        let original = retried.as_ref().map_or(&record, |retried| &retried.original);
        let identified = self.identify(&record, original);
        let Expiry { at, unreadable } = self.parts.age.of(original);
        if unreadable {
            self.unreadable += 1;
            // The first, the second, the fourth …: a producer that writes it wrong does so in every record.
            if self.unreadable.is_power_of_two() {
                let (origin, records) = (record.origin(), self.unreadable);
                tracing::warn!(%origin, header = EXPIRES, records, "an expiry cannot be read; the record is handled");
            }
        }
        let engine_time = |at: i64| {
            let ahead = Duration::from_millis(at.saturating_sub(wall).unsigned_abs());
            if at >= wall { now.saturating_add(ahead) } else { now.saturating_sub(ahead) }
        };
        Arrival {
            not_before: retried.as_ref().and_then(|retried| retried.due).map(engine_time),
            expires_at: at.map(engine_time),
            step: retried.as_ref().map_or(0, |retried| retried.step),
            identified,
            record,
        }
    }

    fn identify(&self, record: &Record, original: &Record) -> Identified {
        let no_id = |problem| Box::new(NoMessageId { origin: record.origin(), problem });
        match self.parts.identifier.identify(original) {
            Identification::Id { fingerprint, identity } => match &self.parts.cache {
                Some(cache) if cache.contains(&fingerprint) => Identified::Cached(fingerprint),
                _ => {
                    let details = || Arc::new(MessageDetails::of_record(&identity, record));
                    Identified::Id { fingerprint, message: self.keeps_details.then(details) }
                }
            },
            Identification::Process => Identified::Process,
            Identification::Stop(problem) => Identified::Stop(no_id(problem)),
            Identification::DeadLetter(problem) => Identified::DeadLetter(no_id(problem)),
        }
    }
}
