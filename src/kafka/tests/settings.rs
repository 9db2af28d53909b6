//! What may be set, and what is said of the rest.

use std::time::Duration;

use super::super::{GroupProtocol, KafkaSettings, OffsetLost, SourceError};

fn with(name: &str, value: &str) -> KafkaSettings {
    let mut settings = KafkaSettings::new("localhost:9092", "workers", ["orders"]);
    settings.properties.insert(name.to_owned(), value.to_owned());
    settings
}

fn problem(settings: &KafkaSettings) -> String {
    match settings.validate() {
        Err(error @ SourceError::Setting { .. }) => {
            assert!(error.is_configuration());
            error.to_string()
        }
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

#[test]
fn unsafe_properties_are_refused_with_the_reason() {
    for (name, value, part) in [
        ("enable.auto.commit", "true", "committed by hand"),
        ("auto.commit.enable", "true", "committed by hand"),
        ("enable.auto.offset.store", "true", "only once its record was handled"),
        ("enable.partition.eof", "true", "is no record"),
        ("auto.offset.reset", "latest", "set `start_at` or `offset_lost` instead"),
        ("group.protocol", "consumer", "set `group_protocol` instead"),
        ("group.id", "others", "set `group` instead"),
        ("bootstrap.servers", "elsewhere:9092", "set `brokers` instead"),
        ("group.instance.id", "one", "set `static_member` instead"),
    ] {
        let text = problem(&with(name, value));
        assert!(text.starts_with(&format!("`{name}`: ")) && text.contains(part), "{text}");
    }
}

#[test]
fn safe_values_of_forced_properties_and_other_properties_are_accepted() {
    for (name, value) in [
        ("enable.auto.commit", "false"),
        ("isolation.level", "read_uncommitted"),
        ("partition.assignment.strategy", "range"),
        ("max.partition.fetch.bytes", "1000"),
        ("client.rack", "a"),
    ] {
        with(name, value).validate().expect(name);
    }
    let config = with("isolation.level", "read_uncommitted").client_config().expect("it is valid");
    assert_eq!(config.get("isolation.level"), Some("read_uncommitted"));
    let config = with("client.rack", "a").client_config().expect("it is valid");
    for (name, value) in [
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "false"),
        ("auto.offset.reset", "error"),
        ("isolation.level", "read_committed"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("socket.keepalive.enable", "true"),
    ] {
        assert_eq!(config.get(name), Some(value));
    }
}

#[test]
fn librdkafkas_own_refusals_name_the_property_and_never_the_value() {
    assert_eq!(problem(&with("fetch.mim.bytes", "1")), "`fetch.mim.bytes`: librdkafka knows no such property");
    let text = problem(&with("fetch.min.bytes", "hunter2"));
    assert!(text.starts_with("`fetch.min.bytes`: librdkafka does not accept its value"), "{text}");
    assert!(!text.contains("hunter2"));
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let mut settings = KafkaSettings::new("localhost:9092", "workers", ["orders"]);
    settings.drain_limit = Duration::from_secs(200);
    assert!(problem(&settings).contains("at most half the poll interval"));
    let mut settings = with("max.poll.interval.ms", "8000");
    settings.properties.insert("session.timeout.ms".to_owned(), "6000".to_owned());
    assert!(problem(&settings).contains("at most half the poll interval"), "the property holds, not the setting");
    for (brokers, group, topics) in [("", "g", vec!["t"]), ("b:1", " ", vec!["t"]), ("b:1", "g", vec![])] {
        assert!(problem(&KafkaSettings::new(brokers, group, topics)).contains("it is empty"));
    }
    assert!(problem(&KafkaSettings::new("b:1", "g", ["^orders.*"])).contains("a pattern is not accepted"));
}

#[test]
fn the_consumer_protocol_refuses_what_its_brokers_decide() {
    for name in ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy", "group.protocol.type"]
    {
        let value = if name.ends_with(".ms") { "6000" } else { "range" };
        let mut settings = with(name, value);
        settings.validate().unwrap_or_else(|error| panic!("the classic protocol knows it: {error}"));
        settings.group_protocol = GroupProtocol::Consumer;
        assert!(problem(&settings).starts_with(&format!("`{name}`: the `consumer` protocol knows it not")));
    }
    let mut settings = KafkaSettings::new("localhost:9092", "workers", ["orders"]);
    settings.group_protocol = GroupProtocol::Consumer;
    let config = settings.client_config().expect("it is valid");
    assert_eq!((config.get("group.protocol"), config.get("partition.assignment.strategy")), (Some("consumer"), None));
}

#[test]
fn a_lost_offset_stops_unless_told_otherwise() {
    let mut settings = KafkaSettings::new("localhost:9092", "workers", ["orders"]);
    for (policy, reset) in
        [(OffsetLost::Stop, "error"), (OffsetLost::Earliest, "earliest"), (OffsetLost::Latest, "latest")]
    {
        settings.offset_lost = policy;
        assert_eq!(settings.client_config().expect("it is valid").get("auto.offset.reset"), Some(reset));
    }
    assert_eq!(OffsetLost::default(), OffsetLost::Stop);
}

#[test]
fn secrets_are_never_shown() {
    for name in ["sasl.password", "ssl.key.pem", "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config"] {
        let shown = format!("{:?}", with(name, "hunter2"));
        assert!(shown.contains(name) && !shown.contains("hunter2"), "{shown}");
    }
    assert!(format!("{:?}", with("client.rack", "a")).contains("\"client.rack\": \"a\""));
}

#[test]
fn properties_of_one_side_go_there_alone_and_stand_before_those_of_both() {
    let mut settings = with("client.id", "both");
    settings.properties.insert("fetch.message.max.bytes".to_owned(), "1000".to_owned());
    settings.consumer_properties.insert("client.id".to_owned(), "reader".to_owned());
    settings.producer_properties.insert("client.id".to_owned(), "writer".to_owned());
    settings.producer_properties.insert("linger.ms".to_owned(), "7".to_owned());
    let (consumer, producer) = (settings.client_config().unwrap(), settings.producer_config().unwrap());
    assert_eq!((consumer.get("client.id"), producer.get("client.id")), (Some("reader"), Some("writer")));
    assert_eq!((consumer.get("linger.ms"), producer.get("linger.ms")), (None, Some("7")));
    assert_eq!(producer.get("fetch.message.max.bytes"), None);

    settings.consumer_properties.insert("max.poll.interval.ms".to_owned(), "8000".to_owned());
    settings.consumer_properties.insert("session.timeout.ms".to_owned(), "6000".to_owned());
    assert!(problem(&settings).contains("at most half the poll interval"), "that of the consumer counts");
}

#[test]
fn properties_of_one_side_are_checked_as_those_of_both() {
    let one_sided = |consumer: bool, name: &str, value: &str| {
        let mut settings = KafkaSettings::new("localhost:9092", "workers", ["orders"]);
        let side = if consumer { &mut settings.consumer_properties } else { &mut settings.producer_properties };
        side.insert(name.to_owned(), value.to_owned());
        settings
    };
    for (consumer, name, value, part) in [
        (true, "enable.auto.commit", "true", "committed by hand"),
        (true, "group.id", "others", "set `group` instead"),
        (true, "linger.ms", "1", "only a producer knows it"),
        (false, "fetch.min.bytes", "1", "only a consumer knows it"),
        (false, "acks", "1", "every replica in sync"),
        (false, "linger.mss", "1", "no such property"),
    ] {
        let text = problem(&one_sided(consumer, name, value));
        assert!(text.starts_with(&format!("`{name}`: ")) && text.contains(part), "{text}");
    }
    let shown = format!("{:?}", one_sided(false, "sasl.password", "hunter2"));
    assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn librdkafka_itself_is_asked_which_properties_there_are() {
    for name in ["security.protocol", "sasl.password", "log_level", "acks", "max.partition.fetch.bytes"] {
        assert!(super::super::knows_property(name), "{name}");
    }
    for name in ["", "security_protocol", "sasl.passwort", "a\0b"] {
        assert!(!super::super::knows_property(name), "{name}");
    }
}

#[test]
fn reconnects_come_within_a_second_unless_set_otherwise() {
    let name = "reconnect.backoff.max.ms";
    let both = |settings: &KafkaSettings| {
        let (consumer, producer) =
            (settings.client_config().expect("valid"), settings.producer_config().expect("valid"));
        [consumer.get(name).map(str::to_owned), producer.get(name).map(str::to_owned)]
    };
    assert_eq!(both(&with("client.rack", "a")), [Some("1000".to_owned()), Some("1000".to_owned())]);
    assert_eq!(both(&with(name, "7000")), [Some("7000".to_owned()), Some("7000".to_owned())]);
    // librdkafka refuses a first pause that is longer than the limit.
    assert_eq!(both(&with("reconnect.backoff.ms", "5000")), [None, None]);
    let mut settings = with("reconnect.backoff.ms", "5000");
    settings.properties.insert(name.to_owned(), "6000".to_owned());
    assert_eq!(both(&settings), [Some("6000".to_owned()), Some("6000".to_owned())]);
    let mut settings = with("client.rack", "a");
    settings.producer_properties.insert("reconnect.backoff.ms".to_owned(), "5000".to_owned());
    assert_eq!(both(&settings), [Some("1000".to_owned()), None]);
}

#[test]
fn statistics_that_come_seldom_or_never_are_refused() {
    for value in ["0", "10001", "-1"] {
        let text = problem(&with("statistics.interval.ms", value));
        assert!(text.contains("must be 1 to 10000"), "{text}");
    }
    let config = with("statistics.interval.ms", "500").client_config().expect("it is valid");
    assert_eq!(config.get("statistics.interval.ms"), Some("500"));
}
