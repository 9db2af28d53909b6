//! When two messages are the same, and what the rules say of themselves.

use super::record;
use crate::id::{
    ContentHash, Coordinates, Extract, FirstOf, HeaderId, Identity, JsonPointer, RecordKey, ScopeRule, extract_fn,
};
use crate::record::{Record, TopicPartition};

fn json() -> JsonPointer {
    JsonPointer::new("/id").unwrap()
}

fn of(extractor: impl Extract, record: Record) -> Identity {
    extractor.extract(&record).unwrap()
}

fn of_json(payload: &'static str) -> Identity {
    of(json(), record().payload(payload).build())
}

#[test]
fn text_is_the_same_wherever_it_stands() {
    let header = of(HeaderId::new("x-id"), record().header("x-id", "a").build());
    assert_eq!(header, of(RecordKey::new(), record().key("a").build()));
    assert_eq!(header, of_json(r#"{"id":"a"}"#));
    assert_eq!(header, of_json(r#"{"id":"\u0061"}"#));
}

#[test]
fn kinds_differ() {
    assert_ne!(of_json(r#"{"id":"1"}"#), of_json(r#"{"id":1}"#));
    assert_ne!(of_json(r#"{"id":1}"#), of(RecordKey::new(), record().key("1").build()));
    let content = of(ContentHash::new(), record().key("a").build());
    assert_ne!(content, of(RecordKey::new(), record().key(content.id.as_bytes().to_vec()).build()));
    let place = of(Coordinates, record().build());
    assert_ne!(place, of(RecordKey::new(), record().key(place.id.as_bytes().to_vec()).build()));
}

#[test]
fn nothing_is_normalised() {
    let key = |key: &'static str| of(RecordKey::new(), record().key(key).build());
    let spellings = ["a", "A", " a", "a ", "a\0", "\u{e9}", "e\u{301}", "\u{c9}", "ａ", "\u{feff}a"];
    for (i, one) in spellings.iter().enumerate() {
        for (j, other) in spellings.iter().enumerate() {
            assert_eq!(key(one) == key(other), i == j, "{one:?} {other:?}");
        }
    }
}

#[test]
fn scopes_tell_ids_apart() {
    let record = |topic: &'static str, source: &'static str| {
        Record::builder(TopicPartition::new(topic, 0), 0).key("a").header("s", source).build()
    };
    let by = |rule: ScopeRule, topic, source| of(RecordKey::new().scope(rule), record(topic, source));
    let header = || ScopeRule::Header("s".into());
    let name = |name: &str| ScopeRule::Name(name.into());
    assert_ne!(by(ScopeRule::Topic, "t", "x"), by(ScopeRule::Topic, "u", "x"));
    assert_eq!(by(ScopeRule::Topic, "t", "x"), by(ScopeRule::Topic, "t", "y"));
    assert_eq!(by(header(), "t", "x"), by(header(), "u", "x"));
    assert_ne!(by(header(), "t", "x"), by(header(), "t", "y"));
    assert_eq!(by(name("n"), "t", "x"), by(name("n"), "u", "y"));
    assert_ne!(by(name("n"), "t", "x"), by(name("m"), "t", "x"));
    // One text, three kinds.
    let same = [by(ScopeRule::Topic, "t", "t"), by(header(), "t", "t"), by(name("t"), "t", "t")];
    assert!(same[0] != same[1] && same[1] != same[2] && same[0] != same[2]);
}

#[test]
fn content_is_key_and_payload() {
    let hash = |key: Option<&'static str>, payload: Option<&'static str>| {
        let mut record = record();
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(payload) = payload {
            record = record.payload(payload);
        }
        of(ContentHash::new(), record.build())
    };
    let contents = [
        (Some("a"), Some("b")),
        (Some("a"), Some("\u{1}b")),
        (Some("a\u{1}"), Some("b")),
        (Some("ab"), Some("")),
        (Some(""), Some("ab")),
        (None, Some("ab")),
        (Some("ab"), None),
        (None, Some("")),
        (Some(""), None),
        (Some(""), Some("")),
    ];
    for (i, one) in contents.iter().enumerate() {
        for (j, other) in contents.iter().enumerate() {
            assert_eq!(hash(one.0, one.1) == hash(other.0, other.1), i == j, "{one:?} {other:?}");
        }
    }
    let traced = record().key("a").payload("b").header("traceparent", "x").timestamp(5).build();
    assert_eq!(of(ContentHash::new(), traced), hash(Some("a"), Some("b")));
}

#[test]
fn coordinates_are_topic_partition_and_offset() {
    let at = |topic: &'static str, partition, offset| {
        of(Coordinates, Record::builder(TopicPartition::new(topic, partition), offset).key("same").build())
    };
    assert_eq!(at("t", 1, 2), at("t", 1, 2));
    let places = [at("t", 1, 2), at("t", 2, 1), at("t", 1, 3), at("u", 1, 2), at("t", 258, 0), at("t", 1, 258)];
    for (i, one) in places.iter().enumerate() {
        assert!(places[i + 1..].iter().all(|other| one != other), "{i}");
    }
}

/// Processes of one namespace compare these texts: a change of one is a change of what is agreed on.
#[test]
fn rules_are_stable_and_tell_extractors_apart() {
    let own = extract_fn("mine \"v1\"\n", |record| Ok(Coordinates::identity(record)));
    let header = || ScopeRule::Header("s".into());
    let name = || ScopeRule::Name("a), key (scope topic".into());
    let rules: [(&dyn Extract, &str); 12] = [
        (&HeaderId::default(), r#"header "ce_id" (scope header "ce_source")"#),
        (&HeaderId::new("x-id"), r#"header "x-id" (scope topic)"#),
        (&HeaderId::new("x-id").scope(header()), r#"header "x-id" (scope header "s")"#),
        (&RecordKey::new(), "key (scope topic)"),
        (&RecordKey::new().scope(name()), r#"key (scope name "a), key (scope topic")"#),
        (&json(), r#"json "/id" (scope topic)"#),
        (&json().scope(header()), r#"json "/id" (scope header "s")"#),
        (&ContentHash::new(), "content (scope topic)"),
        (&ContentHash::new().scope(name()), r#"content (scope name "a), key (scope topic")"#),
        (&Coordinates, "coordinates"),
        (&own, r#"own "mine \"v1\"\n""#),
        (&FirstOf::new(json()).or(Coordinates), r#"first of [json "/id" (scope topic), coordinates]"#),
    ];
    for (extractor, rule) in rules {
        assert_eq!(extractor.rule(), rule);
        assert!(!rule.contains('\n'));
    }
}
