//! Whether brokers, topics and group are what a consumer needs to lose nothing.

use std::time::Duration;

use super::finding::Finding;
use crate::kafka::{Survey, TopicSurvey};

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is read.
    Source,
    /// What failed waits there for so long.
    Retry(Duration),
    /// What is given up goes there.
    DeadLetters,
}

/// What the settings say that the topics have to fit.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) group: String,
    /// In the order of the survey's topics.
    pub(super) roles: Vec<Role>,
    pub(super) window: Duration,
    pub(super) max_age: Option<Duration>,
}

/// What a copy's headers take beyond the record.
const HEADERS: u64 = 2048;

/// Judges what was found.
pub(super) fn judge(survey: &Survey, plan: &Plan) -> Vec<Finding> {
    let mut findings = vec![version(survey)];
    if survey.brokers == 1 {
        findings.push(Finding::warning(
            "kafka",
            "one_broker",
            "the cluster has one broker: when its disk is gone, so are the records",
            "run three brokers and a replication factor of 3, unless this is a trial",
        ));
    }
    let sources = survey.topics.iter().zip(&plan.roles).filter(|(_, role)| **role == Role::Source);
    let largest = sources.filter_map(|(topic, _)| number(topic, "max.message.bytes")).max();
    for (topic, role) in survey.topics.iter().zip(&plan.roles) {
        let about = format!("topic {}", topic.name);
        if let Some(problem) = &topic.problem {
            findings.push(Finding::error(
                about,
                "topic",
                problem.clone(),
                "create it, or correct its name, or let the consumer's user describe, read and (for dead letters and \
                 retries) write it",
            ));
            continue;
        }
        findings.extend(replicas(topic, survey.brokers, &about));
        findings.extend(match role {
            Role::Source => source(topic, plan, &about),
            Role::Retry(delay) => retry(topic, *delay, largest, &about),
            Role::DeadLetters => dead_letters(topic, largest, &about),
        });
        if matches!(role, Role::Source | Role::Retry(_)) {
            findings.extend(group(topic, plan));
        }
    }
    findings
}

/// Brokers do not tell their version. Until 4.0 they had a setting that named it.
fn version(survey: &Survey) -> Finding {
    let settings = &survey.broker_settings;
    let old = |version: &str| {
        let mut numbers = version.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (2, 5)
    };
    match settings.get("inter.broker.protocol.version") {
        Some(version) if old(version) => Finding::warning(
            "kafka",
            "version",
            format!("the brokers speak the protocol of Kafka {version}; nobody tests with it any more"),
            "upgrade to a supported version",
        ),
        Some(version) => {
            Finding::note("kafka", "version", format!("the brokers speak the protocol of Kafka {version}"))
        }
        None if settings.is_empty() => Finding::note(
            "kafka",
            "version",
            "the brokers do not tell their settings to this user: their version is not known",
        ),
        None => Finding::note("kafka", "version", "the brokers are of Kafka 4.0 or later"),
    }
}

fn replicas(topic: &TopicSurvey, brokers: usize, about: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let leaderless: Vec<_> = topic.partitions.iter().filter(|it| !it.has_leader).map(|it| it.partition).collect();
    if !leaderless.is_empty() {
        findings.push(Finding::error(
            about,
            "no_leader",
            format!("partitions {leaderless:?} have no leader: nothing of them can be read"),
            "find out which brokers are down",
        ));
    }
    let behind = topic.partitions.iter().filter(|it| it.in_sync < it.replicas).count();
    if behind > 0 {
        findings.push(Finding::warning(
            about,
            "under_replicated",
            format!("{behind} of {} partitions have replicas that are not in sync", topic.partitions.len()),
            "find out which brokers are down or slow",
        ));
    }
    let factor = topic.partitions.iter().map(|it| it.replicas).min().unwrap_or(0);
    let least = number(topic, "min.insync.replicas").unwrap_or(1);
    if factor == 1 && brokers > 1 {
        findings.push(Finding::warning(
            about,
            "replication_factor",
            "its replication factor is 1: with one broker its records are gone",
            "raise it to 3 (kafka-reassign-partitions)",
        ));
    } else if factor > 1 && least < 2 {
        findings.push(Finding::warning(
            about,
            "min_insync_replicas",
            "min.insync.replicas is 1: a record that was acknowledged may lie on one broker alone, and be lost with it",
            "set min.insync.replicas to 2",
        ));
    } else if factor > 1 && least >= u64::try_from(factor).unwrap_or(u64::MAX) {
        findings.push(Finding::warning(
            about,
            "min_insync_replicas",
            format!("min.insync.replicas is {least}, as many as there are replicas: one broker away, and nothing can be written"),
            "set min.insync.replicas to one less than the replication factor",
        ));
    }
    if setting(topic, "unclean.leader.election.enable") == Some("true") {
        findings.push(Finding::warning(
            about,
            "unclean_leader_election",
            "a replica that is behind may become the leader: acknowledged records are lost then, and the log is cut short",
            "set unclean.leader.election.enable to false",
        ));
    }
    findings
}

fn source(topic: &TopicSurvey, plan: &Plan, about: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if setting(topic, "cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
        findings.push(Finding::note(
            about,
            "compacted",
            "it is compacted: a record that is overwritten before it is read is never delivered, by Kafka's own rule",
        ));
    }
    let covered = plan.max_age.is_some_and(|age| age <= plan.window);
    match retention(topic) {
        Some(kept) if kept.is_none_or(|kept| kept > plan.window) && !covered => findings.push(Finding::warning(
            about,
            "retention_beyond_window",
            format!(
                "it keeps records {}, and IDs are remembered for {}: after an offset was set back, or a long outage, older \
                 records are handled again",
                kept.map_or("for ever".to_owned(), |kept| format!("for {}", duration(kept))),
                duration(plan.window)
            ),
            "set HAPAX_MESSAGE_MAX_AGE to the window at most, or HAPAX_WINDOW to the retention",
        )),
        _ => {}
    }
    findings
}

fn retry(topic: &TopicSurvey, delay: Duration, largest: Option<u64>, about: &str) -> Vec<Finding> {
    let mut findings = room(topic, largest, about);
    if let Some(Some(kept)) = retention(topic)
        && kept <= delay * 2
    {
        findings.push(Finding::error(
            about,
            "retry_retention",
            format!(
                "it keeps records for {} and they wait there for {}: they may be deleted before their time",
                duration(kept),
                duration(delay)
            ),
            "set its retention.ms to a week",
        ));
    }
    if setting(topic, "cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
        findings.push(Finding::error(
            about,
            "retry_compacted",
            "it is compacted: of two records with one key that wait there, the first is lost",
            "set its cleanup.policy to delete",
        ));
    }
    findings
}

fn dead_letters(topic: &TopicSurvey, largest: Option<u64>, about: &str) -> Vec<Finding> {
    let mut findings = room(topic, largest, about);
    if setting(topic, "cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
        findings.push(Finding::error(
            about,
            "dead_letters_compacted",
            "it is compacted: of two dead letters with one key, the first is lost",
            "set its cleanup.policy to delete",
        ));
    }
    const SHORT: Duration = Duration::from_secs(3 * 24 * 3600);
    if let Some(Some(kept)) = retention(topic)
        && kept < SHORT
    {
        findings.push(Finding::warning(
            about,
            "dead_letter_retention",
            format!(
                "it keeps dead letters for {}: a weekend, and they are gone before anybody saw them",
                duration(kept)
            ),
            "set its retention.ms to a fortnight or more",
        ));
    }
    findings
}

/// Whether a copy of the largest record fits.
fn room(topic: &TopicSurvey, largest: Option<u64>, about: &str) -> Vec<Finding> {
    let (Some(largest), Some(room)) = (largest, number(topic, "max.message.bytes")) else { return Vec::new() };
    let finding = (room < largest + HEADERS).then(|| {
        Finding::warning(
            about,
            "max_message_bytes",
            format!(
                "it takes records of {room} bytes, and those that are read may have {largest}: a copy with its headers may \
                 not fit, and its partition would wait"
            ),
            format!("set its max.message.bytes to {} or more", largest + HEADERS),
        )
    });
    finding.into_iter().collect()
}

fn group(topic: &TopicSurvey, plan: &Plan) -> Vec<Finding> {
    let about = format!("group {}", plan.group);
    let mut findings = Vec::new();
    let (mut lag, mut new) = (0, 0);
    for it in &topic.partitions {
        let Some((low, high)) = it.offsets else { continue };
        match it.committed {
            None => new += 1,
            Some(committed) if committed < low => findings.push(Finding::error(
                &about,
                "offset_lost",
                format!(
                    "{}/{}: it is to go on at offset {committed}, and records before {low} are gone: {} were never handled",
                    topic.name, it.partition, low - committed
                ),
                "find out what they were; then set the group's offset, or choose HAPAX_OFFSET_LOST=earliest",
            )),
            Some(committed) if committed > high => findings.push(Finding::error(
                &about,
                "offset_lost",
                format!(
                    "{}/{}: it is to go on at offset {committed}, and the log ends at {high}: it is another log, or was cut short",
                    topic.name, it.partition
                ),
                "find out what happened to the topic; then set the group's offset",
            )),
            Some(committed) => lag += high - committed,
        }
    }
    let started = topic.partitions.len() - new;
    findings.push(Finding::note(
        about,
        "lag",
        format!("{}: {lag} records behind in {started} partitions; {new} partitions were never read by it", topic.name),
    ));
    findings
}

fn setting<'a>(topic: &'a TopicSurvey, name: &str) -> Option<&'a str> {
    topic.settings.get(name).map(String::as_str)
}

fn number(topic: &TopicSurvey, name: &str) -> Option<u64> {
    setting(topic, name)?.parse().ok()
}

/// How long records are kept, where that is known; `Some(None)` for ever.
#[expect(clippy::option_option, reason = "not known and without end are two things")]
fn retention(topic: &TopicSurvey) -> Option<Option<Duration>> {
    let kept: i64 = setting(topic, "retention.ms")?.parse().ok()?;
    Some(u64::try_from(kept).ok().map(Duration::from_millis))
}

/// In the largest unit that it is a multiple of.
pub(super) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(86_400_000, "days"), (3_600_000, "hours"), (60_000, "minutes"), (1000, "seconds")];
    let fitting = units.into_iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit));
    fitting.map_or_else(|| format!("{millis} ms"), |(unit, name)| format!("{} {name}", millis / unit))
}
