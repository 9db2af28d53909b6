//! Settings of what becomes of a record that cannot simply be handled.

use std::time::Duration;

use super::builder::ConsumerBuilder;
use super::retry::RetryTopic;
use super::topics::DeadLetters;
use crate::error::Problem;
use crate::id::IdPolicy;

impl ConsumerBuilder {
    /// The topic for records that cannot be handled; default: none, and their partitions stop. It must exist.
    ///
    /// There goes a record that failed fatally or as often as [`max_attempts`](Self::max_attempts) allows, one of which
    /// the process died so often, and by default one without a usable ID; others by policy. Its copy keeps key, payload
    /// and headers, and says in headers where and when it lay and what failed, as Spring Kafka does. Only once it is
    /// delivered is the record's ID recorded as done and its offset committed, so an outage of the topic holds its
    /// partition. After a crash at that moment there may be two copies.
    ///
    /// The topic's limit on the size of a record must leave room for the headers, 2 KiB.
    pub fn dead_letter_topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.dead_letters = DeadLetters::Topic(topic.into().into());
        self
    }

    /// A [dead-letter topic](Self::dead_letter_topic) for each topic that is read: `<topic>-dlt`, as Spring Kafka names
    /// it.
    pub fn dead_letter_auto(mut self) -> Self {
        self.topics.dead_letters = DeadLetters::Auto;
        self
    }

    /// Which share of the last 1,000 outcomes of the process may be dead letters; default 0.1, from the 20th on. Beyond
    /// it the partition stops, for it looks as if everything fails: a broken handler must not empty a topic. 1 switches
    /// the limit off.
    pub fn dead_letter_share(mut self, share: f64) -> Self {
        self.engine.dead_letter_share = share;
        self
    }

    /// Adds a retry topic: instead of being tried again in place, a record that failed is copied to the first one,
    /// after the next failure to the second, and tried again `delay` after it was copied. After the last, it goes to
    /// the dead-letter topic, or stops its partition. Default: none. Records behind it need not wait, so they overtake
    /// it: retry topics give up order, and need [`order`](Self::order) to be
    /// [`Order::Unordered`](crate::engine::Order::Unordered).
    ///
    /// The topics must exist; the consumer reads them itself, and they are for it alone: whoever writes there may
    /// choose under which ID a message is handled. [`max_attempts`](Self::max_attempts) must be greater than their
    /// number.
    pub fn retry_topic(mut self, topic: impl Into<String>, delay: Duration) -> Self {
        self.topics.retries.push(RetryTopic { topic: topic.into().into(), delay });
        self
    }

    /// The greatest age of a record that is handled, by its timestamp; default: none. An older one settles unhandled,
    /// as expired. Choose it shorter than the store's window, and no record is delivered again that is not remembered
    /// any more.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.age.max = Some(age);
        self
    }

    /// Whether a record that is older than its header `expires` says is expired, too; default false, for it lets every
    /// producer decide what is handled. The header is in milliseconds since the Unix epoch or in RFC 3339; where it
    /// cannot be read, the record is handled and a warning logged.
    pub fn expires_header(mut self, counts: bool) -> Self {
        self.age.header = counts;
        self
    }

    /// Whether expired records go to the dead-letter topic, which there must be; default false.
    pub fn expired_to_dead_letter(mut self, wanted: bool) -> Self {
        self.engine.expired_to_dead_letter = wanted;
        self
    }

    /// Counted starts until a failing record is given up, across crashes and processes; default 10. With the default
    /// [back-off](Self::backoff) they take two to four minutes. Then the record goes to the
    /// [dead-letter topic](Self::dead_letter_topic), or its partition stops. At least 2: one crash must not condemn a
    /// record. Greater than the number of [retry topics](Self::retry_topic). A handler that was not
    /// [available](super::Failure::unavailable) counts none.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.engine.max_attempts = attempts;
        self
    }

    /// The longest delay before the second attempt, which doubles from there, and before any; default 1 s and 1 min.
    /// Each delay is random, between half of that and all of it. The record's lane waits meanwhile; for longer delays
    /// there are [retry topics](Self::retry_topic).
    pub fn backoff(mut self, first: Duration, cap: Duration) -> Self {
        (self.engine.backoff_first, self.engine.backoff_cap) = (first, cap);
        self
    }

    /// Checks the topics for dead letters and retries, and tells the engine of them; returns the policy for IDs.
    pub(super) fn set_topics(&mut self, problems: &mut Vec<Problem>) -> IdPolicy {
        problems.extend(self.topics.problems(&self.kafka.topics));
        self.topics.group.clone_from(&self.kafka.group);
        self.engine.dead_letter = self.topics.dead_letters != DeadLetters::None;
        self.engine.retry_steps = u32::try_from(self.topics.retries.len()).unwrap_or(u32::MAX);
        let default = if self.engine.dead_letter { IdPolicy::DeadLetter } else { IdPolicy::Stop };
        let policy = self.id_policy.unwrap_or(default);
        if policy == IdPolicy::DeadLetter && !self.engine.dead_letter {
            let problem = "dead-letter needs a dead-letter topic; name one, or choose stop, process or coordinates";
            problems.push(Problem::new("id_policy", problem));
        }
        if self.age.max.is_some_and(|age| age.is_zero()) {
            problems.push(Problem::new("max_age", "must be longer than zero, or nothing would be handled"));
        }
        policy
    }
}
