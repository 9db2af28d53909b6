//! Addresses, and what a caller has to show.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::sidecar::TokenSource;

/// Where the sidecar can be called, and by whom.
#[derive(Clone, Debug)]
pub struct ListenSettings {
    /// Pull API, administration and status page. Default `127.0.0.1:7171`; another address than loopback only with a
    /// token or client certificates.
    pub address: SocketAddr,
    /// `/health`, `/ready` and `/metrics`, without a token. Default `0.0.0.0:7172`.
    pub health_address: SocketAddr,
    /// What callers of [`address`](Self::address) have to present as `Authorization: Bearer`.
    pub token: Option<TokenSource>,
    /// TLS on [`address`](Self::address).
    pub tls: Option<TlsFiles>,
    /// Names beside `localhost` and the address itself by which the sidecar may be called in `Host`.
    pub hosts: Vec<String>,
    /// The longest body of a request in bytes. Default 1 MiB.
    pub max_body: usize,
    /// How many connections are served at once, of each listener. Default 512.
    pub max_connections: usize,
}

/// Files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The CA of client certificates, which are then asked for.
    pub client_ca: Option<PathBuf>,
}
