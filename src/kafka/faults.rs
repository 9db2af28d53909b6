//! What becomes of errors: librdkafka repairs most of them by itself, some nobody can repair from here.

use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::Instant;

use crate::record::{Offset, TopicPartition};

use super::context::reason_of;
use super::poller::Poller;
use super::source::SourceEvent;
use super::{SourceError, start};

/// A topic that a broker does not know. Believed only when it is said again: brokers that start know little.
pub(super) struct Missing {
    times: u32,
    ask_at: Instant,
}

const MISSING_TIMES: u32 = 3;
const MISSING_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 5000 });

impl Poller {
    /// Sorts an error of a poll: what librdkafka repairs by itself is logged, what it cannot ends the source.
    pub(super) fn poll_failed(&mut self, error: &KafkaError) {
        let told = self.consumer.context().take_error();
        let code = error.rdkafka_error_code();
        let reason = told.map_or_else(|| reason_of(error), |(_, reason)| reason);
        if let Some((_, fatal)) = self.consumer.client().fatal_error() {
            return self.fail(SourceError::Fatal { reason: fatal });
        }
        match code {
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => self.fail(SourceError::Fatal { reason }),
            Some(RDKafkaErrorCode::AutoOffsetReset) => {
                let lost = self.find_lost_offset(reason);
                self.fail(lost);
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                self.fail(SourceError::Denied { what: "reading the topics".to_owned(), reason });
            }
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                self.fail(SourceError::Denied { what: "joining the group".to_owned(), reason });
            }
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                tracing::warn!(reason, "a broker does not know a topic; it will be asked again");
                for topic in &self.topics {
                    let ask_at = Instant::now();
                    self.missing.entry(topic.clone()).or_insert(Missing { times: 0, ask_at });
                }
            }
            _ => {
                if let Some(suppressed) = self.consumer.context().may_log(tracing::Level::WARN, &format!("{code:?}")) {
                    tracing::warn!(reason, suppressed, "librdkafka reported a problem and goes on");
                }
            }
        }
    }

    pub(super) fn fail(&mut self, error: SourceError) {
        if self.discarding || self.closing {
            return;
        }
        tracing::error!(%error, "the Kafka source cannot go on");
        self.discarding = true;
        self.tell(SourceEvent::Failed(error));
    }

    /// Finds the partition whose next offset the broker does not hold: the error names none.
    fn find_lost_offset(&self, reason: String) -> SourceError {
        // The brokers are asked for a second at most in all: this thread has to poll.
        let deadline = Instant::now() + Duration::from_secs(1);
        for (partition, owned) in &self.owned {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(next) = owned.next.filter(|_| !left.is_zero()) else { continue };
            let held = self.consumer.fetch_watermarks(partition.topic(), partition.partition(), left);
            if let Ok((first, end)) = held
                && (next < first || next > end)
            {
                let reason = format!("the broker holds {first} to {end} (the end is not included)");
                return SourceError::OffsetLost { partition: Some(partition.clone()), next: Some(next), reason };
            }
        }
        SourceError::OffsetLost { partition: None, next: None, reason }
    }

    /// librdkafka went to another position, as the policy says, and its first record came. Where that lies before what
    /// was read the log is another one, and so is the assignment; ahead, only what retention deleted is missing.
    pub(super) fn was_reset(&mut self, partition: &TopicPartition, from: Option<Offset>, to: Offset) {
        tracing::error!(%partition, from, to, "the offset to read next was not there: the partition goes on elsewhere");
        if from.is_some_and(|from| to < from) {
            self.begin_anew(partition, to);
        }
    }

    /// Asks again about topics that a broker did not know.
    pub(super) fn advance_missing(&mut self) {
        let now = Instant::now();
        let Some(topic) =
            self.missing.iter().find(|(_, missing)| missing.ask_at <= now).map(|(topic, _)| topic.clone())
        else {
            return;
        };
        let answer = start::is_missing(&self.consumer, &topic);
        if answer == Some(false) {
            self.missing.remove(&topic);
            return;
        }
        let Some(missing) = self.missing.get_mut(&topic) else { return };
        missing.times += u32::from(answer.is_some());
        missing.ask_at = Instant::now() + MISSING_PAUSE;
        if missing.times >= MISSING_TIMES {
            self.missing.remove(&topic);
            self.fail(SourceError::UnknownTopic { topic });
        }
    }
}
