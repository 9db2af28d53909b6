//! TLS, and certificates of callers.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};
use tokio_rustls::server::TlsStream;

use super::TlsFiles;
use crate::store::SettingsError;

const CERTIFICATE: &str = "HAPAX_TLS_CERTIFICATE_FILE";
const KEY: &str = "HAPAX_TLS_KEY_FILE";
const CLIENT_CA: &str = "HAPAX_TLS_CLIENT_CA_FILE";

/// What a listener shows in a handshake, and what it asks of callers.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl Tls {
    /// Reads the files, once: a new certificate needs a restart. With a client CA, a caller without a certificate that
    /// it has signed is not let in.
    ///
    /// # Errors
    ///
    /// Names the setting whose file cannot be read or used, and shows nothing of what it holds.
    pub fn read(files: &TlsFiles) -> Result<Self, SettingsError> {
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|_| wrong(CERTIFICATE, "no version of TLS is supported by this build"))?;
        let config = match &files.client_ca {
            None => config.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in chain(path, CLIENT_CA)? {
                    roots
                        .add(certificate)
                        .map_err(|_| wrong(CLIENT_CA, "holds a certificate that cannot be a root"))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                config.with_client_cert_verifier(verifier.map_err(|_| wrong(CLIENT_CA, "cannot be a root"))?)
            }
        };
        let chain = chain(&files.certificate, CERTIFICATE)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes(&files.key, KEY)?)
            .map_err(|_| wrong(KEY, "is not an unencrypted private key in PEM (PKCS#8, PKCS#1 or SEC1)"))?;
        let mut config = config.with_single_cert(chain, key).map_err(|_| {
            wrong(KEY, &format!("does not belong to the certificate of {CERTIFICATE}, or one of both is of a kind that is not supported"))
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

fn bytes(path: &Path, setting: &'static str) -> Result<Vec<u8>, SettingsError> {
    std::fs::read(path).map_err(|error| wrong(setting, &format!("{} cannot be read: {error}", path.display())))
}

fn chain(path: &Path, setting: &'static str) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let pem = bytes(path, setting)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
    match certificates.is_empty() {
        true => Err(wrong(setting, "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")),
        false => Ok(certificates),
    }
}

fn wrong(setting: &'static str, problem: &str) -> SettingsError {
    SettingsError { setting, problem: problem.to_owned() }
}
