//! A `tower` layer that de-duplicates any service whose requests have an ID.

mod classify;
mod error;
mod future;
#[expect(clippy::module_inception, reason = "named for the tower trait, as the files beside it")]
mod layer;
mod service;

pub use classify::{Classify, OkIsSuccess};
pub use error::DedupError;
pub use future::{Deduped, ResponseFuture};
pub use layer::{DedupLayer, WhenInFlight};
pub use service::Dedup;
