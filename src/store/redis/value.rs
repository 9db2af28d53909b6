//! What stands in a lease and in a done ID.
//!
//! A lease, numbers big-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, `1` |
//! | 1 | state: `f` in flight, `s` in flight as a suspect, `i` idle; given up: `g` in flight with who gave it up, `h` with a later owner, `u` idle |
//! | 16 | token; zeros where idle, and where a takeover was given back unstarted: run out for whoever comes next |
//! | 4 | attempts |
//! | 8 | grace in milliseconds: the part of the time to live in which the lease can be taken over. Given up: the window |
//! | 2 + n | given up only: where the copy goes, counted: `d` and the reason, or `r` and the number of the retry topic (4) |
//! | 12 + n | origin: partition (4), offset (8), topic |
//!
//! The grace stands in the value, so that workers whose terms differ (during a change of settings) agree on when a
//! lease runs out. The scripts read and write the same bytes.
//!
//! A done ID of the exact mode:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, `1` |
//! | 1 | what is known: `0` nothing more, `1` the payload's hash, `2` the identity, `3` both |
//! | 8 | when it was completed, in milliseconds since the Unix epoch, by Redis' clock |
//! | 12 | origin: partition (4), offset (8) |
//! | 2 + n | the topic's name, counted |
//! | 16 | the payload's hash, where it is known |
//! | the rest | the identity as [the fingerprint's definition](crate::id::IdKey::fingerprint) encodes it, where known |

use std::time::Duration;

use super::layout::VERSION;
use crate::id::Identity;
use crate::record::{Origin, TopicPartition};
use crate::store::{Destination, DoneRecord, MessageDetails, PayloadHash, Token};

/// In flight; its attempt is not counted before it fails.
pub(super) const IN_FLIGHT: u8 = b'f';
/// In flight after the lease before ran out; its attempt is counted already, and a failure must not count it again.
pub(super) const SUSPECT: u8 = b's';
/// Given back after a failed attempt.
pub(super) const IDLE: u8 = b'i';

/// Given up by its holder.
const GIVEN_UP: u8 = b'g';
/// Held by a later owner than the one that gave it up.
const FOUND_GIVEN_UP: u8 = b'h';
/// Given up, and held by none.
const IDLE_GIVEN_UP: u8 = b'u';

/// The bytes before the origin, or before where the copy goes.
const HEAD: usize = 30;

/// The longest reason that is kept of a dead letter, in bytes.
const LONGEST_REASON: usize = 500;

/// What a lease says of its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) idle: bool,
    pub(super) attempts: u32,
    pub(super) grace: Duration,
    pub(super) given_up: Option<Destination>,
}

impl Holding {
    /// Reads a lease; `None` where another version or something else wrote it.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let head = value.first_chunk::<HEAD>()?;
        let state = head[1];
        if head[0] != VERSION {
            return None;
        }
        let given_up = match state {
            IN_FLIGHT | SUSPECT | IDLE => None,
            GIVEN_UP | FOUND_GIVEN_UP | IDLE_GIVEN_UP => Some(read_destination(&value[HEAD..])?),
            _ => return None,
        };
        let attempts = u32::from_be_bytes(*head[18..].first_chunk()?);
        let grace = Duration::from_millis(u64::from_be_bytes(*head[22..].first_chunk()?));
        Some(Self { idle: matches!(state, IDLE | IDLE_GIVEN_UP), attempts, grace, given_up })
    }
}

/// Where the copy of a given-up record goes, counted.
pub(super) fn destination(to: &Destination) -> Vec<u8> {
    let mut text = match to {
        Destination::DeadLetter { reason } => {
            let mut end = reason.len().min(LONGEST_REASON);
            while !reason.is_char_boundary(end) {
                end -= 1;
            }
            [b"d", &reason.as_bytes()[..end]].concat()
        }
        Destination::Retry { step } => [&b"r"[..], &step.to_be_bytes()].concat(),
    };
    // Never longer than the longest reason and its kind.
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    text.splice(0..0, length.to_be_bytes());
    text
}

/// Reads where a copy goes; what follows it is left alone.
pub(super) fn read_destination(value: &[u8]) -> Option<Destination> {
    let (length, rest) = value.split_first_chunk()?;
    let (kind, rest) = rest.get(..usize::from(u16::from_be_bytes(*length)))?.split_first()?;
    match kind {
        b'd' => Some(Destination::DeadLetter { reason: std::str::from_utf8(rest).ok()?.into() }),
        b'r' => Some(Destination::Retry { step: u32::from_be_bytes(rest.try_into().ok()?) }),
        _ => None,
    }
}

/// The lease of a claim that found nothing.
pub(super) fn lease(token: &Token, grace_ms: u64, origin: &Origin) -> Vec<u8> {
    let mut value = Vec::with_capacity(lease_length(origin));
    write_lease(&mut value, token, grace_ms, origin);
    value
}

/// How long the value of a lease is.
pub(super) fn lease_length(origin: &Origin) -> usize {
    HEAD + 12 + origin.partition.topic().len()
}

/// Appends the lease of a claim that found nothing.
pub(super) fn write_lease(value: &mut Vec<u8>, token: &Token, grace_ms: u64, origin: &Origin) {
    value.extend_from_slice(&[VERSION, IN_FLIGHT]);
    value.extend_from_slice(token.as_bytes());
    value.extend_from_slice(&0_u32.to_be_bytes());
    value.extend_from_slice(&grace_ms.to_be_bytes());
    write_origin(value, origin);
}

/// A done ID.
pub(super) fn done(origin: &Origin, completed_at: u64, message: Option<&MessageDetails>) -> Vec<u8> {
    let hash = message.and_then(|message| message.payload_hash);
    let identity = message.and_then(|message| message.identity.as_ref());
    let topic = origin.partition.topic().as_bytes();
    let mut value = Vec::with_capacity(64 + topic.len());
    value.extend_from_slice(&[VERSION, b'0' + u8::from(hash.is_some()) + 2 * u8::from(identity.is_some())]);
    value.extend_from_slice(&completed_at.to_be_bytes());
    value.extend_from_slice(&origin.partition.partition().to_be_bytes());
    value.extend_from_slice(&origin.offset.to_be_bytes());
    // A topic's name has at most 249 bytes.
    value.extend_from_slice(&u16::try_from(topic.len()).unwrap_or(u16::MAX).to_be_bytes());
    value.extend_from_slice(&topic[..topic.len().min(usize::from(u16::MAX))]);
    value.extend(hash.iter().flat_map(PayloadHash::as_bytes));
    if let Some(identity) = identity {
        identity.encode(|part| value.extend_from_slice(part));
    }
    value
}

/// Reads a done ID; `None` where another version or something else wrote it.
pub(super) fn read_done(value: &[u8]) -> Option<DoneRecord> {
    let (&[VERSION, known], value) = value.split_first_chunk()? else { return None };
    let known = known.checked_sub(b'0').filter(|known| *known < 4)?;
    let (completed_at, value) = value.split_first_chunk()?;
    let (partition, value) = value.split_first_chunk()?;
    let (offset, value) = value.split_first_chunk()?;
    let (length, value) = value.split_first_chunk()?;
    let (topic, value) = value.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let partition = TopicPartition::new(std::str::from_utf8(topic).ok()?, i32::from_be_bytes(*partition));
    let (payload_hash, value) = match known & 1 {
        1 => value.split_first_chunk().map(|(hash, value)| (Some(PayloadHash::from_bytes(*hash)), value))?,
        _ => (None, value),
    };
    let message_id = if known & 2 == 2 { Some(Identity::decode(value)?) } else { None };
    let origin = Origin { partition, offset: i64::from_be_bytes(*offset) };
    Some(DoneRecord { message_id, origin, completed_at: i64::from_be_bytes(*completed_at), payload_hash })
}

fn write_origin(value: &mut Vec<u8>, origin: &Origin) {
    value.extend_from_slice(&origin.partition.partition().to_be_bytes());
    value.extend_from_slice(&origin.offset.to_be_bytes());
    value.extend_from_slice(origin.partition.topic().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{MessageId, Scope};

    #[test]
    fn a_lease_reads_as_it_was_written() {
        let origin = Origin { partition: TopicPartition::new("orders", 7), offset: 42 };
        let value = lease(&Token::from_bytes([9; 16]), 600_000, &origin);
        let holding = Holding { idle: false, attempts: 0, grace: Duration::from_secs(600), given_up: None };
        assert_eq!(Holding::read(&value), Some(holding));
        assert_eq!(value[..2], *b"1f");
        assert_eq!(value[2..18], [9; 16]);
        assert!(value.ends_with(b"orders"));
    }

    #[test]
    fn a_done_id_reads_as_it_was_written() {
        let origin = Origin { partition: TopicPartition::new("orders", 7), offset: 42 };
        let identity = Identity::new(Scope::Topic("orders".into()), MessageId::new("7").unwrap());
        for identity in [None, Some(identity)] {
            for payload_hash in [None, Some(PayloadHash::of(Some(b"x")))] {
                let details = MessageDetails { identity: identity.clone(), payload_hash };
                let value = done(&origin, 77, Some(&details));
                let record =
                    DoneRecord { message_id: identity.clone(), origin: origin.clone(), completed_at: 77, payload_hash };
                assert_eq!(read_done(&value), Some(record));
                assert_eq!(read_done(&value[..20]), None);
            }
        }
        assert!(read_done(&done(&origin, 77, None)).is_some());
    }

    #[test]
    fn what_is_of_another_version_or_too_short_is_unreadable() {
        let origin = Origin { partition: TopicPartition::new("orders", 7), offset: 42 };
        let mut value = lease(&Token::from_bytes([9; 16]), 1, &origin);
        value[0] = b'2';
        assert_eq!(Holding::read(&value), None);
        value[0] = VERSION;
        value[1] = b'x';
        assert_eq!(Holding::read(&value), None);
        assert_eq!(Holding::read(&value[..29]), None);
        assert_eq!(Holding::read(b""), None);
        assert_eq!(read_done(b"2"), None);
        assert_eq!(read_done(b""), None);
        assert_eq!(read_done(b"14"), None);
    }
}
