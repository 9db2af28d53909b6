//! Lanes moved as far as they can go: heads claimed, started, stopped; claims made ahead.

use crate::observe::StopCause;

use super::lane::{LaneIndex, LaneKey};
use super::partition::Phase;
use super::work::{Stage, Work};
use super::{Bug, Engine, WorkId};

impl Engine {
    /// A lane may be able to move: it is looked at before the step ends.
    pub(super) fn stir(&mut self, lane: LaneIndex) {
        if let Some(found) = self.lanes.get_mut(lane.0).filter(|lane| !lane.dirty) {
            found.dirty = true;
            self.dirty.push_back(lane);
        }
    }

    /// The lane of a record may be able to move.
    pub(super) fn stir_lane_of(&mut self, id: WorkId) {
        if let Some(lane) = self.work(id).map(|work| work.lane) {
            self.stir(lane);
        }
    }

    /// A partition may be able to claim ahead, or has to be held back: it is looked at before the step ends.
    pub(super) fn touch(&mut self, index: usize) {
        if let Some(part) = self.parts.get_mut(index).filter(|part| !part.touched) {
            part.touched = true;
            self.touched.push_back(index);
        }
    }

    /// Moves everything that was stirred, until nothing more can move.
    pub(super) fn settle_down(&mut self) {
        loop {
            if let Some(lane) = self.dirty.pop_front() {
                self.advance(lane);
            } else if let Some(index) = self.touched.pop_front() {
                if let Some(part) = self.parts.get_mut(index) {
                    part.touched = false;
                }
                self.claim_ahead(index);
                self.check_pause(index);
            } else if !self.give_turns() {
                break;
            }
        }
        self.close_call();
    }

    /// Moves a lane as far as it can go.
    pub(super) fn advance(&mut self, index: LaneIndex) {
        let Some(lane) = self.lanes.get_mut(index.0) else { return };
        lane.dirty = false;
        let part = lane.part;
        if self.moves(part, index) {
            let tried = self.parts.get(part).is_some_and(|part| part.phase == Phase::Stopped);
            while let Some(head) = self.lanes.get(index.0).and_then(|lane| lane.head()) {
                let ended = self.work(head).is_none_or(|work| matches!(work.stage, Stage::Completing { .. }));
                // What follows a record that is skipped, or tried, waits until that is recorded.
                if self.work(head).is_some_and(|work| ended && (tried || work.operator_skips)) {
                    break;
                }
                if ended {
                    if let Some(lane) = self.lanes.get_mut(index.0) {
                        lane.pop_head();
                    }
                    continue;
                }
                if let Some(lane) = self.lanes.get_mut(index.0).filter(|_| tried) {
                    // Nothing is claimed ahead: the head is claimed here.
                    lane.cursor = lane.cursor.max(1);
                }
                if !self.halted {
                    self.advance_head(index, head);
                }
                break;
            }
            self.list(index);
        }
        self.touch(part);
        self.drop_lane_if_over(index);
    }

    /// Does what the head is ready for.
    fn advance_head(&mut self, index: LaneIndex, head: WorkId) {
        self.became_due(head);
        if self.expire(head) {
            // There is a new head, which was stirred.
            return;
        }
        let Some(work) = self.work(head) else { return };
        let now = self.now;
        let tried = self.lanes.get(index.0).is_some_and(|lane| lane.cursor > 0);
        match &work.stage {
            // Claimed with the others, when there is room for its claim.
            Stage::Queued if !tried => return,
            // It was found to be a suspect.
            Stage::Queued if work.suspected.is_some() => self.take_over_or_wait(index, head),
            Stage::Queued => self.begin_claim(head),
            Stage::Parked(at) if *at <= now => self.begin_claim(head),
            Stage::BackingOff(at) if *at <= now => self.start_or_wait(index, head),
            Stage::Held => self.start_or_wait(index, head),
            Stage::Waiting => self.head_waits(head),
            Stage::Unusable(reason) => {
                let cause = if work.fingerprint.is_some() { StopCause::Conflict } else { StopCause::NoId };
                let reason = reason.clone();
                self.stop(head, cause, &reason);
            }
            _ => {}
        }
        if let Some(lane) = self.lanes.get_mut(index.0) {
            lane.cursor = lane.cursor.max(1);
        }
    }

    /// Puts a lane on its partition's list of those with something to claim.
    fn list(&mut self, index: LaneIndex) {
        let head = self.lanes.get(index.0).and_then(|lane| lane.head()).and_then(|head| self.work(head));
        // What lies behind a suspect that waits for its turn would be given back if it turns out to be in flight.
        let suspect = head.is_some_and(|head| head.stage == Stage::Queued && head.suspected.is_some());
        if suspect && self.lanes.get(index.0).is_some_and(|lane| lane.cursor > 0) {
            return;
        }
        let Some(lane) = self.lanes.get_mut(index.0).filter(|lane| !lane.listed && lane.has_claimable()) else {
            return;
        };
        let Some(part) = self.parts.get_mut(lane.part) else { return };
        lane.listed = true;
        match lane.cursor {
            0 => part.heads.push_back(index),
            _ => part.behind.push_back(index),
        }
    }

    /// Claims heads of lanes, then records behind them, as far ahead as the partition may: one of each lane in turn.
    fn claim_ahead(&mut self, index: usize) {
        if self.halted && !self.planted(Bug::ClaimedWhilePaused) {
            return;
        }
        let turns = self.most_calls().saturating_mul(self.config.batch);
        loop {
            let Some(part) = self.parts.get_mut(index).filter(|part| part.phase == Phase::Active) else { return };
            let from_heads = !part.heads.is_empty();
            let Some(lane_index) = part.heads.front().or(part.behind.front()).copied() else { return };
            let Some(lane) = self.lanes.get_mut(lane_index.0) else { return };
            let first = lane.cursor == 0;
            // A lane whose head was never claimed has nothing that could start.
            let most = if first { part.ahead.max(turns.min(part.turns).max(1)) } else { part.ahead };
            if part.claimed >= most && lane.has_claimable() {
                return;
            }
            if from_heads {
                part.heads.pop_front();
            } else {
                part.behind.pop_front();
            }
            lane.listed = false;
            if !lane.has_claimable() {
                self.drop_lane_if_over(lane_index);
                continue;
            }
            let id = lane.works.get(lane.cursor).copied();
            lane.cursor += 1;
            if first && part.ready.is_empty() {
                // Handlers could start and nothing is claimed: the partition may claim further ahead.
                part.ahead = (part.ahead * 2).clamp(1, self.config.max_claims_ahead.max(1));
            }
            let plain = |work: &Work| work.stage == Stage::Queued && work.suspected.is_none();
            match id.filter(|id| self.work(*id).is_some_and(plain)) {
                Some(id) => self.begin_claim(id),
                // A suspect at the head comes before whatever lies behind it.
                None if first => {
                    self.stir(lane_index);
                    continue;
                }
                // One that is not the head is left until it is.
                None => {}
            }
            self.list(lane_index);
        }
    }

    /// The head of a lane waits for somebody else: gives back every claim made ahead behind it, and claims only the head
    /// until it is held or settled.
    ///
    /// Without this two workers deadlock: A's lane holds y, x, B's x, y; A claimed x ahead, B y, and each waits for the
    /// other's. Without the second half both would give back and take again for ever.
    pub(super) fn parked(&mut self, id: WorkId) {
        let (kept, again) = (self.planted(Bug::KeptBehindParked), self.planted(Bug::TakenAgainAtOnce));
        let Some(lane) = self.lane_of(id).filter(|lane| !lane.head_only) else { return };
        lane.head_only = !again;
        let tried = if kept { 0 } else { lane.cursor.min(lane.works.len()) };
        lane.cursor = 1;
        let behind: Vec<WorkId> = lane.works.range(1.min(tried)..tried).copied().collect();
        behind.into_iter().for_each(|id| self.give_back(id));
    }

    /// The head is held or settled: claims may be made ahead again.
    pub(super) fn unparked(&mut self, id: WorkId) {
        if let Some(lane) = self.lane_of(id).filter(|lane| lane.head() == Some(id)) {
            lane.head_only = false;
        }
    }

    /// Whether the head of a record's lane was parked.
    pub(super) fn is_parked(&mut self, id: WorkId) -> bool {
        self.lane_of(id).is_some_and(|lane| lane.head_only)
    }

    /// Whether a record is the first of its lane.
    pub(super) fn is_head(&mut self, id: WorkId) -> bool {
        self.lane_of(id).is_some_and(|lane| lane.head() == Some(id))
    }

    fn lane_of(&mut self, id: WorkId) -> Option<&mut super::lane::Lane> {
        let lane = self.work(id)?.lane;
        self.lanes.get_mut(lane.0)
    }

    fn drop_lane_if_over(&mut self, index: LaneIndex) {
        let Some(lane) = self.lanes.get(index.0).filter(|lane| lane.is_over()) else { return };
        let (part, key) = (lane.part, lane.key);
        self.lanes.remove(index.0);
        if let Some(part) = self.parts.get_mut(part).filter(|_| key != LaneKey::Alone) {
            part.lanes.remove(&key);
        }
    }

    /// Forgets the lanes of a partition; its records are in none any more.
    pub(super) fn drop_lanes(&mut self, index: usize) -> Vec<WorkId> {
        let mut all: Vec<WorkId> =
            self.works.iter().filter(|(_, work)| work.part == index).map(|(_, w)| w.id).collect();
        // In the order of their arrival, so that the same events always lead to the same actions.
        all.sort_unstable();
        for id in &all {
            if let Some(work) = self.work_mut(*id) {
                work.lane = LaneIndex::NONE;
            }
        }
        self.lanes.retain(|_, lane| lane.part != index);
        if let Some(part) = self.parts.get_mut(index) {
            part.lanes.clear();
            part.heads.clear();
            part.behind.clear();
            part.ready.clear();
        }
        all
    }
}
