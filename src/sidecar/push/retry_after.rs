//! `Retry-After`: seconds, or a date.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// How long an answer asks to wait, but never longer than `cap`. What is neither seconds nor a date in HTTP's preferred
/// form counts as absent.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime, cap: Duration) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        // More seconds than fit are more than any cap.
        true => value.parse().map_or(Duration::MAX, Duration::from_secs),
        false => until(value, now)?,
    };
    Some(asked.min(cap))
}

fn until(date: &str, now: SystemTime) -> Option<Duration> {
    let date = OffsetDateTime::parse(date, &Rfc2822).ok()?;
    let left = date - OffsetDateTime::from(now);
    // A date that has passed asks for no pause.
    Some(Duration::try_from(left).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Duration = Duration::from_secs(300);

    fn read(value: &str) -> Option<Duration> {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
        retry_after(&headers, now, CAP)
    }

    #[test]
    fn seconds_and_dates_are_read_and_capped() {
        let seconds = |n| Some(Duration::from_secs(n));
        for (value, expected) in [
            ("0", seconds(0)),
            ("7", seconds(7)),
            (" 7 ", seconds(7)),
            ("300", seconds(300)),
            ("301", Some(CAP)),
            ("99999999999999999999999999", Some(CAP)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", seconds(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", seconds(0)),
            ("Mon, 07 Nov 1994 08:49:47 GMT", Some(CAP)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Sun Nov  6 08:49:37 1994", None),
        ] {
            assert_eq!(read(value), expected, "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), SystemTime::now(), CAP), None);
    }
}
