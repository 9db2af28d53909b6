//! `Record -> MessageId -> claim -> handle -> complete -> settle -> commit`

pub mod engine;
pub mod id;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod observe;
pub mod record;
pub mod store;
