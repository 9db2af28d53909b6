//! What the brokers tell of the topics and the group that a consumer is about to use. It changes nothing and joins no
//! group.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::{Metadata, MetadataPartition, MetadataTopic};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::context::{Context, reason_of};
use super::{KafkaSettings, SourceError, start};
use crate::record::Offset;

/// How long one question may take.
const ASK: Duration = Duration::from_secs(5);

/// What was found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Survey {
    /// How many brokers the cluster has.
    pub brokers: usize,
    /// The settings of one broker, by their names in Kafka; empty where it does not tell them.
    pub broker_settings: BTreeMap<String, String>,
    /// The topics, in the order in which they were asked for.
    pub topics: Vec<TopicSurvey>,
}

/// One topic.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TopicSurvey {
    /// Its name.
    pub name: String,
    /// Why nothing is known of it: it does not exist, or access is denied.
    pub problem: Option<String>,
    /// Its partitions.
    pub partitions: Vec<PartitionSurvey>,
    /// Its settings, defaults included, by their names in Kafka; empty where it does not tell them.
    pub settings: BTreeMap<String, String>,
}

/// One partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionSurvey {
    /// Its number.
    pub partition: i32,
    /// Whether it has a leader.
    pub has_leader: bool,
    /// How many replicas it should have.
    pub replicas: usize,
    /// How many of them are in sync.
    pub in_sync: usize,
    /// The first offset that is there, and the one behind the last.
    pub offsets: Option<(Offset, Offset)>,
    /// What the group committed.
    pub committed: Option<Offset>,
}

impl KafkaSettings {
    /// Asks the brokers about these topics, and about what the group committed in them.
    ///
    /// # Errors
    ///
    /// As [`Source::start`](super::Source::start), where no broker answers; what a broker does not tell is left out.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    pub async fn survey(&self, topics: &[String]) -> Result<Survey, SourceError> {
        let (settings, names) = (self.clone(), topics.to_vec());
        let asked = tokio::task::spawn_blocking(move || ask(&settings, &names)).await;
        let mut survey = asked.map_err(|error| SourceError::Thread { reason: error.to_string() })??;
        self.ask_settings(&mut survey).await?;
        Ok(survey)
    }

    async fn ask_settings(&self, survey: &mut Survey) -> Result<(), SourceError> {
        let config = self.producer_config()?;
        let admin: AdminClient<Context> =
            start::created(AdminClient::from_config_and_context(&config, Context::new("admin", &config)))?;
        let options = AdminOptions::new().request_timeout(Some(ASK));
        let known = survey.topics.iter().filter(|topic| topic.problem.is_none()).map(|topic| topic.name.clone());
        let names: Vec<String> = known.collect();
        let topics: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let described =
            if topics.is_empty() { Ok(Vec::new()) } else { admin.describe_configs(&topics, &options).await };
        for resource in described.unwrap_or_default().into_iter().flatten() {
            let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { continue };
            if let Some(topic) = survey.topics.iter_mut().find(|topic| topic.name == *name) {
                topic.settings = values(&resource);
            }
        }
        let brokers = tokio::task::spawn_blocking(move || {
            let metadata = admin.inner().fetch_metadata(None, ASK);
            (admin, metadata.map(|metadata| metadata.brokers().iter().map(|broker| broker.id()).collect::<Vec<_>>()))
        });
        let Ok((admin, Ok(ids))) = brokers.await else { return Ok(()) };
        survey.brokers = ids.len();
        if let Some(id) = ids.first() {
            let described = admin.describe_configs(&[ResourceSpecifier::Broker(*id)], &options).await;
            survey.broker_settings =
                described.unwrap_or_default().iter().flatten().next().map(values).unwrap_or_default();
        }
        Ok(())
    }
}

fn values(resource: &ConfigResource) -> BTreeMap<String, String> {
    let told = resource.entries.iter().filter(|entry| !entry.is_sensitive);
    told.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect()
}

fn ask(settings: &KafkaSettings, names: &[String]) -> Result<Survey, SourceError> {
    let consumer = start::create(settings)?;
    let poll = || drop(consumer.poll(Duration::ZERO));
    let unreachable =
        |last| SourceError::Unreachable { brokers: settings.brokers.clone(), limit: settings.start_limit, last };
    // An address or a login that is wrong is told in the words of the start.
    start::reach(consumer.client(), poll, settings)?;
    let mut topics = Vec::with_capacity(names.len());
    for name in names {
        let metadata =
            consumer.fetch_metadata(Some(name), ASK).map_err(|error| unreachable(Some(reason_of(&error))))?;
        topics.push(topic(&consumer, &metadata, name));
    }
    Ok(Survey { topics, ..Survey::default() })
}

fn topic(consumer: &BaseConsumer<Context>, metadata: &Metadata, name: &str) -> TopicSurvey {
    let nothing = |problem: &str| TopicSurvey {
        name: name.to_owned(),
        problem: Some(problem.to_owned()),
        ..TopicSurvey::default()
    };
    let Some(found) = metadata.topics().iter().find(|found| found.name() == name) else {
        return nothing("the broker does not mention it");
    };
    if let Some(error) = found.error() {
        return match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => nothing("it does not exist"),
            error => nothing(&rdkafka::error::RDKafkaErrorCode::from(error).to_string()),
        };
    }
    let committed = committed(consumer, found);
    let partition = |partition: &MetadataPartition| PartitionSurvey {
        partition: partition.id(),
        has_leader: partition.leader() >= 0,
        replicas: partition.replicas().len(),
        in_sync: partition.isr().len(),
        offsets: consumer.fetch_watermarks(name, partition.id(), ASK).ok(),
        committed: committed.get(&partition.id()).copied(),
    };
    TopicSurvey {
        name: name.to_owned(),
        problem: None,
        partitions: found.partitions().iter().map(partition).collect(),
        settings: BTreeMap::new(),
    }
}

fn committed(consumer: &BaseConsumer<Context>, topic: &MetadataTopic) -> BTreeMap<i32, Offset> {
    let mut list = TopicPartitionList::new();
    for partition in topic.partitions() {
        list.add_partition(topic.name(), partition.id());
    }
    let Ok(committed) = consumer.committed_offsets(list, ASK) else { return BTreeMap::new() };
    let offset = |offset| match offset {
        KafkaOffset::Offset(offset) => Some(offset),
        _ => None,
    };
    let elements = committed.elements();
    elements.iter().filter_map(|element| Some((element.partition(), offset(element.offset())?))).collect()
}
