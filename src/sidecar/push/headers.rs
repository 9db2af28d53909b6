//! Headers that come from records, and what keeps a producer from saying more by them than it may.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use super::event::Attributes;
use crate::error::Problem;
use crate::record::Record;
use crate::sidecar::telemetry::under_way;

/// How many headers, and attributes, a record may make.
pub(super) const MOST_HEADERS: usize = 64;
/// How long the value of one may be, in bytes, once encoded.
const LONGEST_HEADER: usize = 8 * 1024;
/// How long all their names and values may be.
const LONGEST_HEADERS: usize = 32 * 1024;

/// What CloudEvents' HTTP binding wants encoded, beside all that is not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Names that belong to HTTP, to whoever stands between, or to us.
const RESERVED: [&str; 26] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "idempotency-key",
    "keep-alive",
    "max-forwards",
    "proxy-connection",
    "set-cookie",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-real-ip",
];
const RESERVED_STARTS: [&str; 4] = ["ce-", "hapax-", "proxy-", "x-forwarded-"];

/// Whether no header of a record's may become the header of that name. An underscore counts as a hyphen: receivers that
/// read headers as variables (CGI, WSGI) see no difference.
pub(in crate::sidecar) fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    RESERVED.contains(&&*name) || RESERVED_STARTS.iter().any(|start| name.starts_with(start))
}

/// Why a record cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    TooMany,
    TooLong,
}

impl std::error::Error for Unfit {}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "the record has more than 64 headers that are to be sent",
            Self::TooLong => {
                "the record's headers are longer than 8 KiB each or 32 KiB in all; in structured mode attributes may be \
                 longer"
            }
        })
    }
}

/// The headers that a record makes, bounded.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) headers: HeaderMap,
    count: usize,
    bytes: usize,
}

impl Made {
    /// Adds the attributes of an event.
    pub(super) fn attributes(&mut self, attributes: &Attributes<'_>) -> Result<(), Unfit> {
        for (name, value) in attributes {
            // Names are checked where attributes are gathered.
            let Some(name) = attribute_name(name) else { continue };
            self.add(name, value.as_bytes())?;
        }
        Ok(())
    }

    /// Adds those that the settings name.
    pub(super) fn mapped(&mut self, record: &Record, rules: &[(String, HeaderName)]) -> Result<(), Unfit> {
        for (from, to) in rules {
            let last = record.headers().iter().rev().find(|header| *header.name == **from);
            if let Some(value) = last.and_then(|header| header.value.as_ref()) {
                self.add(to.clone(), value)?;
            }
        }
        Ok(())
    }

    /// Adds the trace that the record is part of: the span under way, or, where nothing is traced here, the record's own.
    pub(super) fn trace(&mut self, record: &Record) {
        let under_way = under_way();
        if !under_way.is_empty() {
            for (name, value) in under_way {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    self.headers.insert(HeaderName::from_static(name), value);
                }
            }
            return;
        }
        let Some(parent) = only(record, "traceparent").filter(|parent| is_trace_parent(parent)) else { return };
        let Ok(parent) = HeaderValue::from_bytes(parent) else { return };
        self.headers.insert(HeaderName::from_static("traceparent"), parent);
        let state = only(record, "tracestate").filter(|state| is_trace_state(state));
        if let Some(state) = state.and_then(|state| HeaderValue::from_bytes(state).ok()) {
            self.headers.insert(HeaderName::from_static("tracestate"), state);
        }
    }

    fn add(&mut self, name: HeaderName, value: &[u8]) -> Result<(), Unfit> {
        let value = encoded(value);
        self.count += 1;
        self.bytes += name.as_str().len() + value.len();
        if self.count > MOST_HEADERS {
            return Err(Unfit::TooMany);
        }
        if value.len() > LONGEST_HEADER || self.bytes > LONGEST_HEADERS {
            return Err(Unfit::TooLong);
        }
        // Nothing that was encoded is refused.
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            self.headers.insert(name, value);
        }
        Ok(())
    }
}

/// Percent-encodes what CloudEvents' HTTP binding says, so that no value can end its header.
fn encoded(value: &[u8]) -> Cow<'_, str> {
    percent_encode(value, ENCODED).into()
}

fn attribute_name(name: &str) -> Option<HeaderName> {
    Some(match name {
        "specversion" => HeaderName::from_static("ce-specversion"),
        "id" => HeaderName::from_static("ce-id"),
        "source" => HeaderName::from_static("ce-source"),
        "type" => HeaderName::from_static("ce-type"),
        "time" => HeaderName::from_static("ce-time"),
        "subject" => HeaderName::from_static("ce-subject"),
        "topic" => HeaderName::from_static("ce-topic"),
        "partition" => HeaderName::from_static("ce-partition"),
        "offset" => HeaderName::from_static("ce-offset"),
        "partitionkey" => HeaderName::from_static("ce-partitionkey"),
        name => HeaderName::try_from(format!("ce-{name}")).ok()?,
    })
}

fn only<'r>(record: &'r Record, name: &'r str) -> Option<&'r [u8]> {
    let mut values = record.header_values(name);
    let value = values.next()??;
    values.next().is_none().then_some(value)
}

/// Whether it is of version 00 of the W3C's Trace Context, and not all zeros.
fn is_trace_parent(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let hex =
        |part: &str, length| part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let some = |part: &str, length| hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let mut parts = text.split('-');
    let mut next = || parts.next().unwrap_or_default();
    next() == "00" && some(next(), 32) && some(next(), 16) && hex(next(), 2) && parts.next().is_none()
}

fn is_trace_state(value: &[u8]) -> bool {
    value.len() <= 512 && value.contains(&b'=') && value.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Reads the settings' list of headers that are passed on.
pub(super) fn rules(settings: &[(String, String)]) -> Result<Vec<(String, HeaderName)>, Problem> {
    let problem = |what: String| Problem::new("HAPAX_PUSH_HEADERS", what);
    let rule = |(from, to): &(String, String)| {
        let name = HeaderName::try_from(to.to_ascii_lowercase());
        let name = name.map_err(|_| problem(format!("{to:?} cannot be the name of an HTTP header")))?;
        match is_reserved(name.as_str()) {
            true => Err(problem(format!("{to:?} cannot be set from a record's header; choose another name"))),
            false => Ok((from.clone(), name)),
        }
    };
    settings.iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{RecordBuilder, TopicPartition};

    fn record() -> RecordBuilder {
        Record::builder(TopicPartition::new("orders", 3), 42)
    }

    fn rule(from: &str, to: &str) -> (String, String) {
        (from.to_owned(), to.to_owned())
    }

    fn mapped(record: RecordBuilder) -> Result<HeaderMap, Unfit> {
        let rules = rules(&[rule("tenant", "X-Tenant"), rule("b", "x-b")]).unwrap();
        let mut made = Made::default();
        made.mapped(&record.build(), &rules)?;
        Ok(made.headers)
    }

    #[test]
    fn only_what_is_named_is_passed_on() {
        let record = record().header("tenant", "a").header("tenant", "b").header("Tenant", "c").header("host", "evil");
        let headers = mapped(record.null_header("b")).unwrap();
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["x-tenant"], "b", "the last");
    }

    #[test]
    fn no_value_ends_its_header() {
        for (value, expected) in [
            (b"plain-~!'()".as_slice(), "plain-~!'()"),
            (b"a b", "a%20b"),
            (b"a\r\nHost: evil", "a%0D%0AHost:%20evil"),
            (b"\0\t\x7f", "%00%09%7F"),
            (b"100%", "100%25"),
            (b"\"q\"", "%22q%22"),
            ("€ü".as_bytes(), "%E2%82%AC%C3%BC"),
            (b"\xff\xfe", "%FF%FE"),
            (b"", ""),
        ] {
            assert_eq!(mapped(record().header("tenant", value)).unwrap()["x-tenant"], expected);
        }
    }

    #[test]
    fn too_long_and_too_many_are_refused() {
        let long = |length| mapped(record().header("tenant", vec![b'a'; length])).map(drop);
        assert_eq!((long(8192), long(8193)), (Ok(()), Err(Unfit::TooLong)));
        let attributes = |count: usize, length: usize| {
            let names: Vec<String> = (0..count).map(|n| format!("a{n:03}")).collect();
            let attributes = names.iter().map(|name| (name.as_str(), "x".repeat(length).into())).collect();
            Made::default().attributes(&attributes)
        };
        assert_eq!(attributes(64, 1), Ok(()));
        assert_eq!(attributes(65, 1), Err(Unfit::TooMany));
        assert_eq!(attributes(4, 8000), Ok(()));
        assert_eq!(attributes(5, 8000), Err(Unfit::TooLong));
    }

    #[test]
    fn reserved_names_cannot_be_configured() {
        for name in [
            "Host",
            "Idempotency-Key",
            "idempotency_KEY",
            "ce-id",
            "CE_id",
            "Hapax-Attempt",
            "hapax_attempt",
            "TE",
            "cookie",
            "X-Forwarded-For",
            "a b",
            "",
        ] {
            let problem = rules(&[rule("x", name)]).unwrap_err();
            assert_eq!(problem.setting, "HAPAX_PUSH_HEADERS", "{name}");
        }
    }

    #[test]
    fn a_trace_is_passed_on_where_it_is_valid_and_there_is_one() {
        const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = |record: RecordBuilder| {
            let mut made = Made::default();
            made.trace(&record.build());
            let get = |name| made.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            (get("traceparent"), get("tracestate"))
        };
        let good = || record().header("traceparent", PARENT);
        let parent = Some(PARENT.to_owned());
        assert_eq!(trace(good()), (parent.clone(), None));
        assert_eq!(trace(good().header("tracestate", "a=1,b=2")), (parent.clone(), Some("a=1,b=2".to_owned())));
        assert_eq!(trace(good().header("tracestate", "a=1\r\nhost: x")), (parent.clone(), None));
        assert_eq!(trace(good().header("tracestate", "a=1").header("tracestate", "b=1")), (parent, None));
        assert_eq!(trace(record().header("tracestate", "a=1")), (None, None));
        for bad in [
            PARENT.to_uppercase(),
            PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            PARENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
            format!("ff{}", &PARENT[2..]),
            format!("{PARENT}-x"),
            PARENT[..54].to_owned(),
            format!("{PARENT}\n"),
            String::new(),
        ] {
            assert_eq!(trace(record().header("traceparent", bad.clone())), (None, None), "{bad}");
        }
        assert_eq!(trace(good().header("traceparent", PARENT)), (None, None), "which of the two?");
    }
}
