//! Bodies are read whole, within a size and a time, before a handler sees them.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::Problem;

/// How long a body may take. Callers are near and bodies small: longer is a broken caller, or one that wants to hold
/// the connection.
pub(super) const BODY_LIMIT: Duration = Duration::from_secs(10);

/// Reads a body whole.
///
/// # Errors
///
/// 413 where it is longer than `max` bytes, 408 where it is not here within `limit`, 400 where it breaks off.
pub(super) async fn read(body: Body, max: usize, limit: Duration) -> Result<Bytes, Problem> {
    let too_long = || {
        let detail =
            format!("the body is longer than the {max} bytes that HAPAX_MAX_BODY allows; send less in one call");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    // What says at once that it is too long, is not waited for.
    if body.size_hint().lower() > max as u64 {
        return Err(too_long());
    }
    match timeout(limit, Limited::new(body, max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(_)) => Err(Problem::bad_request("the body breaks off")),
        Err(_) => {
            let detail = format!("the body did not arrive within {limit:?}");
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let begun = futures_util::stream::once(async { Ok::<_, std::io::Error>("x") });
        let never = futures_util::StreamExt::chain(begun, futures_util::stream::pending());
        let problem = read(Body::from_stream(never), 100, BODY_LIMIT).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn one_that_breaks_off_is_told_from_one_that_is_too_long() {
        let broken = futures_util::stream::iter([Ok("x"), Err(std::io::Error::other("gone"))]);
        let problem = read(Body::from_stream(broken), 100, BODY_LIMIT).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
        let long = futures_util::stream::iter([Ok::<_, std::io::Error>("x"), Ok("y")]);
        let problem = read(Body::from_stream(long), 1, BODY_LIMIT).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(read(Body::from("xy"), 2, BODY_LIMIT).await.unwrap(), "xy");
    }
}
