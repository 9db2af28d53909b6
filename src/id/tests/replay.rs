//! The header of replayed records.

use super::{record, variant};
use crate::id::{HeaderId, IdPolicy, Identification, Identifier, Namespace, replay_count};
use crate::record::RecordBuilder;

fn billing() -> Namespace {
    Namespace::new("billing").unwrap()
}

fn replayed(values: &[&str]) -> RecordBuilder {
    values.iter().fold(record().header("x-id", "a"), |record, value| record.header("hapax-replay", value.to_string()))
}

#[test]
fn only_a_well_formed_count_for_us_counts() {
    let table: &[(&[&str], Result<u64, &str>)] = &[
        (&[], Ok(0)),
        (&["billing 1"], Ok(1)),
        (&["billing 18446744073709551615"], Ok(u64::MAX)),
        (&["audit 7"], Ok(0)),
        (&["audit 7", "billing 2", "stock 1"], Ok(2)),
        // What another namespace is told is not ours to judge.
        (&["audit x", "audit 0", "audit 1", "audit 1"], Ok(0)),
        (&["Billing 1", "billing2 1", "illing 1"], Ok(0)),
        (&["billing 1", "billing 1"], Err("invalid")),
        (&["billing 1", "audit 1", "billing 2"], Err("invalid")),
        (&["billing 0"], Err("invalid")),
        (&["billing 00"], Err("invalid")),
        (&["billing 01"], Err("invalid")),
        (&["billing +1"], Err("invalid")),
        (&["billing -1"], Err("invalid")),
        (&["billing 1.0"], Err("invalid")),
        (&["billing 1 "], Err("invalid")),
        (&["billing  1"], Err("invalid")),
        (&["billing 1\n"], Err("invalid")),
        (&["billing 18446744073709551616"], Err("invalid")),
        (&["billing ١"], Err("invalid")),
        (&["billing "], Err("invalid")),
        // It cannot be told whose these are.
        (&["billing"], Err("invalid")),
        (&["billing\t1"], Err("invalid")),
        (&["1"], Err("invalid")),
        (&[""], Err("invalid")),
        (&[" 1"], Err("invalid")),
        (&["{billing} 1"], Err("invalid")),
        (&["billing 1", "?"], Err("invalid")),
    ];
    for (values, expected) in table {
        let found = replay_count(&replayed(values).build(), &billing()).map_err(|problem| variant(&problem));
        assert_eq!(found, *expected, "{values:?}");
    }
    let null = replayed(&[]).null_header("hapax-replay").build();
    assert!(replay_count(&null, &billing()).is_err());
    let binary = replayed(&[]).header("hapax-replay", vec![0xff, b' ', b'1']).build();
    assert!(replay_count(&binary, &billing()).is_err());
}

#[test]
fn a_replay_is_new_to_its_namespace_only() {
    let id = |namespace: &str, values: &[&str]| {
        let identifier = Identifier::new(Namespace::new(namespace).unwrap()).extractor(HeaderId::new("x-id"));
        identifier.identify(&replayed(values).build())
    };
    assert_ne!(id("billing", &["billing 1"]), id("billing", &[]));
    assert_ne!(id("billing", &["billing 1"]), id("billing", &["billing 2"]));
    assert_eq!(id("audit", &["billing 1"]), id("audit", &[]));
    let Identification::Id { identity, .. } = id("billing", &["billing 3"]) else { panic!("no ID") };
    assert_eq!(identity.replay, 3);
}

#[test]
fn an_unreadable_count_follows_the_policy() {
    let unreadable = replayed(&["billing x"]).build();
    let by = |policy| Identifier::new(billing()).extractor(HeaderId::new("x-id")).policy(policy).identify(&unreadable);
    assert!(matches!(by(IdPolicy::Stop), Identification::Stop(_)));
    assert_eq!(by(IdPolicy::Process), Identification::Process);
    let Identification::Id { identity, .. } = by(IdPolicy::Coordinates) else { panic!("no ID") };
    assert_eq!(identity, crate::id::Coordinates::identity(&unreadable));
}
