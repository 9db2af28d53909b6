//! A look at the Kafka clients of a consumer, for those that do not own them.

use std::fmt;
use std::sync::Arc;

use crate::observe::KafkaClients;

use super::Publisher;
use super::context::Context;

/// Shows how the Kafka clients of one consumer stand. A look costs nothing: it is what was last seen.
#[derive(Clone)]
pub struct KafkaWatch {
    consumer: Arc<Context>,
    producer: Option<Publisher>,
}

impl KafkaWatch {
    pub(super) fn new(consumer: Arc<Context>, producer: Option<Publisher>) -> Self {
        Self { consumer, producer }
    }

    /// That of a consumer without a connection.
    #[cfg(test)]
    pub(crate) fn still() -> Self {
        Self::new(Arc::new(Context::new("consumer", &rdkafka::ClientConfig::new())), None)
    }

    /// How they stand.
    pub fn look(&self) -> KafkaClients {
        KafkaClients::new(self.consumer.health(), self.producer.as_ref().map(Publisher::health))
    }
}

impl fmt::Debug for KafkaWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KafkaWatch").field(&self.look()).finish()
    }
}
