//! Copies of records on their way to other topics.

use std::sync::Arc;

use tokio::task::JoinError;

use crate::engine::{Destination, Event, WorkId};
use crate::failpoint::{self, Point};
use crate::observe::FailureKind;
use crate::record::Record;

use super::calls::Call;
use super::driver::Driver;
use super::retry;

impl<C: Call> Driver<C> {
    /// Keeps what a handler said of its failure for a dead letter that may follow.
    pub(super) fn note_failure(&mut self, work: WorkId, kind: FailureKind, said: Arc<str>) {
        if self.parts.publisher.is_some() && kind != FailureKind::Unavailable {
            self.said.insert(work, said);
        }
        // Of those that are over nobody asks any more.
        if self.said.len() > 64 + 2 * self.parts.engine.in_flight() {
            self.said.retain(|work, _| self.parts.engine.knows(*work));
        }
    }

    pub(super) fn copied(&mut self, copied: Result<(WorkId, Result<(), String>), JoinError>) {
        // Nobody aborts one before the end, and there is nothing in it that panics.
        let Ok((work, result)) = copied else { return };
        if result.is_ok() {
            failpoint::pass(Point::AfterCopy);
        }
        self.step(Event::Published { work, result });
    }

    /// Sends a copy of a record to another topic.
    pub(super) fn publish(&mut self, work: WorkId, record: &Record, to: &Destination, attempts: u32) {
        failpoint::pass(Point::BeforeCopy);
        let said = self.said.get(&work).map(|said| &**said);
        let copy = self.parts.topics.copy(record, to, attempts, said, retry::wall_clock());
        let publisher = self.parts.publisher.clone();
        self.copies.spawn(async move {
            let result = match publisher.zip(copy) {
                Some((publisher, copy)) => publisher.publish(copy).await.map_err(|error| error.to_string()),
                None => Err("there is no topic for it".to_owned()),
            };
            (work, result)
        });
    }
}
