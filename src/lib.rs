//! `Record -> MessageId -> claim -> handle -> complete -> settle -> commit`

pub mod dedup;
pub mod engine;
pub mod id;
pub mod observe;
pub mod record;
pub mod store;
