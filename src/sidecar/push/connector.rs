//! Connections to one origin: name, TCP, TLS, and the version of HTTP.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Url;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tower_service::Service;

use super::fault::{self, Fault};
use super::line::{Line, SharedLine};
use super::{PushProtocol, PushSettings, tls};
use crate::error::Problem;

/// How soon a peer that is gone without a word is noticed.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A new connection.
#[derive(Debug)]
pub(super) enum Connected {
    /// In HTTP/1.1.
    One(Line),
    /// In HTTP/2.
    Many(SharedLine),
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    address: Uri,
    http2: bool,
    /// Whether the bodies of answers decide.
    has_body: bool,
    limit: Duration,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("http2", &self.http2).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Connector {
    /// # Errors
    ///
    /// The first setting that cannot be used.
    pub(super) fn new(setting: &str, settings: &PushSettings, url: &Url, address: Uri) -> Result<Self, Problem> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        let limit = settings.connect_limit.min(settings.time_limit / 2);
        // Of several addresses each gets its share.
        tcp.set_connect_timeout(Some(limit));
        // The files are read in any case, so that a mistake in them is found at the start.
        let config: Arc<ClientConfig> = Arc::new(tls::config(settings)?);
        let tls = match url.scheme() {
            "https" => {
                let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|_| Problem::new(setting, "names a host that no certificate can be for"))?;
                Some((TlsConnector::from(config), name))
            }
            _ => None,
        };
        let has_body = settings.batched || settings.protocol == PushProtocol::Dapr;
        Ok(Self { tcp, tls, address, http2: settings.http2, has_body, limit })
    }

    /// Makes a connection within the limit. Nothing of a request is sent before it is there.
    ///
    /// # Cancel safety
    ///
    /// The connection is given up.
    pub(super) async fn connect(&self) -> Result<Connected, Fault> {
        timeout(self.limit, self.connect_slowly()).await.unwrap_or_else(|_| Err(fault::connected_too_late()))
    }

    async fn connect_slowly(&self) -> Result<Connected, Fault> {
        let stream = self.tcp().await?;
        let Some((tls, name)) = &self.tls else {
            return self.open(stream, self.http2).await;
        };
        let stream = tls.connect(name.clone(), stream).await.map_err(|error| fault::not_connected(&error, false))?;
        let http2 = self.http2 || stream.get_ref().1.alpn_protocol() == Some(b"h2");
        self.open(stream, http2).await
    }

    async fn open<S>(&self, stream: S, http2: bool) -> Result<Connected, Fault>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        match http2 {
            true => SharedLine::open(stream).await.map(Connected::Many),
            false => Line::open(stream, self.has_body).await.map(Connected::One).map_err(|_| fault::unsent()),
        }
    }

    async fn tcp(&self) -> Result<TcpStream, Fault> {
        let mut tcp = self.tcp.clone();
        let connected = match std::future::poll_fn(|cx| tcp.poll_ready(cx)).await {
            Ok(()) => tcp.call(self.address.clone()).await,
            Err(error) => Err(error),
        };
        match connected {
            Ok(stream) => Ok(stream.into_inner()),
            // The connector has no other name for it.
            Err(error) => Err(fault::not_connected(&error, error.to_string() == "dns error")),
        }
    }
}
