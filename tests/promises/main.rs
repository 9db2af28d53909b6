//! The promises, each proven against what really runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says by panicking what is wrong")]
#![allow(unreachable_pub, reason = "nothing is exported from a test binary; `pub` marks what a module offers")]

mod conformance;
mod store_alike;
mod store_conformance;
mod store_proxy;
mod store_redis;
mod store_redis_faults;
