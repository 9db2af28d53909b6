//! Identities: an ID, what it is unique in, and why there may be none.

use std::sync::Arc;

use bytes::Bytes;

/// The longest ID that is accepted, in bytes.
pub const MAX_ID_BYTES: usize = 1024;

/// What tells IDs of one spelling apart: the text `1` is not the number `1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    Bytes = 0,
    Number = 1,
    Content = 2,
    Coordinates = 3,
}

/// The bytes that identify a message within its [`Scope`].
///
/// Equality: the same kind and the same bytes. Text is its UTF-8 bytes, so a header `a7`, a record key `a7` and a JSON
/// string `"a7"` are one ID; nothing is trimmed, folded or normalised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageId {
    kind: Kind,
    bytes: Bytes,
}

impl MessageId {
    /// An ID of text or bytes.
    ///
    /// # Errors
    ///
    /// [`IdProblem::Empty`] and [`IdProblem::TooLong`].
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, IdProblem> {
        let bytes = bytes.into();
        match bytes.len() {
            0 => Err(IdProblem::Empty),
            length if length > MAX_ID_BYTES => Err(IdProblem::TooLong { length }),
            _ => Ok(Self { kind: Kind::Bytes, bytes }),
        }
    }

    pub(crate) fn of_kind(kind: Kind, bytes: impl Into<Bytes>) -> Self {
        Self { kind, bytes: bytes.into() }
    }

    /// The ID's bytes, without its kind.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What an ID is unique in. Two scopes of different variants are never equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// The topic of that name.
    Topic(Arc<str>),
    /// The value of a header, such as CloudEvents' `ce_source`.
    Header(Bytes),
    /// A name from the configuration, the same for all records.
    Name(Arc<str>),
}

/// Everything that identifies a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// What the ID is unique in.
    pub scope: Scope,
    /// The ID.
    pub id: MessageId,
    /// How often the message was replayed from the dead letters for this namespace; zero for an original.
    pub replay: u64,
}

impl Identity {
    /// An original message.
    pub fn new(scope: Scope, id: MessageId) -> Self {
        Self { scope, id, replay: 0 }
    }

    /// Feeds the canonical encoding to a hasher: a version byte, the scope's kind, its length as eight little-endian
    /// bytes, the scope, the replay count as eight little-endian bytes, the ID's kind, the ID.
    pub(crate) fn encode(&self, mut feed: impl FnMut(&[u8])) {
        let (kind, scope): (u8, &[u8]) = match &self.scope {
            Scope::Topic(name) => (b't', name.as_bytes()),
            Scope::Header(value) => (b'h', value),
            Scope::Name(name) => (b'n', name.as_bytes()),
        };
        feed(&[1, kind]);
        feed(&(scope.len() as u64).to_le_bytes());
        feed(scope);
        feed(&self.replay.to_le_bytes());
        feed(&[self.id.kind as u8]);
        feed(&self.id.bytes);
    }
}

/// Why a record has no ID. Whether it is *missing* or *there but unusable* is told apart: null is not missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdProblem {
    /// The record does not have the part that should hold the ID (or its scope).
    #[error("{part} is missing")]
    Missing {
        /// Which part, such as `header ce_id`.
        part: String,
    },
    /// The part is there and null.
    #[error("{part} is null")]
    Null {
        /// Which part.
        part: String,
    },
    /// The ID is there and has no bytes.
    #[error("the ID is empty")]
    Empty,
    /// The ID is longer than [`MAX_ID_BYTES`].
    #[error("the ID has {length} bytes, more than the {MAX_ID_BYTES} allowed")]
    TooLong {
        /// How long it is, in bytes.
        length: usize,
    },
    /// The part occurs more than once, and two readers could pick different ones.
    #[error("{part} occurs more than once")]
    Repeated {
        /// Which part.
        part: String,
    },
    /// The part cannot be read, or holds something that has more than one spelling.
    #[error("{part} {problem}")]
    Invalid {
        /// Which part.
        part: String,
        /// What is wrong with it; never holds the value.
        problem: String,
    },
}
