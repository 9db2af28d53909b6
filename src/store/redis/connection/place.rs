//! Where a node is, and how its address is written.

use std::fmt;
use std::path::PathBuf;

/// Where a server listens. Holds no credentials, so errors and logs may show it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::store::redis) enum Place {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Place {
    pub(super) fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self::Tcp { host: host.into(), port }
    }

    /// What a node tells of another; an empty or unknown host is its own.
    pub(super) fn told(host: &str, port: u16, teller: &Self) -> Option<Self> {
        let host = match (host, teller) {
            ("" | "?", Self::Tcp { host, .. }) => host,
            ("" | "?", Self::Unix(_)) => return None,
            (host, _) => host,
        };
        Some(Self::tcp(host, port))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_tell_is_read() {
        let teller = Place::tcp("10.0.0.1", 7000);
        assert_eq!(Place::told("10.0.0.2", 7001, &teller), Some(Place::tcp("10.0.0.2", 7001)));
        assert_eq!(Place::told("", 7001, &teller), Some(Place::tcp("10.0.0.1", 7001)), "the host that told it");
        assert_eq!(Place::told("fe80::1", 7001, &teller).unwrap().to_string(), "[fe80::1]:7001");
        assert_eq!(Place::told("?", 7001, &Place::Unix("/run/redis.sock".into())), None);
    }
}
