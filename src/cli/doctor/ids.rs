//! Whether the last records of each topic have usable message IDs.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::finding::Finding;
use crate::id::{IdPolicy, Identification, Identifier, leaves_source_out};
use crate::kafka::{Range, SourceError, TopicSurvey};
use crate::record::{Offset, Record};
use crate::sidecar::Settings;
use crate::sidecar::settings::ConsumerSettings;

/// How many records of a partition are looked at.
const RECORDS: Offset = 3;
/// How many partitions of a topic are looked at.
const PARTITIONS: usize = 8;

/// Reads the last records of a topic and judges their IDs.
pub(super) async fn examine(consumer: &ConsumerSettings, settings: &Settings, topic: &TopicSurvey) -> Vec<Finding> {
    // Every problem is to be seen, whatever the policy makes of it.
    let identifier =
        Identifier::new(settings.namespace.clone()).extractor(Arc::clone(&consumer.extractor)).policy(IdPolicy::Stop);
    let ends = topic.partitions.iter().filter_map(|it| it.offsets.map(|(first, end)| (it.partition, first, end)));
    let last = ends.filter(|(_, first, end)| first < end).take(PARTITIONS);
    let range = Range::of_each(last.map(|(partition, first, end)| (partition, (first.max(end - RECORDS), end))));
    if range.is_empty() {
        return Vec::new();
    }
    let (kafka, name) = (consumer.kafka.clone(), topic.name.clone());
    let read = tokio::task::spawn_blocking(move || -> Result<Vec<Record>, SourceError> {
        let mut records = Vec::new();
        kafka.read(&name, &range, |record, _| {
            records.push(record);
            ControlFlow::Continue(())
        })?;
        Ok(records)
    });
    let about = format!("topic {}", topic.name);
    match read.await {
        Ok(Ok(records)) => judge(&about, &records, &identifier),
        Ok(Err(error)) => vec![Finding::note(about, "not_read", format!("its records were not looked at: {error}"))],
        Err(error) => vec![Finding::note(about, "not_read", format!("its records were not looked at: {error}"))],
    }
}

/// Judges records of one topic.
pub(super) fn judge(about: &str, records: &[Record], identifier: &Identifier) -> Vec<Finding> {
    let (mut without, mut sourceless) = (Vec::new(), Vec::new());
    for record in records {
        match identifier.identify(record) {
            Identification::Id { identity, .. } if leaves_source_out(record, &identity) => sourceless.push(record),
            Identification::Stop(problem) => without.push((record, problem)),
            _ => {}
        }
    }
    let all = records.len();
    let mut findings = Vec::new();
    if let Some((record, problem)) = without.first() {
        findings.push(Finding::warning(
            about,
            "no_message_id",
            format!(
                "{} of its last {all} records have no usable message ID, such as {}: {problem}",
                without.len(),
                record.origin()
            ),
            "choose a HAPAX_ID that fits, or decide by HAPAX_ID_POLICY what happens to such records",
        ));
    }
    if let Some(record) = sourceless.first() {
        findings.push(Finding::warning(
            about,
            "id_without_source",
            format!(
                "{} of its last {all} records are CloudEvents whose ID is used without its source, such as {}: of two \
                 sources' events with one ID the second is dropped as a duplicate",
                sourceless.len(),
                record.origin()
            ),
            "set HAPAX_ID=cloudevents, unless the topic has one source",
        ));
    }
    findings
}
