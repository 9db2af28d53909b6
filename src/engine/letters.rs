//! Copies of records, sent to the dead-letter topic or to a retry topic.
//!
//! A record is settled only after its copy was delivered: an outage of the other topic holds the offset. Its claim is
//! renewed meanwhile, or somebody else would take it over and send a second copy.

use std::time::Duration;

use super::claim::LONGEST_DELAY;
use super::partition::Phase;
use super::work::Stage;
use super::{Action, Destination, Engine, WorkId};

/// The longest delay before a copy that was not delivered is sent again for the first time; it doubles.
const FIRST_DELAY: Duration = Duration::from_millis(100);

impl Engine {
    /// Sends a copy of the head of a lane, for the first time or again: without limit.
    pub(super) fn deliver(&mut self, id: WorkId, to: Destination) {
        self.let_others_start(id);
        let Some(work) = self.work_mut(id) else { return };
        work.bound_for = Some(to.clone());
        work.sendings = work.sendings.saturating_add(1);
        let (record, attempts) = (work.record.clone(), work.attempts());
        self.enter(id, Stage::Delivering);
        self.out.push(Action::Publish { work: id, record, to, attempts });
    }

    /// A copy was delivered, or was not.
    pub(super) fn published(&mut self, id: WorkId, result: Result<(), String>) {
        let Some(work) = self.work_mut(id).filter(|work| work.stage == Stage::Delivering) else { return };
        let (part, lane, sendings) = (work.part, work.lane, work.sendings);
        match result {
            Ok(()) => {
                work.delivered = true;
                let (retry, hold) = (matches!(work.bound_for, Some(Destination::Retry { .. })), work.hold);
                match hold {
                    // Its copy is to be handled, so it is not done: whoever gets it goes on counting.
                    Some(hold) if retry => self.send_first_release(id, hold.token),
                    _ => self.complete(id),
                }
            }
            Err(reason) => {
                let record = work.record.clone();
                self.observer.on_delivery_failed(&record, &reason);
                let at = self.now + self.delay(FIRST_DELAY, LONGEST_DELAY, sendings);
                self.enter(id, Stage::BackingOff(at));
                if self.parts.get(part).is_none_or(|part| part.phase != Phase::Active) {
                    // Another owner sends it; the count goes along.
                    self.give_back(id);
                    self.drop_unsettled(id);
                }
            }
        }
        self.stir(lane);
    }
}
