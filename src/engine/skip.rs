//! Records that an operator skips: exactly the one that was named, and only one that cannot be handled now.
//!
//! A skipped record's ID is recorded as done before the record settles, as that of a record that its handler skips, or
//! that became a dead letter:
//!
//! * Its duplicates are the same message. The operator has decided about the message, not about one copy of it.
//! * Once the skip is answered, no owner handles the record, whatever happens to this process or to the next commit.
//!
//! So it is claimed first, or its lease renewed, as for a handler. If another process handles it at that moment, the skip waits for the end of
//! that. A record without an ID settles at once, and is safe once its offset is committed.

use std::time::Duration;

use crate::id::Fingerprint;
use crate::observe::{Outcome, PartitionStop};
use crate::record::{Offset, Record, TopicPartition};

use super::partition::{Part, Phase};
use super::work::{Stage, Work};
use super::{Action, Bug, Engine, WorkId};

/// A record that can be skipped.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Skippable {
    /// Its work, for [`Event::Skip`](super::Event::Skip).
    pub work: WorkId,
    /// The record.
    pub record: Record,
    /// The fingerprint of its ID, which is recorded as done; `None` if it has none.
    pub fingerprint: Option<Fingerprint>,
    /// How often its handler was started, as far as known.
    pub attempts: u32,
    /// The stop of its partition; `None` if the record waits for its next attempt.
    pub stop: Option<PartitionStop>,
    /// How long it waits until its next attempt; `None` if its partition is stopped.
    pub next_attempt: Option<Duration>,
}

/// Why a record cannot be skipped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SkipRefused {
    /// The partition is read by another process, or by none.
    #[error("{0} is not assigned to this process; ask the one that reads it")]
    NotAssigned(TopicPartition),
    /// The partition was given up before the skip was recorded.
    #[error("the partition was given up before the skip was recorded; ask the process that reads it now")]
    GivenUp,
    /// The record is not in flight here.
    #[error("{partition}@{offset} is not in flight here: it is settled, or was not delivered yet. {instead}")]
    NotInFlight {
        /// Its partition.
        partition: TopicPartition,
        /// Its offset.
        offset: Offset,
        /// What can be skipped there.
        instead: String,
    },
    /// The record is one of those that wait behind others, or that are under way.
    #[error("{partition}@{offset} {does}, so it cannot be skipped. {instead}")]
    Unfit {
        /// Its partition.
        partition: TopicPartition,
        /// Its offset.
        offset: Offset,
        /// What it does.
        does: &'static str,
        /// What can be skipped there.
        instead: String,
    },
}

impl Engine {
    /// The record of a partition that an operator names, if it can be skipped: it is the one at which its partition stands
    /// stopped, or it waits for its next attempt.
    ///
    /// # Errors
    ///
    /// [`SkipRefused`], for people.
    pub fn skippable(
        &self,
        partition: &TopicPartition,
        offset: Offset,
        now: Duration,
    ) -> Result<Skippable, SkipRefused> {
        let part = self.current.get(partition).and_then(|index| Some((*index, self.parts.get(*index)?)));
        let Some((index, part)) = part else { return Err(SkipRefused::NotAssigned(partition.clone())) };
        let named = |work: &&Work| work.part == index && work.record.offset() == offset;
        let Some(work) = self.works.iter().map(|(_, work)| work).find(named) else {
            let (partition, instead) = (partition.clone(), instead(part));
            return Err(SkipRefused::NotInFlight { partition, offset, instead });
        };
        if let Err(does) = self.fit(part, work) {
            let (partition, instead) = (partition.clone(), instead(part));
            return Err(SkipRefused::Unfit { partition, offset, does, instead });
        }
        let stands = stands_at(part, work.id);
        let next_attempt = match work.stage {
            Stage::BackingOff(at) if !stands => Some(at.saturating_sub(now)),
            _ => None,
        };
        Ok(Skippable {
            work: work.id,
            record: work.record.clone(),
            fingerprint: work.fingerprint,
            attempts: work.attempts(),
            stop: part.stop.as_ref().filter(|_| stands).map(|stop| stop.report(now)),
            next_attempt,
        })
    }

    /// Whether a record can be skipped; an error tells what it does instead.
    fn fit(&self, part: &Part, work: &Work) -> Result<(), &'static str> {
        if !matches!(part.phase, Phase::Active | Phase::Stopped) {
            return Err("belongs to a partition that is being given up");
        }
        if work.operator_skips {
            return Err("is being skipped already");
        }
        match work.stage {
            Stage::Running => return Err("is with its handler, which may succeed"),
            Stage::Completing { .. } => return Err("was handled and is being recorded"),
            Stage::Delivering => return Err("is on its way to another topic"),
            _ if work.bound_for.is_some() && !stands_at(part, work.id) => return Err("is on its way to another topic"),
            _ => {}
        }
        match work.stage {
            _ if stands_at(part, work.id) => Ok(()),
            Stage::BackingOff(_) => Ok(()),
            _ => Err("waits for its turn and did not fail"),
        }
    }

    /// Skips a record, unless something has changed since it was found.
    pub(super) fn skip(&mut self, id: WorkId) {
        let Some(work) = self.work(id) else {
            return self.out.push(Action::SkipEnded { work: id, outcome: None });
        };
        if self.parts.get(work.part).is_none_or(|part| self.fit(part, work).is_err()) {
            return self.out.push(Action::SkipEnded { work: id, outcome: None });
        }
        let id = if self.planted(Bug::NeighbourSkipped) { self.neighbour(id) } else { id };
        if let Some(work) = self.work_mut(id) {
            (work.operator_skips, work.bound_for, work.rests_until) = (true, None, Duration::ZERO);
        }
        self.let_others_start(id);
        self.skips.push(id);
    }

    /// What [`Bug::NeighbourSkipped`] does.
    fn neighbour(&self, id: WorkId) -> WorkId {
        let lane = self.work(id).and_then(|work| self.lanes.get(work.lane.0));
        lane.and_then(|lane| lane.works.get(1)).copied().unwrap_or(id)
    }

    /// Brings records that an operator skips as far as they can come. They wait for no turn and for no end of a pause:
    /// nothing of them starts.
    pub(super) fn push_skips(&mut self) {
        for id in self.skips.clone() {
            let Some(work) = self.work(id) else { continue };
            if !self.goes_on(work) {
                continue;
            }
            let (held, now) = (work.hold.is_some(), self.now);
            match work.stage {
                // Nothing of it is, or can be, recorded: it has no ID, or its ID is done.
                Stage::Unusable(_) => self.settle(id, Outcome::SkippedByOperator),
                // Another owner may have taken it over, and start it after the answer.
                Stage::Held | Stage::BackingOff(_) if held && self.needs_refresh(id) => self.refresh(id),
                Stage::Held | Stage::BackingOff(_) if held => self.complete(id),
                Stage::Queued | Stage::Held | Stage::BackingOff(_) | Stage::NotDue(_) => {
                    match work.fingerprint.is_some() {
                        true => self.begin_claim(id),
                        false => self.settle(id, Outcome::SkippedByOperator),
                    }
                }
                Stage::Parked(at) if at <= now => self.begin_claim(id),
                _ => {}
            }
        }
    }

    /// Whether a record's partition is not being given up.
    pub(super) fn goes_on(&self, work: &Work) -> bool {
        self.parts.get(work.part).is_some_and(|part| matches!(part.phase, Phase::Active | Phase::Stopped))
    }

    /// A record is gone that an operator skips.
    pub(super) fn skip_ended(&mut self, work: &Work, outcome: Option<Outcome>) {
        if work.operator_skips {
            self.skips.retain(|skipped| *skipped != work.id);
            self.out.push(Action::SkipEnded { work: work.id, outcome });
        }
    }
}

/// Whether a partition stands stopped at a record.
fn stands_at(part: &Part, id: WorkId) -> bool {
    part.phase == Phase::Stopped && part.stop.as_ref().and_then(|stop| stop.work) == Some(id)
}

/// What can be skipped in a partition, in a sentence.
fn instead(part: &Part) -> String {
    match part.stop.as_ref().filter(|_| part.phase == Phase::Stopped) {
        Some(stop) if stop.work.is_some() => {
            format!("The partition stands stopped at {}: only that record can be skipped", stop.offset)
        }
        Some(_) => "The partition stands stopped because its log is another one: see the reason of the stop".to_owned(),
        None => "Only a record at which a partition stands stopped, or that waits for its next attempt, can be skipped"
            .to_owned(),
    }
}
