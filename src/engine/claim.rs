//! Claims: sent, answered, sent again.

use std::time::Duration;

use crate::observe::DuplicateBy;
use crate::store::{Claim, ClaimOutcome, StoreError, Token};

use super::known::Found;
use super::work::{Hold, Stage, Work};
use super::{Action, Bug, Engine, WorkId};

/// The delay before a claim without an answer is sent again for the first time; it doubles.
const FIRST_DELAY: Duration = Duration::from_millis(20);
/// How long a parked record waits before it is asked for again for the first time; it doubles.
const FIRST_PARK: Duration = Duration::from_millis(5);
/// The longest delay before a claim made ahead, a renewal or a release is sent again.
pub(super) const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// The same for what others wait for, the claim at the head of a lane and a completion: of these there are few, so that
/// a store that was away may be asked often, and work goes on soon after it is back.
pub(super) const LONGEST_URGENT_DELAY: Duration = Duration::from_millis(500);

impl Engine {
    /// Claims a record's ID, unless it is known to be done, or another record of this process has it.
    pub(super) fn begin_claim(&mut self, id: WorkId) {
        let Some(fingerprint) = self.work(id).and_then(|work| work.fingerprint) else { return };
        match self.take_id(fingerprint, id) {
            Found::Own => {}
            Found::Done => return self.settle_duplicate(id, DuplicateBy::Cache, None),
            Found::Twin if self.planted(Bug::TwinSettledEarly) => {
                return self.settle_duplicate(id, DuplicateBy::Process, None);
            }
            Found::Twin => {
                self.let_others_start(id);
                self.enter(id, Stage::Waiting);
                if self.is_head(id) {
                    self.head_waits(id);
                }
                return;
            }
        }
        let (token, now) = (Token::random(&mut self.rng), self.now);
        if let Some(work) = self.work_mut(id) {
            (work.token, work.claimed_at) = (Some(token), now);
            work.hold = None;
            work.unwanted = false;
        }
        self.enter(id, Stage::Claiming { again_at: None, tries: 0 });
        self.send_claim(id);
    }

    /// Sends a claim, for the first time or again with the same token: a lost answer is not a lost claim.
    pub(super) fn send_claim(&mut self, id: WorkId) {
        let head = self.claims_as_head(id);
        let Some(work) = self.work(id) else { return };
        let (Stage::Claiming { tries, .. }, Some(token)) = (&work.stage, work.token) else { return };
        let tries = tries + 1;
        let Some(lease) = work.lease(token) else { return };
        // A takeover counts as a start, so only a known suspect is taken over, and only when its handler starts directly.
        let takes_over = (head && work.suspected.is_some()) || self.planted(Bug::CountedAhead);
        let claim = Claim { lease, takes_over, origin: work.record.origin(), message: work.message.clone() };
        self.enter(id, Stage::Claiming { again_at: None, tries });
        self.out.push(Action::Claim { work: id, claim });
    }

    /// Decides what a claim's answer means. **The one place where a record becomes a duplicate by the store's word.**
    pub(super) fn claimed(
        &mut self,
        id: WorkId,
        token: Token,
        sent_at: Duration,
        result: Result<ClaimOutcome, StoreError>,
    ) {
        let Some(work) = self.work(id) else { return };
        let Stage::Claiming { again_at: None, tries } = work.stage else { return };
        if work.token != Some(token) {
            return;
        }
        let (unwanted, lane, record) = (work.unwanted, work.lane, work.record.clone());
        let took_over = work.suspected.is_some() && self.claims_as_head(id);
        let ignored = self.planted(Bug::NoteIgnored);
        if let (Ok(outcome), Some(work)) = (&result, self.work_mut(id)) {
            work.suspected = match outcome {
                ClaimOutcome::Suspect { attempts } if !took_over => Some(*attempts),
                _ => None,
            };
            work.find_note(match outcome {
                ClaimOutcome::GivenUp { to, .. } if !ignored => Some(to),
                _ => None,
            });
        }
        let answered = result.is_ok();
        match result {
            Ok(ClaimOutcome::Claimed { attempts, suspect }) => {
                self.observer.on_claim(&record, attempts, suspect);
                self.hold(id, token, sent_at, attempts, suspect);
                self.enter(id, Stage::Held);
                if unwanted {
                    self.give_back(id);
                } else {
                    self.unparked(id);
                }
            }
            Ok(ClaimOutcome::GivenUp { attempts, to }) => {
                self.observer.on_claim(&record, attempts, false);
                self.hold(id, token, sent_at, attempts, false);
                self.enter(id, Stage::Held);
                if unwanted {
                    self.give_back(id);
                } else if !self.drop_old_note(id, token, attempts, &to) {
                    self.unparked(id);
                }
            }
            Ok(ClaimOutcome::Done { cached, first }) => {
                let by = if cached { DuplicateBy::Cache } else { DuplicateBy::Store };
                self.settle_duplicate(id, by, first.as_ref());
            }
            Ok(ClaimOutcome::Conflict { first }) => self.conflicting(id, first),
            Ok(ClaimOutcome::InFlight { .. }) if self.planted(Bug::InFlightSettled) => {
                self.settle_duplicate(id, DuplicateBy::Store, None);
            }
            Ok(ClaimOutcome::InFlight { remaining }) => self.in_flight_elsewhere(id, Some(remaining)),
            // A takeover is not answered so; if it is, ask again in a while rather than at once.
            Ok(ClaimOutcome::Suspect { .. }) if took_over => self.in_flight_elsewhere(id, Some(LONGEST_DELAY)),
            Ok(ClaimOutcome::Suspect { .. }) => self.in_flight_elsewhere(id, None),
            Err(error) => {
                self.observer.on_store_error("claim", &error);
                if unwanted {
                    self.send_first_release(id, token);
                } else {
                    let longest = if self.is_head(id) { LONGEST_URGENT_DELAY } else { LONGEST_DELAY };
                    let again_at = Some(self.now + self.delay(FIRST_DELAY, longest, tries));
                    self.enter(id, Stage::Claiming { again_at, tries });
                }
            }
        }
        if !(answered && self.work(id).is_some_and(Work::runs_alone)) {
            self.let_others_start(id);
        }
        self.drop_if_unwanted(id);
        self.stir(lane);
    }

    /// Whether a record is claimed as the head of its lane is: one that an operator skips waits for no other.
    fn claims_as_head(&mut self, id: WorkId) -> bool {
        self.is_head(id) || self.work(id).is_some_and(|work| work.operator_skips)
    }

    fn hold(&mut self, id: WorkId, token: Token, since: Duration, attempts: u32, suspect: bool) {
        if let Some(work) = self.work_mut(id) {
            work.hold = Some(Hold { token, since, attempts, suspect, interrupted: false, renewing: false });
        }
    }

    /// Somebody else has the ID, or had it and may have died of it (`remaining` is `None`). Not a duplicate: the head of
    /// a lane asks again in time; any other record waits until it is the head.
    fn in_flight_elsewhere(&mut self, id: WorkId, remaining: Option<Duration>) {
        let head = self.claims_as_head(id);
        let Some(work) = self.work_mut(id) else { return };
        (work.token, work.hold) = (None, None);
        let asked = work.asked;
        work.asked = asked.saturating_add(u32::from(head));
        let (fingerprint, record) = (work.fingerprint, work.record.clone());
        match remaining {
            Some(remaining) if head => {
                // Most claims are held for milliseconds only: ask soon, then less and less often.
                let wait = (FIRST_PARK * (1 << asked.min(10))).min(remaining).min(self.config.park_interval());
                let wait = wait.max(Duration::from_millis(1));
                // The question is asked again under the same ownership, so a twin in this process keeps waiting.
                self.enter(id, Stage::Parked(self.now + wait));
                // One that an operator skips may lie behind the head, which does not wait for it.
                if self.is_head(id) {
                    self.observer.on_park(&record, Some(remaining));
                    self.parked(id);
                }
            }
            _ => {
                self.enter(id, Stage::Queued);
                if let Some(fingerprint) = fingerprint {
                    self.disown(fingerprint, id);
                }
            }
        }
    }

    /// Full jitter: anything between nothing and a ceiling that doubles with each try.
    pub(super) fn delay(&mut self, first: Duration, cap: Duration, tries: u32) -> Duration {
        let ceiling = first.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(cap);
        ceiling.mul_f64(rand::Rng::random::<f64>(&mut self.rng))
    }
}
