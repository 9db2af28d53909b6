//! Whether Redis has lost what it remembered: all of it, or perhaps the last of it.

use std::time::Duration;

use tokio::time::Instant;

use super::meta::Written;
use crate::id::Namespace;
use crate::store::{Finding, Severity};

/// What may be missing. For each there is a finding and a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Everything that was remembered.
    All,
    /// Perhaps what was acknowledged last, before another run of the server took over.
    TheLast,
}

impl Missing {
    fn name(self) -> &'static str {
        match self {
            Self::All => "records_lost",
            Self::TheLast => "failed_over",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::All => {
                "find out who emptied it, restarted it without a log on disk, or put another server in its place; turn on \
                 appendonly yes"
            }
            Self::TheLast => {
                "expect repeats among the messages handled in the seconds before; min-replicas-to-write 1 and \
                 min-replicas-max-lag 1 on the servers bound how much a fail-over loses"
            }
        }
    }

    fn says(self, namespace: &Namespace) -> String {
        match self {
            Self::All => format!(
                "it lost what it remembered of the namespace {namespace}: messages handled before come through once more \
                 when they are sent again"
            ),
            Self::TheLast => format!(
                "another run of the server took over what it remembered of the namespace {namespace}, as in a fail-over: \
                 the last records before may be missing, and their messages are handled once more if they are sent again"
            ),
        }
    }

    pub(super) fn log(self, namespace: &Namespace) {
        let (finding, remedy, says) = (self.name(), self.remedy(), self.says(namespace));
        match self {
            Self::All => tracing::error!(%namespace, finding, remedy, "Redis: {says}"),
            Self::TheLast => tracing::warn!(%namespace, finding, remedy, "Redis: {says}"),
        }
    }

    pub(super) fn finding(self, namespace: &Namespace, address: &str) -> Finding {
        let severity = match self {
            Self::All => Severity::Error,
            Self::TheLast => Severity::Warning,
        };
        let (address, says) = (address.to_owned(), self.says(namespace));
        Finding { severity, name: self.name(), address, says, remedy: self.remedy() }
    }
}

/// Which writing of the agreement was found, and whether another one ever stood in its place.
#[derive(Debug, Default)]
pub(super) struct Loss {
    found: Option<(Written, Instant)>,
    at: Option<Instant>,
}

impl Loss {
    /// The namespace was opened, and this given its time to live: what stood there before is not known.
    pub(super) fn opened(&mut self, written: Written, now: Instant) {
        self.found = Some((written, now));
    }

    /// Takes down which one stands there; returns whether the one before it was lost.
    ///
    /// While the store is in use, each eighth of `kept_for` it is given that time to live: where it was seen within half of
    /// it, it did not run out. What ran out with it is no loss, for nothing outlives it.
    pub(super) fn saw(&mut self, written: Written, now: Instant, kept_for: Duration) -> bool {
        let lost = self.found.is_some_and(|(before, at)| before != written && now - at < kept_for / 2);
        self.found = Some((written, now));
        self.at = if lost { Some(now) } else { self.at };
        lost
    }

    /// When it was last found so.
    pub(super) fn since(&self) -> Option<Instant> {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::FINDINGS;

    #[test]
    fn another_writing_is_a_loss_unless_the_first_ran_out() {
        let (start, kept_for) = (Instant::now(), Duration::from_secs(80));
        let at = |seconds| start + Duration::from_secs(seconds);
        let [none, first, second, third] = [None, Some(1), Some(2), Some(3)].map(Written::new);
        let mut loss = Loss::default();
        assert!(!loss.saw(none, at(0), kept_for), "nothing was known before");
        assert!(loss.saw(first, at(1), kept_for), "written by another version, and then by this one");
        assert!(!loss.saw(first, at(30), kept_for) && loss.since() == Some(at(1)));
        assert!(loss.saw(second, at(69), kept_for) && loss.since() == Some(at(69)));
        assert!(!loss.saw(third, at(109), kept_for), "it may have run out meanwhile");
        loss.opened(first, at(110));
        assert!(!loss.saw(first, at(111), kept_for) && loss.since() == Some(at(69)));
        assert!([Missing::All, Missing::TheLast].iter().all(|missing| FINDINGS.contains(&missing.name())));
    }
}
