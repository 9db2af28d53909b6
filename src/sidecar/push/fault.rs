//! Why there is no answer.

use std::error::Error;
use std::io;

use tokio_rustls::rustls;

use super::head::Greeting;
use super::tls;

/// Why there is no answer that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The application did not get the request.
    Away(String),
    /// The application did not get the request, and will not before a person changes something.
    Misconfigured(String),
    /// A byte of the request was sent, or more: the effect may have happened.
    Unknown(String),
}

impl Fault {
    /// What happened, for people.
    pub(super) fn into_reason(self) -> String {
        match self {
            Self::Away(reason) | Self::Misconfigured(reason) | Self::Unknown(reason) => reason,
        }
    }
}

/// No connection could be made. The error is that of the resolver, of TCP, or of the TLS handshake.
pub(super) fn not_connected(error: &(dyn Error + 'static), is_dns: bool) -> Fault {
    if let Some(remedy) = tls_error(error).and_then(tls::remedy) {
        return Fault::Misconfigured(remedy.to_owned());
    }
    Fault::Away(match (is_dns, io_kind(error)) {
        (true, _) => "its name cannot be resolved".to_owned(),
        (false, Some(kind)) => format!("no connection: {kind}"),
        (false, None) => "no connection".to_owned(),
    })
}

/// No connection was made in time.
pub(super) fn connected_too_late() -> Fault {
    Fault::Away("no connection within the limit".to_owned())
}

/// Nothing of the request was handled.
pub(super) fn unsent() -> Fault {
    Fault::Away("it closed the connection, or refused the request, before it took any of it".to_owned())
}

/// How the other side begins where HTTP/2 is spoken from the first byte on.
pub(super) fn http2_greeting(greeting: Option<Greeting>) -> Result<(), Fault> {
    match greeting {
        Some(Greeting::Http2) => Ok(()),
        Some(Greeting::Tls) => Err(Fault::Misconfigured(SPEAKS_TLS.to_owned())),
        Some(Greeting::Other) => {
            Err(Fault::Misconfigured("it does not speak HTTP/2: unset HAPAX_PUSH_HTTP2".to_owned()))
        }
        None => Err(Fault::Away(
            "it closed the connection before it spoke HTTP/2; if it does not know HTTP/2, unset HAPAX_PUSH_HTTP2"
                .to_owned(),
        )),
    }
}

const SPEAKS_TLS: &str = "it speaks TLS on this port: set HAPAX_PUSH_URL to https://, or to another port";

/// The answer is not HTTP/1.1 that can be read, not even its status. The greeting is known where it is the first answer
/// on its connection.
pub(super) fn unreadable(error: &hyper::Error, greeting: Option<Greeting>) -> Fault {
    match greeting {
        Some(Greeting::Http2) => Fault::Misconfigured("it speaks HTTP/2 only: set HAPAX_PUSH_HTTP2=true".to_owned()),
        Some(Greeting::Tls) => Fault::Misconfigured(SPEAKS_TLS.to_owned()),
        Some(Greeting::Other) | None => Fault::Unknown(format!(
            "its answer has no status that can be read ({error}); if another program answers, set HAPAX_PUSH_URL to the \
             application's HTTP port"
        )),
    }
}

/// The connection ended before the answer.
pub(super) fn lost(error: &hyper::Error) -> Fault {
    Fault::Unknown(match io_kind(error) {
        Some(kind) => format!("the connection ended before its answer: {kind}"),
        None => format!("the connection ended before its answer: {error}"),
    })
}

/// The server ended the TLS handshake because it does not accept us, so that it read no request.
pub(super) fn refused() -> Fault {
    Fault::Misconfigured(tls::NOT_ACCEPTED.to_owned())
}

/// The answer did not come in time.
pub(super) fn answered_too_late() -> Fault {
    Fault::Unknown("it did not answer within HAPAX_HANDLER_TIME_LIMIT".to_owned())
}

fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).last().map(io::Error::kind)
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| within(*error))
}

/// The cause of an error, also where an I/O error wraps one.
fn within<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
