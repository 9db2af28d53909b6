//! The Kafka consumer: one operating-system thread owns it and never stops polling; everybody else sees events.
//!
//! `librdkafka -> poll thread -> control and records, over bounded channels -> driver -> commands -> poll thread`
//!
//! The thread polls at least every second, whatever happens, during a drain too. What it hands out is owned: each
//! message is copied once, into one buffer. Records and callbacks wake it at once, and so do commands; an idle consumer
//! costs ten look-ups a second.
//!
//! # The rebalance protocol
//!
//! A callback notes what is wanted and returns at once; the thread acts on it between two polls. librdkafka calls
//! nobody back again before the assign or unassign call, so there is one rebalance at a time.
//!
//! * **Assign**: the committed offsets are asked for, half a second at a time with polls between. A partition without
//!   one starts where [`StartAt`] says, the others at theirs. Then the assign call, a new [epoch](crate::record::Epoch) for
//!   each partition, [`SourceEvent::Assigned`], and only then their first [`Batch`].
//! * **Revoke**: [`SourceEvent::RevokeRequested`], and from then on no records of those partitions. The driver lets
//!   what runs end, [commits](Source::commit) and calls [`Source::revoke_done`]. When it did so for all of them, and
//!   the last commits were answered (at most 3 s), comes the unassign call. It comes anyway when the drain limit and a
//!   margin of 5 s are over. The partitions that stay may get no records meanwhile: so a drain is short.
//! * **Lost**: the group has given the partitions to somebody else already, or may have, since this thread did not poll
//!   for longer than `max.poll.interval.ms`. [`SourceEvent::Lost`] and the unassign call, at once; commits under way
//!   are answered with an error. After a gap in polling the group is joined anew: librdkafka may not have noticed it,
//!   and forgets to say so when a rebalance was under way.
//! * **Commits** carry the epoch. One of an epoch that is over is refused here; the broker sees none. Of one partition
//!   there is at most one under way. What the broker does see is Kafka's own leader epoch of the last record before the
//!   offset. It hands it back with the offset, and the next owner asks with it whether the log still is the one that was
//!   read.
//! * **Pauses** happen between polls, never in a callback, and not before the first record of an epoch: librdkafka can
//!   lose the start position otherwise. What is paused is resumed before it is given back, since librdkafka's mark
//!   outlives the assignment.
//!
//! # Offsets that are not there
//!
//! Where retention was faster, or the topic was made again and is shorter, the source stops, unless
//! [`OffsetLost`] says where to go on. librdkafka goes there by itself then, and says so in its log alone. The first record
//! that follows tells what happened: ahead of the lost offset it is the same log; before it, it is another, and the
//! partition is told as [`SourceEvent::Lost`] and [`SourceEvent::Assigned`] in one go, between two records.
//!
//! # When nobody takes the records
//!
//! For half a second the thread holds what it has, then it pauses all partitions and polls on. It resumes those that the
//! driver has not paused itself. Nothing is lost or repeated by it; what librdkafka fetched ahead is fetched again.
//!
//! # When nothing comes
//!
//! librdkafka can lose the end of a pause. A partition that delivers nothing for 30 s although its end lies ahead is
//! asked for anew, by a seek to where it is.
//!
//! # What it cannot notice
//!
//! A topic that was deleted, made again and has grown beyond the offset to read next, unless its leader epochs tell: those
//! of a new topic start at zero. What follows is told in [guarantees](crate::docs::guarantees).

mod commits;
mod contact;
mod context;
mod error;
mod faults;
mod leaders;
mod native;
mod owned;
mod pauses;
mod policy;
mod poller;
mod publisher;
mod range;
mod rebalance;
mod refusal;
mod scope;
mod settings;
mod silence;
mod source;
mod start;
mod survey;
#[cfg(test)]
mod tests;
mod thread;
mod watch;

pub use error::SourceError;
pub use policy::{GroupProtocol, OffsetLost, StartAt};
pub use publisher::{Outgoing, PublishError, Publisher};
pub use range::Range;
pub use scope::knows_property;
pub use settings::{
    DEFAULT_ASSIGNMENT_STRATEGY, DEFAULT_DRAIN_LIMIT, DEFAULT_MAX_POLL_INTERVAL, DEFAULT_START_LIMIT, KafkaSettings,
    is_secret_property,
};
pub use source::{Batch, Source, SourceEvent, SourceEvents};
pub use survey::{PartitionSurvey, Survey, TopicSurvey};
pub use watch::KafkaWatch;
