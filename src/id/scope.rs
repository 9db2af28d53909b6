//! What IDs are unique in, as a rule for all records.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::record::Record;

use super::extract::quoted;
use super::{IdProblem, MAX_ID_BYTES, Scope};

/// Where a record's [`Scope`] comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScopeRule {
    /// The record's topic: the default. The same ID in two topics is two messages, so a producer that resends to
    /// another topic is not noticed; use [`ScopeRule::Name`] for that.
    #[default]
    Topic,
    /// The value of the header of that name, compared byte for byte, in whatever topic: for producers whose IDs are
    /// unique only within what the header names. A record without it has no identity ([`IdProblem::NoScope`]).
    Header(Arc<str>),
    /// This name, for all records: the same ID in two topics is one message. Two deployments that share a namespace
    /// must use the same.
    Name(Arc<str>),
}

impl ScopeRule {
    /// The scope of one record; shares the record's bytes and copies nothing.
    ///
    /// # Errors
    ///
    /// [`IdProblem::NoScope`] where the header is missing, null, empty, longer than [`MAX_ID_BYTES`] or repeated.
    pub fn scope_of(&self, record: &Record) -> Result<Scope, IdProblem> {
        match self {
            Self::Topic => Ok(Scope::Topic(Arc::clone(record.partition().topic_arc()))),
            Self::Name(name) => Ok(Scope::Name(Arc::clone(name))),
            Self::Header(name) => match header_scope(record, name) {
                Ok(value) => Ok(Scope::Header(value.clone())),
                Err(problem) => Err(IdProblem::NoScope { part: format!("header {name}").into(), problem }),
            },
        }
    }
}

fn header_scope<'a>(record: &'a Record, name: &'a str) -> Result<&'a Bytes, &'static str> {
    let mut values = record.header_values(name);
    match (values.next(), values.next()) {
        (None, _) => Err("is missing"),
        (_, Some(_)) => Err("occurs more than once"),
        (Some(None), None) => Err("is null"),
        (Some(Some(value)), None) => match value.len() {
            0 => Err("is empty"),
            length if length > MAX_ID_BYTES => Err("is longer than an ID may be"),
            _ => Ok(value),
        },
    }
}

impl fmt::Display for ScopeRule {
    /// The rule as it stands in [`Extract::rule`](super::Extract::rule).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic => f.write_str("scope topic"),
            Self::Header(name) => write!(f, "scope header {}", quoted(name)),
            Self::Name(name) => write!(f, "scope name {}", quoted(name)),
        }
    }
}
