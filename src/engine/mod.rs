//! The pure core: which record is claimed, handled, completed, settled and committed, and when.
mod action;
mod event;

pub use action::Action;
pub use event::{Arrival, Assignment, Event, Identified};

/// One record's way through the engine; never reused within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkId(pub u64);
