//! The local cache: which IDs this process knows to be done, and a store that asks it first.

mod done;
mod store;
#[cfg(test)]
mod tests;

pub use done::DoneCache;
pub use store::Cached;
