//! One connection to one server, not yet checked.

use std::sync::Arc;
use std::time::Duration;

use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use redis::{RedisConnectionInfo, RedisError};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::pipe::Pipe;
use super::place::Place;
use super::tls;
use crate::store::redis::commands::Questions;
use crate::store::redis::faults;
use crate::store::{Cause, StoreError};

/// How the servers of a store are reached, wherever they are.
pub(in crate::store::redis) struct Dial {
    pub(in crate::store::redis) login: RedisConnectionInfo,
    pub(in crate::store::redis) tls: Option<TlsConnector>,
    /// From the first packet until the server is checked.
    pub(in crate::store::redis) connect_limit: Duration,
    pub(in crate::store::redis) response_limit: Duration,
    /// After how many time-outs in a row a connection is given up.
    pub(in crate::store::redis) timeouts: u32,
    /// Whether a server that may forget what it was told is refused.
    pub(in crate::store::redis) strict: bool,
    /// How often a server that is in use is asked how it is doing.
    pub(in crate::store::redis) health_interval: Duration,
    /// What every server is asked before anything is claimed there.
    pub(in crate::store::redis) questions: Questions,
}

impl Dial {
    /// Connects and logs in.
    pub(super) async fn connect(&self, place: &Place) -> Result<Pipe, StoreError> {
        self.connect_as(place, &self.login).await
    }

    /// Connects and logs in as somebody else.
    pub(super) async fn connect_as(&self, place: &Place, login: &RedisConnectionInfo) -> Result<Pipe, StoreError> {
        let address: Arc<str> = place.to_string().into();
        let failed = |error| failed(&address, error);
        match place {
            Place::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| failed(error.into()))?;
                Pipe::log_in(stream, login, self.response_limit).await.map_err(failed)
            }
            Place::Tcp { host, port } => {
                let stream = tcp(host, *port).await.map_err(|error| failed(error.into()))?;
                let Some(connector) = &self.tls else {
                    return Pipe::log_in(stream, login, self.response_limit).await.map_err(failed);
                };
                let name = ServerName::try_from(host.clone()).map_err(|_| {
                    StoreError::Refused(Cause::new(format!("Redis at {address}: its name cannot be in a certificate")))
                })?;
                let stream = connector.connect(name, stream).await.map_err(|error| failed(error.into()))?;
                Pipe::log_in(stream, login, self.response_limit).await.map_err(failed)
            }
        }
    }
}

/// What it means that no connection could be made, or that it failed at its first questions: a server that does not accept
/// our certificate says so only after our side of the handshake has ended (TLS 1.3).
pub(super) fn failed(address: &Arc<str>, error: RedisError) -> StoreError {
    match tls::remedy(&error) {
        Some(remedy) => StoreError::Refused(Cause::new(format!("Redis at {address}: {remedy} ({error})"))),
        None => faults::of_connecting(address, error),
    }
}

async fn tcp(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    // Without TCP_NODELAY a pipeline's last packet may wait up to 40 ms for an acknowledgement. Probes find a peer that
    // went away while nothing was asked; the user time-out, one that does not acknowledge what was sent, which a kernel
    // otherwise bears for about a quarter of an hour.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(10)))?;
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}
