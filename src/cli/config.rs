//! `hapax config`: what is in force, and where each value came from.

use std::io::{self, Write};

use clap::Args;
use serde_json::json;

use super::paint;
use crate::engine::Backoff;
use crate::sidecar::admin::span;
use crate::sidecar::environment::{Origin, Read, page};
use crate::sidecar::settings::{ConsumerSettings, Delivery};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
    /// Prints the page of all variables instead, in Markdown.
    #[arg(long)]
    pub(super) markdown: bool,
}

/// Prints the page of all variables.
pub(super) fn markdown() -> io::Result<()> {
    write!(io::stdout(), "{}", page())
}

/// Prints what is in force. Secrets are hidden.
pub(super) fn print(read: &Read, options: &Options) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if options.json {
        let entries = read.entries.iter().map(|entry| {
            let origin = entry.origin.to_string();
            (entry.name.clone(), json!({ "value": entry.value, "from": origin }))
        });
        let warnings: Vec<_> = read.warnings.iter().map(ToString::to_string).collect();
        let settings: serde_json::Map<_, _> = entries.collect();
        let (notes, ignored) = (notes(read), &read.ignored);
        let value = json!({ "settings": settings, "warnings": warnings, "notes": notes, "ignored": ignored });
        return writeln!(out, "{value:#}");
    }
    let width = read.entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    for entry in &read.entries {
        let value = entry.value.as_deref().unwrap_or("-").escape_debug().to_string();
        let origin = entry.origin.to_string();
        let origin = if entry.origin == Origin::Default { paint::faint(&origin) } else { paint::fine(&origin) };
        writeln!(out, "{:width$}  {origin:11}  {value}", entry.name)?;
    }
    for warning in &read.warnings {
        writeln!(out, "{} {warning}", paint::odd("warning"))?;
    }
    for note in notes(read) {
        writeln!(out, "{} {note}", paint::faint("note"))?;
    }
    for ignored in &read.ignored {
        writeln!(out, "{} {ignored} is Kubernetes' own, of a Service, and is ignored", paint::faint("note"))?;
    }
    Ok(())
}

/// Facts that follow from several settings together.
fn notes(read: &Read) -> Vec<String> {
    match &read.settings.delivery {
        // With retry topics the back-off is not used.
        Delivery::Push(push) if push.0.retry_topics.is_empty() => vec![tried_for(&push.0)],
        Delivery::Push(_) | Delivery::Pull(_) => Vec::new(),
    }
}

/// How long a message is tried that keeps failing.
fn tried_for(consumer: &ConsumerSettings) -> String {
    let (first, cap) = consumer.backoff;
    let longest = Backoff { first, cap }.longest(consumer.max_attempts);
    format!(
        "a message that keeps failing is given up after {} attempts, with {} to {} of back-off between them",
        consumer.max_attempts,
        span(longest / 2),
        span(longest)
    )
}
