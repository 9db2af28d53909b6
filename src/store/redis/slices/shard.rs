//! In which set, and as which number, an ID is remembered.

use super::plan::Generation;
use crate::id::Fingerprint;

/// One set: a shard of a generation of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Shard {
    pub(in super::super) generation: Generation,
    /// From 0 to the count of shards, exclusive.
    pub(in super::super) index: u32,
}

impl Shard {
    /// The set of an ID. Bits 8 to 39 of the fingerprint choose it; the group is chosen by others, the six highest,
    /// and the member is the lower half: 64 + 6 + log2(shards) bits identify an ID.
    pub(in super::super) fn of(generation: Generation, fingerprint: &Fingerprint) -> Self {
        let bytes = fingerprint.as_bytes();
        let chosen = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
        let index = (u64::from(chosen) * u64::from(generation.shards)) >> 32;
        // Less than the count of shards, which is a u32.
        Self { generation, index: index as u32 }
    }

    /// One set of a group, the same each time.
    pub(super) fn sample(generation: Generation, group: u32) -> Self {
        Self { generation, index: group.wrapping_mul(0x9e37_79b9) % generation.shards.max(1) }
    }
}

/// The number that stands for an ID in its set.
pub(in super::super) fn member(fingerprint: &Fingerprint) -> i64 {
    let [.., a, b, c, d, e, f, g, h] = *fingerprint.as_bytes();
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_shard_and_member_are_chosen_by_different_bits() {
        let generation = Generation { slice: 1, shards: 1000, from: 0 };
        let mut bytes = [0xff; 16];
        let of = |bytes| Shard::of(generation, &Fingerprint::from_bytes(bytes)).index;
        assert_eq!(of(bytes), 999);
        bytes[0] = 0;
        bytes[5..].fill(0);
        assert_eq!(of(bytes), 999);
        bytes[1] = 0x7f;
        assert_eq!(of(bytes), 499);
        assert_eq!(member(&Fingerprint::from_bytes([0xff; 16])), -1);
    }
}
