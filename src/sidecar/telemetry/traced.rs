//! A span for each call of a handler, by OpenTelemetry's conventions for messaging.

use opentelemetry::trace::{FutureExt, Link, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use super::spans::incoming;
use crate::consumer::{Attempt, BatchHandler, Failure, Handler};
use crate::record::Record;

/// A handler whose calls are traced, as spans of the kind consumer: the child of the record's own span, or, of a batch,
/// linked to the spans of its records.
#[derive(Debug)]
pub struct Traced<H> {
    inner: H,
    tracer: Option<SdkTracer>,
    group: String,
}

impl<H> Traced<H> {
    /// Traces the calls of `inner`; without a tracer it only passes them on.
    pub fn new(inner: H, tracer: Option<SdkTracer>, group: impl Into<String>) -> Self {
        Self { inner, tracer, group: group.into() }
    }

    fn attributes(&self, first: &Record) -> Vec<KeyValue> {
        vec![
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.destination.name", first.topic().to_owned()),
            KeyValue::new("messaging.consumer.group.name", self.group.clone()),
        ]
    }
}

impl<H: Handler> Handler for Traced<H> {
    async fn handle(&self, record: Record, attempt: Attempt) -> Result<(), Failure> {
        let Some(tracer) = &self.tracer else { return self.inner.handle(record, attempt).await };
        let parent = incoming(&record);
        let mut attributes = self.attributes(&record);
        attributes.extend([
            KeyValue::new("messaging.destination.partition.id", record.partition().partition().to_string()),
            KeyValue::new("messaging.kafka.offset", record.offset()),
            KeyValue::new("hapax.attempt", i64::from(attempt.number)),
        ]);
        let span = tracer
            .span_builder(format!("process {}", record.topic()))
            .with_kind(SpanKind::Consumer)
            .with_attributes(attributes)
            .start_with_context(tracer, &parent);
        let context = parent.with_span(span);
        let result = self.inner.handle(record, attempt).with_context(context.clone()).await;
        end(&context, result.as_ref().err());
        result
    }
}

impl<H: BatchHandler> BatchHandler for Traced<H> {
    async fn handle(&self, records: Vec<(Record, Attempt)>) -> Vec<Result<(), Failure>> {
        let (Some(tracer), Some((first, _))) = (&self.tracer, records.first()) else {
            return self.inner.handle(records).await;
        };
        let mut attributes = self.attributes(first);
        attributes
            .push(KeyValue::new("messaging.batch.message_count", i64::try_from(records.len()).unwrap_or(i64::MAX)));
        let contexts = records.iter().map(|(record, _)| incoming(record).span().span_context().clone());
        let links = contexts.filter(|context| context.is_valid()).map(|context| Link::new(context, Vec::new(), 0));
        let span = tracer
            .span_builder(format!("process {}", first.topic()))
            .with_kind(SpanKind::Consumer)
            .with_attributes(attributes)
            .with_links(links.collect())
            .start_with_context(tracer, &Context::new());
        let context = Context::new().with_span(span);
        let results = self.inner.handle(records).with_context(context.clone()).await;
        end(&context, results.iter().find_map(|result| result.as_ref().err()));
        results
    }
}

/// Ends a span. What the application said of a failure stays out: it may hold parts of the message.
fn end(context: &Context, failure: Option<&Failure>) {
    let span = context.span();
    if let Some(failure) = failure {
        let kind = format!("{:?}", failure.kind()).to_lowercase();
        span.set_attribute(KeyValue::new("error.type", kind));
        span.set_status(Status::error(""));
    }
    span.end();
}
