//! Identities that differ have different encodings.

use proptest::prelude::*;

use super::encoding;
use crate::id::identity::Kind;
use crate::id::{Identity, MessageId, Scope};

const KINDS: [Kind; 5] = Kind::ALL;

fn scope(kind: usize, bytes: Vec<u8>) -> Scope {
    let text = || String::from_utf8(bytes.clone()).unwrap().into();
    match kind {
        0 => Scope::Topic(text()),
        1 => Scope::Header(bytes.into()),
        _ => Scope::Name(text()),
    }
}

fn identity(scope: Scope, replay: u64, kind: usize, id: Vec<u8>) -> Identity {
    Identity { replay, ..Identity::new(scope, MessageId::of_kind(KINDS[kind], id)) }
}

/// Few values for each part, so that many of two identities are equal.
fn any_identity() -> impl Strategy<Value = Identity> {
    let bytes = || prop::collection::vec(0..2u8, 0..3);
    (0..3usize, bytes(), prop_oneof![0..3u64, Just(256), Just(u64::MAX)], 0..KINDS.len(), bytes())
        .prop_map(|(s, scope_bytes, replay, k, id)| identity(scope(s, scope_bytes), replay, k, id))
}

/// Two identities that are the same bytes in a row and differ only in where the scope ends.
fn shifted() -> impl Strategy<Value = (Identity, Identity)> {
    (prop::collection::vec(0..4u8, 9..24), 0..3usize).prop_flat_map(|(row, kind)| {
        let split = 0..=row.len() - 9;
        let at = move |end: usize, row: &[u8]| {
            let replay = u64::from_le_bytes(row[end..end + 8].try_into().unwrap());
            identity(scope(kind, row[..end].to_vec()), replay, row[end + 8].into(), row[end + 9..].to_vec())
        };
        (split.clone(), split).prop_map(move |(one, other)| (at(one, &row), at(other, &row)))
    })
}

proptest! {
    #[test]
    fn is_injective(one in any_identity(), other in any_identity()) {
        prop_assert_eq!(one == other, encoding(&one) == encoding(&other));
    }

    #[test]
    fn tells_where_the_scope_ends((one, other) in shifted()) {
        prop_assert_eq!(one == other, encoding(&one) == encoding(&other));
    }
}
