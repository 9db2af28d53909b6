//! What is known of a record before the engine sees it: its ID, when it is due, and until when.

use std::sync::Arc;
use std::time::Duration;

use tracing::Level;

use crate::engine::{Arrival, Event, Identified};
use crate::id::{Identification, Identity, NoMessageId};
use crate::kafka::Batch;
use crate::record::Record;
use crate::store::MessageDetails;

use super::age::{EXPIRES, Expiry};
use super::calls::Call;
use super::driver::Driver;
use super::retry;

/// How many records are taken in at once. The memory of many more would be given back to the system each time.
const SLICE: usize = 256;

impl<C: Call> Driver<C> {
    pub(super) fn records(&mut self, batch: Batch) {
        let (now, wall) = (self.now(), retry::wall_clock());
        let Batch { assignment, records } = batch;
        let mut records = records.into_iter().map(|record| self.arrive(record, now, wall)).peekable();
        let mut events = Vec::new();
        while records.peek().is_some() {
            let (assignment, arrivals) = (assignment.clone(), records.by_ref().take(SLICE).collect());
            events.push(Event::Records { assignment, arrivals });
        }
        drop(records);
        self.turn(events);
    }

    /// Finds out all that is known of a record beside what it holds. Times of the wall clock are turned into the engine's
    /// once, here.
    fn arrive(&mut self, record: Record, now: Duration, wall: i64) -> Arrival {
        let retried = retry::read(&record, &self.parts.topics.retries, wall);
        let original = retried.as_ref().map_or(&record, |retried| &retried.original);
        let identified = self.identify(&record, original);
        let Expiry { at, unreadable } = self.parts.age.of(original);
        if unreadable {
            // A sample: a producer that writes it wrong does so in every record.
            if let Some(suppressed) = self.log.admit(Level::WARN, "unreadable expiry", record.topic()) {
                let origin = record.origin();
                tracing::warn!(%origin, header = EXPIRES, suppressed, "an expiry cannot be read; the record is handled");
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

    fn identify(&mut self, record: &Record, original: &Record) -> Identified {
        let no_id = |problem| Box::new(NoMessageId { origin: record.origin(), problem });
        match self.parts.identifier.identify(original) {
            Identification::Id { fingerprint, identity } => {
                self.check_source(original, &identity);
                let details = || Arc::new(MessageDetails::of_record(&identity, record));
                Identified::Id { fingerprint, message: self.keeps_details.then(details) }
            }
            Identification::Process => Identified::Process,
            Identification::Stop(problem) => Identified::Stop(no_id(problem)),
            Identification::DeadLetter(problem) => Identified::DeadLetter(no_id(problem)),
        }
    }

    /// Warns, once for each topic, where events of two sources with one ID would be taken for one.
    fn check_source(&mut self, record: &Record, identity: &Identity) {
        if self.sources.finds(record, identity) {
            tracing::warn!(
                origin = %record.origin(), rule = self.parts.identifier.rule(),
                "the ID of a CloudEvent is used without its source: of two sources' events with one ID the second is \
                 dropped as a duplicate. Unless the topic has one source, use the default rule (cloudevents)"
            );
        }
    }
}
