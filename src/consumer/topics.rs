//! The topics beside those that are read: dead letters, and retries.

use std::sync::Arc;
use std::time::Duration;

use super::copies;
use super::retry::{self, RetryTopic};
use crate::engine::Destination;
use crate::error::Problem;
use crate::kafka::Outgoing;
use crate::record::Record;

/// What is put behind a topic's name to name its dead-letter topic, as in Spring Kafka.
const SUFFIX: &str = "-dlt";
/// The longest delay of a retry topic.
const LONGEST_DELAY: Duration = Duration::from_secs(24 * 3600);

/// Where records go that cannot be handled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeadLetters {
    /// Nowhere: their partitions stop.
    #[default]
    None,
    /// All to this topic.
    Topic(Arc<str>),
    /// To `<topic>-dlt`, each topic's to its own, as Spring Kafka names it.
    Auto,
}

impl DeadLetters {
    /// The dead-letter topic of a topic that is read.
    pub fn topic_of(&self, topic: &str) -> Option<Arc<str>> {
        match self {
            Self::None => None,
            Self::Topic(name) => Some(Arc::clone(name)),
            Self::Auto => Some(format!("{topic}{SUFFIX}").into()),
        }
    }
}

/// The topics that a consumer writes to.
#[derive(Clone, Debug, Default)]
pub(super) struct OtherTopics {
    pub(super) group: String,
    pub(super) dead_letters: DeadLetters,
    /// In the order in which a record goes through them.
    pub(super) retries: Vec<RetryTopic>,
}

impl OtherTopics {
    /// Every topic that must exist before something is written to it, where these are read.
    pub(super) fn all(&self, sources: &[String]) -> Vec<Arc<str>> {
        let dead_letters = sources.iter().filter_map(|source| self.dead_letters.topic_of(source));
        let mut all: Vec<_> = dead_letters.chain(self.retries.iter().map(|retry| Arc::clone(&retry.topic))).collect();
        all.sort();
        all.dedup();
        all
    }

    /// What cannot be as it is, where these topics are read beside the retry topics.
    pub(super) fn problems(&self, sources: &[String]) -> Vec<Problem> {
        let mut problems = Vec::new();
        let read = |name: &str| sources.iter().any(|source| source == name);
        let is_retry = |name: &str| self.retries.iter().any(|retry| *retry.topic == *name);
        if let DeadLetters::Topic(name) = &self.dead_letters {
            if name.trim().is_empty() {
                problems.push(Problem::new("dead_letter_topic", "has no name"));
            } else if read(name) {
                let problem = format!(
                    "{name} is read by this consumer, so a dead letter would come back without end; read it with a \
                     consumer of its own, or name another topic"
                );
                problems.push(Problem::new("dead_letter_topic", problem));
            }
        }
        if let Some(name) =
            sources.iter().filter_map(|topic| self.dead_letters.topic_of(topic)).find(|name| is_retry(name))
        {
            let problem = format!("{name} is a retry topic and the dead-letter topic, too; name another topic for one");
            problems.push(Problem::new("retry_topic", problem));
        }
        for (index, RetryTopic { topic, delay }) in self.retries.iter().enumerate() {
            if topic.trim().is_empty() {
                problems.push(Problem::new("retry_topic", "has no name"));
            } else if read(topic) {
                let problem = format!(
                    "{topic} is named as a topic to read, too; a retry topic is read anyway, and must hold nothing but \
                     this consumer's retries: name it as a retry topic only"
                );
                problems.push(Problem::new("retry_topic", problem));
            } else if self.retries.iter().take(index).any(|other| other.topic == *topic) {
                problems.push(Problem::new("retry_topic", format!("{topic} is named twice; each step has its own")));
            }
            if delay.is_zero() || *delay > LONGEST_DELAY {
                let problem =
                    format!("{topic} has a delay of {delay:?}; it must be longer than zero and at most a day");
                problems.push(Problem::new("retry_topic", problem));
            }
        }
        problems
    }

    /// The copy of a record; `said` is what its handler said last. `None` for a topic that there is not.
    pub(super) fn copy(
        &self,
        record: &Record,
        to: &Destination,
        attempts: u32,
        said: Option<&str>,
        now: i64,
    ) -> Option<Outgoing> {
        let original = retry::read(record, &self.retries, now).map_or_else(|| record.clone(), |read| read.original);
        match to {
            Destination::DeadLetter { reason } => {
                let topic = self.dead_letters.topic_of(original.topic())?;
                Some(copies::dead_letter(topic, &original, &self.group, said.unwrap_or(reason), attempts))
            }
            Destination::Retry { step } => {
                let RetryTopic { topic, delay } = self.retries.get(usize::try_from(*step).ok()?)?;
                let due = now.saturating_add(retry::millis(*delay));
                Some(copies::retry(Arc::clone(topic), &original, *step, due))
            }
        }
    }
}
