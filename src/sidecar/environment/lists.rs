//! Lists of pairs, and of names.

use std::time::Duration;

use http::HeaderName;

use super::problem::{Complaint, Parsed};
use super::values::{list, some_time};
use crate::sidecar::push::is_reserved_header;

/// `x-tenant,trace-id=X-Trace-Id`: Kafka's name, HTTP's name.
pub(super) fn headers(text: &str) -> Parsed<Vec<(String, String)>> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for item in list(text)? {
        let (kafka, name) = item.split_once('=').unwrap_or((item, item));
        let (kafka, name) = (kafka.trim(), name.trim());
        if kafka.is_empty() {
            return Err(Complaint::new("has an item without a name of Kafka's"));
        }
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(Complaint::with(
                "has a name that cannot be one of an HTTP header",
                "give it another one, as in trace id=X-Trace-Id",
            ));
        }
        if is_reserved_header(name) {
            return Err(Complaint::with(
                "has the name of an HTTP header that no message may choose (Host, Authorization, Cookie, ce-*, hapax-*, \
                 X-Forwarded-*, Idempotency-Key, traceparent, or one of the connection)",
                "give it another one, as in host=X-Origin-Host",
            ));
        }
        if headers.iter().any(|(_, other)| other.eq_ignore_ascii_case(name)) {
            return Err(Complaint::with("has one HTTP header twice", "give each a name of its own"));
        }
        headers.push((kafka.to_owned(), name.to_owned()));
    }
    Ok(headers)
}

/// `orders-retry-1m=1m,orders-retry-1h=1h`: a topic, its delay.
pub(super) fn retry_topics(text: &str) -> Parsed<Vec<(String, Duration)>> {
    let pair = |item: &str| {
        let (topic, delay) = item.split_once('=').ok_or(Complaint::new("has a topic without a delay"))?;
        let wrong = |_| Complaint::new("has a delay that is not a duration, or zero");
        match topic.trim() {
            "" => Err(Complaint::new("has a delay without a topic")),
            topic => Ok((topic.to_owned(), some_time(delay.trim()).map_err(wrong)?)),
        }
    };
    list(text)?.into_iter().map(pair).collect()
}

/// Names by which one may be called in `Host`.
pub(super) fn hosts(text: &str) -> Parsed<Vec<String>> {
    let name = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let address = name.starts_with('[') && name.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().is_ok();
        match name.bytes().all(plain) || address {
            true => Ok(name.to_owned()),
            false => {
                Err(Complaint::with("has an item that is not a host's name", "write names alone, without port or path"))
            }
        }
    };
    list(text)?.into_iter().map(name).collect()
}

/// Topics, by their full names.
pub(super) fn topics(text: &str) -> Parsed<Vec<String>> {
    let topics = list(text)?;
    match topics.iter().enumerate().any(|(index, topic)| topics[..index].contains(topic)) {
        true => Err(Complaint::with("names a topic twice", "name each once")),
        false => Ok(topics.into_iter().map(str::to_owned).collect()),
    }
}
