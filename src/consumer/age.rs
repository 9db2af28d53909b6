//! When a record is too old: by its timestamp, or by its own word.

use std::str;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::record::Record;

use super::retry::millis;

/// The header by which a producer says until when a record is worth anything.
pub(super) const EXPIRES: &str = "expires";

/// What makes a record too old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Age {
    /// The greatest age by the record's timestamp.
    pub(super) max: Option<Duration>,
    /// Whether the header [`EXPIRES`] counts.
    pub(super) header: bool,
}

/// When a record expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expiry {
    /// In milliseconds since the Unix epoch; `None`: never.
    pub(super) at: Option<i64>,
    /// Whether it has a header that cannot be read, and is ignored.
    pub(super) unreadable: bool,
}

impl Age {
    /// When a record expires: the earlier of the two, where both say something.
    pub(super) fn of(&self, record: &Record) -> Expiry {
        let by_age = self.max.zip(record.timestamp()).map(|(max, timestamp)| timestamp.saturating_add(millis(max)));
        let header = if self.header { record.header_values(EXPIRES).last() } else { None };
        let by_header = header.map(|value| value.and_then(|value| read(str::from_utf8(value).ok()?)));
        let at = by_age.into_iter().chain(by_header.flatten()).min();
        Expiry { at, unreadable: by_header == Some(None) }
    }
}

/// Reads milliseconds since the Unix epoch, or RFC 3339.
fn read(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}
