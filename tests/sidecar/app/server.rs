//! A proper server, for what is too much to be written by hand.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};
use tokio_util::task::AbortOnDropHandle;

use crate::common::{Authority, Identity};

/// Answers 200 to everything.
#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    /// The versions of the requests so far.
    pub versions: watch::Receiver<Vec<http::Version>>,
    _task: AbortOnDropHandle<()>,
}

/// What a server shows, and whom it asks for.
pub struct Tls<'a> {
    pub identity: Identity,
    /// Whose clients it serves, where not everybody's.
    pub clients_of: Option<&'a Authority>,
    pub alpn: &'a [&'a str],
}

impl Server {
    pub async fn start(tls: Option<Tls<'_>>) -> Self {
        let acceptor = tls.map(|tls| TlsAcceptor::from(Arc::new(config(&tls))));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, versions) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                stream.set_nodelay(true).unwrap();
                let (acceptor, seen) = (acceptor.clone(), seen.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, seen).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, versions, _task: AbortOnDropHandle::new(task) }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, seen: watch::Sender<Vec<http::Version>>) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let seen = seen.clone();
        async move {
            let version = request.version();
            http_body_util::BodyExt::collect(request.into_body()).await.ok();
            seen.send_modify(|seen| seen.push(version));
            Ok::<_, Infallible>(http::Response::new(String::new()))
        }
    });
    // That a client went away is its own affair.
    Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await.ok();
}

fn config(tls: &Tls<'_>) -> ServerConfig {
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.unwrap();
    let builder = match tls.clients_of {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(tls.identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(tls.identity.key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = tls.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}
