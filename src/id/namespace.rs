//! Who has handled a message.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Who has handled it: the consumer group by default. Two groups never share one.
///
/// One to 64 characters of `A-Z a-z 0-9 . _ -`, so that it can stand in a key of the store as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`InvalidNamespace`] for an empty or too long name, or another character.
    pub fn new(name: &str) -> Result<Self, InvalidNamespace> {
        if Self::allows(name) { Ok(Self(name.into())) } else { Err(InvalidNamespace) }
    }

    /// Whether a name can be a namespace.
    pub(super) fn allows(name: &str) -> bool {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        (1..=64).contains(&name.len()) && name.bytes().all(allowed)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Namespace {
    type Err = InvalidNamespace;

    fn from_str(name: &str) -> Result<Self, InvalidNamespace> {
        Self::new(name)
    }
}

/// A name that cannot be a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a namespace has 1 to 64 characters of A-Z a-z 0-9 . _ -; set one where the group's name has others")]
pub struct InvalidNamespace;
