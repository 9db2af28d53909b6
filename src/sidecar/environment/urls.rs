//! URLs that come from the configuration and are called.

use reqwest::Url;

use super::problem::{Complaint, Parsed};

/// An `http` or `https` URL without credentials.
pub(super) fn url(text: &str) -> Parsed<String> {
    let url = Url::parse(text).map_err(|_| Complaint::new("is not a URL"))?;
    // Blanks and line ends in it would be dropped silently.
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Complaint::new("holds blanks"));
    }
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(Complaint::with("is not an http or https URL", "begin it with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Complaint::with(
            "holds a user or a password, which would be logged with it",
            "leave them out and give a token, as with HAPAX_PUSH_TOKEN_FILE",
        ));
    }
    if url.fragment().is_some() {
        return Err(Complaint::with("has a fragment, which is never sent", "leave out the # and what follows"));
    }
    Ok(text.to_owned())
}

/// Whether what goes there can be read on its way: it is not encrypted, and leaves the machine.
pub(super) fn is_open_to_others(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let local = host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|ip| ip.is_loopback());
    url.scheme() == "http" && !local
}
