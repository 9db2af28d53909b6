//! Partitions that stand still although more is there. librdkafka can lose the end of a pause (its #5591): the partition
//! stays silent then until it is assigned anew, and nothing is logged.

use std::time::Duration;

use rdkafka::consumer::Consumer;
use tokio::time::Instant;

use crate::record::Offset;

use super::native;
use super::poller::Poller;

/// How long a partition may deliver nothing while its end lies ahead.
const LIMIT: Duration = Duration::from_secs(30);
/// How long after one seek another may follow.
const AGAIN: Duration = Duration::from_secs(60);
/// A record so soon after a seek came because of it.
const WOKEN: Duration = Duration::from_secs(10);
/// How often it is looked; costs no question to a broker.
const LOOK: Duration = Duration::from_secs(1);

/// What is known of one partition's silence.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Since when it has delivered nothing although it should have.
    since: Option<Instant>,
    /// The last seek, and the end that was known then.
    sought: Option<(Instant, Offset)>,
}

impl Silence {
    /// Whether to seek now. `next` is the offset to read next, `end` the known end of the partition, which should deliver.
    pub(super) fn look(&mut self, now: Instant, next: Offset, end: Offset) -> bool {
        if end <= next {
            self.since = None;
            return false;
        }
        if now.duration_since(*self.since.get_or_insert(now)) < LIMIT {
            return false;
        }
        // Once for each end: what lies before it may be the mark of a transaction or a gap, and never be delivered.
        if self.sought.is_some_and(|(at, known)| known == end || now.duration_since(at) < AGAIN) {
            return false;
        }
        self.sought = Some((now, end));
        true
    }

    /// It is paused, or cannot deliver for a reason that is known.
    pub(super) fn excuse(&mut self) {
        self.since = None;
    }

    /// A record came. Returns whether a seek woke the partition.
    pub(super) fn delivered(&mut self) -> bool {
        self.since = None;
        self.sought.take().is_some_and(|(at, _)| at.elapsed() < WOKEN)
    }
}

impl Poller {
    /// Looks for partitions that stand still, and seeks to where they are.
    pub(super) fn advance_silence(&mut self) {
        let now = Instant::now();
        if now < self.look_at {
            return;
        }
        self.look_at = now + LOOK;
        let flowing = self.may_poll() && !self.stalled && !self.discarding;
        for (partition, owned) in &mut self.owned {
            let Some(next) = owned.next.filter(|_| flowing && !owned.revoking && !owned.is_paused()) else {
                owned.silence.excuse();
                continue;
            };
            let Some(end) = native::known_end(&self.consumer, partition) else { continue };
            if owned.silence.look(now, next, end) {
                tracing::info!(%partition, next, end, "nothing came of a partition for long; it is asked for anew");
                let position = rdkafka::Offset::Offset(next);
                // Without waiting: this thread has to poll.
                let sought = self.consumer.seek(partition.topic(), partition.partition(), position, Duration::ZERO);
                if let Err(error) = sought {
                    tracing::warn!(%partition, %error, "a silent partition could not be asked for anew");
                }
            }
        }
    }
}
