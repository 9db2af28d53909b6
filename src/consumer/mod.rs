//! The whole wrapper: a source, an engine, a store and a handler put together.
//!
//! [`Consumer::builder`] takes the settings, [`Consumer::run`] takes the handler and the end. Handlers say how they
//! failed with a [`Failure`].

mod builder;
mod driver;
mod handler;

pub use builder::{Consumer, ConsumerBuilder};
pub use handler::{Attempt, Failure, Handler, ServiceHandler};
