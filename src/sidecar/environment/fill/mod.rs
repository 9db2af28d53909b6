//! From variables to settings, group by group, and the checks across them.

mod consumer;
mod edges;
mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::files::content;
use super::problem::{Complaint, Parsed, Warning};
use super::reader::Reader;
use super::table::{self, DELIVERY, NAMESPACE};
use super::values::{duration, log_filter, share, text};
use super::{kafka, translate, urls};
use crate::error::Problem as LibraryProblem;
use crate::id::Namespace;
use crate::observe::Blind;
use crate::sidecar::push::Push;
use crate::sidecar::settings::{DeadLetters, Delivery, LogFormat, Settings, StoreKind, TelemetrySettings};
use crate::store::MemoryStore;

/// The ways of delivery that are known, and those that are to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Push,
    Pull,
}

/// All settings, with stand-ins for what cannot be read; what is wrong is noted.
pub(super) fn settings(reader: &mut Reader<'_>) -> Option<(Settings, Vec<Warning>)> {
    let way = delivery(reader);
    misplaced(reader, way);
    let named = reader.get(&NAMESPACE, |text| {
        Namespace::new(text)
            .map_err(|_| Complaint::with("is no namespace", "use 1 to 64 of the characters A-Z a-z 0-9 . _ -"))
    });
    let store = store::settings(reader);
    let read = match way {
        Way::Push => {
            let mut source = consumer::source(reader);
            let properties = kafka::read(reader, &mut source);
            let consumer = consumer::settings(reader, source);
            let push = edges::push(reader, &consumer);
            Some((Delivery::Push(Box::new((consumer, push))), properties))
        }
        Way::Pull => Some((Delivery::Pull(edges::pull(reader)), Default::default())),
    };
    let (delivery, properties) = read?;
    let listen = edges::listen(reader);
    let telemetry = telemetry(reader);
    let start_wait = reader.get(&table::START_WAIT, duration).unwrap_or_default();
    let shutdown_limit = reader.get(&table::SHUTDOWN_LIMIT, duration).unwrap_or_default();

    let namespace = match (&delivery, named) {
        (_, Some(namespace)) => Some(namespace),
        (Delivery::Push(push), None) if !push.0.kafka.group.is_empty() && !reader.is_set(&NAMESPACE) => {
            let of_group = Namespace::new(&push.0.kafka.group).ok();
            if of_group.is_none() {
                let way_out = "set it to 1 to 64 of the characters A-Z a-z 0-9 . _ -";
                reader.wrong(NAMESPACE.name, "is not set, and the group is no namespace", way_out);
            }
            of_group
        }
        (Delivery::Pull(_), None) if !reader.is_set(&NAMESPACE) => {
            let way_out = "set it to a name that no other application has";
            reader.wrong(NAMESPACE.name, "is missing, and with pull there is no group to name it", way_out);
            None
        }
        _ => None,
    };
    let namespace = namespace.or_else(|| Namespace::new("unknown").ok())?;
    let settings = Settings { namespace, store, delivery, listen, telemetry, start_wait, shutdown_limit };
    library(reader, &settings, &properties);
    let warnings = warnings(&settings);
    Some((settings, warnings))
}

/// The path of a file that can be read; it is read again by whoever needs it.
fn path(text: &str) -> Parsed<PathBuf> {
    let path = PathBuf::from(text);
    content(&path).map(|_| path).map_err(Complaint::new)
}

fn delivery(reader: &mut Reader<'_>) -> Way {
    let way = reader.get(&DELIVERY, |text| match text {
        "push" => Ok(Way::Push),
        "pull" => Ok(Way::Pull),
        "forward" | "inbox" | "rabbitmq" | "rocketmq" => Err(Complaint::with(
            "names a way of delivery that comes with a later version",
            "choose push or pull for now",
        )),
        _ => Err(Complaint::new("is none of the words it can be")),
    });
    way.unwrap_or(Way::Push)
}

/// Complains of what means nothing with this delivery.
fn misplaced(reader: &mut Reader<'_>, way: Way) {
    let chosen = if way == Way::Push { "push" } else { "pull" };
    for variable in table::all() {
        if let Some(delivery) = variable.delivery
            && delivery != chosen
            && reader.is_set(variable)
        {
            let problem = format!("means nothing with HAPAX_DELIVERY={chosen}");
            reader.wrong(variable.name, problem, format!("unset it, or set HAPAX_DELIVERY={delivery}"));
        }
    }
    if way == Way::Pull {
        for (name, _) in kafka::set(reader) {
            reader.wrong(
                &super::names::printable(&name),
                "means nothing with HAPAX_DELIVERY=pull",
                "unset it: hapax does not read Kafka then",
            );
        }
    }
}

fn telemetry(reader: &mut Reader<'_>) -> TelemetrySettings {
    let defaults = TelemetrySettings::default();
    let standard = |reader: &Reader<'_>, name: &str| {
        reader
            .environment
            .variable(name)
            .and_then(|value| value.to_str())
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let log = reader.get(&table::LOG, log_filter).unwrap_or(defaults.log);
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = reader.choose(&table::LOG_FORMAT, &formats).unwrap_or_default();
    let log_ids = reader.get(&table::LOG_IDS, super::values::boolean).unwrap_or(defaults.log_ids);
    let own = reader.get(&table::TRACES, |text| if text == "off" { Ok(None) } else { urls::url(text).map(Some) });
    let traces = match own {
        Some(own) => own,
        // The conventional names of OpenTelemetry; one that is no URL is nobody's mistake here.
        None => {
            let of_all = standard(reader, "OTEL_EXPORTER_OTLP_ENDPOINT");
            let of_traces = standard(reader, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
            let of_traces = of_traces.map(|url| url.strip_suffix("/v1/traces").unwrap_or(&url).to_owned());
            of_traces.or(of_all).filter(|url| urls::url(url).is_ok())
        }
    };
    let trace_share = reader.get(&table::TRACE_SHARE, share).unwrap_or(defaults.trace_share);
    let service = reader.get(&table::SERVICE_NAME, text).unwrap_or(defaults.service_name);
    let service_name = match reader.is_set(&table::SERVICE_NAME) {
        true => service,
        false => standard(reader, "OTEL_SERVICE_NAME").unwrap_or(service),
    };
    TelemetrySettings { log, format, log_ids, traces, trace_share, service_name }
}

/// What the library itself complains of: it is the one that knows what contradicts what.
fn library(reader: &mut Reader<'_>, settings: &Settings, properties: &BTreeMap<String, String>) {
    let mut found: Vec<LibraryProblem> = Vec::new();
    let store = settings.store.build(&settings.namespace).map_err(|problem| found.push(problem)).ok();
    if let Delivery::Push(push) = &settings.delivery {
        let store = store.unwrap_or_else(|| Arc::new(MemoryStore::new(settings.store.terms)));
        let cache = (settings.store.cache_entries, settings.store.cache_lifetime);
        let observer = Arc::new(Blind);
        let built = push.0.builder(&settings.namespace, store, cache, observer).build();
        found.extend(built.err().map(|error| error.problems).unwrap_or_default());
        found.extend(Push::new(&push.1, Arc::new(|_| {})).err());
        if settings.shutdown_limit <= push.0.kafka.drain_limit {
            let way_out = "lengthen it, or shorten HAPAX_DRAIN_LIMIT";
            reader.wrong(table::SHUTDOWN_LIMIT.name, "leaves no time after the drain", way_out);
        }
    }
    // What was told of a variable already need not be told twice.
    let told: Vec<String> = reader.problems.iter().map(|problem| problem.variable.clone()).collect();
    let new = found.into_iter().map(|problem| translate::problem(problem, properties));
    let new: Vec<_> = new.filter(|problem| !told.contains(&problem.variable)).collect();
    reader.problems.extend(new);
}

fn warnings(settings: &Settings) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |variable: &str, text: &str| warnings.push(Warning::new(variable, text));
    if matches!(settings.store.kind, StoreKind::Memory) {
        warn(
            "HAPAX_STORE",
            "is memory: at the end of the process everything is forgotten, and other processes know nothing",
        );
    }
    if let Delivery::Push(push) = &settings.delivery {
        if urls::is_open_to_others(&push.1.url) {
            warn(
                "HAPAX_PUSH_URL",
                "sends messages unencrypted to another machine; use https, unless the network is yours",
            );
        }
        let kafka = &push.0.kafka;
        let all = || kafka.properties.iter().chain(&kafka.consumer_properties).chain(&kafka.producer_properties);
        if all().any(|(name, value)| name == "enable.ssl.certificate.verification" && value == "false") {
            warn(
                "HAPAX_KAFKA_ENABLE_SSL_CERTIFICATE_VERIFICATION",
                "is false: anybody between here and the brokers can read and write messages",
            );
        }
        if all().any(|(name, _)| name == "debug") {
            warn("HAPAX_KAFKA_DEBUG", "is set: librdkafka's debug lines may hold parts of messages and credentials");
        }
        if push.0.max_age.is_some_and(|age| age > settings.store.terms.window) {
            warn(
                "HAPAX_MESSAGE_MAX_AGE",
                "is longer than HAPAX_WINDOW: messages are handled that are older than what is remembered",
            );
        }
        if push.0.retry_topics.iter().map(|(_, delay)| *delay).sum::<Duration>() > settings.store.terms.window {
            warn("HAPAX_RETRY_TOPICS", "delay longer than HAPAX_WINDOW: a retry may come after its ID is forgotten");
        }
        if push.0.dead_letters == DeadLetters::None {
            warn(
                "HAPAX_DEAD_LETTER_TOPIC",
                "is not set: a message that cannot be handled stops its partition until somebody acts",
            );
        }
    }
    if settings.start_wait < Duration::from_secs(1) {
        warn("HAPAX_START_WAIT", "is so short that services which start at the same time are not waited for");
    }
    warnings
}
