//! Each of these is refused: by the variable that somebody has to change, with a way out, without its value.

use super::super::{Environment, Problems};
use super::{PULL, PUSH, environment, read};
use crate::sidecar::Settings;

/// What is set, the variable that is named, and words that are said of it.
type Case = (&'static [(&'static str, &'static str)], &'static str, &'static str);

const BAD: &[Case] = &[
    // What is missing.
    (&[("HAPAX_BROKERS", "")], "HAPAX_BROKERS", "is missing"),
    (&[("HAPAX_GROUP", "")], "HAPAX_GROUP", "is missing"),
    (&[("HAPAX_TOPICS", "")], "HAPAX_TOPICS", "is missing"),
    (&[("HAPAX_PUSH_URL", "")], "HAPAX_PUSH_URL", "is missing"),
    (&[("HAPAX_REDIS_URL", "")], "HAPAX_REDIS_URL", "HAPAX_REDIS_URL_FILE"),
    // Names.
    (&[("HAPAX_GROPU", "hunter2hunter2")], "HAPAX_GROPU", "HAPAX_GROUP is meant perhaps"),
    (&[("HAPAX_REDIS_ULR", "hunter2hunter2")], "HAPAX_REDIS_ULR", "HAPAX_REDIS_URL is meant perhaps"),
    (&[("HAPAX_REDIS_PASSWORD", "hunter2hunter2")], "HAPAX_REDIS_PASSWORD", "is not known"),
    (&[("HAPAX_HEALTH_PORT", "717271727172")], "HAPAX_HEALTH_PORT", "is not known"),
    (&[("HAPAX_WINDOW_FILE", "/hunter2hunter2")], "HAPAX_WINDOW_FILE", "is not known"),
    // Delivery and store.
    (&[("HAPAX_DELIVERY", "forward")], "HAPAX_DELIVERY", "later version"),
    (&[("HAPAX_DELIVERY", "rabbitmq")], "HAPAX_DELIVERY", "later version"),
    (&[("HAPAX_DELIVERY", "hunter2hunter2")], "HAPAX_DELIVERY", "choose one of push, pull"),
    (&[("HAPAX_STORE", "hunter2hunter2")], "HAPAX_STORE", "choose one of redis, memory"),
    (&[("HAPAX_STORE", "memory")], "HAPAX_REDIS_URL", "HAPAX_STORE=redis"),
    (&[("HAPAX_NAMESPACE", "hunter2 hunter2")], "HAPAX_NAMESPACE", "1 to 64"),
    (&[("HAPAX_GROUP", "hunter2 hunter2")], "HAPAX_NAMESPACE", "1 to 64"),
    (&[("HAPAX_PULL_MAX_IDS", "987654")], "HAPAX_PULL_MAX_IDS", "HAPAX_DELIVERY=pull"),
    (&[("HAPAX_REDIS_URL", "redis//:hunter2hunter2@host")], "HAPAX_REDIS_URL", "redis://"),
    (&[("HAPAX_REDIS_CA_FILE", "/nowhere/hunter2")], "HAPAX_REDIS_CA_FILE", "not there"),
    (
        &[("HAPAX_REDIS_CLIENT_KEY_FILE", "/nowhere/hunter2")],
        "HAPAX_REDIS_CLIENT_KEY_FILE",
        "HAPAX_REDIS_CLIENT_CERTIFICATE_FILE",
    ),
    (
        &[("HAPAX_REDIS_SENTINEL_USER", "hunter2hunter2")],
        "HAPAX_REDIS_SENTINEL_USER",
        "HAPAX_REDIS_SENTINEL_PASSWORD_FILE",
    ),
    (&[("HAPAX_STRICT", "hunter2hunter2")], "HAPAX_STRICT", "true or false"),
    (&[("HAPAX_STRICT", "1")], "HAPAX_STRICT", "true or false"),
    // Durations, sizes, numbers.
    (&[("HAPAX_WINDOW", "8640086400")], "HAPAX_WINDOW", "has no unit"),
    (&[("HAPAX_WINDOW", "hunter2hunter2")], "HAPAX_WINDOW", "is not a duration"),
    (&[("HAPAX_WINDOW", "123456y")], "HAPAX_WINDOW", "24h"),
    (&[("HAPAX_WINDOW", "987654d")], "HAPAX_WINDOW", "ten years"),
    (&[("HAPAX_WINDOW", "18446744073709551616ms")], "HAPAX_WINDOW", "too great"),
    (&[("HAPAX_WINDOW", "1234ms")], "HAPAX_WINDOW", "HAPAX_DONE_MODE=exact"),
    (&[("HAPAX_LEASE", "0s")], "HAPAX_LEASE", "1ms"),
    (&[("HAPAX_MAX_IN_FLIGHT_BYTES", "6710886467108864")], "HAPAX_MAX_IN_FLIGHT_BYTES", "has no unit"),
    (&[("HAPAX_MAX_IN_FLIGHT_BYTES", "999999999999GiB")], "HAPAX_MAX_IN_FLIGHT_BYTES", "too great"),
    (&[("HAPAX_CONCURRENCY", "hunter2hunter2")], "HAPAX_CONCURRENCY", "is not a whole number"),
    (&[("HAPAX_CONCURRENCY", "-123456")], "HAPAX_CONCURRENCY", "is not a whole number"),
    (&[("HAPAX_CONCURRENCY", "0")], "HAPAX_CONCURRENCY", "1 or more"),
    (&[("HAPAX_MAX_ATTEMPTS", "99999999999")], "HAPAX_MAX_ATTEMPTS", "too great"),
    (&[("HAPAX_DEAD_LETTER_SHARE", "1.234567")], "HAPAX_DEAD_LETTER_SHARE", "from 0 to 1"),
    (&[("HAPAX_DEAD_LETTER_SHARE", "infinity")], "HAPAX_DEAD_LETTER_SHARE", "from 0 to 1"),
    // What the library knows to contradict.
    (&[("HAPAX_MAX_ATTEMPTS", "1")], "HAPAX_MAX_ATTEMPTS", "at least 2"),
    (&[("HAPAX_BACKOFF_FIRST", "123456s")], "HAPAX_BACKOFF_FIRST", "HAPAX_BACKOFF_CAP"),
    (&[("HAPAX_BATCH", "123456")], "HAPAX_BATCH", "HAPAX_MAX_EXPOSED"),
    (
        &[("HAPAX_DRAIN_LIMIT", "123456ms"), ("HAPAX_KAFKA_MAX_POLL_INTERVAL_MS", "123457")],
        "HAPAX_DRAIN_LIMIT",
        "half the poll interval",
    ),
    (&[("HAPAX_DRAIN_LIMIT", "123456ms")], "HAPAX_SHUTDOWN_LIMIT", "HAPAX_DRAIN_LIMIT"),
    (&[("HAPAX_RENEWAL", "false"), ("HAPAX_LEASE", "12345ms")], "HAPAX_LEASE", "HAPAX_RENEWAL=true"),
    (&[("HAPAX_RETRY_TOPICS", "hunter2-retry=1m")], "HAPAX_ORDER", "unordered"),
    (
        &[("HAPAX_TOPICS", "hunter2,orders"), ("HAPAX_DEAD_LETTER_TOPIC", "hunter2")],
        "HAPAX_DEAD_LETTER_TOPIC",
        "another topic",
    ),
    (
        &[("HAPAX_ORDER", "unordered"), ("HAPAX_TOPICS", "hunter2"), ("HAPAX_RETRY_TOPICS", "hunter2=1m")],
        "HAPAX_RETRY_TOPICS",
        "HAPAX_TOPICS",
    ),
    (
        &[("HAPAX_ORDER", "unordered"), ("HAPAX_RETRY_TOPICS", "hunter2=1m,hunter2=2m")],
        "HAPAX_RETRY_TOPICS",
        "of its own",
    ),
    (&[("HAPAX_ID_POLICY", "dead-letter")], "HAPAX_ID_POLICY", "HAPAX_DEAD_LETTER_TOPIC"),
    (&[("HAPAX_CONFLICT_POLICY", "dead-letter")], "HAPAX_CONFLICT_POLICY", "HAPAX_DEAD_LETTER_TOPIC"),
    (&[("HAPAX_EXPIRED_TO_DEAD_LETTER", "true")], "HAPAX_EXPIRED_TO_DEAD_LETTER", "HAPAX_DEAD_LETTER_TOPIC"),
    // Topics and IDs.
    (&[("HAPAX_TOPICS", "^hunter2")], "HAPAX_TOPICS", "name each topic"),
    (&[("HAPAX_TOPICS", "hunter2,,orders")], "HAPAX_TOPICS", "empty item"),
    (&[("HAPAX_TOPICS", "hunter2,hunter2")], "HAPAX_TOPICS", "twice"),
    (&[("HAPAX_ID", "hunter2hunter2")], "HAPAX_ID", "header:<name>"),
    (&[("HAPAX_ID", "header:")], "HAPAX_ID", "header:<name>"),
    (&[("HAPAX_ID", "json:hunter2hunter2")], "HAPAX_ID", "begins with a slash"),
    (&[("HAPAX_ID", "coordinates,key")], "HAPAX_ID", "write it last"),
    (&[("HAPAX_ID_SCOPE", "name:hunter2")], "HAPAX_ID_SCOPE", "HAPAX_ID"),
    (&[("HAPAX_ID", "key"), ("HAPAX_ID_SCOPE", "hunter2hunter2")], "HAPAX_ID_SCOPE", "header:<name>"),
    (&[("HAPAX_ID_KEY", "hunter2")], "HAPAX_ID_KEY", "16"),
    (&[("HAPAX_ID_KEY", "hunter2hunter2hunter2"), ("HAPAX_ID_KEY_FILE", "/hunter2")], "HAPAX_ID_KEY", "keep one"),
    (&[("HAPAX_ID_KEY_FILE", "/nowhere/hunter2")], "HAPAX_ID_KEY_FILE", "not there"),
    (&[("HAPAX_ID_KEY_FILE", "/")], "HAPAX_ID_KEY_FILE", "not a file"),
    (&[("HAPAX_RETRY_TOPICS", "hunter2")], "HAPAX_RETRY_TOPICS", "without a delay"),
    (&[("HAPAX_RETRY_TOPICS", "hunter2=123456")], "HAPAX_RETRY_TOPICS", "not a duration"),
    // Properties of librdkafka.
    (&[("HAPAX_KAFKA_BOOTSTRAP_SERVERS", "hunter2:9092")], "HAPAX_KAFKA_BOOTSTRAP_SERVERS", "HAPAX_BROKERS"),
    (&[("HAPAX_KAFKA_GROUP_ID", "hunter2")], "HAPAX_KAFKA_GROUP_ID", "HAPAX_GROUP"),
    (&[("HAPAX_KAFKA_AUTO_OFFSET_RESET", "hunter2")], "HAPAX_KAFKA_AUTO_OFFSET_RESET", "HAPAX_START_AT"),
    (&[("HAPAX_KAFKA_ENABLE_AUTO_COMMIT", "true")], "HAPAX_KAFKA_ENABLE_AUTO_COMMIT", "false"),
    (&[("HAPAX_KAFKA_PRODUCER_ACKS", "hunter2")], "HAPAX_KAFKA_PRODUCER_ACKS", "all"),
    (&[("HAPAX_KAFKA_PRODUCER_FETCH_MIN_BYTES", "123456")], "HAPAX_KAFKA_PRODUCER_FETCH_MIN_BYTES", "only a consumer"),
    (&[("HAPAX_KAFKA_CONSUMER_LINGER_MS", "123456")], "HAPAX_KAFKA_CONSUMER_LINGER_MS", "only a producer"),
    (&[("HAPAX_KAFKA_SASL_PASSWORT", "hunter2hunter2")], "HAPAX_KAFKA_SASL_PASSWORT", "no property"),
    (&[("HAPAX_KAFKA_FETCH_MIN_BYTES", "hunter2hunter2")], "HAPAX_KAFKA_FETCH_MIN_BYTES", "does not accept"),
    (
        &[("HAPAX_KAFKA_SASL_PASSWORD", "hunter2"), ("HAPAX_KAFKA_SASL_PASSWORD_FILE", "/nowhere/hunter2")],
        "HAPAX_KAFKA_SASL_PASSWORD_FILE",
        "not there",
    ),
    (
        &[("HAPAX_KAFKA_CONSUMER_SESSION_TIMEOUT_MS", "345678")],
        "HAPAX_KAFKA_CONSUMER_SESSION_TIMEOUT_MS",
        "HAPAX_KAFKA_MAX_POLL_INTERVAL_MS",
    ),
    // HTTP.
    (&[("HAPAX_PUSH_URL", "hunter2hunter2")], "HAPAX_PUSH_URL", "is not a URL"),
    (&[("HAPAX_PUSH_URL", "ftp://hunter2hunter2/")], "HAPAX_PUSH_URL", "http://"),
    (&[("HAPAX_PUSH_URL", "http://me:hunter2@127.0.0.1/")], "HAPAX_PUSH_URL", "HAPAX_PUSH_TOKEN_FILE"),
    (&[("HAPAX_PUSH_URL", "http://127.0.0.1/#hunter2")], "HAPAX_PUSH_URL", "fragment"),
    (&[("HAPAX_PUSH_HEADERS", "hunter2=Authorization")], "HAPAX_PUSH_HEADERS", "no message may choose"),
    (&[("HAPAX_PUSH_HEADERS", "hunter2=ce-id")], "HAPAX_PUSH_HEADERS", "no message may choose"),
    (&[("HAPAX_PUSH_HEADERS", "X-Forwarded-For")], "HAPAX_PUSH_HEADERS", "no message may choose"),
    (&[("HAPAX_PUSH_HEADERS", "hunter2 hunter2")], "HAPAX_PUSH_HEADERS", "cannot be one"),
    (&[("HAPAX_PUSH_HEADERS", "hunter2=a,hunter3=A")], "HAPAX_PUSH_HEADERS", "twice"),
    (&[("HAPAX_PUSH_TOKEN", "hunter2 hunter2")], "HAPAX_PUSH_TOKEN", "header"),
    (
        &[("HAPAX_PUSH_CLIENT_KEY_FILE", "/nowhere/hunter2")],
        "HAPAX_PUSH_CLIENT_KEY_FILE",
        "HAPAX_PUSH_CLIENT_CERTIFICATE_FILE",
    ),
    (&[("HAPAX_LISTEN", "localhost:hunter2")], "HAPAX_LISTEN", "127.0.0.1:7171"),
    (&[("HAPAX_LISTEN", "0.0.0.0:7171")], "HAPAX_LISTEN", "HAPAX_TOKEN_FILE"),
    (
        &[("HAPAX_LISTEN", "127.0.0.1:7172"), ("HAPAX_HEALTH_LISTEN", "127.0.0.1:7172")],
        "HAPAX_HEALTH_LISTEN",
        "HAPAX_LISTEN",
    ),
    (&[("HAPAX_TOKEN", "hunter2")], "HAPAX_TOKEN", "16"),
    (&[("HAPAX_TLS_KEY_FILE", "/nowhere/hunter2")], "HAPAX_TLS_KEY_FILE", "HAPAX_TLS_CERTIFICATE_FILE"),
    (&[("HAPAX_HOSTS", "https://hunter2")], "HAPAX_HOSTS", "names alone"),
    // The process.
    (&[("HAPAX_LOG", "hunter2hunter2")], "HAPAX_LOG", "hapax=debug,info"),
    (&[("HAPAX_TRACES", "hunter2hunter2")], "HAPAX_TRACES", "is not a URL"),
    (&[("HAPAX_SHUTDOWN_LIMIT", "1234ms")], "HAPAX_SHUTDOWN_LIMIT", "HAPAX_DRAIN_LIMIT"),
];

/// With pull.
const BAD_PULL: &[Case] = &[
    (&[("HAPAX_NAMESPACE", "")], "HAPAX_NAMESPACE", "is missing"),
    (&[("HAPAX_GROUP", "hunter2")], "HAPAX_GROUP", "HAPAX_DELIVERY=push"),
    (&[("HAPAX_PUSH_TOKEN_FILE", "/nowhere/hunter2")], "HAPAX_PUSH_TOKEN", "HAPAX_DELIVERY=push"),
    (&[("HAPAX_KAFKA_SASL_PASSWORD", "hunter2")], "HAPAX_KAFKA_SASL_PASSWORD", "does not read Kafka"),
    (&[("HAPAX_PULL_MAX_IDS", "hunter2")], "HAPAX_PULL_MAX_IDS", "whole number"),
];

#[test]
fn each_is_refused_by_name_with_a_way_out_and_without_its_value() {
    let with = |base, cases: &'static [Case]| cases.iter().map(move |case| (base, case));
    let mut wrong = Vec::new();
    for (base, (set, variable, words)) in with(PUSH, BAD).chain(with(PULL, BAD_PULL)) {
        let Err(problems) = read(base, set) else {
            wrong.push(format!("{set:?} is accepted"));
            continue;
        };
        let text = problems.to_string();
        let said: Vec<_> = problems.0.iter().filter(|problem| problem.variable == *variable).collect();
        if !said.iter().any(|problem| problem.to_string().contains(words)) {
            wrong.push(format!("{words:?} is not said of {variable}: {text}"));
        }
        if problems.0.iter().any(|problem| problem.way_out.trim().is_empty() || problem.problem.trim().is_empty()) {
            wrong.push(format!("no way out: {text}"));
        }
        // Values are made up so that no sentence of ours holds one; what is a word of ours, as `forward`, is no secret.
        let parts = set.iter().flat_map(|(_, value)| value.split([',', '=', '/', '@', ':']).chain([*value]));
        let made_up = |part: &&str| part.contains("hunter") || part.bytes().filter(u8::is_ascii_digit).count() >= 4;
        let words = ["0.0.0.0", "127.0.0.1", "7171", "7172", "127.0.0.1:7171", "9092"];
        for part in parts.filter(made_up).filter(|part| !words.contains(part)) {
            if text.contains(part) {
                wrong.push(format!("{part} of {variable} is shown: {text}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), BAD.len() + BAD_PULL.len(), wrong.join("\n"));
}

fn problems(set: &[(&str, &str)]) -> Problems {
    read(PUSH, set).expect_err("it is refused")
}

#[test]
fn all_mistakes_are_told_at_once() {
    let problems = problems(&[
        ("HAPAX_REDIS_URL", ""),
        ("HAPAX_GROPU", "x"),
        ("HAPAX_WINDOW", "24"),
        ("HAPAX_MAX_ATTEMPTS", "1"),
        ("HAPAX_ID_POLICY", "dead-letter"),
        ("HAPAX_KAFKA_ENABLE_AUTO_COMMIT", "true"),
        ("HAPAX_PULL_MAX_WAIT", "1s"),
        ("HAPAX_TOKEN", "short"),
    ]);
    let named: Vec<_> = problems.0.iter().map(|problem| problem.variable.as_str()).collect();
    let wanted = [
        "HAPAX_GROPU",
        "HAPAX_ID_POLICY",
        "HAPAX_KAFKA_ENABLE_AUTO_COMMIT",
        "HAPAX_MAX_ATTEMPTS",
        "HAPAX_PULL_MAX_WAIT",
        "HAPAX_REDIS_URL",
        "HAPAX_TOKEN",
        "HAPAX_WINDOW",
    ];
    assert_eq!(named, wanted, "{problems}");
}

#[test]
fn what_is_empty_is_said_to_be() {
    let mut set = PUSH.to_vec();
    set.push(("HAPAX_STATIC_MEMBER", ""));
    set.push(("HAPAX_KAFKA_CLIENT_RACK", ""));
    let problems = Settings::from_environment(&Environment::new(set)).expect_err("it is refused");
    assert_eq!(problems.0.len(), 2, "{problems}");
    assert!(problems.0.iter().all(|problem| problem.problem == "is empty" && problem.way_out.contains("unset it")));
}

#[cfg(unix)]
#[test]
fn what_is_not_utf_8_is_refused_and_a_strange_name_is_shown_harmlessly() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let mut set: Vec<_> = PUSH.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    set.push(("HAPAX_STATIC_MEMBER".into(), bytes(b"hunter2\xff")));
    set.push((bytes(b"HAPAX_\xff\x1b[31mX"), "hunter2".into()));
    let text = Settings::from_environment(&Environment::new(set)).expect_err("it is refused").to_string();
    assert!(text.contains("HAPAX_STATIC_MEMBER is not UTF-8"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains("hunter2"), "{text}");
}

#[test]
fn what_one_environment_says_is_not_shown_by_debug() {
    let shown =
        format!("{:?}", environment(PUSH, &[("HAPAX_TOKEN", "hunter2hunter2hunter2")]).flag("HAPAX_GROUP", "hunter2"));
    assert!(shown.contains("HAPAX_TOKEN") && !shown.contains("hunter2"), "{shown}");
}
