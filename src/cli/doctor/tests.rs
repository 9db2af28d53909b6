//! Each misconfiguration is found, by its name, and what is in order is not found.

use std::collections::BTreeMap;
use std::time::Duration;

use super::finding::{Finding, Severity};
use super::kafka::{self, Plan, Role};
use super::{ids, redis};
use crate::id::{HeaderId, Identifier};
use crate::kafka::{PartitionSurvey, Survey, TopicSurvey};
use crate::record::{Record, TopicPartition};
use crate::store::{Estimate, NodeHealth, OpenError, Persistence, Probe, Server, StoreHealth};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn topic(name: &str, settings: &[(&str, &str)]) -> TopicSurvey {
    let mut all = BTreeMap::from([
        ("min.insync.replicas".to_owned(), "2".to_owned()),
        ("unclean.leader.election.enable".to_owned(), "false".to_owned()),
        ("cleanup.policy".to_owned(), "delete".to_owned()),
        ("retention.ms".to_owned(), "86400000".to_owned()),
        ("max.message.bytes".to_owned(), "1048588".to_owned()),
    ]);
    all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let partition = PartitionSurvey {
        partition: 0,
        has_leader: true,
        replicas: 3,
        in_sync: 3,
        offsets: Some((10, 20)),
        committed: Some(15),
    };
    TopicSurvey { name: name.to_owned(), problem: None, partitions: vec![partition], settings: all }
}

/// What is found of three brokers with one topic in a role: names of what is worse than a note.
fn found(role: Role, topic: TopicSurvey, change: impl FnOnce(&mut Survey, &mut Plan)) -> Vec<(Severity, &'static str)> {
    let source = role == Role::Source;
    let mut survey = Survey { brokers: 3, topics: vec![topic], ..Survey::default() };
    let mut plan = Plan { group: "billing".to_owned(), roles: vec![role], window: DAY, max_age: None };
    if !source {
        survey.topics.insert(0, self::topic("orders", &[]));
        plan.roles.insert(0, Role::Source);
    }
    change(&mut survey, &mut plan);
    worse(kafka::judge(&survey, &plan))
}

fn worse(findings: Vec<Finding>) -> Vec<(Severity, &'static str)> {
    let bad = findings.iter().filter(|finding| finding.severity > Severity::Note);
    bad.inspect(|finding| assert!(finding.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty()), "{finding:?}"))
        .map(|finding| (finding.severity, finding.name))
        .collect()
}

fn source(settings: &[(&str, &str)]) -> Vec<(Severity, &'static str)> {
    found(Role::Source, topic("orders", settings), |_, _| {})
}

fn partition(change: impl FnOnce(&mut PartitionSurvey)) -> Vec<(Severity, &'static str)> {
    found(Role::Source, topic("orders", &[]), |survey, _| change(&mut survey.topics[0].partitions[0]))
}

#[test]
fn a_topic_in_order_is_fine() {
    assert_eq!(source(&[]), []);
    let dead_letters = topic("orders-dlt", &[("max.message.bytes", "2000000"), ("retention.ms", "1209600000")]);
    assert_eq!(found(Role::DeadLetters, dead_letters, |_, _| {}), []);
    let retry = topic("orders-retry", &[("max.message.bytes", "2000000")]);
    assert_eq!(found(Role::Retry(Duration::from_secs(60)), retry, |_, _| {}), []);
}

#[test]
fn what_may_lose_records_is_found() {
    use Severity::{Error, Warning};
    assert_eq!(source(&[("min.insync.replicas", "1")]), [(Warning, "min_insync_replicas")]);
    assert_eq!(source(&[("min.insync.replicas", "3")]), [(Warning, "min_insync_replicas")]);
    assert_eq!(source(&[("unclean.leader.election.enable", "true")]), [(Warning, "unclean_leader_election")]);
    assert_eq!(partition(|it| it.has_leader = false), [(Error, "no_leader")]);
    assert_eq!(partition(|it| it.in_sync = 2), [(Warning, "under_replicated")]);
    assert_eq!(partition(|it| (it.replicas, it.in_sync) = (1, 1)), [(Warning, "replication_factor")]);
    assert_eq!(partition(|it| it.committed = Some(9)), [(Error, "offset_lost")]);
    assert_eq!(partition(|it| it.committed = Some(21)), [(Error, "offset_lost")]);
    assert_eq!(partition(|it| it.committed = None), []);
    let missing = TopicSurvey { problem: Some("it does not exist".to_owned()), ..TopicSurvey::default() };
    assert_eq!(found(Role::Source, missing, |_, _| {}), [(Error, "topic")]);
    assert_eq!(found(Role::Source, topic("orders", &[]), |survey, _| survey.brokers = 1), [(Warning, "one_broker")]);
}

#[test]
fn an_old_broker_is_found() {
    let speaks = |version: &str| {
        found(Role::Source, topic("orders", &[]), |survey, _| {
            survey.broker_settings.insert("inter.broker.protocol.version".to_owned(), version.to_owned());
        })
    };
    assert_eq!(speaks("3.6-IV2"), []);
    assert_eq!(speaks("2.5-IV0"), []);
    assert_eq!(speaks("2.4-IV1"), [(Severity::Warning, "version")]);
    assert_eq!(speaks("0.11.0-IV2"), [(Severity::Warning, "version")]);
}

#[test]
fn a_window_shorter_than_the_retention_is_found_unless_the_age_covers_it() {
    let kept = |retention: &str, max_age| {
        found(Role::Source, topic("orders", &[("retention.ms", retention)]), |_, plan| plan.max_age = max_age)
    };
    let found = [(Severity::Warning, "retention_beyond_window")];
    assert_eq!(kept("604800000", None), found);
    assert_eq!(kept("-1", None), found);
    assert_eq!(kept("604800000", Some(2 * DAY)), found);
    assert_eq!(kept("604800000", Some(DAY)), []);
    assert_eq!(kept("86400000", None), []);
}

#[test]
fn topics_that_cannot_keep_what_goes_there_are_found() {
    use Severity::{Error, Warning};
    let room = ("max.message.bytes", "2000000");
    let dead = |settings: &[(&str, &str)]| found(Role::DeadLetters, topic("orders-dlt", settings), |_, _| {});
    let long = ("retention.ms", "1209600000");
    assert_eq!(dead(&[long]), [(Warning, "max_message_bytes")]);
    assert_eq!(dead(&[room]), [(Warning, "dead_letter_retention")]);
    assert_eq!(dead(&[room, long, ("cleanup.policy", "compact,delete")]), [(Error, "dead_letters_compacted")]);
    let hour = Role::Retry(Duration::from_secs(3600));
    let retry = |settings: &[(&str, &str)]| found(hour, topic("orders-retry", settings), |_, _| {});
    assert_eq!(retry(&[room, ("retention.ms", "3600000")]), [(Error, "retry_retention")]);
    assert_eq!(retry(&[room, ("cleanup.policy", "compact")]), [(Error, "retry_compacted")]);
}

fn probe(clock_ahead_ms: i64, agrees: Option<Result<(), OpenError>>) -> Vec<(Severity, &'static str)> {
    let probe = Probe { clock_ahead_ms, clock_error: Duration::from_millis(1), agrees };
    worse(redis::judge(&StoreHealth::of("redis"), &probe, Some(&Estimate { ids: 2, bytes: 20 })))
}

#[test]
fn clocks_and_settings_that_differ_are_found() {
    assert_eq!(probe(0, None), []);
    assert_eq!(probe(-900, Some(Ok(()))), []);
    assert_eq!(probe(-61_000, None), [(Severity::Warning, "clock")]);
    assert_eq!(probe(61_000, None), [(Severity::Warning, "clock")]);
    let other = OpenError::Disagreement { namespace: "billing".to_owned(), differences: vec!["window".to_owned()] };
    assert_eq!(probe(0, Some(Err(other))), [(Severity::Error, "namespace")]);
}

#[test]
fn a_redis_that_writes_no_log_is_found_once() {
    let kept = |log, snapshots| {
        let persistence = Persistence { log, snapshots, succeeds: true };
        let server = Server { eviction_policy: "noeviction".to_owned(), persistence, ..Server::default() };
        let health = StoreHealth::of_nodes("redis", vec![NodeHealth { server: Some(server), ..NodeHealth::default() }]);
        worse(redis::judge(&health, &Probe { clock_ahead_ms: 0, clock_error: Duration::ZERO, agrees: None }, None))
    };
    assert_eq!(kept(true, Some(true)), []);
    assert_eq!(kept(true, Some(false)), []);
    assert_eq!(kept(false, Some(true)), [(Severity::Warning, "snapshots_only")]);
    assert_eq!(kept(false, None), [(Severity::Warning, "snapshots_only")]);
    assert_eq!(kept(false, Some(false)), [(Severity::Warning, "no_persistence")]);
}

#[test]
fn a_duration_is_told_in_its_own_unit() {
    assert_eq!(kafka::duration(7 * DAY), "7 days");
    assert_eq!(kafka::duration(Duration::from_secs(90 * 60)), "90 minutes");
    assert_eq!(kafka::duration(Duration::from_millis(1500)), "1500 ms");
}

#[test]
fn doctor_names_records_without_a_usable_id() {
    let identifier = |rule: &str| Identifier::new("billing".parse().unwrap()).extractor(HeaderId::new(rule));
    let event = |id: &'static str| {
        let record = Record::builder(TopicPartition::new("orders", 0), 7);
        record.header("ce_id", id).header("ce_source", "/a").payload("x").build()
    };
    let judged = |rule: &str, records: &[Record]| worse(ids::judge("topic orders", records, &identifier(rule)));
    let records = [event("1"), event("2")];
    assert_eq!(judged("x-id", &records), [(Severity::Warning, "no_message_id")]);
    assert_eq!(judged("ce_id", &records), [(Severity::Warning, "id_without_source")]);
    let default = Identifier::new("billing".parse().unwrap());
    assert_eq!(worse(ids::judge("topic orders", &records, &default)), []);
    let told = ids::judge("topic orders", &records, &identifier("x-id"));
    assert!(told[0].says.contains("2 of its last 2 records") && told[0].says.contains("orders-0@7"), "{told:?}");
}
