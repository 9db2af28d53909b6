//! `hapax inspect` and `hapax forget`: what the store knows of a message ID.

use std::error::Error;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use crate::consumer::wall_clock;
use crate::id::{Fingerprint, IdKey, Identification, Identifier};
use crate::kafka::Range;
use crate::record::Record;
use crate::sidecar::Settings;
use crate::sidecar::admin::{Around, explain, told};
use crate::sidecar::naming::{self, Place};
use crate::sidecar::settings::{ConsumerSettings, Delivery};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Which IDs.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = true)]
pub(super) struct Which {
    /// IDs, as text; they need --scope.
    #[arg(value_name = "ID", requires = "scope")]
    ids: Vec<String>,
    /// Records, from which the ID is taken as the settings say.
    #[arg(long, value_name = "TOPIC/PARTITION/OFFSET")]
    record: Vec<Place>,
    /// Fingerprints, as log lines show them.
    #[arg(long, value_name = "HEX", value_parser = naming::fingerprint)]
    fingerprint: Vec<Fingerprint>,
}

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    which: Which,
    /// What the IDs are unique in: `topic:orders`, `source:/shop` (a value of `ce_source`) or `name:all`.
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
    /// Means the message as it is after so many replays, which have an ID of their own.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    replay: u64,
    /// Prints one JSON object for each ID.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ForgetOptions {
    #[command(flatten)]
    options: Options,
    /// Forgets. Without it, only the states are told.
    #[arg(long)]
    execute: bool,
}

/// Tells the state of IDs, and what would become of their messages; changes nothing.
pub(super) async fn inspect(settings: &Settings, options: &Options) -> Result<()> {
    let store = settings.store.build(&settings.namespace)?;
    let named = named(settings, options).await?;
    let states = store.inspect(named.iter().map(|(_, fingerprint)| *fingerprint).collect()).await;
    let around = Around { window: store.terms().window, compact: store.mode() == "compact", now: wall_clock() };
    let mut out = io::stdout().lock();
    for ((name, fingerprint), state) in named.iter().zip(states) {
        let state = state?;
        if options.json {
            writeln!(out, "{}", json!({ "id": name, "fingerprint": fingerprint.to_string(), "found": told(&state) }))?;
        } else {
            writeln!(out, "{} ({fingerprint}): {}", name.escape_debug(), explain(&state, around))?;
        }
    }
    Ok(())
}

/// Forgets done IDs, so that their messages are handled when they come again.
pub(super) async fn forget(settings: &Settings, options: &ForgetOptions) -> Result<()> {
    if !options.execute {
        inspect(settings, &options.options).await?;
        writeln!(io::stdout(), "nothing was forgotten; run it again with --execute")?;
        return Ok(());
    }
    let store = settings.store.build(&settings.namespace)?;
    let named = named(settings, &options.options).await?;
    let forgotten = store.forget(named.iter().map(|(_, fingerprint)| *fingerprint).collect()).await;
    let mut out = io::stdout().lock();
    for ((name, fingerprint), forgotten) in named.iter().zip(forgotten) {
        let forgotten = forgotten?;
        if options.options.json {
            writeln!(out, "{}", json!({ "id": name, "fingerprint": fingerprint.to_string(), "forgotten": forgotten }))?;
            continue;
        }
        let says =
            if forgotten { "forgotten: its message is handled when it comes again" } else { "was not remembered" };
        writeln!(out, "{} ({fingerprint}): {says}", name.escape_debug())?;
    }
    let lifetime = settings.store.cache_lifetime.as_secs();
    writeln!(io::stderr(), "running processes may still know it for {lifetime} s (HAPAX_CACHE_LIFETIME)")?;
    Ok(())
}

/// The fingerprints, each with what it was named by.
async fn named(settings: &Settings, options: &Options) -> Result<Vec<(String, Fingerprint)>> {
    let key = match &settings.delivery {
        Delivery::Push(push) => push.0.id_key.clone(),
        Delivery::Pull(pull) => pull.id_key.clone(),
    };
    let mut named = Vec::new();
    if let Some(scope) = &options.scope {
        let scope = naming::scope(scope)?;
        for id in &options.which.ids {
            let identity = naming::identity(scope.clone(), id, options.replay)?;
            named.push((id.clone(), key.fingerprint(&identity)));
        }
    }
    named.extend(options.which.fingerprint.iter().map(|fingerprint| (String::new(), *fingerprint)));
    for place in &options.which.record {
        let Delivery::Push(push) = &settings.delivery else {
            return Err(
                "--record needs HAPAX_DELIVERY=push: otherwise hapax does not read the topic; name the ID".into()
            );
        };
        named.push(of_record(&push.0, settings, place.clone(), &key).await?);
    }
    Ok(named)
}

async fn of_record(
    consumer: &ConsumerSettings,
    settings: &Settings,
    place: Place,
    key: &IdKey,
) -> Result<(String, Fingerprint)> {
    let name = format!("{}/{}", place.partition, place.offset);
    let kafka = consumer.kafka.clone();
    let found = tokio::task::spawn_blocking(move || {
        let mut found: Option<Record> = None;
        let range = Range::of(place.partition.partition(), place.offset);
        let read = kafka.read(place.partition.topic(), &range, |record, _| {
            found = Some(record);
            ControlFlow::Break(())
        });
        read.map(|()| found)
    });
    let record = found.await??.ok_or_else(|| format!("there is no record at {name}"))?;
    let identifier =
        Identifier::new(settings.namespace.clone()).extractor(Arc::clone(&consumer.extractor)).key(key.clone());
    match identifier.identify(&record) {
        Identification::Id { fingerprint, .. } => Ok((name, fingerprint)),
        Identification::Stop(problem) => Err(format!("the record at {name} has no usable ID: {problem}").into()),
        _ => Err(format!("the record at {name} has no ID").into()),
    }
}
