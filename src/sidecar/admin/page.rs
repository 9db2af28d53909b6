//! The status page: one file, which asks for nothing from anywhere but the calls beside it.

use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse};

/// What stands in the page where the nonce belongs.
const NONCE: &str = "{nonce}";
const PAGE: &str = include_str!("status.html");

/// What a browser may do with the page: run its one script, which no text from elsewhere can be, and call the process
/// that it came from.
fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

pub(super) async fn page() -> impl IntoResponse {
    let nonce = format!("{:032x}", rand::random::<u128>());
    let fixed = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ];
    // It has only letters that a header may have; if it had not, nothing at all would be allowed.
    let policy = HeaderValue::try_from(policy(&nonce));
    let policy = policy.unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"));
    (fixed, [(header::CONTENT_SECURITY_POLICY, policy)], Html(PAGE.replace(NONCE, &nonce)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_for_nothing_from_elsewhere_and_runs_only_what_it_is_told_to() {
        assert_eq!(PAGE.matches(NONCE).count(), 2);
        assert_eq!(PAGE.matches("<script").count() + PAGE.matches("<style").count(), 2);
        for risk in ["src=", "innerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage"] {
            assert!(!PAGE.contains(risk), "{risk}");
        }
        // Attributes that a policy with a nonce forbids, and that would silently do nothing.
        for forbidden in [" style=\"", " onclick=", " onload=", " onsubmit="] {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
    }
}
