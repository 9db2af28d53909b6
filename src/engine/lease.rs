//! Leases of this process: renewed while they are needed, given back before they run out.

use std::time::Duration;

use crate::store::{RenewOutcome, StoreError, Token};

use super::work::Stage;
use super::{Action, Engine, WorkId};

impl Engine {
    /// Whether a claim is so old that its handler must not start before it was renewed.
    pub(super) fn needs_refresh(&self, id: WorkId) -> bool {
        let stale = self.config.stale_age();
        self.work(id).is_some_and(|work| {
            matches!(work.stage, Stage::Held | Stage::BackingOff(_))
                && work.hold.is_some_and(|hold| hold.since + stale <= self.now)
        })
    }

    /// Renews a claim and awaits the answer before its handler starts.
    pub(super) fn refresh(&mut self, id: WorkId) {
        self.enter(id, Stage::Refreshing);
        self.claim_less_far(id);
        self.send_renewal(id);
    }

    /// Claims grow old in this lane: it claims less far ahead.
    fn claim_less_far(&mut self, id: WorkId) {
        if let Some(part) = self.part_of(id) {
            part.ahead = (part.ahead / 2).max(1);
        }
    }

    fn send_renewal(&mut self, id: WorkId) {
        let Some(work) = self.work_mut(id) else { return };
        let Some(hold) = work.hold.as_mut().filter(|hold| !hold.renewing) else { return };
        hold.renewing = true;
        let token = hold.token;
        if let Some(lease) = work.lease(token) {
            self.out.push(Action::Renew { work: id, lease });
        }
    }

    /// A renewal was answered.
    pub(super) fn renewed(
        &mut self,
        id: WorkId,
        token: Token,
        sent_at: Duration,
        result: Result<RenewOutcome, StoreError>,
    ) {
        let held = self.config.surely_held();
        let Some(work) = self.work_mut(id) else { return };
        let Some(hold) = work.hold.as_mut().filter(|hold| hold.token == token) else { return };
        hold.renewing = false;
        if matches!(result, Ok(RenewOutcome::Renewed)) {
            hold.extend(sent_at, held);
        }
        let (lane, unwanted, stage) = (work.lane, work.unwanted, work.stage.clone());
        match (result, stage.clone()) {
            (Ok(RenewOutcome::Renewed), Stage::Refreshing) => {
                self.enter(id, Stage::Held);
                if unwanted {
                    self.give_back(id);
                }
            }
            (Ok(RenewOutcome::Renewed), _) => {}
            (Ok(_), Stage::Running) => self.cancel(id),
            // The claim is gone before the next start: claim again, now or when the back-off ends.
            (Ok(_), Stage::Refreshing | Stage::BackingOff(_)) => {
                if let Some(work) = self.work_mut(id) {
                    work.hold = None;
                }
                if stage == Stage::Refreshing {
                    self.enter(id, Stage::Queued);
                }
            }
            (Ok(_), _) => {}
            (Err(error), stage) => {
                self.observer.on_store_error("renew", &error);
                if stage == Stage::Refreshing && unwanted {
                    self.enter(id, Stage::Held);
                    self.give_back(id);
                } else if stage == Stage::Refreshing {
                    // Claiming with the token that may hold the lease answers "yours" if it still does.
                    let again_at =
                        Some(self.now + self.delay(self.config.scan_interval(), super::claim::LONGEST_DELAY, 1));
                    self.enter(id, Stage::Claiming { again_at, tries: 0 });
                }
            }
        }
        self.drop_if_unwanted(id);
        self.stir(lane);
    }

    /// Looks at every lease of this process.
    pub(super) fn scan_leases(&mut self) {
        let (renew, give_back, held) =
            (self.config.renew_age(), self.config.give_back_age(), self.config.surely_held());
        let holding: Vec<(WorkId, Duration, Stage)> = self
            .works
            .iter()
            .filter_map(|(_, work)| work.hold.map(|hold| (work.id, hold.since, work.stage.clone())))
            .filter(|(_, since, _)| *since + renew <= self.now)
            .collect();
        for (id, since, stage) in holding {
            let renewed = self.config.renewal || !matches!(stage, Stage::Running);
            let started = renewed
                && matches!(
                    stage,
                    Stage::Running
                        | Stage::BackingOff(_)
                        | Stage::GivingUp { .. }
                        | Stage::Delivering
                        | Stage::Completing { .. }
                );
            if started || (stage == Stage::Held && self.is_head(id)) {
                self.send_renewal(id);
            } else if stage == Stage::Held && since + give_back <= self.now {
                self.claim_less_far(id);
                self.give_back(id);
            }
            if stage == Stage::Running && since + held <= self.now {
                self.cancel(id);
            }
        }
    }

    /// Tells a running handler that another worker may take its record over.
    fn cancel(&mut self, id: WorkId) {
        let Some(work) = self.work_mut(id).filter(|work| !work.cancelled) else { return };
        work.cancelled = true;
        let record = work.record.clone();
        self.observer.on_lease_lost(&record);
        self.out.push(Action::Cancel { work: id });
    }
}
