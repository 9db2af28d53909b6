//! What an answer means.

use super::body::Answered;
use super::{PushProtocol, dapr};

/// What an answer of the application means, and what follows.
///
/// | status | verdict |
/// |---|---|
/// | 2xx | [`Handled`](Self::Handled) |
/// | 400, 413, 415, 422 | [`Poison`](Self::Poison) |
/// | 409 | [`InProgress`](Self::InProgress) |
/// | 410 | [`Stop`](Self::Stop) |
/// | 429, 503 | [`Busy`](Self::Busy) |
/// | 1xx, 3xx, 401, 403, 404, 405, 407, 421 | [`Misconfigured`](Self::Misconfigured) |
/// | 408, 425, 5xx, every other | [`Retry`](Self::Retry) |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The effect happened.
    Handled,
    /// Another attempt is under way there: later again, without counting an attempt.
    InProgress,
    /// The message can never be handled: a dead letter.
    Poison,
    /// It failed: tried again, with back-off, up to the limit of attempts.
    Retry,
    /// The application asks for a pause, which counts no attempt.
    Busy,
    /// It failed, as [`Retry`](Self::Retry) does, and the target may be the wrong one, or not know us: so the state reports
    /// [`Misconfigured`](super::TargetState::Misconfigured) with what to change. It counts an attempt, because an
    /// application can answer so after its effect.
    Misconfigured,
    /// The application wants no more messages.
    Stop,
    /// The application does not want this message (Dapr's `DROP`): skipped.
    Skip,
}

/// Reads an answer to one message.
pub(super) fn verdict(protocol: PushProtocol, status: u16, body: &Answered) -> Verdict {
    match (protocol, by_status(protocol, status)) {
        (PushProtocol::Dapr, Verdict::Handled) => dapr::verdict(body),
        (_, verdict) => verdict,
    }
}

/// What the status alone says.
pub(super) fn by_status(protocol: PushProtocol, status: u16) -> Verdict {
    match (protocol, of_status(status)) {
        (PushProtocol::Http, verdict) => verdict,
        (PushProtocol::Dapr, verdict @ (Verdict::Handled | Verdict::Misconfigured | Verdict::Busy)) => verdict,
        (PushProtocol::Dapr, _) => Verdict::Retry,
    }
}

/// The table of [`Verdict`].
pub(super) fn of_status(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Handled,
        409 => Verdict::InProgress,
        400 | 413 | 415 | 422 => Verdict::Poison,
        410 => Verdict::Stop,
        429 | 503 => Verdict::Busy,
        0..=199 | 300..=399 | 401 | 403 | 404 | 405 | 407 | 421 => Verdict::Misconfigured,
        // 408, 425 and the rest of 5xx; and what the table has no word for, which may be a mistake of ours or of a
        // proxy: a few attempts, before it becomes a dead letter.
        _ => Verdict::Retry,
    }
}

/// What may have to be changed where the target is misconfigured.
pub(super) fn remedy(status: u16) -> &'static str {
    match status {
        401 | 403 => "it does not accept us: set HAPAX_PUSH_TOKEN or HAPAX_PUSH_TOKEN_FILE to a token that it knows",
        407 => "a proxy answers: let HAPAX_PUSH_URL name the application itself",
        300..=399 => "redirects are not followed: set HAPAX_PUSH_URL to where it leads",
        _ => "set HAPAX_PUSH_URL to where the application takes messages by POST, or deploy the one that does",
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::End;
    use super::*;

    fn body(text: &str, end: End) -> Answered {
        Answered { bytes: text.as_bytes().to_vec(), end }
    }

    #[test]
    fn every_status_has_its_verdict() {
        for status in 100..=599 {
            let expected = match status {
                200..=299 => Verdict::Handled,
                400 | 413 | 415 | 422 => Verdict::Poison,
                409 => Verdict::InProgress,
                410 => Verdict::Stop,
                429 | 503 => Verdict::Busy,
                401 | 403 | 404 | 405 | 407 | 421 => Verdict::Misconfigured,
                status if status / 100 == 1 || status / 100 == 3 => Verdict::Misconfigured,
                _ => Verdict::Retry,
            };
            for end in [End::Whole, End::TooLong(1), End::TooSlow, End::Broken, End::Encoded, End::Unreadable] {
                assert_eq!(verdict(PushProtocol::Http, status, &body("", end)), expected, "{status} {end:?}");
            }
        }
    }

    #[test]
    fn with_dapr_nothing_is_poison_and_nothing_stops() {
        for status in 100..=599 {
            let expected = match of_status(status) {
                verdict @ (Verdict::Handled | Verdict::Misconfigured | Verdict::Busy) => verdict,
                _ => Verdict::Retry,
            };
            assert_eq!(verdict(PushProtocol::Dapr, status, &body("", End::Whole)), expected, "{status}");
        }
        assert_eq!(
            verdict(PushProtocol::Dapr, 404, &body(r#"{"status":"SUCCESS"}"#, End::Whole)),
            Verdict::Misconfigured
        );
        assert_eq!(verdict(PushProtocol::Dapr, 200, &body(r#"{"status":"DROP"}"#, End::Whole)), Verdict::Skip);
        let broken = body("", End::Broken);
        assert_eq!(verdict(PushProtocol::Dapr, 200, &broken), Verdict::Retry, "it may have asked for another attempt");
    }

    #[test]
    fn with_http_a_body_says_nothing() {
        assert_eq!(verdict(PushProtocol::Http, 200, &body(r#"{"status":"RETRY"}"#, End::Whole)), Verdict::Handled);
    }
}
