//! Who may call, decided from a request's headers alone.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Method, StatusCode, header};

use super::Problem;

/// The names by which a listener without a token may be called.
#[derive(Clone, Debug)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    /// Loopback, the address itself, and what was configured.
    pub(super) fn new(address: SocketAddr, configured: &[String]) -> Self {
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        names.push(address.ip().to_string());
        names.extend(configured.iter().map(|name| plain(name).to_ascii_lowercase()));
        Self(names)
    }

    /// Whether a `Host` header, or the authority of an HTTP/2 request, is one of them, with any port.
    pub(super) fn allow(&self, host: &str) -> bool {
        let host = without_port(host).to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        self.0.iter().any(|name| name == host)
    }
}

/// The host of `host:port`, `[v6]:port` or either alone.
fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(host, _)| host),
    }
}

/// A configured name, which has no port: an IPv6 address may stand in brackets or not.
fn plain(name: &str) -> &str {
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    match name.parse::<IpAddr>() {
        Ok(_) => name,
        Err(_) => without_port(name),
    }
}

/// Whether a method may change something.
pub(super) fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// Whether the token is not asked for: the status page holds nothing secret and asks for the rest itself.
pub(super) fn is_free(method: &Method, path: &str) -> bool {
    path == "/" && !changes(method)
}

/// What an `Authorization` header presents as a bearer token.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
}

/// Refuses a call that changes something and could come from a web page that nobody trusted with it.
pub(super) fn check_change(headers: &HeaderMap, host: Option<&str>) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(origin) = text(header::ORIGIN) {
        let same = host.is_some_and(|host| {
            origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
        });
        if !same {
            let detail = "the header Origin names another origin: pages of other sites may not change anything here";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
    }
    if text(header::HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| !matches!(site, "same-origin" | "none"))
    {
        let detail = "a browser sent this for a page of another site, which may not change anything here";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let media = text(header::CONTENT_TYPE).and_then(|value| value.split(';').next()).map(str::trim);
    if !media.is_some_and(|media| media.eq_ignore_ascii_case("application/json")) {
        let detail = "calls that change something need the header Content-Type: application/json, also where the body \
                      is empty";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn hosts_are_compared_without_port_and_case() {
        let configured = ["sidecar.orders".to_owned(), "[fd00::7]".to_owned(), "named:80".to_owned()];
        let hosts = Hosts::new("10.0.0.7:7171".parse().unwrap(), &configured);
        let allowed = [
            "localhost",
            "LOCALHOST:7171",
            "localhost.",
            "127.0.0.1",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:7171",
            "10.0.0.7",
            "10.0.0.7:7171",
            "sidecar.orders",
            "Sidecar.Orders:80",
            "[fd00::7]:1",
            "named",
        ];
        allowed.iter().for_each(|host| assert!(hosts.allow(host), "{host}"));
        let refused = [
            "",
            ":",
            "evil.example",
            "evil.example:7171",
            "localhost.evil.example",
            "xlocalhost",
            "127.0.0.1.nip.io",
            "127.0.0.2",
            "[::2]",
            "[",
            "[::1",
            "localhost@evil.example",
            "0.0.0.0",
            "sidecar.orders.svc",
        ];
        refused.iter().for_each(|host| assert!(!hosts.allow(host), "{host}"));
    }

    #[test]
    fn a_bearer_token_is_found_and_nothing_else() {
        let cases = [
            ("Bearer abc", Some("abc")),
            ("bearer abc ", Some("abc")),
            ("BEARER  abc", Some("abc")),
            ("Bearer ", Some("")),
            ("Bearer", None),
            ("Basic abc", None),
            ("abc", None),
            ("", None),
        ];
        for (value, token) in cases {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(bearer(&headers), token.map(str::as_bytes), "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn only_the_page_is_free() {
        assert!(is_free(&Method::GET, "/") && is_free(&Method::HEAD, "/"));
        assert!(!is_free(&Method::POST, "/") && !is_free(&Method::GET, "/v1/status") && !is_free(&Method::GET, "//"));
    }

    #[test]
    fn what_a_foreign_page_could_send_changes_nothing() {
        const JSON: (&str, &str) = ("content-type", "application/json");
        let cases: [(&[(&str, &str)], u16); 16] = [
            (&[JSON], 200),
            (&[("content-type", "Application/JSON; charset=utf-8")], 200),
            (&[], 415),
            (&[("content-type", "text/plain")], 415),
            (&[("content-type", "application/x-www-form-urlencoded")], 415),
            (&[("content-type", "multipart/form-data; boundary=application/json")], 415),
            (&[("content-type", "text/plain;application/json")], 415),
            (&[JSON, ("origin", "http://localhost:7171")], 200),
            (&[JSON, ("origin", "http://LOCALHOST:7171")], 200),
            (&[JSON, ("origin", "http://localhost:8080")], 403),
            (&[JSON, ("origin", "http://evil.example")], 403),
            (&[JSON, ("origin", "null")], 403),
            (&[JSON, ("sec-fetch-site", "same-origin")], 200),
            (&[JSON, ("sec-fetch-site", "none")], 200),
            (&[JSON, ("sec-fetch-site", "cross-site")], 403),
            (&[JSON, ("sec-fetch-site", "same-site")], 403),
        ];
        for (headers, status) in cases {
            let map = headers
                .iter()
                .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)));
            let checked = check_change(&map.collect(), Some("localhost:7171"));
            assert_eq!(checked.map_or_else(|problem| problem.status().as_u16(), |()| 200), status, "{headers:?}");
        }
    }
}
