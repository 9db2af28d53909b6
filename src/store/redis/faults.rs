//! What a fault of Redis means: what the caller is told, and what becomes of the connection.
//!
//! | fault | the caller is told | the connection |
//! |---|---|---|
//! | `OOM` | full | stays |
//! | `BUSY`, `MISCONF`, `TRYAGAIN`, `CLUSTERDOWN`, `NOREPLICAS`, `NOSCRIPT` | not available | stays |
//! | `READONLY`, `MASTERDOWN`, `LOADING` | not available | is built anew, and asks for a master |
//! | `MOVED`, `ASK` | nothing: sent on, a few times; then not available. Outside a cluster: refused | stays |
//! | `NOAUTH`, `WRONGPASS`, `NOPERM`, `WRONGTYPE`, `CROSSSLOT`, any other `ERR` | refused | stays |
//! | time-out | unknown | is built anew after several in a row |
//! | connection dropped, answer unreadable | unknown | is built anew |
//! | no connection to be had | not available (wrong credentials, a certificate that is not accepted: refused) | is tried again |
//!
//! In a cluster each of these concerns one node's items only, and lets the map of slots be read again where a node is
//! away or says that it is not available.

use std::fmt;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerError, Value};

use super::batch::Reply;
use super::commands::ALLOW_THEM;
use crate::store::{Cause, StoreError};

/// What becomes of the connection after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    Stays,
    CountsATimeout,
    IsBuiltAnew,
}

/// An error of the client library, and where it came from. Neither holds credentials: the address is host and port,
/// and the library's errors repeat no argument of a command.
#[derive(Debug)]
struct At {
    address: Arc<str>,
    error: RedisError,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis at {}: {}", self.address, self.error)?;
        match self.error.code() {
            Some("NOPERM") => write!(f, "; {ALLOW_THEM}"),
            // What a script may not do is an error without a code of its own.
            _ if self.error.detail().is_some_and(|text| text.contains("user executing the script can't")) => {
                write!(f, "; {ALLOW_THEM}")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for At {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

/// What a reply that is an error means.
pub(super) fn of_reply(address: &Arc<str>, error: &ServerError) -> (StoreError, Connection) {
    let cause = Cause::new(At { address: address.clone(), error: error.clone().into() });
    match error.code() {
        "OOM" => (StoreError::Full(cause), Connection::Stays),
        "READONLY" | "MASTERDOWN" | "LOADING" => (StoreError::Unavailable(cause), Connection::IsBuiltAnew),
        "BUSY" | "UNKILLABLE" | "MISCONF" | "TRYAGAIN" | "CLUSTERDOWN" | "NOREPLICAS" | "NOSCRIPT" => {
            (StoreError::Unavailable(cause), Connection::Stays)
        }
        _ => (StoreError::Refused(cause), Connection::Stays),
    }
}

/// What it means that a request that may have been sent has no reply.
pub(super) fn of_request(address: &Arc<str>, error: RedisError) -> (StoreError, Connection) {
    let connection = match error.is_timeout() {
        true => Connection::CountsATimeout,
        false => Connection::IsBuiltAnew,
    };
    (StoreError::Unknown(Cause::new(At { address: address.clone(), error })), connection)
}

/// What it means that no connection could be made.
pub(super) fn of_connecting(address: &Arc<str>, error: RedisError) -> StoreError {
    let cause = |error| Cause::new(At { address: address.clone(), error });
    match error.kind() {
        ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig | ErrorKind::RESP3NotSupported => {
            StoreError::Refused(cause(error))
        }
        // What Redis replies where it has no room for another connection.
        ErrorKind::Server(_) if error.detail().is_some_and(|text| text.contains("max number of clients")) => {
            StoreError::Unavailable(cause(error))
        }
        _ => match ServerError::try_from(error) {
            Ok(error) => of_reply(address, &error).0,
            Err(error) => StoreError::Unavailable(cause(error)),
        },
    }
}

/// A reply that does not fit its command: it says nothing of what was executed.
pub(super) fn of_misfit(command: &'static str) -> StoreError {
    StoreError::Unknown(Cause::new(format!("Redis: unexpected reply to {command}")))
}

/// What an error of a question before means for one that was not sent because of it.
pub(super) fn not_sent(error: StoreError) -> StoreError {
    match error {
        StoreError::Unknown(cause) => StoreError::Unavailable(cause),
        error => error,
    }
}

/// What an error of a question after means for one that was executed, and whose answer cannot be relied on without it.
pub(super) fn perhaps_sent(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(cause) | StoreError::Full(cause) => StoreError::Unknown(cause),
        error => error,
    }
}

/// Turns a reply into what it says, or what its error means.
pub(super) fn read<T>(
    command: &'static str,
    reply: Reply,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Result<T, StoreError> {
    read(&reply?).ok_or_else(|| of_misfit(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(line: &str) -> (&'static str, Connection) {
        let reply = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        let Value::ServerError(error) = reply else { panic!("{reply:?} is not an error") };
        let (error, connection) = of_reply(&"somewhere:1".into(), &error);
        (error.kind(), connection)
    }

    #[test]
    fn every_reply_has_its_class() {
        use Connection::{IsBuiltAnew, Stays};
        let table = [
            ("OOM command not allowed when used memory > 'maxmemory'.", ("full", Stays)),
            ("READONLY You can't write against a read only replica.", ("unavailable", IsBuiltAnew)),
            ("MASTERDOWN Link with MASTER is down", ("unavailable", IsBuiltAnew)),
            ("LOADING Redis is loading the dataset in memory", ("unavailable", IsBuiltAnew)),
            ("BUSY Redis is busy running a script.", ("unavailable", Stays)),
            ("MISCONF Errors writing to the AOF file", ("unavailable", Stays)),
            ("TRYAGAIN Multiple keys request during rehashing of slot", ("unavailable", Stays)),
            ("CLUSTERDOWN The cluster is down", ("unavailable", Stays)),
            ("NOREPLICAS Not enough good replicas to write.", ("unavailable", Stays)),
            ("NOSCRIPT No matching script.", ("unavailable", Stays)),
            ("NOAUTH Authentication required.", ("refused", Stays)),
            ("WRONGPASS invalid username-password pair", ("refused", Stays)),
            ("NOPERM this user has no permissions", ("refused", Stays)),
            ("WRONGTYPE Operation against a key", ("refused", Stays)),
            ("CROSSSLOT Keys in request don't hash to the same slot", ("refused", Stays)),
            ("ERR unknown command", ("refused", Stays)),
        ];
        for (line, expected) in table {
            assert_eq!(kind(line), expected, "{line}");
        }
    }

    #[test]
    fn a_request_without_reply_is_unknown() {
        use std::io::{Error, ErrorKind};
        let of = |kind: ErrorKind| of_request(&"somewhere:1".into(), Error::from(kind).into());
        let (error, connection) = of(ErrorKind::TimedOut);
        assert!(error.may_have_executed());
        assert_eq!(connection, Connection::CountsATimeout);
        let (error, connection) = of(ErrorKind::BrokenPipe);
        assert!(error.may_have_executed());
        assert_eq!(connection, Connection::IsBuiltAnew);
    }
}
