//! Texts into values. Nothing is guessed: a number without a unit is none.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use super::problem::{Complaint, Parsed};

/// The longest time that makes sense, and far from where sums overflow.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A text as it is.
pub(super) fn text(text: &str) -> Parsed<String> {
    match text.trim().is_empty() || text.contains(|c: char| c.is_control()) {
        true => Err(Complaint::with("is blank or holds a control character", "write plain text")),
        false => Ok(text.to_owned()),
    }
}

/// A whole number.
pub(super) fn number<T: FromStr>(text: &str) -> Parsed<T> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Complaint::new("is not a whole number"));
    }
    text.parse().map_err(|_| Complaint::new("is too great a number"))
}

/// A whole number from 1 on.
pub(super) fn at_least_one<T: FromStr + Default + PartialEq>(text: &str) -> Parsed<T> {
    match number(text)? {
        zero if zero == T::default() => Err(Complaint::with("is zero", "write 1 or more")),
        number => Ok(number),
    }
}

/// A number from 0 to 1.
pub(super) fn share(text: &str) -> Parsed<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match text.parse() {
        Ok(share) if plain && (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(Complaint::new("is not a number from 0 to 1")),
    }
}

pub(super) fn boolean(text: &str) -> Parsed<bool> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Complaint::new("is neither true nor false")),
    }
}

/// A whole number and its unit.
fn amount<'t>(text: &'t str, what: &'static str) -> Parsed<(u64, &'t str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(Complaint::new(what));
    }
    if unit.is_empty() {
        return Err(Complaint::new("has no unit"));
    }
    let number = number.parse().map_err(|_| Complaint::new("is too great a number"))?;
    Ok((number, unit))
}

/// `500ms`, `30s`, `10m`, `24h`, `7d`; at most ten years.
pub(super) fn duration(text: &str) -> Parsed<Duration> {
    let (number, unit) = amount(text, "is not a duration")?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(Complaint::new("has a unit that is not known")),
    };
    let duration = number.checked_mul(milliseconds).map(Duration::from_millis);
    duration
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| Complaint::with("is too long a duration", "choose at most ten years, 3650d"))
}

/// A duration that is not zero.
pub(super) fn some_time(text: &str) -> Parsed<Duration> {
    match duration(text)? {
        Duration::ZERO => Err(Complaint::with("is zero", "choose a millisecond, 1ms, or more")),
        duration => Ok(duration),
    }
}

/// `512KiB`, `64MiB`, `10MB`.
pub(super) fn size(text: &str) -> Parsed<usize> {
    let (number, unit) = amount(text, "is not a size")?;
    let bytes: u64 = match unit {
        "B" => 1,
        "KB" | "kB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return Err(Complaint::new("has a unit that is not known")),
    };
    let size = number.checked_mul(bytes).and_then(|size| usize::try_from(size).ok());
    match size {
        Some(0) => Err(Complaint::with("is zero", "choose a byte, 1B, or more")),
        Some(size) => Ok(size),
        None => Err(Complaint::with("is too great a size", "choose less")),
    }
}

pub(super) fn address(text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| Complaint::new("is not an IP address with a port"))
}

/// A list separated by commas, without blanks around its items.
pub(super) fn list(text: &str) -> Parsed<Vec<&str>> {
    let items: Vec<_> = text.split(',').map(str::trim).collect();
    match items.iter().any(|item| item.is_empty()) {
        true => Err(Complaint::with("has an empty item", "leave out the comma too many")),
        false => Ok(items),
    }
}

/// What is logged: a level, or levels of targets.
pub(super) fn log_filter(text: &str) -> Parsed<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let level = |word: &str| LEVELS.contains(&word.to_ascii_lowercase().as_str());
    // A word alone that is no level would be a target, with everything it can tell.
    let meant = text.split(',').all(|part| level(part.trim()) || part.contains('='));
    match meant && tracing_subscriber::EnvFilter::builder().parse(text).is_ok() {
        true => Ok(text.to_owned()),
        false => Err(Complaint::with(
            "is not a filter of log lines",
            "write a level (error, warn, info, debug, trace), or levels of targets such as hapax=debug,info",
        )),
    }
}

/// What is presented as `Authorization: Bearer`.
pub(super) fn bearer(token: &str) -> Parsed<()> {
    match token.bytes().all(|byte| byte.is_ascii_graphic()) && !token.is_empty() {
        true => Ok(()),
        false => Err(Complaint::with(
            "holds a character that cannot stand in a header, or nothing",
            "use letters, digits and - . _ ~ + /",
        )),
    }
}
