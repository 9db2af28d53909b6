//! How an operator sees what the engine decides: metrics through the `metrics` facade, logs through `tracing`.
//!
//! [`Telemetry`] is the [`Observer`](crate::observe::Observer) that a consumer has unless it is given another. All
//! names and help texts stand in [`names`]; [`docs::metrics`](crate::docs::metrics) explains them. Install the recorder
//! before the consumer is built: counters belong to the recorder that was installed when they were first used. Render
//! it within [`scrape`], so that the counts add up.

mod both;
mod gate;
mod limiter;
mod log;
mod metrics;
pub mod names;
mod stall;
#[cfg(test)]
mod tests;
mod topics;

pub use self::both::Telemetry;
pub use self::gate::scrape;
pub(crate) use self::limiter::Limiter;
pub use self::log::Log;
pub use self::metrics::Metrics;
