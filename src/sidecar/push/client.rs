//! The HTTP client, and what the settings say about it.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::{PushSettings, tls};
use crate::error::Problem;

/// How long a connection may be idle. Servers commonly close theirs after two to five seconds, and a request that
/// crosses such a close on its way counts an attempt; a new connection costs less.
const IDLE: Duration = Duration::from_millis(1500);
/// How soon a peer that is gone without a word is noticed.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Builds the client. It keeps as many connections as there are requests at once.
pub(super) fn client(settings: &PushSettings) -> Result<Client, Problem> {
    let connect_limit = settings.connect_limit.min(settings.time_limit / 2);
    let builder = Client::builder()
        .tls_backend_preconfigured(tls::config(settings)?)
        // A redirect may lead anywhere, and a proxy of the environment is not meant for what lies beside us.
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .user_agent(concat!("hapax/", env!("CARGO_PKG_VERSION")))
        .timeout(settings.time_limit)
        .connect_timeout(connect_limit)
        .pool_idle_timeout(IDLE)
        .tcp_nodelay(true)
        .tcp_keepalive(KEEPALIVE);
    let builder = match settings.http2 {
        true => builder.http2_prior_knowledge(),
        false => builder,
    };
    builder.build().map_err(|_| Problem::new("HAPAX_PUSH_URL", "no HTTP client can be made of these settings"))
}

/// Reads a URL, which it never shows.
pub(super) fn url(setting: &str, text: &str) -> Result<Url, Problem> {
    let problem = |problem: &str| Err(Problem::new(setting, problem));
    let Ok(url) = Url::parse(text.trim()) else {
        return problem("is not a URL; write one as http://127.0.0.1:8080/messages");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return problem("has to begin with http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return problem("holds a user or a password; set HAPAX_PUSH_TOKEN or HAPAX_PUSH_TOKEN_FILE instead");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return problem("names no host");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_cannot_be_posted_to_are_refused_and_not_shown() {
        for text in [
            "",
            "localhost:8080",
            "/messages",
            "ftp://secret.example",
            "http://user:secret@example.com",
            "https://secret@example.com/",
            "http://",
            "unix:/secret",
        ] {
            let problem = url("HAPAX_PUSH_URL", text).unwrap_err();
            assert_eq!(problem.setting, "HAPAX_PUSH_URL");
            assert!(!problem.problem.contains("secret"), "{text}: {problem}");
        }
        for text in ["http://127.0.0.1:8080", "https://example.com/a?b=c", "http://[::1]:80/", " http://a/ "] {
            assert!(url("HAPAX_PUSH_URL", text).is_ok(), "{text}");
        }
    }
}
