//! What the sidecar can be told, as plain values.

mod consumer;
mod store;

use std::time::Duration;

pub use crate::consumer::DeadLetters;
pub use consumer::ConsumerSettings;
pub use store::{RedisSettings, StoreKind, StoreSettings};

use super::listen::ListenSettings;
use super::pull::PullSettings;
use super::push::PushSettings;
use crate::id::Namespace;

/// Everything that `hapax run` was told, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who handles the messages; the consumer group where nothing else was said.
    pub namespace: Namespace,
    /// Where the states of IDs are kept.
    pub store: StoreSettings,
    /// How messages are delivered.
    pub delivery: Delivery,
    /// Where the sidecar itself can be called, and by whom.
    pub listen: ListenSettings,
    /// How it logs and traces.
    pub telemetry: TelemetrySettings,
    /// How long the start waits for services that do not answer. Default 60 s.
    pub start_wait: Duration,
    /// How long the end may take from the first signal on, drain and all. Default 25 s, below the 30 s after which
    /// Kubernetes kills.
    pub shutdown_limit: Duration,
}

/// How messages reach who handles them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Delivery {
    /// The sidecar reads Kafka and posts each message to an application.
    Push(Box<(ConsumerSettings, PushSettings)>),
    /// The application reads whatever it reads, and asks the sidecar about each ID.
    Pull(PullSettings),
}

/// Logs and traces.
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    /// What is logged, as `info` or `hapax=debug,info`. Default `info`.
    pub log: String,
    /// In which form. Default [`LogFormat::Auto`].
    pub format: LogFormat,
    /// Whether log lines may hold message IDs; otherwise they hold fingerprints. Default false.
    pub log_ids: bool,
    /// Where spans go to: the base URL of an OTLP receiver (HTTP, protobuf). Default: nowhere.
    pub traces: Option<String>,
    /// Which share of the messages without a sampled parent are traced. Default 1.
    pub trace_share: f64,
    /// What the process is called in traces. Default `hapax`.
    pub service_name: String,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            format: LogFormat::default(),
            log_ids: false,
            traces: None,
            trace_share: 1.0,
            service_name: "hapax".to_owned(),
        }
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Text.
    Text,
    /// One JSON object for each line.
    Json,
}
