//! URLs of the settings.

use http::Uri;
use reqwest::Url;

use crate::error::Problem;

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

/// The same for the HTTP client.
pub(super) fn uri(setting: &str, url: &Url) -> Result<Uri, Problem> {
    let mut url = url.clone();
    url.set_fragment(None);
    url.as_str()
        .parse()
        .map_err(|_| Problem::new(setting, "holds characters that no request can hold; percent-encode them"))
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
