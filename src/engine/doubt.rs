//! Attempts of which it is not known whether they had their effect: reported where another attempt has the ID since.
//!
//! A handler that answers in time is believed. If it answers `Err`, what follows is a retry, here or elsewhere, and its
//! failure was reported. The outcome is *not known* of an attempt that
//!
//! * exceeded its time limit or panicked, and of one that
//! * failed after its lease may have run out: another attempt may have run at the same time. (But not of one that says
//!   that what it needs is not available: it says that nothing was tried.)
//!
//! If this process has the ID still, it tries again and nothing is reported. If the ID is done then, or another worker has
//! it, the effect may have happened twice: that is a possible overrun.

use crate::observe::FailureKind;
use crate::record::Origin;

use super::work::Work;
use super::{Bug, Engine, WorkId};

impl Engine {
    /// Takes note of a failed attempt whose outcome is not known.
    pub(super) fn doubt(&mut self, id: WorkId, kind: FailureKind) {
        let (now, held) = (self.now, self.config.surely_held());
        if self.planted(Bug::DoubtForgotten) {
            return;
        }
        let Some(work) = self.work_mut(id).filter(|work| work.fingerprint.is_some()) else { return };
        let late = work.cancelled || work.hold.is_none_or(|hold| hold.since + held <= now);
        work.in_doubt |= match kind {
            FailureKind::TimedOut | FailureKind::Panicked => true,
            FailureKind::Retryable | FailureKind::Fatal => late,
            FailureKind::Unavailable | FailureKind::Skip => false,
        };
    }

    /// Another attempt has the ID of a record: reports the attempt in doubt, if there is one.
    pub(super) fn report_doubt(&mut self, id: WorkId, first: Option<&Origin>) {
        let Some(work) = self.work_mut(id).filter(|work| work.in_doubt) else { return };
        work.in_doubt = false;
        let record = work.record.clone();
        self.observer.on_possible_repeat(&record, first);
    }
}

impl Work {
    /// Whether an attempt is in doubt whose claim is known to be lost.
    pub(super) fn has_lost_doubt(&self) -> bool {
        self.in_doubt && self.hold.is_none()
    }
}
