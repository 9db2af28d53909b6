//! Choices that a user makes about groups and offsets.

use rdkafka::Offset;

/// By which protocol the members of a group share its partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupProtocol {
    /// The members agree among each other. Eager or cooperative, by the assignment strategy; static members are fenced
    /// by a newer one with the same ID.
    #[default]
    Classic,
    /// The broker decides, from Kafka 4.0 on (KIP-848): less standstill in large groups. Session timeout, heartbeat
    /// interval and strategy are the broker's; as properties they are refused. A second static member with the same ID
    /// is turned away, not the first.
    ///
    /// Not the default, for what the bundled librdkafka 2.12.1 does with it:
    ///
    /// * A consumer that was not polled for `max.poll.interval.ms`, as in a process that was stopped, ends with a fatal
    ///   error, where the classic protocol joins the group anew (librdkafka #5541, fixed in 2.15.0). The source fails
    ///   then, and has to be started again.
    /// * A heartbeat that is refused for good is repeated for ever (fixed in 2.15.0).
    /// * A consumer that cannot reach its coordinator goes on fetching although it cannot commit: after the session
    ///   timeout another one handles the same records. Only the leases in the store keep them apart.
    Consumer,
}

/// Where a partition starts for which the group never committed an offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// At the first record that is there: nothing is left out.
    #[default]
    Earliest,
    /// Behind the last record. **Leaves records out**: those written before the group first reads the partition, also of
    /// a partition that is added to the topic later, and those since its last commit where Kafka has forgotten that
    /// (`offsets.retention.minutes`, 7 days without a member by default).
    Latest,
}

impl StartAt {
    pub(super) fn offset(self) -> Offset {
        match self {
            Self::Earliest => Offset::Beginning,
            Self::Latest => Offset::End,
        }
    }
}

/// What happens where the offset to read next is not in the partition: retention was faster, the topic was deleted and made
/// again, or the log was cut short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OffsetLost {
    /// The source stops with [`SourceError::OffsetLost`](super::SourceError::OffsetLost): somebody has to decide.
    #[default]
    Stop,
    /// That partition goes on at the first record that is there. Of a log that was cut short records may come again
    /// that are older than the window, and are handled again.
    Earliest,
    /// That partition goes on behind the last record. **Leaves out** what is in between.
    Latest,
}

impl OffsetLost {
    /// librdkafka's own policy, for what is no longer there. What was never committed is decided before it is asked.
    pub(super) fn reset(self) -> &'static str {
        match self {
            Self::Stop => "error",
            Self::Earliest => "earliest",
            Self::Latest => "latest",
        }
    }
}
