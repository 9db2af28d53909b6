//! What is wrong, in one sentence: the worst first, and what to do about it where that is known.

use std::time::Duration;

use serde::Serialize;

use super::clock::span;
use super::state::TargetCondition;
use super::status::Snapshot;
use crate::observe::{KafkaHealth, KafkaState};
use crate::store::{self, Breaker, Finding};

/// From when on it is told that a record waits.
const LONG: Duration = Duration::from_secs(60);

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing is wrong.
    Ok,
    /// It works, or it waits as it was told to, and somebody should know.
    Warning,
    /// Something is not handled, and somebody has to act.
    Error,
}

/// The one sentence, and how bad it is.
pub fn verdict(snapshot: &Snapshot) -> (Severity, String) {
    errors(snapshot)
        .map(|says| (Severity::Error, says))
        .or_else(|| warnings(snapshot).map(|says| (Severity::Warning, says)))
        .unwrap_or_else(|| (Severity::Ok, all_is_well(snapshot)))
}

fn errors(snapshot: &Snapshot) -> Option<String> {
    if snapshot.store.breaker == Breaker::Open {
        let problem = snapshot.store.nodes.iter().find_map(|node| node.problem.as_deref());
        let problem = problem.map_or(String::new(), |problem| format!(" ({problem})"));
        return Some(format!(
            "The store is not reached{problem}: nothing is handled until it is, and nothing is lost meanwhile."
        ));
    }
    if let Some(refused) = snapshot.store.findings.iter().find(|finding| finding.name.ends_with("_refused")) {
        return Some(told(refused));
    }
    if let Some(says) = kafka_error(snapshot) {
        return Some(says);
    }
    let mut stopped = snapshot.partitions.iter().flatten().filter_map(|part| Some((part, part.stopped.as_ref()?)));
    if let Some((part, stop)) = stopped.next() {
        let others = match stopped.count() {
            0 => String::new(),
            1 => " One more partition is stopped.".to_owned(),
            others => format!(" {others} more partitions are stopped."),
        };
        // The rest of the reason says what can be done, at length.
        let reason = stop.reason.split(". ").next().unwrap_or_default().trim_end_matches('.');
        let more = if reason.len() + 1 < stop.reason.len() { " What to do stands at the partition." } else { "" };
        let answered =
            stop.answered.as_deref().map_or(String::new(), |answered| format!(" Its last attempt: {answered}."));
        let next_try = match stop.next_try_ms {
            Some(millis) => format!(" It is tried again in {}.", span(Duration::from_millis(millis))),
            None if stop.trying => " It is being tried again.".to_owned(),
            None => String::new(),
        };
        return Some(format!(
            "Partition {} is stopped at offset {}: {reason}.{answered}{next_try}{more}{others}",
            part.name(),
            stop.offset
        ));
    }
    if snapshot.delivery == "push" && snapshot.partitions.is_none() {
        return Some("The consumer does not answer: see the log, and start it again if it stays so.".to_owned());
    }
    if let Some(target) = &snapshot.target {
        let says = target.says.as_deref().unwrap_or("see the log");
        match target.condition {
            TargetCondition::Misconfigured => {
                return Some(format!("The application cannot be used as it is: {says}."));
            }
            TargetCondition::Gone => {
                return Some(format!("The target asked for an end of delivery, and nothing is delivered: {says}."));
            }
            _ => {}
        }
    }
    finding(snapshot, store::Severity::Error)
}

/// What is wrong with the way to Kafka, and what follows from it.
fn kafka_error(snapshot: &Snapshot) -> Option<String> {
    let health = &snapshot.kafka.as_ref()?.consumer;
    let problem = because(health);
    Some(match health.state {
        KafkaState::Reachable => return None,
        KafkaState::NoCoordinator => format!(
            "Kafka answers, and the group has had no coordinator for {}{problem}: nothing is committed, and nothing is lost \
             meanwhile.",
            since(snapshot.at, health.since)
        ),
        KafkaState::Denied => format!(
            "Kafka does not let this process in{problem}: nothing new arrives and nothing is committed until the login or the \
             certificates are corrected; nothing is lost meanwhile."
        ),
        _ => format!(
            "Kafka has not answered for {}{problem}: nothing new arrives and nothing is committed; nothing is lost \
             meanwhile.",
            since(snapshot.at, health.last_answer)
        ),
    })
}

/// What is wrong with the client that writes copies.
fn copies_warning(snapshot: &Snapshot) -> Option<String> {
    let health = snapshot.kafka.as_ref()?.producer.as_ref()?;
    if health.state == KafkaState::Reachable {
        return None;
    }
    let (problem, time) = (because(health), since(snapshot.at, health.last_answer));
    Some(format!(
        "Kafka has not answered the producer of copies for {time}{problem}: records for dead-letter or retry topics wait."
    ))
}

fn because(health: &KafkaHealth) -> String {
    health.problem.as_deref().map_or(String::new(), |problem| format!(" ({problem})"))
}

/// How long ago a time was, both in milliseconds since the Unix epoch.
fn since(now: i64, then: i64) -> String {
    span(Duration::from_millis(u64::try_from(now.saturating_sub(then)).unwrap_or_default()))
}

fn warnings(snapshot: &Snapshot) -> Option<String> {
    if let Some(waits) = &snapshot.start_waits {
        return Some(format!("The start waits: {waits}."));
    }
    if let Some(says) = copies_warning(snapshot) {
        return Some(says);
    }
    if let Some(reason) = &snapshot.paused {
        let running: usize = snapshot.partitions.iter().flatten().map(|part| part.running).sum();
        let running = match running {
            0 => String::new(),
            1 => " 1 handler is still running.".to_owned(),
            running => format!(" {running} handlers are still running."),
        };
        return Some(format!("Paused by an operator: {reason}.{running}"));
    }
    if let Some(target) = &snapshot.target {
        let says = target.says.as_deref().map_or(String::new(), |says| format!(": {says}"));
        match target.condition {
            TargetCondition::Starting => return Some(format!("The start waits for the target{says}.")),
            TargetCondition::Unavailable => {
                return Some(format!("The target is not available, and is tried again{says}."));
            }
            _ => {}
        }
    }
    if snapshot.store.breaker == Breaker::HalfOpen {
        return Some("The connection to the store is being made.".to_owned());
    }
    let waiting = snapshot.partitions.iter().flatten().filter_map(|part| Some((part, part.waiting.as_ref()?)));
    let longest = waiting.max_by_key(|(_, waiting)| waiting.since_ms);
    if let Some((part, waiting)) = longest.filter(|(_, waiting)| Duration::from_millis(waiting.since_ms) >= LONG) {
        return Some(format!(
            "Partition {} has waited for {} at offset {} for {}.",
            part.name(),
            span(Duration::from_millis(waiting.since_ms)),
            waiting.offset,
            waiting.says
        ));
    }
    finding(snapshot, store::Severity::Warning)
}

/// The first finding of the store that is that bad.
fn finding(snapshot: &Snapshot, severity: store::Severity) -> Option<String> {
    snapshot.store.findings.iter().find(|finding| finding.severity >= severity).map(told)
}

fn told(finding: &Finding) -> String {
    format!("The store at {}: {}. To do: {}.", finding.address, finding.says, finding.remedy)
}

fn all_is_well(snapshot: &Snapshot) -> String {
    let rate = &snapshot.rates;
    match snapshot.partitions.as_deref() {
        None => "All is well.".to_owned(),
        Some([]) => "All is well, and no partition is assigned to this process.".to_owned(),
        Some(parts) => {
            let partitions = match parts.len() {
                1 => "1 partition".to_owned(),
                partitions => format!("{partitions} partitions"),
            };
            let (handled, duplicates) = (number(rate.handled.last_10_s), number(rate.duplicates.last_10_s));
            format!(
                "All is well: {partitions}, {handled} records handled and {duplicates} duplicates dropped per second."
            )
        }
    }
}

/// A rate with as many digits as say something.
fn number(rate: f64) -> String {
    if rate > 0.0 && rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}
