//! Ports that nobody uses.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Loopback ports below those that operating systems hand out by themselves (from 32768 on Linux, 49152 on macOS): so
/// a server that was killed finds its port free when it comes back, and no client of another test sits on it.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// How often a start is tried with other ports, each time because the one before was taken.
pub(super) const TRIES: usize = 20;

/// Ports that were free when asked for; somebody else may be faster, so the server that gets one must say whether it
/// could bind it.
pub(super) fn candidates() -> impl Iterator<Item = u16> {
    std::iter::repeat_with(|| rand::random_range(RANGE)).filter(|port| is_free(*port))
}

/// Whether nobody listens there now.
pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind(loopback(port)).is_ok()
}

/// The loopback address with this port.
pub(super) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
