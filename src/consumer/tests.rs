//! Copies and their headers, what comes back from a retry topic, and ages; nothing here asks a broker.

use std::time::Duration;

use bytes::Bytes;

use super::age::{Age, EXPIRES, Expiry};
use super::copies::*;
use super::retry::{self, RetryTopic};
use super::topics::{DeadLetters, OtherTopics};
use crate::engine::Destination;
use crate::kafka::Outgoing;
use crate::record::{Header, Record, RecordBuilder, TopicPartition};

const NOW: i64 = 1_800_000_000_000;

fn record() -> RecordBuilder {
    Record::builder(TopicPartition::new("orders", 258), 0x0102_0304_0506)
        .key("k")
        .payload("a payload")
        .timestamp(0x0708_090A)
        .header("ce_id", "7")
        .null_header("empty")
}

fn topics(dead_letters: DeadLetters) -> OtherTopics {
    let retry = |topic: &str, seconds| RetryTopic { topic: topic.into(), delay: Duration::from_secs(seconds) };
    OtherTopics { group: "billing".into(), dead_letters, retries: vec![retry("soon", 10), retry("later", 600)] }
}

fn dead_letter(record: &Record, said: Option<&str>) -> Outgoing {
    let to = Destination::DeadLetter { reason: "the reason".into() };
    topics(DeadLetters::Auto).copy(record, &to, 5, said, NOW).unwrap()
}

fn retried(record: &Record, step: u32) -> Outgoing {
    topics(DeadLetters::Auto).copy(record, &Destination::Retry { step }, 1, None, NOW).unwrap()
}

fn values<'a>(headers: &'a [Header], name: &str) -> Vec<Option<&'a [u8]>> {
    headers.iter().filter(|header| &*header.name == name).map(|header| header.value.as_deref()).collect()
}

/// The record that a broker makes of a copy.
fn arrives(copy: &Outgoing, partition: i32, offset: i64) -> Record {
    let mut record = Record::builder(TopicPartition::new(copy.topic.clone(), partition), offset);
    // The time of writing.
    record = record.timestamp(NOW).key(copy.key.clone().unwrap());
    record = record.payload(copy.payload.clone().unwrap());
    for Header { name, value } in &copy.headers {
        record = match value {
            Some(value) => record.header(name.clone(), value.clone()),
            None => record.null_header(name.clone()),
        };
    }
    record.build()
}

#[test]
fn a_dead_letter_keeps_the_record_and_says_where_it_lay_as_spring_kafka_does() {
    let copy = dead_letter(&record().build(), Some("no such customer"));
    assert_eq!((&*copy.topic, copy.partition, copy.timestamp), ("orders-dlt", None, None));
    assert_eq!((copy.key.as_deref(), copy.payload.as_deref()), (Some(&b"k"[..]), Some(&b"a payload"[..])));
    let headers: Vec<_> = copy.headers.iter().map(|header| (&*header.name, header.value.as_deref())).collect();
    assert_eq!(
        headers,
        [
            ("ce_id", Some(&b"7"[..])),
            ("empty", None),
            ("kafka_dlt-original-topic", Some(b"orders")),
            // The partition is the partition, in 4 bytes, and the offset the offset, in 8.
            ("kafka_dlt-original-partition", Some(&[0, 0, 1, 2])),
            ("kafka_dlt-original-offset", Some(&[0, 0, 1, 2, 3, 4, 5, 6])),
            ("kafka_dlt-original-timestamp", Some(&[0, 0, 0, 0, 7, 8, 9, 10])),
            ("kafka_dlt-original-consumer-group", Some(b"billing")),
            ("kafka_dlt-exception-message", Some(b"no such customer")),
            ("hapax-attempts", Some(b"5")),
        ]
    );
}

#[test]
fn without_a_word_of_the_handler_the_reason_is_told_and_without_a_time_none() {
    let record = Record::builder(TopicPartition::new("orders", 0), 1).build();
    let copy = dead_letter(&record, None);
    assert_eq!(values(&copy.headers, EXCEPTION_MESSAGE), [Some(&b"the reason"[..])]);
    assert_eq!(
        (values(&copy.headers, ORIGINAL_TIMESTAMP).len(), copy.timestamp, copy.key, copy.payload),
        (0, None, None, None)
    );
}

#[test]
fn what_a_handler_said_is_one_line_of_bounded_length() {
    let said = format!("a\r\nb\0{}", "ä".repeat(2000));
    let copy = dead_letter(&record().build(), Some(&said));
    let told = std::str::from_utf8(values(&copy.headers, EXCEPTION_MESSAGE)[0].unwrap()).unwrap();
    assert!(told.starts_with("a  b ää") && !told.contains(char::is_control));
    assert!(told.len() <= 1024 && told.len() > 1020, "{}", told.len());
}

#[test]
fn a_second_dead_letter_keeps_the_first_origin_and_appends_the_second() {
    let first = arrives(&dead_letter(&record().build(), Some("first")), 3, 9);
    let copy = dead_letter(&first, Some("second"));
    assert_eq!(&*copy.topic, "orders-dlt-dlt");
    assert_eq!(values(&copy.headers, ORIGINAL_TOPIC), [Some(&b"orders"[..]), Some(b"orders-dlt")]);
    assert_eq!(values(&copy.headers, ORIGINAL_PARTITION), [Some(&[0, 0, 1, 2][..]), Some(&[0, 0, 0, 3])]);
    assert_eq!(values(&copy.headers, EXCEPTION_MESSAGE), [Some(&b"second"[..])]);
    assert_eq!(values(&copy.headers, ATTEMPTS).len(), 1);
}

#[test]
fn a_retry_comes_back_as_what_it_was_however_often_it_is_copied() {
    let original = record().build();
    let topics = topics(DeadLetters::Auto);
    let mut lies = original.clone();
    for (step, topic, delay) in [(0, "soon", 10_000), (1, "later", 600_000)] {
        let copy = retried(&lies, step);
        assert_eq!((&*copy.topic, copy.timestamp), (topic, None));
        for name in ["hapax-retry-step", "hapax-retry-at", "hapax-original-topic", "hapax-original-offset"] {
            assert_eq!(values(&copy.headers, name).len(), 1, "{name}");
        }
        lies = arrives(&copy, 3, 9);
        let back = retry::read(&lies, &topics.retries, NOW + 1).unwrap();
        assert_eq!((back.step, back.due), (step + 1, Some(NOW + delay)));
        assert_eq!((back.original.origin(), back.original.headers()), (original.origin(), original.headers()));
        assert_eq!((back.original.key(), back.original.payload()), (original.key(), original.payload()));
    }
    let copy = dead_letter(&lies, None);
    assert_eq!((&*copy.topic, values(&copy.headers, ORIGINAL_TOPIC)), ("orders-dlt", vec![Some(&b"orders"[..])]));
    assert!(
        copy.headers.iter().all(|header| !header.name.starts_with("hapax-r") && !header.name.starts_with("hapax-o"))
    );
}

#[test]
fn only_in_an_own_retry_topic_are_its_headers_believed() {
    let copy = retried(&record().build(), 0);
    let elsewhere = Outgoing { topic: "orders".into(), ..copy };
    assert!(retry::read(&arrives(&elsewhere, 0, 0), &topics(DeadLetters::None).retries, NOW).is_none());
}

#[test]
fn a_stranger_in_a_retry_topic_is_a_record_of_that_topic_and_waits_for_no_more_than_its_delay() {
    let retries = topics(DeadLetters::None).retries;
    let stranger = Record::builder(TopicPartition::new("later", 1), 7).header("hapax-retry-at", "9").build();
    let read = retry::read(&stranger, &retries, NOW).unwrap();
    assert_eq!((read.step, read.due, read.original.origin()), (2, None, stranger.origin()));
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for (due, expected) in [(i64::MAX.to_string(), Some(NOW + 600_000)), ("soon".to_owned(), None)] {
        let headers = [
            header("hapax-original-topic", "orders"),
            header("hapax-original-partition", "0"),
            header("hapax-original-offset", "5"),
            header("hapax-retry-at", &due),
        ];
        let builder = Record::builder(TopicPartition::new("later", 1), 7);
        let record = headers.into_iter().fold(builder, |builder, (name, value)| builder.header(name, value)).build();
        assert_eq!(retry::read(&record, &retries, NOW).unwrap().due, expected);
    }
}

#[test]
fn a_topic_that_would_feed_itself_is_refused() {
    let problems = |topics: &OtherTopics, sources: &[&str]| {
        let sources: Vec<String> = sources.iter().map(|&source| source.to_owned()).collect();
        topics.problems(&sources).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let one = topics(DeadLetters::Topic("letters".into()));
    assert_eq!(problems(&one, &["orders"]), [""; 0]);
    assert!(problems(&one, &["orders", "letters"])[0].contains("without end"));
    assert_eq!(problems(&topics(DeadLetters::Auto), &["orders", "orders-dlt"]), [""; 0], "it ends in orders-dlt-dlt");
    assert!(problems(&topics(DeadLetters::Topic("soon".into())), &["orders"])[0].contains("retry topic"));
    assert!(problems(&one, &["orders", "soon"])[0].contains("name it as a retry topic only"));
    let mut twice = one.clone();
    twice.retries[1].topic = "soon".into();
    twice.retries[0].delay = Duration::ZERO;
    assert_eq!(problems(&twice, &["orders"]).len(), 2);
    assert!(problems(&topics(DeadLetters::Topic(" ".into())), &["orders"])[0].contains("has no name"));
}

#[test]
fn every_topic_that_is_written_to_is_named_once() {
    let sources = ["orders".to_owned(), "returns".to_owned()];
    let all = |dead_letters| topics(dead_letters).all(&sources).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(all(DeadLetters::None), ["later", "soon"]);
    assert_eq!(all(DeadLetters::Topic("letters".into())), ["later", "letters", "soon"]);
    assert_eq!(all(DeadLetters::Auto), ["later", "orders-dlt", "returns-dlt", "soon"]);
}

#[test]
fn the_earlier_expiry_counts_and_one_that_cannot_be_read_does_not() {
    let record = |expires: Option<&str>| {
        let builder = Record::builder(TopicPartition::new("orders", 0), 1).timestamp(NOW);
        expires.into_iter().fold(builder, |builder, expires| builder.header(EXPIRES, expires.to_owned())).build()
    };
    let age = Age { max: Some(Duration::from_secs(1)), header: true };
    let at = |record: &Record| age.of(record);
    assert_eq!(at(&record(None)), Expiry { at: Some(NOW + 1000), unreadable: false });
    assert_eq!(at(&record(Some("5"))), Expiry { at: Some(5), unreadable: false });
    assert_eq!(at(&record(Some("2100-01-01T00:00:00Z"))).at, Some(NOW + 1000));
    assert_eq!(at(&record(Some("tomorrow"))), Expiry { at: Some(NOW + 1000), unreadable: true });
    let without = Age { max: None, header: false };
    assert_eq!(without.of(&record(Some("5"))), Expiry { at: None, unreadable: false });
    let timeless = Record::builder(TopicPartition::new("orders", 0), 1).null_header(EXPIRES).build();
    assert_eq!(age.of(&timeless), Expiry { at: None, unreadable: true });
}

#[test]
fn times_are_read_as_rfc_3339_writes_them() {
    let read = |text: &'static str| {
        let record = Record::builder(TopicPartition::new("t", 0), 0).header(EXPIRES, Bytes::from(text)).build();
        Age { max: None, header: true }.of(&record).at
    };
    for (text, expected) in [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2000-02-29T12:34:56Z", 951_827_696_000),
        ("2026-11-21T15:02:51+00:00", 1_795_273_371_000),
        ("2026-11-21t16:02:51.5+01:00", 1_795_273_371_500),
        ("2026-11-21 09:32:51.123456789-05:30", 1_795_273_371_123),
        ("-1", -1),
        ("1795273371000", 1_795_273_371_000),
    ] {
        assert_eq!(read(text), Some(expected), "{text}");
    }
    for text in [
        "",
        "-",
        "1e3",
        "2026-11-21",
        "2026-11-21T15:02:51",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T15:60:00Z",
        "2026-11-21T15:02:51.Z",
        "2026-11-21T15:02:51+0100",
        "2026-11-21T15:02:51Zulu",
        "2026-1-21T15:02:51Z",
        "99999999999999999999",
        "２０２６-11-21T15:02:51Z",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}
