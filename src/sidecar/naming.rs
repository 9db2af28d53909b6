//! How people name a message ID to a command or a request.

use std::str::FromStr;

use bytes::Bytes;

use crate::id::{Fingerprint, IdProblem, Identity, MessageId, Scope};
use crate::record::{Offset, TopicPartition};

/// A text that names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamingError {
    /// A scope of no known form.
    #[error(
        "a scope is `topic:<topic>`, `source:<value of the header>` (of ce_source, for CloudEvents) or `name:<text>`, whichever \
         the rule for IDs uses"
    )]
    Scope,
    /// Not 32 hexadecimal digits.
    #[error("a fingerprint is 32 hexadecimal digits, as log lines show it")]
    Fingerprint,
    /// Not `topic/partition/offset`.
    #[error("a record is `<topic>/<partition>/<offset>`, as log lines show it")]
    Record,
    /// The ID itself is none.
    #[error(transparent)]
    Id(#[from] IdProblem),
}

/// Reads `topic:orders`, `source:/shop` or `name:billing`.
///
/// # Errors
///
/// [`NamingError::Scope`] for anything else.
pub fn scope(text: &str) -> Result<Scope, NamingError> {
    match text.split_once(':') {
        Some(("topic", name)) if !name.is_empty() => Ok(Scope::Topic(name.into())),
        Some(("source", value)) if !value.is_empty() => Ok(Scope::Header(Bytes::copy_from_slice(value.as_bytes()))),
        Some(("name", name)) if !name.is_empty() => Ok(Scope::Name(name.into())),
        _ => Err(NamingError::Scope),
    }
}

/// The identity of a text within a scope, after so many replays.
///
/// # Errors
///
/// [`NamingError::Id`] for an empty text or one that is too long.
pub fn identity(scope: Scope, id: &str, replay: u64) -> Result<Identity, NamingError> {
    let id = MessageId::new(Bytes::copy_from_slice(id.as_bytes()))?;
    Ok(Identity { replay, ..Identity::new(scope, id) })
}

/// Reads 32 hexadecimal digits.
///
/// # Errors
///
/// [`NamingError::Fingerprint`] for anything else.
pub fn fingerprint(text: &str) -> Result<Fingerprint, NamingError> {
    let mut bytes = [0; 16];
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(NamingError::Fingerprint);
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| NamingError::Fingerprint)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| NamingError::Fingerprint)?;
    }
    Ok(Fingerprint::from_bytes(bytes))
}

/// Where a record lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its partition.
    pub partition: TopicPartition,
    /// Its offset.
    pub offset: Offset,
}

impl FromStr for Place {
    type Err = NamingError;

    /// Reads `orders/3/42`.
    fn from_str(text: &str) -> Result<Self, NamingError> {
        let mut parts = text.rsplitn(3, '/');
        let mut next = || parts.next().filter(|part| !part.is_empty()).ok_or(NamingError::Record);
        let (offset, partition, topic) = (next()?, next()?, next()?);
        let partition: u32 = partition.parse().map_err(|_| NamingError::Record)?;
        let offset: u64 = offset.parse().map_err(|_| NamingError::Record)?;
        Ok(Self {
            partition: TopicPartition::new(topic, i32::try_from(partition).map_err(|_| NamingError::Record)?),
            offset: Offset::try_from(offset).map_err(|_| NamingError::Record)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::IdKey;

    #[test]
    fn a_scope_is_named_by_its_kind() {
        assert_eq!(scope("topic:orders"), Ok(Scope::Topic("orders".into())));
        assert_eq!(scope("source:a:b"), Ok(Scope::Header("a:b".into())));
        assert_eq!(scope("name:x"), Ok(Scope::Name("x".into())));
        for wrong in ["", "orders", "topic:", "header:x"] {
            assert_eq!(scope(wrong), Err(NamingError::Scope), "{wrong}");
        }
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_shown() {
        let shown = IdKey::default().fingerprint(&identity(scope("topic:a").unwrap(), "x", 0).unwrap());
        assert_eq!(fingerprint(&shown.to_string()), Ok(shown));
        for wrong in ["", "12", &"g".repeat(32), &"é".repeat(16), &"+1".repeat(16)] {
            assert_eq!(fingerprint(wrong), Err(NamingError::Fingerprint), "{wrong}");
        }
    }

    #[test]
    fn a_place_is_read_as_it_is_shown() {
        let place: Place = "a/b/3/42".parse().unwrap();
        assert_eq!((place.partition.topic(), place.partition.partition(), place.offset), ("a/b", 3, 42));
        for wrong in ["", "orders", "orders/3", "orders/x/1", "orders/3/-1", "/3/1", "orders/3/"] {
            assert_eq!(wrong.parse::<Place>(), Err(NamingError::Record), "{wrong}");
        }
    }
}
