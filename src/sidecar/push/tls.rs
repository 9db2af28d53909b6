//! TLS, by rustls: who is trusted, and as whom we come.
//!
//! There is no way to leave certificates unchecked. The provider of the cryptography is named here and not taken from
//! the process, where another library may have chosen none or two, and rustls would panic.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{AlertDescription, CertificateError, ClientConfig, Error, RootCertStore, crypto};

use super::PushSettings;
use crate::error::Problem;

const CA: &str = "HAPAX_PUSH_CA_FILE";
const CLIENT_CERTIFICATE: &str = "HAPAX_PUSH_CLIENT_CERTIFICATE_FILE";
const CLIENT_KEY: &str = "HAPAX_PUSH_CLIENT_KEY_FILE";

/// Reads the files that the settings name.
pub(super) fn config(settings: &PushSettings) -> Result<ClientConfig, Problem> {
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Problem::new("HAPAX_PUSH_URL", "no version of TLS is supported by this build"))?
        .with_root_certificates(roots(settings)?);
    let mut config = match &settings.client {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = chain(CLIENT_CERTIFICATE, certificate)?;
            let key = PrivateKeyDer::from_pem_slice(&read(CLIENT_KEY, key)?).map_err(|_| {
                Problem::new(CLIENT_KEY, "holds no unencrypted private key in PEM (PKCS#8, PKCS#1 or SEC1)")
            })?;
            config.with_client_auth_cert(chain, key).map_err(|_| {
                Problem::new(CLIENT_KEY, "does not belong to the certificate, or is of a kind that is not supported")
            })?
        }
    };
    config.alpn_protocols = match settings.http2 {
        true => vec![b"h2".to_vec()],
        false => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(config)
}

fn roots(settings: &PushSettings) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    // What one of the system's files holds besides is no reason to trust nobody.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(ca) = &settings.ca {
        for certificate in chain(CA, ca)? {
            let added = roots.add(certificate);
            added.map_err(|_| Problem::new(CA, "holds a certificate that cannot be a root"))?;
        }
    }
    if roots.is_empty() && settings.url.starts_with("https:") {
        let problem = "is not given, and the system has no roots (package ca-certificates); give the CA that signed the \
                       application's certificate";
        return Err(Problem::new(CA, problem));
    }
    Ok(roots)
}

fn chain(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(setting, path)?).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    chain.ok_or_else(|| Problem::new(setting, "holds no certificate in PEM, or one that is damaged"))
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(|error| Problem::new(setting, format!("the file cannot be read: {}", error.kind())))
}

/// Alerts by which a server says that it does not accept us.
const REFUSALS: [AlertDescription; 9] = [
    AlertDescription::CertificateRequired,
    AlertDescription::HandshakeFailure,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
];
/// What to do then.
pub(super) const NOT_ACCEPTED: &str = "it does not accept us: set HAPAX_PUSH_CLIENT_CERTIFICATE_FILE and \
                                       HAPAX_PUSH_CLIENT_KEY_FILE to a certificate that it trusts";

/// Whether the server did not accept us. In TLS 1.3 that comes after the handshake seemed to have ended.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(error, Some(Error::AlertReceived(alert)) if REFUSALS.contains(alert))
}

/// What somebody has to change where a handshake failed, or nothing where the connection may just have been lost.
pub(super) fn remedy(error: &Error) -> Option<&'static str> {
    Some(match error {
        // The second where another authority has the same name.
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is signed by nobody who is trusted here: set HAPAX_PUSH_CA_FILE to the CA that signed it"
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired: renew it, or set the clock of this machine right"
        }
        Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "its certificate is not valid yet: set the clock of this machine right"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another name: use a name in HAPAX_PUSH_URL that the certificate holds",
        Error::InvalidCertificate(_) => "its certificate cannot be used",
        Error::AlertReceived(alert) if REFUSALS.contains(alert) => NOT_ACCEPTED,
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) | Error::NoApplicationProtocol => {
            "it does not speak HTTP/2, or not HTTP/1.1: change HAPAX_PUSH_HTTP2"
        }
        Error::InvalidMessage(_) => {
            "it does not speak TLS on this port: use its TLS port, or http:// in HAPAX_PUSH_URL"
        }
        Error::PeerIncompatible(_) => {
            "it offers no version or cipher of TLS that is supported: let it speak TLS 1.2 or 1.3"
        }
        _ => return None,
    })
}
