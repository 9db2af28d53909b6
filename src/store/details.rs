//! What a store of the exact kind keeps of a message beside its fingerprint, and what it can tell with it.

use std::fmt;

use crate::id::Identity;
use crate::record::{Origin, Record};

/// The first 16 bytes of BLAKE3 over a payload: enough to tell that two messages of one ID are not the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PayloadHash([u8; 16]);

impl PayloadHash {
    /// Stands for a null payload, which is another than an empty one.
    pub const NULL: Self = Self([0; 16]);

    /// The hash of a payload; `None` is a null payload.
    pub fn of(payload: Option<&[u8]>) -> Self {
        let Some(payload) = payload else { return Self::NULL };
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&blake3::hash(payload).as_bytes()[..16]);
        Self(bytes)
    }

    /// Takes a hash from its bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The hash's bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for PayloadHash {
    /// 32 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a message says of itself beyond its fingerprint, for a store that [keeps it](super::Store::keeps_details).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageDetails {
    /// The whole ID and its scope; `None` where the caller knows only the fingerprint.
    pub identity: Option<Identity>,
    /// The hash of the payload; `None` where the caller does not know the payload.
    pub payload_hash: Option<PayloadHash>,
}

impl MessageDetails {
    /// The details of a record. They share no buffer with it, so that who keeps them does not keep the record.
    pub fn of_record(identity: &Identity, record: &Record) -> Self {
        let payload_hash = PayloadHash::of(record.payload().map(|payload| &payload[..]));
        Self { identity: Some(identity.detached()), payload_hash: Some(payload_hash) }
    }

    /// Whether both cannot be of one message: another payload; or, of one fingerprint, another ID, which 128 bits make
    /// next to impossible. What either does not know contradicts nothing.
    pub fn contradicts(&self, other: &Self) -> bool {
        differ(self.payload_hash.as_ref(), other.payload_hash.as_ref())
            || differ(self.identity.as_ref(), other.identity.as_ref())
    }
}

/// What a store of the exact kind remembers of a done ID: the first message that was handled under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoneRecord {
    /// The whole ID and its scope, where the one who completed it told them.
    pub message_id: Option<Identity>,
    /// Where the first one came from.
    pub origin: Origin,
    /// When it was recorded, in milliseconds since the Unix epoch, by the store's clock.
    pub completed_at: i64,
    /// The hash of its payload, where the one who completed it knew it.
    pub payload_hash: Option<PayloadHash>,
}

impl DoneRecord {
    /// Whether a message of the same fingerprint cannot be the one that was handled; see
    /// [`MessageDetails::contradicts`].
    pub fn contradicts(&self, message: &MessageDetails) -> bool {
        differ(self.payload_hash.as_ref(), message.payload_hash.as_ref())
            || differ(self.message_id.as_ref(), message.identity.as_ref())
    }
}

/// Whether both are known and not the same.
fn differ<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{MessageId, Scope};
    use crate::record::TopicPartition;

    #[test]
    fn null_empty_and_other_payloads_differ() {
        let hashes = [None, Some(&b""[..]), Some(b"a"), Some(b"b")].map(PayloadHash::of);
        for (n, hash) in hashes.iter().enumerate() {
            assert!(hashes[..n].iter().all(|other| other != hash));
        }
        assert_eq!(PayloadHash::of(Some(b"")).to_string(), "af1349b9f5f9a1a6a0404dea36dcc949");
    }

    #[test]
    fn only_what_both_know_contradicts() {
        let identity = |id: &'static str| Identity::new(Scope::Name("n".into()), MessageId::new(id).unwrap());
        let all = |id, payload: &[u8]| MessageDetails {
            identity: Some(identity(id)),
            payload_hash: Some(PayloadHash::of(Some(payload))),
        };
        let nothing = MessageDetails { identity: None, payload_hash: None };
        let (this, same) = (all("a", b"x"), all("a", b"x"));
        for (other, contradicts) in
            [(&same, false), (&nothing, false), (&all("a", b"y"), true), (&all("b", b"x"), true)]
        {
            let first = DoneRecord {
                message_id: this.identity.clone(),
                origin: Origin { partition: TopicPartition::new("t", 0), offset: 0 },
                completed_at: 0,
                payload_hash: this.payload_hash,
            };
            assert_eq!(this.contradicts(other), contradicts);
            assert_eq!(other.contradicts(&this), contradicts);
            assert_eq!(first.contradicts(other), contradicts);
        }
    }

    #[test]
    fn details_share_no_buffer_with_their_record() {
        let payload = bytes::Bytes::from(vec![b'x'; 4096]);
        let record = Record::builder(TopicPartition::new("t", 0), 0).payload(payload.clone()).build();
        let identity = Identity::new(Scope::Header(payload.slice(..8)), MessageId::new(payload.slice(8..16)).unwrap());
        let details = MessageDetails::of_record(&identity, &record);
        assert_eq!(details.identity.as_ref(), Some(&identity));
        drop((record, identity));
        assert!(payload.is_unique());
    }
}
