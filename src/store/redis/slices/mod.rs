//! Where done IDs lie in the compact mode: sharded sets of 64-bit integers, in slices of time.
//!
//! A set of integers of at most `set-max-intset-entries` members (512, unless the server says otherwise) is one sorted
//! array in Redis, and a remembered ID costs little more than its eight bytes; one member more, and Redis turns it into
//! a hash table, at eight times the price.
//!
//! ```text
//! time    ───┬────── slice 7 ──────┬────── slice 8 ──────┬───      each as long as the window
//! sets       │ 60 shards a group ──┤ 75 shards a group ──┤         sized from the slice before
//!            │        └ 240 shards ┤                     │         a second generation: the first was filling up
//! ```
//!
//! An ID is written into the newest generation of the current slice and looked up in every generation of the current
//! and of the previous one, so it is remembered for one to two windows. How many shards a slice has, in which
//! generations, stands in the namespace's [`Plan`](plan::Plan), in one key of Redis. What makes it safe:
//!
//! * Time is Redis' time; [`Calendar`] has the bound by which a worker can be wrong about it.
//! * Everyone reads the plan again twice within that bound, and asks nothing by an older reading ([`Reader`]).
//! * A generation is written to only when everyone's reading must include it. Writing to an older one is always safe,
//!   since all are looked up.
//! * That a slice has no generation is never remembered: whoever finds none makes one.
//! * A reading is good for one connection: behind another one may be a Redis that lost the plan. What is known and not
//!   found there is written again.
//! * Each set is given its expiry by the command that makes it.

mod calendar;
mod expiry;
mod known;
mod plan;
mod reader;
mod replies;
mod shard;
mod sizing;
#[cfg(test)]
mod tests;

pub(super) use calendar::{Calendar, SHORTEST_WINDOW};
pub(super) use expiry::Expiries;
pub(super) use known::{Known, Lookups};
pub(super) use plan::Generation;
pub(super) use reader::Reader;
pub(super) use replies::read_time;
pub(super) use shard::{Shard, member};
