//! Identities: an ID, what it is unique in, and why there may be none.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// The longest ID that is accepted, in bytes; so is the longest scope that a header may give.
pub const MAX_ID_BYTES: usize = 1024;

/// What tells IDs of one spelling apart: the text `1` is not the number `1`. The values are part of the fingerprint's
/// definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    Bytes = 0,
    Number = 1,
    Content = 2,
    Coordinates = 3,
    /// A record key that was taken because earlier rules of a list found no ID. A key names the entity of a message more
    /// often than the message, so it never equals what another rule found.
    FallbackKey = 4,
}

#[cfg(any(feature = "redis", test))]
impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 5] = [Self::Bytes, Self::Number, Self::Content, Self::Coordinates, Self::FallbackKey];
}

/// The bytes that identify a message within its [`Scope`].
///
/// Equality: the same kind and the same bytes. Text is its UTF-8 bytes, so a header `a7`, a record key `a7` and a JSON
/// string `"a7"` are one ID; nothing is trimmed, folded or normalised. A key to which a list of rules falls back is an ID
/// of its own kind. [All rules](super#when-two-messages-are-the-same).
#[derive(Clone, PartialEq, Eq, Hash)]
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

    /// An ID that is a whole number: `7` is another ID than the text `"7"`.
    pub fn whole_number(number: impl Into<i128>) -> Self {
        Self::of_kind(Kind::Number, number.into().to_string())
    }

    pub(crate) fn of_kind(kind: Kind, bytes: impl Into<Bytes>) -> Self {
        Self { kind, bytes: bytes.into() }
    }

    /// The same bytes as the key that a list falls back to.
    pub(super) fn of_fallback_key(self) -> Self {
        Self { kind: Kind::FallbackKey, ..self }
    }

    /// The ID's bytes, without its kind.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for MessageId {
    /// Tells kind and length; never prints the bytes, which came from a message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({:?}, {} bytes)", self.kind, self.bytes.len())
    }
}

/// What an ID is unique in. Two scopes of different variants are never equal.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// The topic of that name.
    Topic(Arc<str>),
    /// The value of a header, such as CloudEvents' `ce_source`.
    Header(Bytes),
    /// A name from the configuration, the same for all records.
    Name(Arc<str>),
}

impl fmt::Debug for Scope {
    /// Prints what comes from the configuration; of a header's value only its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => f.debug_tuple("Topic").field(name).finish(),
            Self::Header(value) => write!(f, "Header({} bytes)", value.len()),
            Self::Name(name) => f.debug_tuple("Name").field(name).finish(),
        }
    }
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

    /// The same identity in memory of its own: it does not keep the record alive that it was found in.
    pub(crate) fn detached(&self) -> Self {
        let scope = match &self.scope {
            Scope::Header(value) => Scope::Header(Bytes::copy_from_slice(value)),
            scope => scope.clone(),
        };
        let id = MessageId { kind: self.id.kind, bytes: Bytes::copy_from_slice(&self.id.bytes) };
        Self { scope, id, replay: self.replay }
    }

    /// Feeds the canonical encoding to a hasher, part by part: [`IdKey::fingerprint`](super::IdKey::fingerprint)
    /// defines it. Different identities have different encodings: what may vary in length is either counted or last.
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

#[cfg(feature = "redis")]
impl Identity {
    /// Reads what [`encode`](Self::encode) wrote; `None` where it is something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[1, scope_kind], bytes) = bytes.split_first_chunk()? else { return None };
        let (length, bytes) = bytes.split_first_chunk()?;
        let (scope, bytes) = bytes.split_at_checked(u64::from_le_bytes(*length).try_into().ok()?)?;
        let (replay, bytes) = bytes.split_first_chunk()?;
        let (&kind, id) = bytes.split_first()?;
        let text = |bytes| std::str::from_utf8(bytes).ok().map(Arc::from);
        let scope = match scope_kind {
            b't' => Scope::Topic(text(scope)?),
            b'h' => Scope::Header(Bytes::copy_from_slice(scope)),
            b'n' => Scope::Name(text(scope)?),
            _ => return None,
        };
        let kind = Kind::ALL.into_iter().find(|known| *known as u8 == kind)?;
        let id = MessageId::of_kind(kind, Bytes::copy_from_slice(id));
        Some(Self { scope, id, replay: u64::from_le_bytes(*replay) })
    }
}

/// Why a record has no ID. Absent and unusable are two things: a list of rules goes on only where the ID is
/// [absent](Self::is_absent).
///
/// Names parts and places, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdProblem {
    /// The record does not have the part that should hold the ID.
    #[error("{part} is missing")]
    Missing {
        /// Which part, such as `header ce_id`.
        part: Arc<str>,
    },
    /// The part is there and null.
    #[error("{part} is null")]
    Null {
        /// Which part.
        part: Arc<str>,
    },
    /// The part holds nothing, or something in a format that the rule does not read: where an ID is in it, if any, is not
    /// known.
    #[error("{part} {problem}")]
    Unread {
        /// Which part.
        part: Arc<str>,
        /// What it is.
        problem: &'static str,
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
        part: Arc<str>,
    },
    /// The part cannot be read, or holds something that has more than one spelling.
    #[error("{part} {problem}")]
    Invalid {
        /// Which part.
        part: Arc<str>,
        /// What is wrong with it; never holds the value.
        problem: String,
    },
    /// The ID is there, and what it is unique in is not, or is unusable. Not the same as a missing ID, for which another
    /// extractor may be asked.
    #[error("{part}, which should hold the scope of the ID, {problem}")]
    NoScope {
        /// Which part, such as `header ce_source`.
        part: Arc<str>,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No rule of a [`FirstOf`](super::FirstOf) gave an ID.
    #[error("no rule of the list gives an ID: {}", each(tried))]
    InList {
        /// The rules that were asked, each with its problem. Where the last is not [absent](Self::is_absent), it ended
        /// the search.
        tried: Arc<[(Arc<str>, IdProblem)]>,
    },
}

impl IdProblem {
    /// Whether there is no place to take an ID from, so that a list of rules goes on with the next one.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Null { .. } | Self::Unread { .. } => true,
            Self::Empty
            | Self::TooLong { .. }
            | Self::Repeated { .. }
            | Self::Invalid { .. }
            | Self::NoScope { .. } => false,
            Self::InList { tried } => tried.iter().all(|(_, problem)| problem.is_absent()),
        }
    }
}

/// What each rule of a list found.
fn each(tried: &[(Arc<str>, IdProblem)]) -> String {
    let mut text = String::new();
    for (rule, problem) in tried {
        let separator = if text.is_empty() { "" } else { "; " };
        let end = if problem.is_absent() { "" } else { ", which ends the search" };
        text.push_str(&format!("{separator}{rule}: {problem}{end}"));
    }
    text
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_as_it_was_encoded() {
        let scopes =
            [Scope::Topic("orders".into()), Scope::Header(Bytes::from_static(b"\0\xff")), Scope::Name("".into())];
        for scope in scopes {
            for kind in Kind::ALL {
                let id = MessageId::of_kind(kind, &b"an ID\0"[..]);
                let identity = Identity { scope: scope.clone(), id, replay: 7 };
                let mut bytes = Vec::new();
                identity.encode(|part| bytes.extend_from_slice(part));
                assert_eq!(Identity::decode(&bytes), Some(identity));
                assert_eq!(Identity::decode(&bytes[..8]), None);
            }
        }
        assert_eq!(Identity::decode(b""), None);
        assert_eq!(Identity::decode(&[2; 40]), None);
    }
}
