//! When a record is too old: by its timestamp, or by its own word.

use std::str;
use std::time::Duration;

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
    match !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().ok(),
        false => rfc_3339(text),
    }
}

/// Reads `2026-02-03T04:05:06.789+01:00`; a leap second is the one after it.
fn rfc_3339(text: &str) -> Option<i64> {
    let (date, time) = text.split_at_checked(10)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let time = time.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = time.split_at_checked(8)?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at_checked(rest.find(|char: char| !char.is_ascii_digit())?)?,
        None => ("0", rest),
    };
    let in_range = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if !in_range || hour > 23 || minute > 59 || second > 60 || fraction.is_empty() {
        return None;
    }
    let millis = fraction.bytes().chain([b'0'; 3]).take(3).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - offset(zone)?;
    Some(seconds * 1000 + millis)
}

/// The seconds by which a zone is ahead.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, zone) = match zone.strip_prefix('-') {
        Some(zone) => (-1, zone),
        None => (1, zone.strip_prefix('+')?),
    };
    let (hours, minutes) = zone.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let numbers =
        [number(parts.next()?, digits[0])?, number(parts.next()?, digits[1])?, number(parts.next()?, digits[2])?];
    parts.next().is_none().then_some(numbers)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar; years begin in March, so that the leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    era * 146_097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1 - 719_468
}
