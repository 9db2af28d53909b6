//! `hapax doctor`: connects to everything that the settings name, and judges it. It changes nothing.

mod finding;
mod ids;
mod kafka;
mod redis;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use self::finding::{Finding, Severity};
use self::kafka::{Plan, Role};
use super::paint;
use crate::sidecar::Settings;
use crate::sidecar::settings::{ConsumerSettings, Delivery, StoreKind};
use crate::store::{Agreement, RedisStore, StoreError};

/// How long a connection to the application may take.
const CONNECT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// What was found, and whether a service could not be reached at all.
#[derive(Debug, Default)]
struct Report {
    findings: Vec<Finding>,
    unreachable: bool,
}

/// Examines and prints; ends with 0 where nothing is worse than a note, 1 after warnings, 2 after errors, 69 where a
/// service cannot be reached.
pub(super) async fn run(settings: &Settings, options: &Options) -> io::Result<ExitCode> {
    let mut report = Report::default();
    if let Delivery::Push(push) = &settings.delivery {
        examine_kafka(&push.0, settings, &mut report).await;
        examine_application(&push.1.url, &mut report).await;
    }
    examine_store(settings, &mut report).await;
    report.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    print(&report, options.json)?;
    Ok(ExitCode::from(report.exit_code()))
}

impl Report {
    fn exit_code(&self) -> u8 {
        let worst = self.findings.iter().map(|finding| finding.severity).max();
        match worst {
            _ if self.unreachable => super::EXIT_UNAVAILABLE,
            Some(Severity::Error) => 2,
            Some(Severity::Warning) => 1,
            Some(Severity::Note) | None => 0,
        }
    }
}

async fn examine_kafka(consumer: &ConsumerSettings, settings: &Settings, report: &mut Report) {
    let (topics, roles) = topics(consumer).into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
    match consumer.kafka.survey(&topics).await {
        Ok(survey) => {
            let (group, window, max_age) =
                (consumer.kafka.group.clone(), settings.store.terms.window, consumer.max_age);
            for (topic, _) in survey.topics.iter().zip(&roles).filter(|(_, role)| **role == Role::Source) {
                report.findings.extend(ids::examine(consumer, settings, topic).await);
            }
            report.findings.extend(kafka::judge(&survey, &Plan { group, roles, window, max_age }));
        }
        Err(error) => {
            report.unreachable |= !error.is_configuration();
            let remedy = "check HAPAX_BROKERS, the network, and the HAPAX_KAFKA_ settings of security";
            report.findings.push(Finding::error("kafka", "unreachable", error.to_string(), remedy));
        }
    }
}

/// Every topic that the consumer reads or writes, and what for.
fn topics(consumer: &ConsumerSettings) -> Vec<(String, Role)> {
    let sources = consumer.kafka.topics.iter();
    let mut topics: Vec<_> = sources.map(|topic| (topic.clone(), Role::Source)).collect();
    topics.extend(consumer.retry_topics.iter().map(|(topic, delay)| (topic.clone(), Role::Retry(*delay))));
    topics.extend(consumer.dead_letter_topics().into_iter().map(|topic| (topic, Role::DeadLetters)));
    topics
}

async fn examine_store(settings: &Settings, report: &mut Report) {
    let StoreKind::Redis(redis) = &settings.store.kind else {
        report.findings.push(Finding::warning(
            "store",
            "memory",
            "IDs are remembered in the memory of this process: a restart forgets them, and other processes know nothing of them",
            "set HAPAX_STORE=redis, unless this is a trial",
        ));
        return;
    };
    let store = match redis.build(settings.store.terms, &settings.namespace) {
        Ok(store) => store,
        Err(problem) => {
            report.findings.push(Finding::error("redis", "settings", problem.to_string(), "correct the setting"));
            return;
        }
    };
    match look(&store, settings).await {
        Ok(findings) => report.findings.extend(findings),
        // A command that is refused is named with its remedy.
        Err(_) if store.health().refuses() => report.findings.extend(redis::faults(&store.health())),
        Err(error) => {
            report.unreachable |= error.is_retryable();
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let remedy = "check HAPAX_REDIS_URL and the network";
            report.findings.push(Finding::error("redis", "unreachable", format!("{error}: {cause}"), remedy));
        }
    }
}

async fn look(store: &RedisStore, settings: &Settings) -> Result<Vec<Finding>, StoreError> {
    let agreement = match &settings.delivery {
        Delivery::Push(push) => Agreement::of(store, push.0.extractor.rule(), &push.0.id_key),
        Delivery::Pull(pull) => crate::sidecar::pull::agreement(store, pull),
    };
    let probe = store.probe(&agreement).await?;
    // An estimate reads the plan of the sets, and would write one where there is none.
    let estimate = match probe.agrees {
        Some(Ok(())) => store.estimate().await.ok(),
        _ => None,
    };
    Ok(redis::judge(&store.health(), &probe, estimate.as_ref()))
}

async fn examine_application(url: &str, report: &mut Report) {
    let Ok(url) = url.parse::<http::Uri>() else { return };
    let Some(host) = url.host() else { return };
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let connected = tokio::time::timeout(CONNECT, tokio::net::TcpStream::connect((host, port))).await;
    let problem = match connected {
        Ok(Ok(_)) => return report.findings.push(Finding::note("application", "reached", "it takes connections")),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {CONNECT:?}"),
    };
    let says = format!("it takes no connection, so nothing is delivered: {problem}");
    let remedy = "start it, or correct HAPAX_PUSH_URL; nothing is lost meanwhile";
    report.findings.push(Finding::warning("application", "unreachable", says, remedy));
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let worst = report.findings.iter().map(|finding| finding.severity).max();
        let value = serde_json::json!({ "worst": worst, "findings": report.findings });
        return writeln!(out, "{value:#}");
    }
    for finding in &report.findings {
        let severity = match finding.severity {
            Severity::Note => paint::fine("note"),
            Severity::Warning => paint::odd("warning"),
            Severity::Error => paint::bad("error"),
        };
        writeln!(out, "{severity:<8} {}: {}", finding.about, finding.says)?;
        if let Some(remedy) = &finding.remedy {
            writeln!(out, "         -> {remedy}")?;
        }
    }
    let count = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    writeln!(out, "{} errors, {} warnings", count(Severity::Error), count(Severity::Warning))
}
