//! Which key holds what.
//!
//! | key | holds |
//! |---|---|
//! | `hapax:1:{<namespace>}:meta` | what the namespace agreed on, as JSON |
//! | `hapax:1:{<namespace>.<group>}:l:<fingerprint>` | the lease of an ID in flight, or the count of an idle one |
//! | `hapax:1:{<namespace>}:plan` | compact: which slice has how many sets, in a hash |
//! | `hapax:1:{<namespace>.<group>}:s:<slice>.<shards>.<shard>` | compact: a set of done IDs, each a 64-bit integer |
//! | `hapax:1:{<namespace>.<group>}:d:<fingerprint>` | exact: a done ID |
//!
//! `1` is the version of this layout. The braces are Redis Cluster's hash tag: all keys of an ID lie in one slot. A
//! group is two hexadecimal digits, one of the 64 in `groups`, which spread evenly over the slots.
//!
//! A fingerprint is written as 32 hexadecimal digits, although 16 raw bytes would save 16 bytes per key: what a log,
//! `inspect` and a fingerprint's test vector print can then be pasted into `redis-cli` and is found in `MONITOR`. Of
//! the keys per ID only the leases, of which there are as many as records in flight, have to stay.

use super::groups;
use super::slices::Shard;
use crate::id::{Fingerprint, Namespace};

/// How many groups the IDs of a namespace are spread over.
pub(super) const GROUPS: u32 = 64;

/// One of the groups of a namespace, or the namespace itself. All keys of a group lie in one slot of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Group(u8);

impl Group {
    /// What belongs to the namespace as a whole.
    pub(super) const NAMESPACE: Self = Self(u8::MAX);

    /// The group of this number, below [`GROUPS`].
    pub(super) const fn nth(group: u32) -> Self {
        Self((group % GROUPS) as u8)
    }

    /// The group of an ID: the top six bits of its fingerprint.
    pub(super) const fn of(fingerprint: &Fingerprint) -> Self {
        Self(fingerprint.as_bytes()[0] >> 2)
    }

    /// What stands in its keys.
    const fn name(self) -> [u8; 2] {
        groups::NAMES[(self.0 & 63) as usize]
    }

    /// All groups, [`NAMESPACE`](Self::NAMESPACE) last.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..64).map(Self).chain([Self::NAMESPACE])
    }

    /// Its place in [`all`](Self::all).
    pub(super) const fn index(self) -> usize {
        if self.0 < 64 { self.0 as usize } else { 64 }
    }
}

/// The version of the layout and of every value, as it stands in keys and values.
pub(super) const VERSION: u8 = b'1';

/// Names the keys of one namespace.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    namespace: Namespace,
    /// The part before the group: `hapax:1:{<namespace>.`.
    head: Vec<u8>,
}

impl Layout {
    pub(super) fn new(namespace: Namespace) -> Self {
        let head = format!("hapax:{}:{{{namespace}.", char::from(VERSION)).into_bytes();
        Self { namespace, head }
    }

    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The hash tag of a group: what its slot in a cluster is computed from.
    pub(super) fn tag(&self, group: Group) -> String {
        match group {
            Group::NAMESPACE => self.namespace.to_string(),
            group => {
                let [a, b] = group.name().map(char::from);
                format!("{}.{a}{b}", self.namespace)
            }
        }
    }

    /// The key of what the namespace agreed on.
    pub(super) fn meta(&self) -> String {
        format!("hapax:{}:{{{}}}:meta", char::from(VERSION), self.namespace)
    }

    /// The key of the plan: how many sets each slice has.
    pub(super) fn plan(&self) -> String {
        format!("hapax:{}:{{{}}}:plan", char::from(VERSION), self.namespace)
    }

    /// The key of a set of done IDs.
    pub(super) fn set(&self, group: Group, shard: &Shard) -> Vec<u8> {
        let mut key = Vec::new();
        self.with_set(group, shard, |length, write| {
            key.reserve(length);
            write(&mut key);
        });
        key
    }

    /// Hands over the length of the key of a set of done IDs, and what appends it.
    pub(super) fn with_set<R>(
        &self,
        group: Group,
        shard: &Shard,
        take: impl FnOnce(usize, &mut dyn FnMut(&mut Vec<u8>)) -> R,
    ) -> R {
        let (slice, shards) = shard.generation.name();
        let (mut of_slice, mut of_shards, mut of_index) =
            (itoa::Buffer::new(), itoa::Buffer::new(), itoa::Buffer::new());
        let parts = [of_slice.format(slice), of_shards.format(shards), of_index.format(shard.index)];
        let length = self.start_length() + parts.iter().map(|part| part.len()).sum::<usize>() + 2;
        take(length, &mut |key| {
            self.start(key, group, b's');
            let [slice, shards, index] = parts.map(str::as_bytes);
            key.extend_from_slice(slice);
            key.push(b'.');
            key.extend_from_slice(shards);
            key.push(b'.');
            key.extend_from_slice(index);
        })
    }

    /// Whether this is the key of a done ID of the namespace.
    pub(super) fn is_done_key(&self, key: &[u8]) -> bool {
        key.strip_prefix(&self.head[..]).is_some_and(|rest| rest.get(2..6) == Some(b"}:d:"))
    }

    /// The key of an ID's lease.
    pub(super) fn lease(&self, fingerprint: &Fingerprint) -> Vec<u8> {
        self.key(b'l', fingerprint)
    }

    /// Appends the key of an ID's lease, which has [`key_length`](Self::key_length) bytes.
    pub(super) fn write_lease(&self, key: &mut Vec<u8>, fingerprint: &Fingerprint) {
        self.write_key(key, b'l', fingerprint);
    }

    /// Appends the key of a done ID, which has [`key_length`](Self::key_length) bytes.
    pub(super) fn write_done(&self, key: &mut Vec<u8>, fingerprint: &Fingerprint) {
        self.write_key(key, b'd', fingerprint);
    }

    /// Room for so many commands about one key each, in bytes.
    pub(super) fn roomy(&self, commands: usize) -> usize {
        commands * (self.key_length() + 64)
    }

    /// How long the key of an ID's lease is, and of a done ID.
    pub(super) fn key_length(&self) -> usize {
        self.start_length() + 32
    }

    /// The key of a done ID.
    pub(super) fn done(&self, fingerprint: &Fingerprint) -> Vec<u8> {
        self.key(b'd', fingerprint)
    }

    /// A key of a kind and a group that no ID of a message has: to find out what may be done with such keys.
    pub(super) fn unused(&self, group: Group, kind: u8) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.key_length());
        self.start(&mut key, group, kind);
        match kind {
            b's' => key.extend_from_slice(b"0.0.0"),
            _ => key.extend_from_slice(&[b'0'; 32]),
        }
        key
    }

    fn key(&self, kind: u8, fingerprint: &Fingerprint) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.key_length());
        self.write_key(&mut key, kind, fingerprint);
        key
    }

    fn write_key(&self, key: &mut Vec<u8>, kind: u8, fingerprint: &Fingerprint) {
        self.start(key, Group::of(fingerprint), kind);
        let mut hex = [0; 32];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(fingerprint.as_bytes()) {
            pair.copy_from_slice(&digits(*byte));
        }
        key.extend_from_slice(&hex);
    }

    /// Appends `hapax:1:{<namespace>.<group>}:<kind>:`.
    fn start(&self, key: &mut Vec<u8>, group: Group, kind: u8) {
        key.extend_from_slice(&self.head);
        let [a, b] = group.name();
        key.extend_from_slice(&[a, b, b'}', b':', kind, b':']);
    }

    fn start_length(&self) -> usize {
        self.head.len() + 6
    }
}

/// Two hexadecimal digits.
fn digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_an_id_share_its_hash_tag() {
        let layout = Layout::new(Namespace::new("orders.eu").unwrap());
        let mut bytes = [0xab; 16];
        bytes[0] = 0xff;
        let fingerprint = Fingerprint::from_bytes(bytes);
        let expected = format!("hapax:1:{{orders.eu.2c}}:l:{fingerprint}");
        assert_eq!(layout.lease(&fingerprint), expected.as_bytes());
        assert_eq!(layout.done(&fingerprint), expected.replace(":l:", ":d:").as_bytes());
        assert_eq!(layout.meta(), "hapax:1:{orders.eu}:meta");
        assert_eq!(layout.tag(Group::of(&fingerprint)), "orders.eu.2c");
        assert_eq!(layout.tag(Group::NAMESPACE), "orders.eu");
    }
}
