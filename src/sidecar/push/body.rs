//! Bodies of answers, which may be long, or never end.

use std::time::Duration;

use reqwest::Response;
use tokio::time::timeout;

/// How long a body may be that has to be read: longer ones are cut, and their connection is closed.
pub(super) const LONGEST_BODY: usize = 16 * 1024;
/// How long a body is waited for that nobody needs: reading it to its end keeps the connection for the next request.
const COURTESY: Duration = Duration::from_millis(250);

/// The body, where it is no longer than `longest` and comes to its end within the request's time limit.
pub(super) async fn whole(mut answer: Response, longest: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        if body.len() + chunk.len() > longest {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

/// What comes of the body soon: for a log line, or to use the connection again.
pub(super) async fn begin(mut answer: Response) -> Vec<u8> {
    let mut body = Vec::new();
    if answer.content_length() == Some(0) {
        return body;
    }
    let reading = async {
        while let Ok(Some(chunk)) = answer.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_BODY {
                break;
            }
        }
    };
    // What did not come in time is not missed.
    let _in_time: Result<(), _> = timeout(COURTESY, reading).await;
    body
}
