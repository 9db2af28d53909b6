//! IDs as callers name them.

use bytes::Bytes;
use serde::Deserialize;

use crate::id::{Fingerprint, IdKey, Identity, MAX_ID_BYTES, MessageId, Scope};
use crate::sidecar::naming;

/// How many IDs one call may name.
pub(super) const MOST_IDS: usize = 1000;

/// What a scope is that a caller names by a plain text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScopeKind {
    /// A topic: the default of most rules.
    #[default]
    Topic,
    /// The value of a header, such as CloudEvents' `ce_source`.
    Header,
    /// A name from the configuration.
    Name,
}

/// One ID, as it stands in a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedId {
    scope: Option<AskedScope>,
    id: Option<serde_json::Value>,
    replay: Option<u64>,
    fingerprint: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum AskedScope {
    Plain(String),
    Kind(NamedScope),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NamedScope {
    Topic(String),
    Header(String),
    Name(String),
}

impl AskedScope {
    fn read(&self, plain: ScopeKind) -> Scope {
        let (kind, text) = match self {
            Self::Plain(text) => (plain, text),
            Self::Kind(NamedScope::Topic(text)) => (ScopeKind::Topic, text),
            Self::Kind(NamedScope::Header(text)) => (ScopeKind::Header, text),
            Self::Kind(NamedScope::Name(text)) => (ScopeKind::Name, text),
        };
        match kind {
            ScopeKind::Topic => Scope::Topic(text.as_str().into()),
            ScopeKind::Header => Scope::Header(Bytes::copy_from_slice(text.as_bytes())),
            ScopeKind::Name => Scope::Name(text.as_str().into()),
        }
    }
}

/// What the store knows each of these IDs by; an error names the first that is unusable, by its place and never by value.
pub(super) fn fingerprints(asked: &[AskedId], key: &IdKey, plain: ScopeKind) -> Result<Vec<Fingerprint>, String> {
    if asked.is_empty() {
        return Err("ids is empty; name at least one".to_owned());
    }
    if asked.len() > MOST_IDS {
        return Err(format!("ids has {}, and at most {MOST_IDS} can be asked for in one call", asked.len()));
    }
    let each = asked.iter().enumerate();
    each.map(|(at, id)| id.fingerprint(key, plain).map_err(|problem| format!("ids[{at}] {problem}"))).collect()
}

impl AskedId {
    fn fingerprint(&self, key: &IdKey, plain: ScopeKind) -> Result<Fingerprint, String> {
        match (&self.fingerprint, &self.scope, &self.id) {
            (Some(digits), None, None) if self.replay.is_none() => {
                let read = naming::fingerprint(digits);
                read.map_err(|_| "has a fingerprint that is not 32 hexadecimal digits".to_owned())
            }
            (None, Some(scope), Some(id)) => {
                let id = message_id(id)?;
                let scope = scope.read(plain);
                Ok(key.fingerprint(&Identity { scope, id, replay: self.replay.unwrap_or(0) }))
            }
            _ => Err("needs either scope and id, or a fingerprint alone".to_owned()),
        }
    }
}

fn message_id(id: &serde_json::Value) -> Result<MessageId, String> {
    match id {
        serde_json::Value::String(text) => {
            MessageId::new(text.clone()).map_err(|problem| format!("cannot be used: {problem}"))
        }
        serde_json::Value::Number(number) => {
            let whole = number.as_i64().map(MessageId::whole_number).or(number.as_u64().map(MessageId::whole_number));
            whole.ok_or_else(|| "has an id that is a number, and not a whole one of 64 bits".to_owned())
        }
        _ => Err(format!("has an id that is neither text of at most {MAX_ID_BYTES} bytes nor a whole number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Fingerprint>, String> {
        let asked: Vec<AskedId> = serde_json::from_str(text).map_err(|problem| problem.to_string())?;
        fingerprints(&asked, &IdKey::default(), ScopeKind::Topic)
    }

    fn fingerprint(scope: Scope, id: MessageId, replay: u64) -> Fingerprint {
        IdKey::default().fingerprint(&Identity { scope, id, replay })
    }

    #[test]
    fn an_id_is_what_the_consumer_makes_of_it() {
        let text = || MessageId::new("7").unwrap();
        for (asked, is) in [
            (r#"{"scope":"orders","id":"7"}"#, fingerprint(Scope::Topic("orders".into()), text(), 0)),
            (r#"{"scope":{"header":"/shop"},"id":"7"}"#, fingerprint(Scope::Header("/shop".into()), text(), 0)),
            (r#"{"scope":{"name":"all"},"id":"7","replay":2}"#, fingerprint(Scope::Name("all".into()), text(), 2)),
            (
                r#"{"scope":{"topic":"orders"},"id":-7}"#,
                fingerprint(Scope::Topic("orders".into()), MessageId::whole_number(-7), 0),
            ),
            (r#"{"fingerprint":"000102030405060708090a0b0c0d0eFF"}"#, {
                let mut bytes: [u8; 16] = std::array::from_fn(|at| at as u8);
                bytes[15] = 0xff;
                Fingerprint::from_bytes(bytes)
            }),
        ] {
            assert_eq!(read(&format!("[{asked}]")), Ok(vec![is]), "{asked}");
        }
        assert_ne!(read(r#"[{"scope":"a","id":"7"}]"#), read(r#"[{"scope":"a","id":7}]"#));
    }

    #[test]
    fn what_cannot_be_used_is_named_by_its_place_and_not_by_its_value() {
        for asked in [
            r#"{"scope":"secret"}"#,
            r#"{"id":"secret"}"#,
            r#"{"scope":"a","id":""}"#,
            r#"{"scope":"a","id":1.5}"#,
            r#"{"scope":"a","id":1e3}"#,
            r#"{"scope":"a","id":18446744073709551616}"#,
            r#"{"scope":"a","id":["secret"]}"#,
            r#"{"fingerprint":"secret"}"#,
            r#"{"fingerprint":"+0010203040506070809000102030405"}"#,
            r#"{"fingerprint":"00010203040506070809000102030405","id":"secret"}"#,
            r#"{"fingerprint":"00010203040506070809000102030405","replay":1}"#,
        ] {
            let problem = read(&format!(r#"[{{"scope":"a","id":"b"}},{asked}]"#)).unwrap_err();
            assert!(problem.starts_with("ids[1] ") && !problem.contains("secret"), "{asked}: {problem}");
        }
        let long = "x".repeat(MAX_ID_BYTES + 1);
        assert!(read(&format!(r#"[{{"scope":"a","id":"{long}"}}]"#)).is_err());
        assert!(read("[]").unwrap_err().contains("at least one"));
        let many = vec![r#"{"scope":"a","id":"b"}"#; MOST_IDS + 1].join(",");
        assert!(read(&format!("[{many}]")).unwrap_err().contains("at most 1000"));
    }
}
