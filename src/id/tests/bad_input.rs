//! Every kind of bad ID has a defined outcome; none is dropped, trimmed or repaired.

use super::{outcome, record};
use crate::id::{
    CloudEvents, ContentHash, Coordinates, Extract, FirstOf, HeaderId, IdKey, JsonPointer, MAX_ID_BYTES, RecordKey,
    ScopeRule,
};
use crate::record::{Record, TopicPartition};

type Expected<'a> = Result<&'a [u8], &'static str>;

fn json(pointer: &str) -> JsonPointer {
    JsonPointer::new(pointer).unwrap()
}

/// What a header's value, a record key and the content of a JSON string have in common.
#[test]
fn bytes_are_ids_as_they_are() {
    let mebibyte = vec![b'x'; 1 << 20];
    let longest = vec![b'x'; MAX_ID_BYTES];
    let too_long = vec![b'x'; MAX_ID_BYTES + 1];
    let table: &[(&[u8], Expected<'_>)] = &[
        (b"", Err("empty")),
        (b" ", Ok(b" ")),
        (b"\t \n", Ok(b"\t \n")),
        (b" a", Ok(b" a")),
        (b"A", Ok(b"A")),
        (b"{}", Ok(b"{}")),
        (b"{hapax}.1", Ok(b"{hapax}.1")),
        (b"a\r\nb: c", Ok(b"a\r\nb: c")),
        (b"a\0b", Ok(b"a\0b")),
        (b"%00%s", Ok(b"%00%s")),
        (b"NaN", Ok(b"NaN")),
        (b"null", Ok(b"null")),
        ("\u{e9}".as_bytes(), Ok(b"\xc3\xa9")),
        ("e\u{301}".as_bytes(), Ok(b"e\xcc\x81")),
        (b"\xff\xfe\x00", Ok(b"\xff\xfe\x00")),
        (&longest, Ok(&longest)),
        (&too_long, Err("too long")),
        (&mebibyte, Err("too long")),
    ];
    for (input, expected) in table {
        let expected = expected.map(<[u8]>::to_vec);
        let shown = String::from_utf8_lossy(&input[..input.len().min(20)]).into_owned();
        let of_header = record().header("x-id", input.to_vec()).build();
        assert_eq!(outcome(&HeaderId::new("x-id"), &of_header), expected, "header {shown:?}");
        let of_key = record().key(input.to_vec()).build();
        assert_eq!(outcome(&RecordKey::new(), &of_key), expected, "key {shown:?}");
        if let Ok(text) = std::str::from_utf8(input) {
            let payload = serde_json::json!({ "id": text }).to_string();
            let of_json = record().payload(payload).build();
            assert_eq!(outcome(&json("/id"), &of_json), expected, "JSON {shown:?}");
        }
    }
}

#[test]
fn headers() {
    let id = HeaderId::new("x-id");
    let table: Vec<(&str, Record, Expected<'_>)> = vec![
        ("none", record().build(), Err("missing")),
        ("another", record().header("x-id2", "a").build(), Err("missing")),
        ("another case", record().header("X-Id", "a").build(), Err("missing")),
        ("null", record().null_header("x-id").build(), Err("null")),
        ("twice", record().header("x-id", "a").header("x-id", "b").build(), Err("repeated")),
        ("twice the same", record().header("x-id", "a").header("x-id", "a").build(), Err("repeated")),
        ("null and a value", record().null_header("x-id").header("x-id", "a").build(), Err("repeated")),
        ("empty and a value", record().header("x-id", "").header("x-id", "a").build(), Err("repeated")),
        ("one among others", record().header("y", "b").header("x-id", "a").header("y", "c").build(), Ok(b"a")),
    ];
    for (name, record, expected) in table {
        assert_eq!(outcome(&id, &record), expected.map(<[u8]>::to_vec), "{name}");
    }
}

#[test]
fn scopes_of_headers() {
    let events = HeaderId::cloud_events();
    let event = || record().header("ce_id", "a");
    let table = [
        ("missing", event().build(), Err("no scope")),
        ("null", event().null_header("ce_source").build(), Err("no scope")),
        ("empty", event().header("ce_source", "").build(), Err("no scope")),
        ("repeated", event().header("ce_source", "s").header("ce_source", "s").build(), Err("no scope")),
        ("too long", event().header("ce_source", vec![b's'; MAX_ID_BYTES + 1]).build(), Err("no scope")),
        ("binary", event().header("ce_source", vec![0xff]).build(), Ok(b"a".to_vec())),
        ("no ID either", record().build(), Err("missing")),
        ("a scope, no ID", record().header("ce_source", "s").build(), Err("missing")),
    ];
    for (name, record, expected) in table {
        assert_eq!(outcome(&events, &record), expected, "{name}");
    }
    let problem = events.extract(&event().build()).unwrap_err();
    assert_eq!(problem.to_string(), "header ce_source, which should hold the scope of the ID, is missing");

    // Every extractor that has a scope refuses in the same way.
    let scope = || ScopeRule::Header("s".into());
    let unscoped = record().key("a").payload("\"a\"").header("x-id", "a").build();
    let extractors: [&dyn Extract; 4] = [
        &HeaderId::new("x-id").scope(scope()),
        &RecordKey::new().scope(scope()),
        &json("").scope(scope()),
        &ContentHash::new().scope(scope()),
    ];
    for extractor in extractors {
        assert_eq!(outcome(extractor, &unscoped), Err("no scope"), "{}", extractor.rule());
    }
}

#[test]
fn nulls() {
    let null = record().build();
    assert_eq!(outcome(&RecordKey::new(), &null), Err("missing"));
    assert_eq!(outcome(&json("/id"), &null), Err("null"));
    assert_eq!(outcome(&json(""), &null), Err("null"));
    assert_eq!(outcome(&ContentHash::new(), &null), Err("missing"));
    assert!(outcome(&ContentHash::new(), &record().payload("").build()).is_ok());
    assert!(outcome(&ContentHash::new(), &record().key("a").build()).is_ok(), "a tombstone has content: its key");
    assert!(outcome(&Coordinates, &null).is_ok());
}

#[test]
fn values_in_json() {
    let table: &[(&str, Expected<'_>)] = &[
        (r#"{"id":"a"}"#, Ok(b"a")),
        (" {\r\n\t\"id\" : \"a\" } \n", Ok(b"a")),
        (r#"{"id":1}"#, Ok(b"1")),
        (r#"{"id":"1"}"#, Ok(b"1")),
        (r#"{"id":0}"#, Ok(b"0")),
        (r#"{"id":-1}"#, Ok(b"-1")),
        (r#"{"id":18446744073709551615}"#, Ok(b"18446744073709551615")),
        (r#"{"id":-9223372036854775808}"#, Ok(b"-9223372036854775808")),
        (r#"{"id":18446744073709551616}"#, Err("invalid")),
        (r#"{"id":-9223372036854775809}"#, Err("invalid")),
        (r#"{"id":1.0}"#, Err("invalid")),
        (r#"{"id":1e0}"#, Err("invalid")),
        (r#"{"id":1E+2}"#, Err("invalid")),
        (r#"{"id":1e999}"#, Err("invalid")),
        (r#"{"id":-0}"#, Err("invalid")),
        (r#"{"id":0.1}"#, Err("invalid")),
        (r#"{"id":NaN}"#, Err("invalid")),
        (r#"{"id":Infinity}"#, Err("invalid")),
        (r#"{"id":01}"#, Err("invalid")),
        (r#"{"id":+1}"#, Err("invalid")),
        (r#"{"id":true}"#, Err("invalid")),
        (r#"{"id":false}"#, Err("invalid")),
        (r#"{"id":[]}"#, Err("invalid")),
        (r#"{"id":["a"]}"#, Err("invalid")),
        (r#"{"id":{}}"#, Err("invalid")),
        (r#"{"id":null}"#, Err("null")),
        (r#"{"id":""}"#, Err("empty")),
        (r#"{"id":"\u0061\n\"\\\/\ud83d\ude00"}"#, Ok("a\n\"\\/😀".as_bytes())),
        (r#"{"id":"\ud800"}"#, Err("invalid")),
        (r#"{"id":"\x"}"#, Err("invalid")),
        ("{\"id\":\"a\nb\"}", Err("invalid")),
        ("{\"id\":\"a\0b\"}", Err("invalid")),
        (r#"{"ID":"a"}"#, Err("missing")),
        (r#"{}"#, Err("missing")),
        (r#"[]"#, Err("missing")),
        (r#"[{"id":"a"}]"#, Err("missing")),
        (r#""id""#, Err("missing")),
        (r#"null"#, Err("missing")),
        (r#"7"#, Err("missing")),
        (r#"{"x":{"id":"b"}}"#, Err("missing")),
        (r#"{"id":"a","id":"a"}"#, Err("repeated")),
        (r#"{"id":"a","id":null}"#, Err("repeated")),
        (r#"{"id":"a","x":1,"id":"b","id":"c"}"#, Err("repeated")),
        (r#"{"id":"a","\u0069d":"b"}"#, Err("repeated")),
        (r#"{"id":"a","x":1,"x":2}"#, Ok(b"a")),
        (r#"{"id":"a","x":{"id":"b","id":"c"}}"#, Ok(b"a")),
        ("", Err("unread")),
        (" ", Err("invalid")),
        ("{", Err("invalid")),
        ("{}}", Err("invalid")),
        (r#"{"id":"a""#, Err("invalid")),
        (r#"{"id":"a"} x"#, Err("invalid")),
        (r#"{"id":"a"}{"id":"a"}"#, Err("invalid")),
        (r#"{"id":"a",}"#, Err("invalid")),
        (r#"{"id":"a","x":[1,}"#, Err("invalid")),
        (r#"{"id":"a","x":nul}"#, Err("invalid")),
        (r#"{'id':'a'}"#, Err("invalid")),
        (r#"{"id":"a"/**/}"#, Err("invalid")),
        ("\u{feff}{\"id\":\"a\"}", Err("invalid")),
    ];
    for (payload, expected) in table {
        let record = record().payload(*payload).build();
        assert_eq!(outcome(&json("/id"), &record), expected.map(<[u8]>::to_vec), "{payload}");
    }
    // Not UTF-8, in the ID and beside it.
    for payload in
        [&b"{\"id\":\"\xff\"}"[..], b"{\"id\":\"a\",\"x\":\"\xff\"}", b"{\"id\":\"a\",\"x\":\"\xed\xa0\x80\"}"]
    {
        let record = record().payload(payload).build();
        assert_eq!(outcome(&json("/id"), &record), Err("invalid"));
    }
}

/// IDs, scopes and payloads come from whoever may write to the topic: no text of ours repeats them.
#[test]
fn nothing_prints_what_a_message_holds() {
    const SECRET: &str = "s3cr3t";
    let quoted = format!("\"{SECRET}\"");
    let payloads = [
        quoted.clone(),
        format!("{{\"{SECRET}\":1,\"{SECRET}\":1,\"id\":{quoted},\"id\":{quoted}}}"),
        format!("{{\"id\":{quoted}}} {SECRET}"),
        format!("{{\"id\":{SECRET}}}"),
        format!("{{\"id\":[{quoted}]}}"),
        format!("{{\"id\":{quoted}"),
        format!("{{\"id\":\"{SECRET}\\ud800\"}}"),
        format!("{{\"id\":\"{SECRET}\\q\"}}"),
        format!("{{{SECRET}:1}}"),
        format!("{{\"id\":{quoted}}}"),
    ];
    let list = |first: &str| FirstOf::new(json(first)).or(HeaderId::cloud_events()).or(RecordKey::new());
    let binary = payloads.iter().map(|payload| format!("\0\0\0\0\x0c{SECRET}{payload}"));
    let registered = payloads.iter().map(|payload| format!("\0\0\0\0\x0c{payload}"));
    for payload in binary.chain(registered).chain(payloads.iter().cloned()) {
        let record = record()
            .header("content-type", format!("application/cloudevents+json; {SECRET}"))
            .key(SECRET)
            .header("ce_source", SECRET)
            .header("ce_id", SECRET)
            .header("hapax-replay", SECRET)
            .payload(payload)
            .build();
        let none = FirstOf::new(json("/none")).or(HeaderId::new("none"));
        let structured = Record::builder(TopicPartition::new("orders", 3), 17)
            .header("content-type", "application/cloudevents+json")
            .payload(record.payload().unwrap().clone())
            .build();
        let events = FirstOf::new(CloudEvents::new()).or(HeaderId::new("none"));
        let cases = [(list("/id"), &record), (list(""), &record), (none, &record), (events, &structured)];
        for (extractor, record) in cases {
            let found = extractor.extract(record);
            let shown = match &found {
                Ok(identity) => format!("{identity:?}"),
                Err(problem) => format!("{problem:?} {problem}"),
            };
            assert!(!shown.contains(SECRET), "{shown}");
        }
        let identifier = crate::id::Identifier::new("ns".parse().unwrap()).key(IdKey::new(SECRET.as_bytes()));
        let shown = format!("{identifier:?} {:?}", identifier.identify(&record));
        assert!(!shown.contains(SECRET), "{shown}");
    }
}
