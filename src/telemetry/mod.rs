//! How an operator sees what the engine decides: metrics through the `metrics` facade, logs through `tracing`.
//!
//! [`Telemetry`] is the [`Observer`](crate::observe::Observer) that a consumer has unless it is given another. All
//! names and help texts stand in [`names`]. Install the recorder before the consumer is built: counters belong to the
//! recorder that was installed when they were first used.

mod both;
mod log;
mod metrics;
pub mod names;
#[cfg(test)]
mod tests;

pub use self::both::Telemetry;
pub use self::log::Log;
pub use self::metrics::Metrics;
