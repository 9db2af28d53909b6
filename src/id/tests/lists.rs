//! When a list of rules goes on, and what it reports where no rule gives an ID.

use std::sync::Arc;

use super::{outcome, record};
use crate::id::{
    CloudEvents, ContentHash, Extract, FirstOf, HeaderId, IdKey, IdProblem, Identity, JsonPointer, MessageId,
    RecordKey, Scope, ScopeRule, extract_fn,
};
use crate::record::Record;

fn json(pointer: &str) -> JsonPointer {
    JsonPointer::new(pointer).unwrap()
}

type Row<'a> = (&'a str, Record, Result<&'a [u8], &'static str>);

fn check(list: &FirstOf, table: Vec<Row<'_>>) {
    for (name, record, expected) in table {
        assert_eq!(outcome(list, &record), expected.map(<[u8]>::to_vec), "{name}");
    }
}

#[test]
fn list_absent_place_falls_through() {
    let list = FirstOf::new(HeaderId::cloud_events()).or(json("/id")).or(RecordKey::new());
    let rest = || record().key("key").payload(r#"{"id":"json"}"#);
    let event = || rest().header("ce_source", "s");
    let only_key = || record().key("key");
    check(
        &list,
        vec![
            ("a header", event().header("ce_id", "header").build(), Ok(b"header")),
            ("no header", event().build(), Ok(b"json")),
            ("a null header", event().null_header("ce_id").build(), Ok(b"json")),
            ("no place in the payload", rest().payload("{}").build(), Ok(b"key")),
            ("null in its place", rest().payload(r#"{"id":null}"#).build(), Ok(b"key")),
            ("a null payload", only_key().build(), Ok(b"key")),
            ("an empty payload", rest().payload("").build(), Ok(b"key")),
            ("a payload that is null", rest().payload("null").build(), Ok(b"key")),
            ("a payload that is a number", rest().payload("7").build(), Ok(b"key")),
            ("a payload that is an array", rest().payload("[1]").build(), Ok(b"key")),
            ("nothing at all", record().build(), Err("missing")),
            ("nothing in the payload, no key", record().payload("{}").build(), Err("missing")),
        ],
    );
    let deep = FirstOf::new(json("/source/0/lsn")).or(RecordKey::new());
    for payload in [
        r#"{"source":null}"#,
        r#"{"source":7}"#,
        r#"{"source":"text"}"#,
        r#"{"source":[]}"#,
        r#"{"source":[{}]}"#,
        r#"{"source":[{"lsn":null}]}"#,
        r#"{"source":{"1":{"lsn":1}}}"#,
    ] {
        assert_eq!(outcome(&deep, &only_key().payload(payload).build()), Ok(b"key".to_vec()), "{payload}");
    }
}

#[test]
fn list_unusable_id_ends_the_search() {
    let list = FirstOf::new(HeaderId::cloud_events()).or(json("/id")).or(RecordKey::new());
    let rest = || record().key("key").payload(r#"{"id":"json"}"#);
    let event = || rest().header("ce_source", "s");
    check(
        &list,
        vec![
            ("an empty header", event().header("ce_id", "").build(), Err("empty")),
            ("two headers", event().header("ce_id", "a").header("ce_id", "b").build(), Err("repeated")),
            ("a null and a value", event().null_header("ce_id").header("ce_id", "b").build(), Err("repeated")),
            ("a long header", event().header("ce_id", vec![b'x'; 2000]).build(), Err("too long")),
            ("no scope", rest().header("ce_id", "a").build(), Err("no scope")),
            ("a fraction", rest().payload(r#"{"id":1.5}"#).build(), Err("invalid")),
            ("a boolean", rest().payload(r#"{"id":true}"#).build(), Err("invalid")),
            ("an object", rest().payload(r#"{"id":{}}"#).build(), Err("invalid")),
            ("an empty string", rest().payload(r#"{"id":""}"#).build(), Err("empty")),
            ("a repeated name", rest().payload(r#"{"id":null,"id":"a"}"#).build(), Err("repeated")),
            ("no JSON", rest().payload("{").build(), Err("invalid")),
            ("spaces", rest().payload(" ").build(), Err("invalid")),
            ("an empty key", record().key("").build(), Err("empty")),
        ],
    );
}

/// Debezium writes a tombstone, which has a key and a null payload, behind each deletion.
#[test]
fn list_tombstone_is_identified_by_its_key() {
    let list = FirstOf::new(json("/payload/source/lsn")).or(RecordKey::new());
    let change = record().key("k").payload(r#"{"payload":{"source":{"lsn":42}}}"#).build();
    assert_eq!(list.extract(&change).unwrap().id, MessageId::whole_number(42));
    assert_eq!(outcome(&list, &record().key("k").build()), Ok(b"k".to_vec()));
    let alone = json("/payload/source/lsn");
    assert_eq!(outcome(&alone, &record().key("k").build()), Err("null"), "a single rule has nothing to go on with");
}

/// A deletion's tombstone has the key of the row, which can be the ID of a message about that row.
#[test]
fn list_key_behind_the_first_rule_equals_no_other_id() {
    let all = ScopeRule::Name("all".into());
    let tombstone = record().key("order-42").build();
    let same_text = || record().key("order-42").payload(r#"{"id":"order-42"}"#).header("x-id", "order-42");
    let key = || RecordKey::new().scope(all.clone());
    let shared: Arc<dyn Extract> = Arc::new(key());
    for list in [
        FirstOf::new(json("/id").scope(all.clone())).or(key()),
        FirstOf::new(json("/id").scope(all.clone())).or(shared),
        FirstOf::new(json("/id").scope(all.clone())).or(FirstOf::new(key())),
        FirstOf::new(json("/none")).or(FirstOf::new(HeaderId::new("x-id").scope(all.clone())).or(key())),
    ] {
        let [message, deletion] = [&same_text().build(), &tombstone].map(|record| list.extract(record).unwrap());
        assert_eq!(message.scope, deletion.scope, "{list:?}");
        assert_eq!(message.id.as_bytes(), deletion.id.as_bytes(), "{list:?}");
        assert_ne!(IdKey::default().fingerprint(&message), IdKey::default().fingerprint(&deletion), "{list:?}");
        assert!(list.rule().contains("key as fallback (scope name"), "{}", list.rule());
    }
    // The first rule of a list is no fallback, and neither is a rule alone.
    let first = FirstOf::new(key()).or(json("/id"));
    assert_eq!(first.extract(&tombstone), key().extract(&tombstone));
    assert_eq!(first.rule(), r#"first of [key (scope name "all"), json "/id" (scope topic)]"#);
    assert_eq!(key().rule(), r#"key (scope name "all")"#);
}

#[test]
fn list_within_a_list_is_one_of_its_rules() {
    let inner = || FirstOf::new(json("/id")).or(HeaderId::new("x-id"));
    let outer = FirstOf::new(inner()).or(RecordKey::new());
    let keyed = || record().key("key");
    check(
        &outer,
        vec![
            ("the second of the inner one", keyed().header("x-id", "h").build(), Ok(b"h")),
            ("behind the inner one", keyed().build(), Ok(b"key")),
            ("null in both", keyed().payload(r#"{"id":null}"#).null_header("x-id").build(), Ok(b"key")),
            ("the inner one ends the search", keyed().payload("{").build(), Err("invalid")),
            ("its second ends it", keyed().header("x-id", "").build(), Err("empty")),
        ],
    );
    assert_eq!(
        outer.rule(),
        r#"first of [first of [json "/id" (scope topic), header "x-id" (scope topic)], key as fallback (scope topic)]"#
    );
}

#[test]
fn list_own_extractor_decides_by_its_problem() {
    let own =
        |problem: fn() -> IdProblem| extract_fn("own", move |_: &Record| -> Result<Identity, _> { Err(problem()) });
    let list = |problem| FirstOf::new(own(problem)).or(RecordKey::new());
    let keyed = record().key("key").build();
    for absent in [
        || IdProblem::Missing { part: "p".into() },
        || IdProblem::Null { part: "p".into() },
        || IdProblem::Unread { part: "p".into(), problem: "is of another kind" },
    ] {
        assert_eq!(outcome(&list(absent), &keyed), Ok(b"key".to_vec()));
    }
    assert_eq!(outcome(&list(|| IdProblem::Empty), &keyed), Err("empty"));
    assert_eq!(outcome(&list(|| IdProblem::InList { tried: Arc::new([]) }), &keyed), Ok(b"key".to_vec()));
}

#[test]
fn list_problem_names_each_rule_and_what_it_found() {
    let list =
        FirstOf::new(CloudEvents::new()).or(json("/id")).or(ContentHash::new().scope(ScopeRule::Name("all".into())));
    let problem = list.extract(&record().build()).unwrap_err().to_string();
    assert_eq!(
        problem,
        "no rule of the list gives an ID: header \"ce_id\" (scope header \"ce_source\"): header ce_id is missing; \
         json \"/id\" (scope topic): payload is null; content (scope name \"all\"): content (key and payload) is \
         missing"
    );
    let problem = list.extract(&record().payload("{").build()).unwrap_err().to_string();
    assert_eq!(
        problem,
        "no rule of the list gives an ID: header \"ce_id\" (scope header \"ce_source\"): header ce_id is missing; \
         json \"/id\" (scope topic): payload is not valid JSON (line 1, column 1), which ends the search"
    );
}

#[test]
fn list_scope_of_each_rule_is_its_own() {
    let list = FirstOf::new(CloudEvents::new()).or(RecordKey::new());
    assert_eq!(list.extract(&record().key("k").build()).unwrap().scope, Scope::Topic("orders".into()));
}
