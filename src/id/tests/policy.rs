//! What happens to records without an ID.

use std::error::Error;
use std::sync::Arc;

use super::record;
use crate::id::{
    Coordinates, Extract, HeaderId, IdKey, IdPolicy, IdProblem, Identification, Identifier, JsonPointer, Namespace,
    NoMessageId, RecordKey,
};
use crate::record::{Record, TopicPartition};

fn identifier() -> Identifier {
    Identifier::new(Namespace::new("billing").unwrap())
}

#[test]
fn each_policy_has_its_outcome() {
    let none = record().build();
    let Identification::Stop(IdProblem::Missing { part }) = identifier().identify(&none) else {
        panic!("stop is the default")
    };
    assert_eq!(&*part, "header ce_id");
    assert_eq!(identifier().policy(IdPolicy::Process).identify(&none), Identification::Process);
    let by_place = identifier().policy(IdPolicy::Coordinates).identify(&none);
    assert_eq!(by_place, identifier().extractor(Coordinates).identify(&none));
}

#[test]
fn a_usable_id_is_the_same_under_every_policy() {
    let event = record().header("ce_id", "a").header("ce_source", "s").build();
    let stop = identifier().identify(&event);
    let Identification::Id { fingerprint, identity } = &stop else { panic!("no ID") };
    assert_eq!(*fingerprint, IdKey::default().fingerprint(identity));
    for policy in [IdPolicy::Process, IdPolicy::Coordinates] {
        assert_eq!(identifier().policy(policy).identify(&event), stop);
    }
    assert_ne!(identifier().key(IdKey::new(b"secret")).identify(&event), stop);
}

#[test]
fn the_rule_is_the_same_under_every_policy() {
    // Or a namespace that was opened with one policy could not go on with another.
    for policy in [IdPolicy::Stop, IdPolicy::Process, IdPolicy::Coordinates] {
        assert_eq!(identifier().extractor(RecordKey::new()).policy(policy).rule(), "key (scope topic)");
    }
    // A shared extractor has the rule of what it shares.
    let shared: Arc<dyn Extract> = Arc::new(HeaderId::cloud_events());
    assert_eq!(identifier().extractor(shared).rule(), identifier().rule());
    assert_eq!(identifier().key_check(), IdKey::new(b"").check_value());
    assert_ne!(identifier().key(IdKey::new(b"secret")).key_check(), identifier().key_check());
}

#[test]
fn a_stop_names_the_record_the_problem_and_the_ways_out() {
    let problem = IdProblem::Missing { part: "header ce_id".into() };
    let stop = NoMessageId { origin: record().build().origin(), problem: problem.clone() };
    let text = stop.to_string();
    for way in ["orders-3@17", "header", "key", "JSON pointer", "content", "coordinates", "first of", "own", "process"]
    {
        assert!(text.contains(way), "{way}: {text}");
    }
    assert_eq!(stop.source().unwrap().to_string(), problem.to_string());
}

/// The way that the pages recommend for change data capture: two deletions of one row are two messages.
#[test]
fn policy_coordinates_identifies_each_tombstone_by_its_place() {
    let changes = identifier().extractor(JsonPointer::new("/payload/source/lsn").unwrap());
    let changes = changes.policy(IdPolicy::Coordinates);
    let at = |offset| Record::builder(TopicPartition::new("orders", 3), offset).key("order-42");
    let tombstone = |offset| changes.identify(&at(offset).build());
    let change = |offset| changes.identify(&at(offset).payload(r#"{"payload":{"source":{"lsn":7}}}"#).build());
    assert_ne!(tombstone(7), tombstone(9), "another deletion");
    assert_eq!(tombstone(7), tombstone(7), "delivered twice");
    assert_eq!(change(6), change(8), "read twice from the database's log");
    assert_ne!(change(7), tombstone(7));
}
