//! What it means that no answer came.

use std::error::Error;
use std::io;

use tokio_rustls::rustls;

use super::tls;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The request was not sent.
    Away(String),
    /// Who answers there does not speak as we do, or they do not trust us, or we them.
    Misconfigured(String),
    /// The request was sent, or a part of it: the effect may have happened.
    Unknown(String),
}

/// Reads an error of the client; `never_spoke` where we speak HTTP/2 and nothing was ever answered in it.
pub(super) fn fault(error: &reqwest::Error, never_spoke: bool) -> Fault {
    let causes = || std::iter::successors(Some(error as &(dyn Error + 'static)), |error| within(*error));
    let tls = causes().find_map(|cause| cause.downcast_ref::<rustls::Error>());
    // HTTP/2 keeps of an I/O error only what it says.
    let refused = || causes().any(|cause| cause.is::<io::Error>() && tls::is_refusal(&cause.to_string()));
    if let Some(remedy) = tls.and_then(tls::remedy).or_else(|| refused().then_some(tls::NOT_ACCEPTED)) {
        return Fault::Misconfigured(remedy.to_owned());
    }
    let io = causes().filter_map(|cause| cause.downcast_ref::<io::Error>()).last().map(io::Error::kind);
    if error.is_connect() || error.is_dns() {
        return Fault::Away(match (error.is_dns(), error.is_timeout(), io) {
            (true, ..) => "its name cannot be resolved".to_owned(),
            (_, true, _) => "no connection within the limit".to_owned(),
            (.., Some(kind)) => format!("no connection: {kind}"),
            _ => "no connection".to_owned(),
        });
    }
    if error.is_timeout() {
        return Fault::Unknown("it did not answer within the limit".to_owned());
    }
    let no_http = causes().filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(hyper::Error::is_parse);
    if no_http || (never_spoke && io.is_none()) {
        return Fault::Misconfigured(match no_http {
            true => {
                "what it answers is not HTTP: set HAPAX_PUSH_URL to the application's HTTP port, or HAPAX_PUSH_HTTP2 \
                     where it speaks nothing else"
                    .to_owned()
            }
            false => "it does not speak HTTP/2: take HAPAX_PUSH_HTTP2 away".to_owned(),
        });
    }
    Fault::Unknown("the connection ended before its answer".to_owned())
}

/// The cause of an error, also where an I/O error wraps one.
fn within<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
