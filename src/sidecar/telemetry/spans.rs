//! Where spans go to, and how a trace passes through.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::error::Problem;
use crate::record::Record;
use crate::sidecar::settings::TelemetrySettings;

/// How long the exporter may take for one batch, and at the end for what is left.
const EXPORT_LIMIT: Duration = Duration::from_secs(5);

/// Spans on their way to a receiver; nothing where none is configured.
#[derive(Debug, Default)]
pub struct Traces {
    provider: Option<SdkTracerProvider>,
}

impl Traces {
    /// Starts to export, in the background, if it was asked for. What cannot be exported is dropped: a receiver that is
    /// away holds up nothing.
    ///
    /// # Errors
    ///
    /// [`Problem`] where the URL is none. Whether anybody listens there is not asked.
    pub fn start(settings: &TelemetrySettings) -> Result<Self, Problem> {
        let Some(base) = &settings.traces else { return Ok(Self::default()) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(OnRuntime { client: client()?, runtime: Handle::current() })
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", base.trim_end_matches('/')))
            .with_timeout(EXPORT_LIMIT)
            .build()
            .map_err(|_| Problem::new("HAPAX_TRACES", "is no URL; write it as in http://localhost:4318"))?;
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", settings.service_name.clone()),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            ])
            .build();
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.trace_share)));
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_sampler(sampler).with_resource(resource);
        Ok(Self { provider: Some(provider.build()) })
    }

    /// What begins spans, where there is a receiver for them.
    pub fn tracer(&self) -> Option<SdkTracer> {
        self.provider.as_ref().map(|provider| provider.tracer("hapax"))
    }

    /// Sends what is left, for five seconds at most.
    pub async fn end(self) {
        let Some(provider) = self.provider else { return };
        // It waits for the exporter, which runs on this runtime.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(EXPORT_LIMIT)).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// Trusts whom the system trusts, and takes no proxy from the environment.
fn client() -> Result<reqwest::Client, Problem> {
    let unusable = |problem: &dyn fmt::Display| Problem::new("HAPAX_TRACES", format!("cannot be used: {problem}"));
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).timeout(EXPORT_LIMIT);
    client.build().map_err(|error| unusable(&error))
}

/// The exporter has a thread of its own, without a runtime; the client needs one.
struct OnRuntime {
    client: reqwest::Client,
    runtime: Handle,
}

impl fmt::Debug for OnRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnRuntime").finish_non_exhaustive()
    }
}

impl HttpClient for OnRuntime {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move { client.send_bytes(request).await });
        Box::pin(async move { sent.await? })
    }
}

/// The context that a record's headers name: that of whoever produced it.
pub(super) fn incoming(record: &Record) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(record))
}

/// What a request has to say of the span under way, `traceparent` and `tracestate`: empty where there is none.
pub(in crate::sidecar) fn under_way() -> Vec<(&'static str, String)> {
    let current = Context::current();
    let mut pairs = Pairs(Vec::new());
    if current.has_active_span() {
        TraceContextPropagator::new().inject_context(&current, &mut pairs);
    }
    pairs.0
}

struct Headers<'a>(&'a Record);

impl Extractor for Headers<'_> {
    /// The one value of a header; of several, none: nobody could tell which of them holds.
    fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.headers().iter().filter(|header| &*header.name == name);
        match (found.next(), found.next()) {
            (Some(header), None) => header.value.as_ref().and_then(|value| std::str::from_utf8(value).ok()),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        self.0.headers().iter().map(|header| &*header.name).collect()
    }
}

struct Pairs(Vec<(&'static str, String)>);

impl Injector for Pairs {
    fn set(&mut self, name: &str, value: String) {
        let known = ["traceparent", "tracestate"].into_iter().find(|known| *known == name);
        if let Some(name) = known.filter(|_| !value.is_empty()) {
            self.0.push((name, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TopicPartition;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parent_of(headers: &[(&str, &str)]) -> Option<String> {
        let record = Record::builder(TopicPartition::new("orders", 0), 7);
        let record =
            headers.iter().fold(record, |record, (name, value)| record.header(*name, value.to_string())).build();
        let context = incoming(&record);
        let _attached = context.clone().attach();
        let pairs = under_way();
        pairs.into_iter().find(|(name, _)| *name == "traceparent").map(|(_, value)| value)
    }

    #[test]
    fn the_producers_span_is_the_parent() {
        assert_eq!(parent_of(&[("traceparent", PARENT)]).as_deref(), Some(PARENT));
        assert_eq!(parent_of(&[("traceparent", PARENT), ("tracestate", "a=1")]).as_deref(), Some(PARENT));
    }

    #[test]
    fn what_is_no_trace_has_no_parent() {
        assert_eq!(parent_of(&[]), None);
        assert_eq!(parent_of(&[("traceparent", "00-nonsense\r\nHost: evil")]), None);
        assert_eq!(parent_of(&[("traceparent", PARENT), ("traceparent", PARENT)]), None, "which of the two?");
        assert_eq!(parent_of(&[("tracestate", "a=1")]), None);
    }
}
