//! What every extractor makes of every kind of input.

mod bad_input;
mod cloud_events;
mod encoding;
mod equality;
mod json;
mod lists;
mod namespace;
mod policy;
mod registry;
mod replay;
mod vectors;

use super::{Extract, IdProblem, Identity};
use crate::record::{Record, RecordBuilder, TopicPartition};

/// Starts a record at orders-3@17.
fn record() -> RecordBuilder {
    Record::builder(TopicPartition::new("orders", 3), 17)
}

/// The ID's bytes, or the problem's variant.
fn outcome(extractor: &dyn Extract, record: &Record) -> Result<Vec<u8>, &'static str> {
    extractor.extract(record).map(|identity| identity.id.as_bytes().to_vec()).map_err(|problem| variant(&problem))
}

fn variant(problem: &IdProblem) -> &'static str {
    match problem {
        IdProblem::Missing { .. } => "missing",
        IdProblem::Null { .. } => "null",
        IdProblem::Empty => "empty",
        IdProblem::TooLong { .. } => "too long",
        IdProblem::Repeated { .. } => "repeated",
        IdProblem::Invalid { .. } => "invalid",
        IdProblem::NoScope { .. } => "no scope",
        IdProblem::Unread { .. } => "unread",
        IdProblem::InList { .. } if problem.is_absent() => "missing",
        IdProblem::InList { tried } => variant(&tried.last().expect("a rule was asked").1),
    }
}

fn encoding(identity: &Identity) -> Vec<u8> {
    let mut bytes = Vec::new();
    identity.encode(|part| bytes.extend_from_slice(part));
    bytes
}
