//! TLS, by rustls: who is trusted, as whom we come, and what a failed handshake means.
//!
//! There is no way to leave certificates unchecked. The provider of the cryptography is named here and not taken from
//! the process, where another library may have chosen none or two, and rustls would panic.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{AlertDescription, CertificateError, ClientConfig, Error, RootCertStore, crypto};

use crate::store::SettingsError;

/// What the builder was told about TLS.
#[derive(Clone, Default)]
pub(in crate::store::redis) struct TlsSettings {
    /// Whom to trust, as PEM; the system's roots where there is none.
    pub(in crate::store::redis) ca: Option<Vec<u8>>,
    /// Certificate chain and key, as PEM.
    pub(in crate::store::redis) client: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = |given: bool| if given { "given" } else { "none" };
        f.debug_struct("TlsSettings")
            .field("ca", &given(self.ca.is_some()))
            .field("client", &given(self.client.is_some()))
            .finish()
    }
}

impl TlsSettings {
    pub(in crate::store::redis) fn is_empty(&self) -> bool {
        self.ca.is_none() && self.client.is_none()
    }

    /// Reads the certificates, once: connections share what comes of it.
    ///
    /// # Errors
    ///
    /// Names the part that cannot be used and shows nothing of it.
    pub(in crate::store::redis) fn connector(&self) -> Result<TlsConnector, SettingsError> {
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| wrong("TLS", "no version of it is supported by this build"))?
            .with_root_certificates(self.roots()?);
        let config = match &self.client {
            None => config.with_no_client_auth(),
            Some((certificates, key)) => {
                let chain = chain(certificates, "TLS client certificate")?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
                    wrong("TLS client key", "is not an unencrypted private key in PEM (PKCS#8, PKCS#1 or SEC1)")
                })?;
                config.with_client_auth_cert(chain, key).map_err(|_| {
                    wrong("TLS client key", "does not belong to the certificate, or is of a kind that is not supported")
                })?
            }
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn roots(&self) -> Result<RootCertStore, SettingsError> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(ca) => {
                for certificate in chain(ca, "TLS CA")? {
                    roots.add(certificate).map_err(|_| wrong("TLS CA", "holds a certificate that cannot be a root"))?;
                }
            }
            None => {
                // What one of the system's files holds besides is no reason to trust nobody.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        match roots.is_empty() {
            true => Err(wrong(
                "TLS CA",
                "is not given, and the system has no roots (package ca-certificates); give the CA that signed the \
                 server's certificate",
            )),
            false => Ok(roots),
        }
    }
}

fn chain(pem: &[u8], setting: &'static str) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect();
    match certificates.is_empty() {
        true => Err(wrong(setting, "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")),
        false => Ok(certificates),
    }
}

fn wrong(setting: &'static str, problem: &str) -> SettingsError {
    SettingsError { setting, problem: problem.to_owned() }
}

/// What somebody has to change where a handshake failed, or nothing where trying again may be enough.
pub(super) fn remedy(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<Error>() {
            return remedy_of(error);
        }
        let within = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match (within, error.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>()) {
            (Some(inner), _) => Some(inner),
            (None, Some(shared)) => Some(&**shared),
            (None, None) => error.source(),
        };
    }
    None
}

fn remedy_of(error: &Error) -> Option<&'static str> {
    Some(match error {
        // The second where another authority has the same name.
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is signed by nobody who is trusted here; give the CA that signed it"
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired; renew it on the server, or set the clock of this machine right"
        }
        Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "its certificate is not valid yet; set the clock of this machine right"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "its certificate is for another name; use the name that the certificate holds, or add this one to its \
             subject alternative names"
        }
        Error::InvalidCertificate(_) => "its certificate cannot be used",
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::HandshakeFailure
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => "it does not accept us: give a client certificate and its key, signed by a CA that it trusts",
        Error::InvalidMessage(_) => "it does not speak TLS on this port; use its TLS port, or redis:// without TLS",
        Error::PeerIncompatible(_) => "it offers no version or cipher of TLS that is supported; allow TLS 1.2 or 1.3",
        _ => return None,
    })
}
