//! When a record was settled, as seen from outside.

use crate::history::{Role, What};

use super::past::{NEVER, Past, Rec, Report};

/// What a copy's timestamp may be wrong by: it is of a wall clock, in milliseconds, which may be slewed during a run.
pub const WALL_SLACK: u64 = 1_000_000;

/// The records that hapax settled by policy, without a handler: expired or skipped.
pub struct Settlements<'a> {
    past: &'a Past,
    by_policy: Vec<(u32, u64)>,
    /// Copies in retry topics: the origin, and the time.
    retried: Vec<((u32, i64), u64)>,
}

impl<'a> Settlements<'a> {
    pub fn of(past: &'a Past) -> Self {
        let by_policy = |report: &Report| matches!(report.what, What::Expired | What::Skipped);
        let mut by_policy: Vec<_> =
            past.reports.iter().filter(|r| by_policy(r)).filter_map(|r| Some((r.id?, r.at))).collect();
        by_policy.sort_unstable();
        let mut retried: Vec<_> =
            past.letters.iter().filter(|l| l.role == Role::Retry).map(|l| (l.origin, l.at)).collect();
        retried.sort_unstable();
        Self { past, by_policy, retried }
    }

    /// When a handler returned success for the ID, at the earliest. The effect alone settles nothing: while the handler
    /// has not returned, hapax cannot know of it.
    pub fn success(&self, id: u32) -> u64 {
        self.past.attempts(id).iter().filter(|each| each.succeeded()).map(|each| each.ended).min().unwrap_or(NEVER)
    }

    /// When the ID had a dead letter, at the earliest, less the slack of the wall clock.
    pub fn letter(&self, id: u32) -> u64 {
        let letter = self.past.letters(id, Role::DeadLetter).next();
        letter.map_or(NEVER, |letter| copied(letter.at))
    }

    /// When the ID was settled, whichever record settled it.
    pub fn id(&self, id: u32) -> u64 {
        let from = self.by_policy.partition_point(|(other, _)| *other < id);
        let policy = self.by_policy.get(from).filter(|(other, _)| *other == id).map_or(NEVER, |(_, at)| *at);
        self.success(id).min(self.letter(id)).min(policy)
    }

    /// When this record needed nothing more, at the earliest: its ID was settled, or a copy of this very record lies in a
    /// retry topic. The copy of another record with its ID does not settle it.
    pub fn record(&self, part: u32, record: &Rec) -> u64 {
        self.id(record.id).min(self.copy(part, record))
    }

    fn copy(&self, part: u32, record: &Rec) -> u64 {
        if self.past.part(part).role == Role::Retry {
            // A record of a retry topic is settled by its next copy, of the same origin.
            let own = self.past.letters(record.id, Role::Retry).find(|l| l.part == part && l.offset == record.offset);
            let Some(own) = own else { return NEVER };
            let next = self
                .past
                .letters(record.id, Role::Retry)
                .find(|l| l.origin == own.origin && l.at >= own.at && (l.part, l.offset) != (own.part, own.offset));
            return next.map_or(NEVER, |next| copied(next.at));
        }
        let origin = (part, record.offset);
        let from = self.retried.partition_point(|(other, _)| *other < origin);
        let copy = self.retried.get(from).filter(|(other, _)| *other == origin);
        copy.map_or(NEVER, |(_, at)| copied(*at))
    }
}

/// The earliest time of a copy with this timestamp.
fn copied(at: u64) -> u64 {
    at.saturating_sub(WALL_SLACK)
}
