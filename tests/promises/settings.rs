//! Settings that cannot be: refused before anything is connected, all at once, each with the way out and without a
//! secret; and settings in which two processes of a namespace disagree.

use std::sync::Arc;
use std::time::Duration;

use hapax::consumer::{Consumer, ConsumerBuilder, Failure};
use hapax::error::{BuildError, RunError};
use hapax::id::{HeaderId, IdKey, Namespace, RecordKey};
use hapax::record::Record;
use hapax::store::{LeaseTerms, MemoryStore, OpenError};
use tokio_util::sync::CancellationToken;

use super::common::{Kafka, Message, RedisServer, unique};
use super::consuming::{Journal, PATIENCE, Running, TERMS, consumer, effects, redis_store, told};

const SECRET: &str = "hunter2";

/// A builder that lacks nothing; nobody listens at its broker's address.
fn complete() -> ConsumerBuilder {
    let store = Arc::new(MemoryStore::new(LeaseTerms::default()));
    Consumer::builder().brokers("127.0.0.1:1").group("billing").topic("orders").store(store)
}

fn refused(builder: ConsumerBuilder) -> BuildError {
    builder.build().expect_err("the settings are refused")
}

/// Each of these settings is complained about, in these words, and no other.
fn assert_refused(builder: ConsumerBuilder, wanted: &[(&str, &str)]) {
    let error = refused(builder);
    let mut settings: Vec<_> = error.problems.iter().map(|problem| problem.setting.as_str()).collect();
    let mut expected: Vec<_> = wanted.iter().map(|(setting, _)| *setting).collect();
    settings.sort_unstable();
    expected.sort_unstable();
    assert_eq!(settings, expected, "{error}");
    for (setting, words) in wanted {
        let mut said = error.problems.iter().filter(|problem| problem.setting == *setting);
        assert!(said.any(|problem| problem.problem.contains(words)), "{words:?} is not said of {setting}: {error}");
        assert!(error.to_string().contains(setting) && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn what_has_no_default_is_asked_for_all_at_once() {
    let wanted = [("brokers", "is empty"), ("group", "is empty"), ("topics", "is empty"), ("store", "RedisStore")];
    assert_refused(Consumer::builder(), &wanted);
    complete().build().unwrap();
}

#[test]
fn settings_that_contradict_each_other_are_refused_with_the_reason() {
    let seconds = Duration::from_secs;
    // The lease is 60 s, of which a tenth is a margin.
    let overrun = complete().renewal(false).handler_time_limit(seconds(54));
    assert_refused(overrun, &[("lease", "does not outlast the handler's time limit of 54s, and renewal is off")]);
    complete().renewal(false).handler_time_limit(seconds(53)).build().unwrap();
    complete().handler_time_limit(seconds(3600)).build().unwrap();

    let half = "at most half the poll interval";
    assert_refused(complete().drain_limit(seconds(151)), &[("drain_limit", half)]);
    complete().drain_limit(seconds(150)).build().unwrap();
    let poll = |ms: &str| complete().property("session.timeout.ms", "6000").property("max.poll.interval.ms", ms);
    assert_refused(poll("8000"), &[("drain_limit", half)]);
    assert_refused(poll("5000").drain_limit(seconds(1)), &[("session.timeout.ms", "at most the poll interval")]);
    poll("10000").build().unwrap();
    assert_refused(
        complete().property("max.poll.interval.ms", "20000"),
        &[("session.timeout.ms", "at most the poll interval")],
    );

    assert_refused(complete().backoff(seconds(2), seconds(1)), &[("backoff_first", "not be longer than backoff_cap")]);
}

#[test]
fn properties_that_could_lose_a_message_are_refused_with_the_reason() {
    for (name, value, reason) in [
        ("enable.auto.commit", "true", "committing by timer would lose records"),
        ("auto.commit.enable", "true", "committed by hand"),
        ("enable.auto.offset.store", "true", "lose records in a crash"),
        ("enable.partition.eof", "true", "is no record"),
        ("auto.offset.reset", "latest", "a silent reset would skip records"),
        ("auto.offset.reset", "earliest", "repeat those older than the window"),
        ("group.protocol", "consumer", "classic"),
        ("group.id", "other", "set `group` instead"),
        ("bootstrap.servers", "other:9092", "set `brokers` instead"),
        ("group.instance.id", "one", "set `static_member` instead"),
        ("enable.auto.comit", "false", "knows no such property"),
        ("session.timeout.ms", "soon", "does not accept its value"),
    ] {
        assert_refused(complete().property(name, value), &[(name, reason)]);
    }
    complete().property("enable.auto.commit", "false").static_member("one").build().unwrap();
}

#[test]
fn names_and_limits_out_of_range_are_refused() {
    let way_out = "set one where the group's name has others";
    for group in ["my group", "grüße", "a/b", &"g".repeat(65)] {
        assert_refused(complete().group(group), &[("namespace", way_out)]);
        complete().group(group).namespace(Namespace::new("billing").unwrap()).build().unwrap();
    }
    assert_refused(complete().topic("^orders"), &[("topics", "name each topic")]);
    assert_refused(complete().topic("or\0ders"), &[("topics", "NUL")]);
    assert_refused(complete().property("client.id", "a\0b"), &[("client.id", "NUL")]);
    assert_refused(complete().max_attempts(1), &[("max_attempts", "one crash of the process would condemn a record")]);
    let none = Duration::ZERO;
    let zero = complete().max_exposed(0).max_in_flight(0, 0).max_attempts(0).commit_every(none, 0);
    assert_refused(
        zero.handler_time_limit(none),
        &[
            ("max_exposed", "at least 1"),
            ("max_in_flight", "at least 1"),
            ("max_in_flight_bytes", "at least 1"),
            ("max_attempts", "at least 2"),
            ("commit_interval", "longer than zero"),
            ("commit_records", "at least 1"),
            ("handler_time_limit", "longer than zero"),
        ],
    );
    let most = complete().max_in_flight(usize::MAX, usize::MAX).commit_every(Duration::MAX, usize::MAX);
    assert_refused(
        most.backoff(none, Duration::MAX),
        &[("max_in_flight", "at most"), ("commit_interval", "at most a day"), ("backoff_cap", "at most a day")],
    );
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let builder =
        complete().group("my group").property("enable.auto.commit", "true").property("auto.offset.reset", "x");
    let builder = builder.property("fetch.mim.bytes", "1").drain_limit(Duration::from_secs(3600)).max_attempts(1);
    let builder = builder.max_exposed(0).renewal(false).handler_time_limit(Duration::from_secs(3600));
    assert_refused(
        builder,
        &[
            ("namespace", "1 to 64"),
            ("enable.auto.commit", "`false`"),
            ("auto.offset.reset", "offset_lost"),
            ("fetch.mim.bytes", "no such"),
            ("drain_limit", "half"),
            ("max_attempts", "2"),
            ("max_exposed", "1"),
            ("lease", "renewal"),
        ],
    );
}

/// Properties whose values are secrets, misspelt ones among them.
const SECRETS: [&str; 9] = [
    "sasl.password",
    "ssl.key.password",
    "ssl.keystore.password",
    "ssl.key.pem",
    "ssl.certificate.pem",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.passwort",
    "sasl.jaas.config",
];

#[test]
fn no_secret_is_shown_by_an_error_or_by_debug() {
    let url = format!("redis://:{SECRET}@127.0.0.1:1/");
    let all = SECRETS.iter().fold(complete(), |builder, name| builder.property(*name, SECRET));
    let all =
        all.id_key(IdKey::new(SECRET.as_bytes())).store(Arc::new(redis_store(url.clone(), "billing").build().unwrap()));
    let shown = format!("{all:?}");
    assert!(SECRETS.iter().all(|name| shown.contains(name)) && !shown.contains(SECRET), "{shown}");
    let error = refused(all.property("enable.auto.commit", SECRET).max_attempts(1));
    let shown = format!("{error} {error:?} {}", told(&error));
    assert!(shown.contains("sasl.passwort") && !shown.contains(SECRET), "{shown}");
    for name in SECRETS {
        let error = complete().property(name, format!("{SECRET}\0")).build().unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(name) && !shown.contains(SECRET), "{shown}");
    }

    let built = complete().property("sasl.password", SECRET).id_key(IdKey::new(SECRET.as_bytes()));
    let built = built.store(Arc::new(redis_store(url, "billing").build().unwrap())).build().unwrap();
    let shown = format!("{built:?}");
    assert!(shown.contains("sasl.password") && !shown.contains(SECRET), "{shown}");
}

/// What librdkafka notices only when it puts its properties together is said at the start, before any connection.
#[tokio::test]
async fn what_only_librdkafka_can_tell_ends_the_start_at_once() {
    async fn ends(builder: ConsumerBuilder, words: &str) {
        let run = builder.build().unwrap().run_until(async |_: Record| Ok::<(), Failure>(()), CancellationToken::new());
        let error = tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap_err();
        let shown = format!("{} {error:?}", told(&error));
        assert!(matches!(error, RunError::Source(_)) && !error.is_retryable(), "{shown}");
        assert!(shown.contains(words) && !shown.contains(SECRET), "{shown}");
    }
    let tls = || complete().property("security.protocol", "ssl");
    ends(tls().property("ssl.key.pem", SECRET), "ssl.key.pem").await;
    ends(tls().property("ssl.ca.location", "/nowhere"), "ssl.ca.location").await;
    let plain = complete().property("security.protocol", "sasl_plaintext").property("sasl.mechanisms", "PLAIN");
    ends(plain.property("sasl.password", SECRET), "sasl.username").await;
}

/// Of two processes that disagree the second does not start, and the first goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_with_other_settings_does_not_start() {
    let (kafka, redis) = (Kafka::shared().await, RedisServer::start());
    let (topic, group, journal) = (unique("orders"), unique("billing"), Journal::default());
    kafka.create_topic(&topic, 1).await;
    let event = |id: &str| Message::new().header("ce_id", id).header("ce_source", "/shop");
    kafka.produce(&topic, [event("1")]).await;
    let store = |terms: LeaseTerms| Arc::new(redis_store(redis.url(), &group).terms(terms).build().unwrap());
    let own = IdKey::new(b"hunter2");
    let settings = || consumer(kafka, &group, &topic, &journal).store(store(TERMS)).id_key(own.clone());
    let mut first = Running::start(settings(), effects(&journal));
    first.until_all_committed(kafka, &group, &topic).await;

    let longer = LeaseTerms { window: Duration::from_secs(7200), ..TERMS };
    let window = "window is 3600000 ms there and 7200000 ms here".to_owned();
    let rule = "ID rule is header \"ce_id\" (scope header \"ce_source\") there and key (scope topic) here".to_owned();
    let key = |other: &IdKey| {
        let (there, here) = (own.check_value(), other.check_value());
        format!("ID key is one with check value {there} there and one with check value {here} here")
    };
    let other = IdKey::new(b"correct horse");
    let cases = [
        (settings().store(store(longer)), vec![window.clone()]),
        (settings().extractor(RecordKey::new()), vec![rule.clone()]),
        (settings().id_key(other.clone()), vec![key(&other)]),
        (settings().id_key(IdKey::default()), vec![key(&IdKey::default())]),
        (
            settings().store(store(longer)).extractor(RecordKey::new()).id_key(other.clone()),
            vec![window, rule, key(&other)],
        ),
    ];
    for (second, wanted) in cases {
        let error = Running::start(second, effects(&journal)).ended().await.unwrap_err();
        let shown = format!("{} {error:?}", told(&error));
        assert!(!shown.contains("hunter2") && !shown.contains("correct horse"), "{shown}");
        assert!(shown.contains("choose another namespace") && !error.is_retryable(), "{shown}");
        let RunError::Open(OpenError::Disagreement { namespace, differences }) = error else { panic!("{shown}") };
        assert_eq!((namespace, differences), (group.clone(), wanted));
    }
    // What is no part of it may differ: the policy, the lease, the limits.
    let shorter = LeaseTerms { lease: Duration::from_secs(2), grace: Duration::from_secs(60), ..TERMS };
    let third = settings().store(store(shorter)).extractor(HeaderId::cloud_events()).max_exposed(1).max_attempts(9);
    let mut third = Running::start(third.id_policy(hapax::id::IdPolicy::Coordinates), effects(&journal));

    kafka.produce(&topic, [event("2"), event("1")]).await;
    let all_committed = third.until_all_committed(kafka, &group, &topic);
    first.until(all_committed).await;
    assert_eq!(journal.effects(), [(0, 0), (0, 1)]);
    first.stop().await;
    third.stop().await;
}
