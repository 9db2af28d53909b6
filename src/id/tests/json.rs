//! JSON pointers: their text, their walk, and their agreement with another implementation.

use proptest::prelude::*;
use serde_json::Value;

use super::{outcome, record, variant};
use crate::id::identity::Kind;
use crate::id::{Extract, InvalidPointer, JsonPointer, MAX_POINTER_DEPTH, MessageId};

fn at(pointer: &str, payload: impl Into<bytes::Bytes>) -> Result<Vec<u8>, &'static str> {
    outcome(&JsonPointer::new(pointer).unwrap(), &record().payload(payload).build())
}

#[test]
fn text_of_pointers() {
    let deepest = "/a".repeat(MAX_POINTER_DEPTH);
    let too_deep = "/a".repeat(MAX_POINTER_DEPTH + 1);
    for good in ["", "/", "//", "/a", "/a/0/-", "/a~0b~1c", "/é", "/a b", &deepest] {
        assert!(JsonPointer::new(good).is_ok(), "{good}");
    }
    for (bad, problem) in [
        ("a", InvalidPointer::NoSlash),
        ("a/b", InvalidPointer::NoSlash),
        ("#/a", InvalidPointer::NoSlash),
        ("$.a", InvalidPointer::NoSlash),
        (" /a", InvalidPointer::NoSlash),
        ("/~", InvalidPointer::BadEscape),
        ("/a~2", InvalidPointer::BadEscape),
        ("/~~0", InvalidPointer::BadEscape),
        ("/a~/b", InvalidPointer::BadEscape),
        (&too_deep, InvalidPointer::TooDeep { steps: MAX_POINTER_DEPTH + 1 }),
    ] {
        assert_eq!(JsonPointer::new(bad).unwrap_err(), problem, "{bad}");
    }
}

/// The examples of RFC 6901, with values that can be IDs.
#[test]
fn examples_of_the_rfc() {
    let document = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
    for (pointer, value) in [
        ("/foo/0", "bar"),
        ("/foo/1", "baz"),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/e^f", "3"),
        ("/g|h", "4"),
        ("/i\\j", "5"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
    ] {
        assert_eq!(at(pointer, document), Ok(value.as_bytes().to_vec()), "{pointer}");
    }
}

#[test]
fn indices_of_arrays() {
    let digits = r#"["a","b","c","d","e","f","g","h","i","j","k"]"#;
    assert_eq!(at("/0", digits), Ok(b"a".to_vec()));
    assert_eq!(at("/10", digits), Ok(b"k".to_vec()));
    for never in ["/11", "/-", "/00", "/01", "/+1", "/-1", "/1.0", "/ 1", "/", "/a", "/99999999999999999999999999"] {
        assert_eq!(at(never, digits), Err("missing"), "{never}");
    }
    // In an object the same text is a name.
    for name in ["0", "01", "-", "99999999999999999999999999"] {
        assert_eq!(at(&format!("/{name}"), format!(r#"{{"{name}":"a"}}"#)), Ok(b"a".to_vec()), "{name}");
    }
}

#[test]
fn the_path_through_the_document() {
    let document = r#"{"x":[{"id":"no"},{"id":"yes","y":null}],"id":"top","z":1.5,"s":"t","b":true,"n":-3}"#;
    assert_eq!(at("/x/1/id", document), Ok(b"yes".to_vec()));
    for early in ["/x/2/id", "/x/1/y/id", "/z/id", "/s/id", "/s/0", "/b/id", "/n/id", "/x/id", "/x/1/id/id"] {
        assert_eq!(at(early, document), Err("missing"), "{early}");
    }
    // A key that is repeated matters on the path, and nowhere else.
    assert_eq!(at("/a/id", r#"{"a":{"id":"1"},"a":{"id":"1"}}"#), Err("repeated"));
    assert_eq!(at("/a/id", r#"{"a":{},"a":{"id":"1"}}"#), Err("repeated"));
    assert_eq!(at("/a/id", r#"{"a":{"id":"1","id":"1"}}"#), Err("repeated"));
    assert_eq!(at("/1/id", r#"[{"id":"a","id":"b"},{"id":"c"}]"#), Ok(b"c".to_vec()));
}

#[test]
fn deep_documents_do_not_exhaust_the_stack() {
    const DEEP: usize = 1 << 20;
    let nested = |n: usize, inner: &str| format!("{}{inner}{}", "[".repeat(n), "]".repeat(n));
    assert_eq!(at("/id", format!(r#"{{"x":{},"id":"a"}}"#, nested(DEEP, ""))), Ok(b"a".to_vec()));
    assert_eq!(at("/id", format!(r#"{{"id":{}}}"#, nested(DEEP, ""))), Err("invalid"));
    assert_eq!(at("/id", "[".repeat(DEEP)), Err("invalid"));
    assert_eq!(at("/id", r#"{"id":"#.repeat(DEEP)), Err("invalid"));
    assert_eq!(at(&"/0".repeat(MAX_POINTER_DEPTH), nested(MAX_POINTER_DEPTH, "\"a\"")), Ok(b"a".to_vec()));
    assert_eq!(at(&"/0".repeat(MAX_POINTER_DEPTH), nested(DEEP, "\"a\"")), Err("invalid"), "an array");
}

#[test]
fn an_id_shares_the_payload() {
    for (pointer, payload) in [("/id", r#"{"id":"abc"}"#), ("/id", r#"{"id":123}"#), ("", r#""abc""#)] {
        let record = record().payload(payload).build();
        let identity = JsonPointer::new(pointer).unwrap().extract(&record).unwrap();
        let range = record.payload().unwrap().as_ptr_range();
        assert!(range.contains(&identity.id.as_bytes().as_ptr()), "{payload}");
    }
}

#[test]
fn problems_name_the_place() {
    let problem = |payload: &'static [u8]| {
        JsonPointer::new("/a\nb").unwrap().extract(&record().payload(payload).build()).unwrap_err().to_string()
    };
    assert_eq!(problem(b"{\n  \"x\": y}"), "payload is not valid JSON (line 2, column 8)");
    assert_eq!(problem(b"{} {}"), "payload is not valid JSON (line 1, column 4)");
    assert_eq!(problem(b"{\"a\": \"\xff\"}"), "payload is not UTF-8 (after byte 7)");
    assert_eq!(problem(b"{}"), r#"payload at JSON pointer "/a\nb" is missing"#);
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "b", "id", "a/b", "m~n", "~1", "é", "\"", "\\", "\u{1}", "0", "1", "01", "-"])
        .prop_map(str::to_owned)
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0..3u64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// All pointers that lead somewhere in a document.
fn pointers(value: &Value, so_far: &str, all: &mut Vec<String>) {
    all.push(so_far.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| pointers(item, &format!("{so_far}/{i}"), all));
        }
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            let step = name.replace('~', "~0").replace('/', "~1");
            pointers(member, &format!("{so_far}/{step}"), all);
        }),
        _ => {}
    }
}

fn expected(found: Option<&Value>) -> Result<MessageId, &'static str> {
    match found {
        None => Err("missing"),
        Some(Value::Null) => Err("null"),
        Some(Value::String(text)) => MessageId::new(text.clone()).map_err(|problem| variant(&problem)),
        Some(Value::Number(n)) if n.is_u64() || n.is_i64() => Ok(MessageId::of_kind(Kind::Number, n.to_string())),
        Some(_) => Err("invalid"),
    }
}

proptest! {
    #[test]
    fn agrees_with_serde_json(document in document(), pretty: bool, steps in prop::collection::vec(name(), 0..4)) {
        let text = if pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) }.unwrap();
        let record = record().payload(text).build();
        let mut all = vec![
            steps.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect::<String>(),
        ];
        pointers(&document, "", &mut all);
        for pointer in all {
            let found = JsonPointer::new(&pointer).unwrap().extract(&record);
            let found = found.map(|identity| identity.id).map_err(|problem| variant(&problem));
            prop_assert_eq!(found, expected(document.pointer(&pointer)), "{}", pointer);
        }
    }

    #[test]
    fn any_bytes_have_an_outcome(payload in prop::collection::vec(any::<u8>(), 0..64), pointer in "(/[a0-]{0,2}){0,3}") {
        // Whether there is an ID does not matter; that nothing panics and the answer stays the same does.
        let extractor = JsonPointer::new(&pointer).unwrap();
        let record = record().payload(payload).build();
        prop_assert_eq!(extractor.extract(&record), extractor.extract(&record));
    }

    #[test]
    fn any_text_of_json_characters_has_an_outcome(payload in r#"[\[\]{}",:a0\\ ntu1.e-]{0,40}"#) {
        let record = record().payload(payload.clone()).build();
        let found = JsonPointer::new("/a").unwrap().extract(&record);
        // What this accepts, others must be able to read.
        if found.is_ok() {
            prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&payload).is_ok());
        }
    }
}
