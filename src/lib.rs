//! `Record -> MessageId -> claim -> handle -> complete -> settle -> commit`

pub mod engine;
pub mod error;
pub mod id;
pub mod observe;
pub mod record;
pub mod store;
pub mod telemetry;
