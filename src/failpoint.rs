//! Named points at which the chaos harness lets this process die, and bugs that it plants, to see that they are caught.
//!
//! Without the feature `failpoints`, which only `tests/chaos` builds with, all of it is compiled to nothing. With it, two
//! variables of the environment are read once:
//!
//! | variable | effect |
//! |---|---|
//! | `FAILPOINT=after_claim:37` | the process dies at once when it passes the point for the 37th time |
//! | `PLANTED_BUG=past_failed` | the process has this bug |

/// A point of the way of a record that a process can die at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "the consumer and the pull API pass the points, which not every set of features has")]
pub(crate) enum Point {
    /// A claim is decided and not sent.
    BeforeClaim,
    /// A claim was answered as taken; nothing was done with it.
    AfterClaim,
    /// The handler is about to be called.
    BeforeHandler,
    /// The handler has ended; no other part of the process knows.
    AfterHandler,
    /// A completion is decided and not sent.
    BeforeComplete,
    /// A completion was answered as recorded; the record is not settled.
    AfterComplete,
    /// A copy for a dead-letter or retry topic is decided and not sent.
    BeforeCopy,
    /// Such a copy was delivered; neither completion nor release was sent.
    AfterCopy,
    /// An offset is about to be committed.
    BeforeCommit,
    /// A commit was sent; its answer is not read.
    AfterCommit,
}

/// A mistake in the shipping code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "engine, store and consumer plant them, which not every set of features has")]
pub(crate) enum Planted {
    /// A record settles before its completion is answered, so its offset may be committed first.
    CommitBeforeComplete,
    /// A release deletes a lease whichever token holds it.
    StaleRelease,
    /// A record whose handler failed settles.
    PastFailed,
    /// Done IDs are looked up before the lease is taken, and not after.
    LookUpFirst,
    /// The watermark is the last success, whatever lies before it.
    ByLastSuccess,
}

#[cfg(not(feature = "failpoints"))]
#[allow(dead_code, reason = "without features nothing passes a point")]
mod off {
    use super::{Planted, Point};

    /// Does nothing.
    #[inline(always)]
    pub(crate) const fn pass(_: Point) {}

    /// Whether a bug is planted: never.
    #[inline(always)]
    pub(crate) const fn planted(_: Planted) -> bool {
        false
    }
}

#[cfg(feature = "failpoints")]
#[allow(dead_code, reason = "without features nothing passes a point")]
mod on {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Planted, Point};

    static DEATH: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let chosen = std::env::var("FAILPOINT").ok()?;
        let (name, time) = chosen.split_once(':')?;
        Some((name.to_owned(), time.parse().ok()?))
    });
    static BUG: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("PLANTED_BUG").ok());
    static PASSED: AtomicU64 = AtomicU64::new(0);

    /// Ends this process, without any tidying up, at the chosen point and time.
    pub(crate) fn pass(point: Point) {
        if let Some((_, time)) = DEATH.as_ref().filter(|(name, _)| *name == point.name())
            && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *time
        {
            std::process::abort();
        }
    }

    /// Whether a bug is planted in this process.
    pub(crate) fn planted(bug: Planted) -> bool {
        BUG.as_ref().is_some_and(|chosen| chosen == bug.name())
    }

    impl Point {
        fn name(self) -> &'static str {
            match self {
                Self::BeforeClaim => "before_claim",
                Self::AfterClaim => "after_claim",
                Self::BeforeHandler => "before_handler",
                Self::AfterHandler => "after_handler",
                Self::BeforeComplete => "before_complete",
                Self::AfterComplete => "after_complete",
                Self::BeforeCopy => "before_copy",
                Self::AfterCopy => "after_copy",
                Self::BeforeCommit => "before_commit",
                Self::AfterCommit => "after_commit",
            }
        }
    }

    impl Planted {
        fn name(self) -> &'static str {
            match self {
                Self::CommitBeforeComplete => "commit_before_complete",
                Self::StaleRelease => "stale_release",
                Self::PastFailed => "past_failed",
                Self::LookUpFirst => "look_up_first",
                Self::ByLastSuccess => "by_last_success",
            }
        }
    }
}

#[cfg(not(feature = "failpoints"))]
#[allow(unused_imports, reason = "without features neither is used")]
pub(crate) use off::{pass, planted};
#[cfg(feature = "failpoints")]
#[allow(unused_imports, reason = "without features neither is used")]
pub(crate) use on::{pass, planted};
