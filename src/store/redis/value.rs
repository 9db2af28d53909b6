//! What stands in a lease and in a done ID.
//!
//! A lease, numbers big-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, `1` |
//! | 1 | state: `f` in flight, `s` in flight as a suspect, `i` idle |
//! | 16 | token; zeros where idle, and where a takeover was given back unstarted: run out for whoever comes next |
//! | 4 | attempts |
//! | 8 | grace in milliseconds: the part of the time to live in which the lease can be taken over |
//! | 12 + n | origin: partition (4), offset (8), topic |
//!
//! The grace stands in the value, so that workers whose terms differ (during a change of settings) agree on when a
//! lease runs out. The scripts read and write the same bytes.
//!
//! A done ID: version (1), origin (12 + n).

use std::time::Duration;

use super::layout::VERSION;
use crate::record::Origin;
use crate::store::Token;

/// In flight; its attempt is not counted before it fails.
pub(super) const IN_FLIGHT: u8 = b'f';
/// In flight after the lease before ran out; its attempt is counted already, and a failure must not count it again.
pub(super) const SUSPECT: u8 = b's';
/// Given back after a failed attempt.
pub(super) const IDLE: u8 = b'i';

/// The bytes before the origin.
const HEAD: usize = 30;

/// What a lease says of its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) idle: bool,
    pub(super) attempts: u32,
    pub(super) grace: Duration,
}

impl Holding {
    /// Reads a lease; `None` where another version or something else wrote it.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let head = value.first_chunk::<HEAD>()?;
        let state = head[1];
        if head[0] != VERSION || !matches!(state, IN_FLIGHT | SUSPECT | IDLE) {
            return None;
        }
        let attempts = u32::from_be_bytes(*head[18..].first_chunk()?);
        let grace = u64::from_be_bytes(*head[22..].first_chunk()?);
        Some(Self { idle: state == IDLE, attempts, grace: Duration::from_millis(grace) })
    }
}

/// The lease of a claim that found nothing.
pub(super) fn lease(token: &Token, grace_ms: u64, origin: &Origin) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEAD + 12 + origin.partition.topic().len());
    value.extend_from_slice(&[VERSION, IN_FLIGHT]);
    value.extend_from_slice(token.as_bytes());
    value.extend_from_slice(&0_u32.to_be_bytes());
    value.extend_from_slice(&grace_ms.to_be_bytes());
    write_origin(&mut value, origin);
    value
}

/// A done ID.
pub(super) fn done(origin: &Origin) -> Vec<u8> {
    let mut value = Vec::with_capacity(13 + origin.partition.topic().len());
    value.push(VERSION);
    write_origin(&mut value, origin);
    value
}

/// Whether this version can read a done ID's value.
pub(super) fn is_done(value: &[u8]) -> bool {
    value.first() == Some(&VERSION)
}

fn write_origin(value: &mut Vec<u8>, origin: &Origin) {
    value.extend_from_slice(&origin.partition.partition().to_be_bytes());
    value.extend_from_slice(&origin.offset.to_be_bytes());
    value.extend_from_slice(origin.partition.topic().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TopicPartition;

    #[test]
    fn a_lease_reads_as_it_was_written() {
        let origin = Origin { partition: TopicPartition::new("orders", 7), offset: 42 };
        let value = lease(&Token::from_bytes([9; 16]), 600_000, &origin);
        let holding = Holding { idle: false, attempts: 0, grace: Duration::from_secs(600) };
        assert_eq!(Holding::read(&value), Some(holding));
        assert_eq!(value[..2], *b"1f");
        assert_eq!(value[2..18], [9; 16]);
        assert!(value.ends_with(b"orders"));
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
        assert!(!is_done(b"2"));
        assert!(!is_done(b""));
    }
}
