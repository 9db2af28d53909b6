//! The whole consumer paused by an operator: nothing new starts, what runs goes on to its end and is committed.
//!
//! Claims made ahead are given back: kept for as long as a person likes, they would have to be renewed all that time, and
//! if the process ended meanwhile, innocent records would become suspects. A record that waits for its next attempt keeps
//! its lease, and its place; so does one whose copy was not delivered. What drains, ends, or is lost does so as ever.
//!
//! Both places that set something in motion look at `halted`: [`Engine::advance`] and [`Engine::claim_ahead`], in
//! `advance.rs`. (Back-pressure has its own pauses, of single partitions: `pressure.rs`.)

use super::lane::LaneIndex;
use super::work::Work;
use super::{Bug, Engine, WorkId};

impl Engine {
    /// Whether an operator has paused it.
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// Starts nothing any more, until it is resumed.
    pub(super) fn halt(&mut self) {
        if std::mem::replace(&mut self.halted, true) {
            return;
        }
        let ahead = self.works.iter().map(|(_, work)| work).filter(|work| work.is_claimed_ahead());
        let mut ahead: Vec<WorkId> = ahead.map(|work| work.id).collect();
        // In the order of their arrival, so that the same events always lead to the same actions.
        ahead.sort_unstable();
        if self.planted(Bug::KeptWhilePaused) {
            ahead.clear();
        }
        ahead.into_iter().for_each(|id| self.give_back(id));
        // All are claimed again, ahead of their turn, and not each of them when it is the head.
        self.lanes.iter_mut().for_each(|(_, lane)| lane.cursor = 0);
    }

    /// Goes on.
    pub(super) fn go_on(&mut self) {
        if !std::mem::replace(&mut self.halted, false) {
            return;
        }
        // Those that wait for a turn among them: it may have been theirs meanwhile.
        let lanes: Vec<LaneIndex> = self.lanes.iter().map(|(index, _)| LaneIndex(index)).collect();
        lanes.into_iter().for_each(|lane| self.stir(lane));
    }

    /// Whether the first record of a partition waits for nothing but the end of the pause.
    pub(super) fn waits_for_the_end_of_a_pause(&self, first: &Work) -> bool {
        self.halted && !first.is_under_way()
    }
}
