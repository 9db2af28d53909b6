//! The whole wrapper: a source, an engine, a store and a handler put together.
//!
//! [`Consumer::builder`] takes the settings, [`Consumer::run`] takes the handler and the end. Handlers say how they
//! failed with a [`Failure`].
//!
//! What becomes of a record that cannot be handled is decided by the engine; which copy of it goes where, with which
//! headers, by `topics`, `copies` and `retry`; when it is too old, by `age`.

mod age;
mod arrivals;
mod builder;
mod calls;
mod consumer;
mod copies;
mod deliveries;
mod driver;
mod fates;
mod handler;
mod retry;
mod shutdown;
#[cfg(test)]
mod tests;
mod topics;

pub use builder::ConsumerBuilder;
pub use consumer::Consumer;
pub use handler::{Attempt, BatchHandler, Failure, Handler, ServiceHandler};
pub use shutdown::Shutdown;
