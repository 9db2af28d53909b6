//! De-duplication without a broker: [`Deduplicator`] for any loop, [`DedupLayer`] for any `tower` service.
//!
//! ```text
//! begin ─▶ Duplicate | Conflict | InFlight | Claimed(guard) ─▶ handle ─▶ guard.complete ─▶ commit
//! ```
//!
//! The lines that decide: *claimed, duplicate or in flight* in `claiming.rs`, *how a guard ends* in `holding.rs`,
//! *recorded, and was it the first* in `completing.rs`, *free again* in `releasing.rs`. `entry.rs` shows the states;
//! `core.rs` is what all callers share, `actor.rs` the background work. What all of them ask of the store travels
//! together (`coalesce.rs`).

mod actor;
mod backoff;
mod batches;
mod claiming;
mod coalesce;
mod completing;
mod core;
mod deduplicator;
mod desk;
mod entry;
mod error;
mod guard;
mod hold;
mod holding;
mod layer;
mod releasing;
mod settings;
mod state;
#[cfg(test)]
mod tests;

pub use actor::Actor;
#[cfg(feature = "kafka")]
pub(crate) use batches::{Answered, Batches};
pub use deduplicator::{Begin, Deduplicator};
pub use error::{BeginError, Ended, Unfinished};
pub use guard::{GivingBack, Guard, Recording};
pub use layer::{Classify, Dedup, DedupError, DedupLayer, Deduped, OkIsSuccess, ResponseFuture, WhenInFlight};
pub use settings::Builder;
