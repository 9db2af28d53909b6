//! The whole wrapper: a source, an engine, a store and a handler put together.
//!
//! [`Consumer::builder`] takes the settings. [`Consumer::run`] takes the handler and the end; [`Consumer::run_until`] a
//! [`Shutdown`]; [`Consumer::run_batches`] a handler of many records. Handlers say how they failed with a [`Failure`]. A
//! [`Control`] pauses one that runs, and tells what it is doing.
//!
//! `source -> arrivals -> engine -> store, calls of the handler, copies -> engine -> source`
//!
//! The settings are in `builder`, those of order and amounts in `pace`, those of what cannot be handled in `fates`. The
//! driver (`driver`) turns what happens into the engine's events and its actions into deeds, and decides nothing. What
//! becomes of a record that cannot be handled is decided by the engine; which copy of it goes where, with which headers,
//! by `topics`, `copies` and `retry`, and `deliveries` sends it; when it is too old, by `age`.
//!
//! What each setting promises is told in [guarantees](crate::docs::guarantees), each step of a record in
//! [design](crate::docs::design).

mod age;
mod arrivals;
mod builder;
mod calls;
#[expect(clippy::module_inception, reason = "the room is named for what it holds: the consumer, and all around it")]
mod consumer;
mod control;
mod copies;
mod deliveries;
mod doubts;
mod driver;
mod fates;
mod handler;
mod inline;
mod lost_leases;
mod pace;
mod retry;
mod shutdown;
mod sources;
mod start;
#[cfg(test)]
mod tests;
mod topics;

pub use builder::ConsumerBuilder;
pub use consumer::Consumer;
pub use control::Control;
#[cfg(feature = "sidecar")]
pub(crate) use copies::{EXCEPTION_MESSAGE, ORIGINAL_GROUP, ORIGINAL_PARTITION, ORIGINAL_TOPIC};
pub use handler::{Attempt, BatchHandler, Failure, Handler, ServiceHandler};
#[cfg(feature = "sidecar")]
pub(crate) use retry::{last_text, wall_clock};
pub use shutdown::Shutdown;
#[cfg(feature = "sidecar")]
pub(crate) use start::{Patience, chain, pause_after};
pub use topics::DeadLetters;
