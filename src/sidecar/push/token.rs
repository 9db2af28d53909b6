//! The token that is presented to the application.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::Problem;
use crate::sidecar::{Secret, TokenSource};
use crate::telemetry::Limiter;

/// How old what was read from the file may be.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How often it is logged that the file cannot be read.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What is presented, as the whole value of `Authorization`.
#[derive(Debug)]
pub(super) enum Token {
    None,
    Given(HeaderValue),
    File(TokenFile),
}

/// A token in a file that may be replaced at any time.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    known: Mutex<(HeaderValue, Instant)>,
    log: Limiter,
}

impl Token {
    /// Reads it for the first time.
    ///
    /// # Errors
    ///
    /// There is none, or it cannot stand in a header.
    pub(super) fn new(source: Option<&TokenSource>) -> Result<Self, Problem> {
        match source {
            None => Ok(Self::None),
            Some(TokenSource::Given(token)) => {
                bearer(token).map(Self::Given).map_err(|problem| Problem::new("HAPAX_PUSH_TOKEN", problem))
            }
            Some(TokenSource::File(path)) => {
                let problem = |problem| Problem::new("HAPAX_PUSH_TOKEN_FILE", problem);
                let unreadable = |error: std::io::Error| problem(format!("the file cannot be read: {}", error.kind()));
                let text = std::fs::read_to_string(path).map_err(unreadable)?;
                let known = bearer(&Secret::new(text)).map_err(|wrong| problem(wrong.to_owned()))?;
                let (known, log) = (Mutex::new((known, Instant::now())), Limiter::new(LOG_INTERVAL));
                Ok(Self::File(TokenFile { path: path.clone(), known, log }))
            }
        }
    }

    /// The value of the header, read again where that is due. While the file cannot be read the last one stays.
    ///
    /// # Cancel safety
    ///
    /// What was not read is read by a later call.
    pub(super) async fn header(&self) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::Given(value) => Some(value.clone()),
            Self::File(file) => Some(file.header().await),
        }
    }
}

impl TokenFile {
    async fn header(&self) -> HeaderValue {
        {
            let mut known = self.known.lock();
            if known.1.elapsed() < READ_EVERY {
                return known.0.clone();
            }
            // Others go on with what is known, while this call reads.
            known.1 = Instant::now();
        }
        let read = read(&self.path).await;
        let mut known = self.known.lock();
        match read {
            Ok(token) => known.0 = token,
            Err(problem) => {
                if let Some(suppressed) = self.log.admit(tracing::Level::WARN, "token", "") {
                    tracing::warn!(
                        problem,
                        suppressed,
                        "HAPAX_PUSH_TOKEN_FILE cannot be read again; the last token stays in use"
                    );
                }
            }
        }
        known.0.clone()
    }
}

async fn read(path: &Path) -> Result<HeaderValue, String> {
    let text = tokio::fs::read_to_string(path).await.map_err(|error| error.kind().to_string())?;
    bearer(&Secret::new(text)).map_err(str::to_owned)
}

/// The token as the value of `Authorization`.
pub(crate) fn bearer(token: &Secret) -> Result<HeaderValue, &'static str> {
    let token = token.expose().trim();
    if token.is_empty() {
        return Err("the token is empty");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token holds spaces, line ends or characters that are not ASCII");
    }
    let mut value =
        HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| "the token cannot stand in a header")?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_again_and_what_it_held_stays_while_it_is_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "first\n").unwrap();
        let token = Token::new(Some(&TokenSource::File(path.clone()))).unwrap();
        let header = async || token.header().await.unwrap().to_str().unwrap().to_owned();
        assert_eq!(header().await, "Bearer first");

        std::fs::write(&path, "second").unwrap();
        assert_eq!(header().await, "Bearer first", "not for each request");
        tokio::time::advance(READ_EVERY).await;
        assert_eq!(header().await, "Bearer second");

        std::fs::remove_file(&path).unwrap();
        tokio::time::advance(READ_EVERY).await;
        assert_eq!(header().await, "Bearer second");
        std::fs::write(&path, "  ").unwrap();
        tokio::time::advance(READ_EVERY).await;
        assert_eq!(header().await, "Bearer second");
    }

    #[test]
    fn one_that_cannot_be_used_is_named_and_not_shown() {
        for token in ["", " \n", "se cret", "sécret", "se\ncret"] {
            let problem = Token::new(Some(&TokenSource::Given(Secret::new(token)))).unwrap_err();
            assert_eq!(problem.setting, "HAPAX_PUSH_TOKEN");
            assert!(!problem.to_string().contains("cret"), "{problem}");
        }
        let token = Token::new(Some(&TokenSource::Given(Secret::new("secret")))).unwrap();
        assert!(!format!("{token:?}").contains("secret"));
    }
}
