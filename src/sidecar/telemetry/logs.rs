//! The subscriber: text on a terminal, JSON otherwise.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::lines::OneLine;
use crate::sidecar::settings::{LogFormat, TelemetrySettings};

/// Writes log lines to stderr from now on.
///
/// # Errors
///
/// Where the filter cannot be read, or a subscriber is installed already.
pub fn init_logs(settings: &TelemetrySettings) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let terminal = io::stderr().is_terminal();
    let json = match settings.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let registry = tracing_subscriber::registry().with(EnvFilter::try_new(&settings.log)?);
    let installed: Result<(), TryInitError> = if json {
        let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
        registry.with(layer.with_span_list(false).with_writer(io::stderr)).try_init()
    } else {
        let layer = tracing_subscriber::fmt::layer().with_ansi(terminal && colours_wanted());
        registry.with(layer.with_writer(|| OneLine(io::stderr()))).try_init()
    };
    Ok(installed?)
}

/// The convention of <https://no-color.org>.
fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
