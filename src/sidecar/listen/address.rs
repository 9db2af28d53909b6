//! Which addresses may be listened on.

use super::ListenSettings;
use crate::store::SettingsError;

/// Refuses an address that others can reach where nothing tells who they are.
///
/// # Errors
///
/// Names `HAPAX_LISTEN` and the ways out.
pub fn check_address(settings: &ListenSettings) -> Result<(), SettingsError> {
    let open = !settings.address.ip().to_canonical().is_loopback();
    if open && settings.token.is_none() && !asks_for_certificates(settings) {
        let problem = "can be reached from outside, and nothing tells who calls; set HAPAX_TOKEN_FILE, or \
                       HAPAX_TLS_CLIENT_CA_FILE, or listen on 127.0.0.1";
        return Err(SettingsError { setting: "HAPAX_LISTEN", problem: problem.to_owned() });
    }
    Ok(())
}

/// Whether callers have to show a certificate.
pub(super) fn asks_for_certificates(settings: &ListenSettings) -> bool {
    settings.tls.as_ref().is_some_and(|files| files.client_ca.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::listen::TlsFiles;
    use crate::sidecar::{Secret, TokenSource};

    #[test]
    fn only_loopback_goes_without_a_token_or_certificates() {
        let token = || Some(TokenSource::Given(Secret::new("geheim")));
        let tls = |client_ca: bool| {
            let client_ca = client_ca.then(|| "ca".into());
            Some(TlsFiles { certificate: "c".into(), key: "k".into(), client_ca })
        };
        let cases = [
            ("127.0.0.1:0", None, None, true),
            ("127.8.0.1:0", None, None, true),
            ("[::1]:0", None, None, true),
            ("[::ffff:127.0.0.1]:0", None, None, true),
            ("0.0.0.0:0", None, None, false),
            ("[::]:0", None, None, false),
            ("10.0.0.7:0", None, None, false),
            ("10.0.0.7:0", None, tls(false), false),
            ("10.0.0.7:0", None, tls(true), true),
            ("10.0.0.7:0", token(), None, true),
            ("0.0.0.0:0", token(), tls(false), true),
        ];
        for (address, token, tls, allowed) in cases {
            let settings = ListenSettings {
                address: address.parse().unwrap(),
                health_address: "127.0.0.1:0".parse().unwrap(),
                token,
                tls,
                hosts: Vec::new(),
                max_body: 1,
                max_connections: 1,
            };
            let checked = check_address(&settings);
            assert_eq!(checked.is_ok(), allowed, "{address}: {checked:?}");
            if let Err(error) = checked {
                assert!(error.to_string().starts_with("HAPAX_LISTEN: "), "{error}");
            }
        }
    }
}
