//! Configurations that work, and what comes of them.

use std::fs;
use std::time::Duration;

use super::super::{Origin, table};
use super::{PULL, PUSH, environment, good, pushing};
use crate::engine::{EngineConfig, Order};
use crate::id::Extract;
use crate::sidecar::settings::{DeadLetters, Delivery, StoreKind};
use crate::sidecar::{Settings, TokenSource};

#[test]
fn the_least_is_enough_and_the_defaults_are_the_librarys() {
    let read = good(PUSH, &[]);
    assert_eq!(read.settings.namespace.as_str(), "billing");
    assert!(matches!(read.settings.store.kind, StoreKind::Redis(_)) && read.ignored.is_empty());
    assert_eq!(read.settings.store.terms, Default::default());
    let (consumer, push) = pushing(&[]);
    let engine = EngineConfig::default();
    assert_eq!(consumer.backoff, (engine.backoff_first, engine.backoff_cap));
    assert_eq!(consumer.commit_every, (engine.commit_interval, engine.commit_records));
    assert_eq!(consumer.max_in_flight, (engine.max_in_flight, engine.max_in_flight_bytes));
    assert_eq!((consumer.max_exposed, consumer.max_span), (engine.max_exposed, engine.max_span));
    assert_eq!((consumer.order, consumer.concurrency, consumer.batch), (engine.order, engine.concurrency, 1));
    assert_eq!((consumer.max_attempts, consumer.stall_after), (engine.max_attempts, engine.stall_after));
    assert_eq!(consumer.dead_letter_share, engine.dead_letter_share);
    assert!(consumer.renewal && !push.batched);
    assert_eq!((push.time_limit, consumer.handler_time_limit), (Duration::from_secs(30), Duration::from_secs(31)));
    let listen = read.settings.listen;
    assert_eq!(
        (listen.address.to_string(), listen.health_address.to_string()),
        ("127.0.0.1:7171".into(), "0.0.0.0:7172".into())
    );
    assert_eq!((listen.max_body, listen.max_connections), (1 << 20, 512));
    assert!(matches!(good(PULL, &[]).settings.delivery, Delivery::Pull(pull) if pull.max_ids == 1000));
}

#[test]
fn every_default_can_be_written_and_every_word_of_a_choice_is_taken() {
    use super::super::Kind;
    for variable in table::all() {
        let base = if variable.delivery == Some("pull") { PULL } else { PUSH };
        if !variable.default.is_empty() && variable.name != "HAPAX_ID_SCOPE" {
            good(base, &[(variable.name, variable.default)]);
        }
        let Kind::Choice(words) = variable.kind else { continue };
        for word in words {
            let all = [(variable.name, *word), ("HAPAX_DEAD_LETTER_TOPIC", "orders-dlt")];
            match (variable.name, *word) {
                ("HAPAX_DELIVERY", "pull") => good(PULL, &[]),
                ("HAPAX_STORE", "memory") => good(PUSH, &[("HAPAX_STORE", "memory"), ("HAPAX_REDIS_URL", "")]),
                _ => good(PUSH, &all),
            };
        }
    }
}

#[test]
fn ids_scopes_topics_and_headers_are_read() {
    for (id, scope, rule) in [
        ("key", "topic", "key (scope topic)"),
        ("header:x-id", "header:tenant", r#"header "x-id" (scope header "tenant")"#),
        ("json:/order/id", "name:shop", r#"json "/order/id" (scope name "shop")"#),
        (
            "cloudevents, header:x-id,coordinates",
            "topic",
            r#"first of [header "ce_id" (scope header "ce_source"), header "x-id" (scope topic), coordinates]"#,
        ),
    ] {
        let (consumer, _) = pushing(&[("HAPAX_ID", id), ("HAPAX_ID_SCOPE", scope)]);
        assert_eq!(consumer.extractor.rule(), rule);
    }
    let (consumer, push) = pushing(&[
        ("HAPAX_TOPICS", "orders, payments"),
        ("HAPAX_ORDER", "unordered"),
        ("HAPAX_RETRY_TOPICS", "retry-1m=1m,retry-1h=1h"),
        ("HAPAX_DEAD_LETTER_TOPIC", "auto"),
        ("HAPAX_BATCH", "50"),
        ("HAPAX_PUSH_HEADERS", "x-tenant,trace-id=X-Trace-Id"),
    ]);
    assert_eq!(
        (consumer.kafka.topics.as_slice(), consumer.order),
        (["orders".to_owned(), "payments".to_owned()].as_slice(), Order::Unordered)
    );
    let retries =
        [("retry-1m".to_owned(), Duration::from_secs(60)), ("retry-1h".to_owned(), Duration::from_secs(3600))];
    assert_eq!((consumer.retry_topics.as_slice(), consumer.dead_letters), (retries.as_slice(), DeadLetters::Auto));
    let headers = [("x-tenant", "x-tenant"), ("trace-id", "X-Trace-Id")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!((push.headers.as_slice(), push.batched), (headers.as_slice(), true));
}

#[test]
fn properties_of_librdkafka_go_to_their_sides() {
    let directory = tempfile::tempdir().unwrap();
    let password = directory.path().join("password");
    fs::write(&password, "hunter2\n").unwrap();
    let set = [
        ("HAPAX_KAFKA_SECURITY_PROTOCOL", "sasl_plaintext"),
        ("HAPAX_KAFKA_SASL_PASSWORD_FILE", password.to_str().unwrap()),
        ("HAPAX_KAFKA_ENABLE_SSL_CERTIFICATE_VERIFICATION", "true"),
        ("HAPAX_KAFKA_CLIENT_ID", "both"),
        ("HAPAX_KAFKA_CONSUMER_CLIENT_ID", "reader"),
        ("HAPAX_KAFKA_PRODUCER_CLIENT_ID", "writer"),
        ("HAPAX_KAFKA_LOG_LEVEL", "6"),
    ];
    let (consumer, _) = pushing(&set);
    let kafka = consumer.kafka;
    assert_eq!(kafka.properties["security.protocol"], "sasl_plaintext");
    assert_eq!(kafka.properties["sasl.password"], "hunter2", "the line end is no part of it");
    assert_eq!((kafka.properties["client.id"].as_str(), kafka.properties["log_level"].as_str()), ("both", "6"));
    assert_eq!(kafka.consumer_properties["client.id"], "reader");
    assert_eq!(kafka.producer_properties["client.id"], "writer");
    let read = good(PUSH, &set);
    let entry = |name: &str| read.entries.iter().find(|entry| entry.name == name).unwrap().clone();
    assert_eq!(entry("HAPAX_KAFKA_SASL_PASSWORD_FILE").value.as_deref(), Some("<hidden>"));
    assert_eq!(entry("HAPAX_KAFKA_CONSUMER_CLIENT_ID").value.as_deref(), Some("reader"));
    assert!(!format!("{read:?}").contains("hunter2"));

    let secrets = [("HAPAX_REDIS_URL", "redis://:hunter2@127.0.0.1:1"), ("HAPAX_TOKEN", "hunter2hunter2hunter2")];
    let shown = format!("{:?}", good(PUSH, &secrets));
    assert!(shown.contains("HAPAX_REDIS_URL") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn what_kubernetes_sets_is_ignored_and_told() {
    let set = [
        ("HAPAX_PORT", "tcp://10.0.0.1:80"),
        ("HAPAX_KAFKA_SERVICE_HOST", "10.0.0.1"),
        ("HAPAX_KAFKA_SERVICE_PORT", "9092"),
        ("HAPAX_KAFKA_PORT", "tcp://10.0.0.1:9092"),
        ("HAPAX_KAFKA_PORT_9092_TCP", "tcp://10.0.0.1:9092"),
        ("HAPAX_KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1"),
    ];
    for base in [PUSH, PULL] {
        let mut ignored = good(base, &set).ignored;
        ignored.sort();
        let mut names = set.map(|(name, _)| name);
        names.sort_unstable();
        assert_eq!(ignored, names);
    }
}

#[test]
fn a_flag_stands_before_a_variable_whichever_way_either_names_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, "0123456789abcdef\r\n").unwrap();
    let environment = environment(PUSH, &[("HAPAX_TOKEN", "fedcba9876543210fedcba")]);
    let environment = environment.flag("HAPAX_TOKEN_FILE", &file).flag("HAPAX_GROUP", "other");
    let read = Settings::from_environment(&environment).unwrap();
    assert_eq!(read.settings.listen.token, Some(TokenSource::File(file)));
    assert_eq!(read.settings.namespace.as_str(), "other");
    let origin = |name: &str| read.entries.iter().find(|entry| entry.name == name).unwrap().origin;
    assert_eq!((origin("HAPAX_GROUP"), origin("HAPAX_TOPICS")), (Origin::Flag, Origin::Environment));
    assert_eq!((origin("HAPAX_TOKEN"), origin("HAPAX_WINDOW")), (Origin::Flag, Origin::Default));
}

#[test]
fn the_names_of_opentelemetry_count_where_ours_are_not_set() {
    let traces = |set: &[(&str, &str)]| good(PUSH, set).settings.telemetry;
    let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://tracer:4318/v1/traces");
    assert_eq!(traces(&[]).traces, None);
    assert_eq!(traces(&[all]).traces.as_deref(), Some("http://collector:4318"));
    assert_eq!(traces(&[all, own]).traces.as_deref(), Some("http://tracer:4318"));
    assert_eq!(traces(&[all, ("HAPAX_TRACES", "http://mine:4318")]).traces.as_deref(), Some("http://mine:4318"));
    assert_eq!(traces(&[all, ("HAPAX_TRACES", "off")]).traces, None);
    assert_eq!(traces(&[("OTEL_SERVICE_NAME", "orders")]).service_name, "orders");
    assert_eq!(traces(&[("OTEL_SERVICE_NAME", "a"), ("HAPAX_SERVICE_NAME", "b")]).service_name, "b");
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let warned = |set: &[(&str, &str)]| {
        let warnings = good(PUSH, set).warnings;
        warnings.iter().map(|warning| warning.variable.clone()).collect::<Vec<_>>()
    };
    let quiet = ("HAPAX_DEAD_LETTER_TOPIC", "orders-dlt");
    assert!(warned(&[quiet]).is_empty());
    assert_eq!(warned(&[quiet, ("HAPAX_PUSH_URL", "http://orders.example:80/")]), ["HAPAX_PUSH_URL"]);
    assert_eq!(warned(&[quiet, ("HAPAX_STORE", "memory"), ("HAPAX_REDIS_URL", "")]), ["HAPAX_STORE"]);
    assert_eq!(warned(&[quiet, ("HAPAX_KAFKA_DEBUG", "security")]), ["HAPAX_KAFKA_DEBUG"]);
    assert_eq!(warned(&[quiet, ("HAPAX_KAFKA_CONSUMER_DEBUG", "all")]), ["HAPAX_KAFKA_DEBUG"]);
    assert_eq!(warned(&[quiet, ("HAPAX_WINDOW", "1h"), ("HAPAX_MESSAGE_MAX_AGE", "2h")]), ["HAPAX_MESSAGE_MAX_AGE"]);
}
